#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "mien/cli/command_line.h"
#include "mien/cli/terminal.h"
#include "mien/core/error.h"
#include "mien/core/progress.h"

namespace {

constexpr int kInterrupted = 130;

/// What the first Ctrl-C answers; chosen before it can come, because a signal handler may only write.
std::string_view g_stopping = "\nstopping; Ctrl-C again stops at once\n";

/// First Ctrl-C: stop after the current step, and say so. Second: at once.
void on_interrupt(int) {
  if (mien::stop_requested()) std::_Exit(kInterrupted);
  mien::request_stop();
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, g_stopping.data(), g_stopping.size());
}

/// Commands whose interrupted work goes on when they are started again.
bool can_go_on(const std::string& command) {
  return command == "train" || command == "run" || command == "demo" || command == "merge";
}

/// Commands that make batches of a size that the user chooses.
bool has_batch_size(const std::string& command) {
  return can_go_on(command) || command == "lr-find" || command == "bench";
}

/// Standard streams that are closed become ones that fail, so that no file which is opened later takes their place.
void occupy_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0) ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

int fail(const std::string& line, int status) {
  if (line.empty()) return status;  // another rank says it
  const std::string text = "mien: " + line + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);  // a full standard error must not hide the exit status
  return mien::stop_requested() ? kInterrupted : status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (can_go_on(command))
    g_stopping = "\nstopping; start the same command again to go on (Ctrl-C again stops at once)\n";
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // Both come back as errors of the write, which say more.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  occupy_standard_streams();
  try {
    const int status = mien::cli::run_command_line(std::vector<std::string>(argv + 1, argv + argc));
    mien::cli::check_output_written();
    return status;
  } catch (const mien::cli::OutputClosed&) {
    return 1;
  } catch (const mien::Error& error) {
    return fail(error.line(), mien::exit_status(error.code()));
  } catch (const std::bad_alloc&) {
    return fail(has_batch_size(command) ? "out of memory. hint: a smaller --batch-size needs less"
                                        : "out of memory. hint: fewer faces or smaller pictures need less",
                1);
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(fmt::format("cannot use {}: {}", error.path1().string(), error.code().message()), 1);
  } catch (const std::exception& error) {
    // A library's own exception (libtorch's are long: the first line says what matters).
    const std::string text = error.what();
    return fail("unexpected error: " + text.substr(0, text.find('\n')), 1);
  }
}
