#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "mien/cli/command_line.h"
#include "mien/core/error.h"
#include "mien/core/progress.h"

namespace {

constexpr int kInterrupted = 130;

/// First Ctrl-C: stop after the current step. Second: at once.
void on_interrupt(int) {
  if (mien::stop_requested()) std::_Exit(kInterrupted);
  mien::request_stop();
}

int fail(const std::string& line, int status) {
  fmt::print(stderr, "mien: {}\n", line);
  // Ctrl-C reaches gnuplot too: what then fails is no fault.
  return mien::stop_requested() ? kInterrupted : status;
}

}  // namespace

int main(int argc, char** argv) {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // Both come back as errors of the write, which say more.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return mien::cli::run_command_line(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const mien::Error& error) {
    return fail(error.line(), mien::exit_status(error.code()));
  } catch (const std::bad_alloc&) {
    return fail("out of memory. hint: a smaller --batch-size needs less", 1);
  } catch (const std::exception& error) {
    // A library's own exception (libtorch's are long: the first line says what matters).
    const std::string text = error.what();
    return fail("unexpected error: " + text.substr(0, text.find('\n')), 1);
  }
}
