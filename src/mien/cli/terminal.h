#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "mien/core/progress.h"

namespace mien::cli {

/// Standard output has no reader any more (`mien ... | head`): the program ends without a word.
struct OutputClosed {};

/// Writes to standard output. Throws Error(failed) if that does not take it, OutputClosed if its reader is gone.
void print(std::string_view text);

/// Throws as `print` if anything written to standard output so far was lost.
void check_output_written();

/// Speaks to the person at the terminal: results on standard output, warnings and progress on standard error. With
/// `machine_readable`, lines go to standard error too, so that standard output holds the JSON alone.
class Terminal final : public ProgressListener {
 public:
  explicit Terminal(bool machine_readable);
  ~Terminal() override;

  void line(std::string_view text) override;
  void warning(std::string_view text) override;
  /// On a terminal a bar with rate and time left; elsewhere a line every half minute.
  void progress(std::string_view what, int64_t done, int64_t total, std::string_view detail) override;

  /// The command's result: text for people, or JSON with --json. Throws as `print`.
  void result(std::string_view text, std::string_view json);
  bool machine_readable() const { return machine_readable_; }

 private:
  void clear_bar();

  using Clock = std::chrono::steady_clock;
  bool machine_readable_;
  bool is_terminal_;
  bool bar_shown_ = false;
  std::string what_;
  std::set<std::string, std::less<>> warned_;
  int64_t first_done_ = 0;
  Clock::time_point started_;
  Clock::time_point shown_;
};

}  // namespace mien::cli
