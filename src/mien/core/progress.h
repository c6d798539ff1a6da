#pragma once

#include <cstdint>
#include <string_view>

namespace mien {

/// Where long work says what it is doing. The library never prints: the command line, the tests and the server each
/// hand in a listener of their own. Calls come from one thread at a time.
class ProgressListener {
 public:
  virtual ~ProgressListener() = default;
  /// A finished line worth reading (an epoch's line, a result).
  virtual void line(std::string_view text) = 0;
  /// Something the user should know and may want to change; the work goes on.
  virtual void warning(std::string_view text) = 0;
  /// `done` of `total` steps of `what`; `detail` is a short changing text such as "loss 1.234".
  virtual void progress(std::string_view what, int64_t done, int64_t total, std::string_view detail) = 0;
};

/// Hears nothing.
ProgressListener& silent_listener();

/// True once the user asked to stop (Ctrl-C). Long loops look at it between steps.
bool stop_requested();
void request_stop();
void clear_stop_request();

}  // namespace mien
