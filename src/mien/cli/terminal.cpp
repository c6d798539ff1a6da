#include "mien/cli/terminal.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <unistd.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::cli {
namespace {

constexpr std::chrono::milliseconds kBarInterval{100};
constexpr std::chrono::seconds kLineInterval{30};
constexpr int kBarWidth = 24;

/// A terminal that understands the sequence that clears a line.
bool can_redraw() {
  const char* const term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) != 0 && term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
}

/// What is lost here costs nothing: the work goes on.
void write_quietly(std::FILE* out, std::string_view text) {
  [[maybe_unused]] const size_t written = std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
}

[[noreturn]] void throw_output_error(int error) {
  if (error == EPIPE) throw OutputClosed{};
  throw_failed(fmt::format("cannot write to standard output: {}", std::strerror(error)));
}

}  // namespace

void print(std::string_view text) {
  errno = 0;
  const bool is_written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!is_written) throw_output_error(errno);
}

void check_output_written() {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw_output_error(errno == 0 ? EIO : errno);
}

Terminal::Terminal(bool machine_readable) : machine_readable_(machine_readable), is_terminal_(can_redraw()) {}

Terminal::~Terminal() { clear_bar(); }

void Terminal::clear_bar() {
  if (!bar_shown_) return;
  write_quietly(stderr, "\r\x1b[K");
  bar_shown_ = false;
}

void Terminal::line(std::string_view text) {
  clear_bar();
  write_quietly(machine_readable_ ? stderr : stdout, fmt::format("{}\n", text));
}

void Terminal::warning(std::string_view text) {
  if (!warned_.emplace(text).second) return;  // once is enough, whatever number of figures it concerns
  clear_bar();
  std::fflush(stdout);
  write_quietly(stderr, fmt::format("warning: {}\n", text));
}

void Terminal::progress(std::string_view what, int64_t done, int64_t total, std::string_view detail) {
  const auto now = Clock::now();
  if (what != what_) {
    what_ = what;
    started_ = now;
    shown_ = is_terminal_ ? Clock::time_point{} : now;
    first_done_ = done;
  }
  if (now - shown_ < (is_terminal_ ? std::chrono::duration_cast<Clock::duration>(kBarInterval)
                                   : std::chrono::duration_cast<Clock::duration>(kLineInterval))) {
    if (done >= total) clear_bar();
    return;
  }
  shown_ = now;
  const double elapsed = std::chrono::duration<double>(now - started_).count();
  const double rate = elapsed > 0 ? static_cast<double>(done - first_done_) / elapsed : 0;
  std::string tail = fmt::format("{}/{}", done, total);
  if (rate > 0 && done > first_done_) {
    tail += fmt::format("  {:.1f}/s  {} left", rate, format_duration(static_cast<double>(total - done) / rate));
  }
  if (!detail.empty()) tail += fmt::format("  {}", detail);
  if (!is_terminal_) {
    write_quietly(stderr, fmt::format("{}  {}\n", what, tail));
    return;
  }
  const auto filled = static_cast<int>(kBarWidth * done / std::max<int64_t>(1, total));
  write_quietly(stderr,
                fmt::format("\r\x1b[K{}  [{}{}] {}",
                            what,
                            std::string(static_cast<size_t>(filled), '='),
                            std::string(static_cast<size_t>(kBarWidth - filled), ' '),
                            tail));
  bar_shown_ = true;
  if (done >= total) clear_bar();
}

void Terminal::result(std::string_view text, std::string_view json) {
  clear_bar();
  const std::string_view shown = machine_readable_ ? json : text;
  print(fmt::format("{}{}", shown, shown.ends_with('\n') ? "" : "\n"));
}

}  // namespace mien::cli
