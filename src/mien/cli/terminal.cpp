#include "mien/cli/terminal.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

#include "mien/core/text.h"

namespace mien::cli {
namespace {

constexpr std::chrono::milliseconds kBarInterval{100};
constexpr std::chrono::seconds kLineInterval{30};
constexpr int kBarWidth = 24;

}  // namespace

Terminal::Terminal(bool machine_readable)
    : machine_readable_(machine_readable), is_terminal_(::isatty(STDERR_FILENO) != 0) {}

Terminal::~Terminal() { clear_bar(); }

void Terminal::clear_bar() {
  if (!bar_shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  bar_shown_ = false;
}

void Terminal::line(std::string_view text) {
  clear_bar();
  std::FILE* const out = machine_readable_ ? stderr : stdout;
  fmt::print(out, "{}\n", text);
  std::fflush(out);
}

void Terminal::warning(std::string_view text) {
  if (!warned_.emplace(text).second) return;  // once is enough, whatever number of figures it concerns
  clear_bar();
  std::fflush(stdout);
  fmt::print(stderr, "warning: {}\n", text);
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
    fmt::print(stderr, "{}  {}\n", what, tail);
    return;
  }
  const auto filled = static_cast<int>(kBarWidth * done / std::max<int64_t>(1, total));
  fmt::print(stderr,
             "\r\x1b[K{}  [{}{}] {}",
             what,
             std::string(static_cast<size_t>(filled), '='),
             std::string(static_cast<size_t>(kBarWidth - filled), ' '),
             tail);
  std::fflush(stderr);
  bar_shown_ = true;
  if (done >= total) clear_bar();
}

void Terminal::result(std::string_view text, std::string_view json) {
  clear_bar();
  const std::string_view shown = machine_readable_ ? json : text;
  fmt::print("{}{}", shown, shown.ends_with('\n') ? "" : "\n");
  std::fflush(stdout);
}

}  // namespace mien::cli
