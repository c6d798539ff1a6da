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
  /// True once whoever listens wants the work to end; long loops look at it between steps. May be asked from any
  /// thread. The default is the process's own answer (mien::stop_requested); a listener of one job among several
  /// overrides it.
  virtual bool stop_requested() const;
};

/// Hears nothing.
ProgressListener& silent_listener();

/// True once the whole process was asked to stop: what the program's Ctrl-C sets. Work that has a listener asks it.
bool stop_requested();
void request_stop();
void clear_stop_request();

}  // namespace mien
