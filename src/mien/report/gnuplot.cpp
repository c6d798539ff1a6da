#include "mien/report/gnuplot.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"

extern char** environ;

namespace mien::report {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFont = "DejaVu Sans";

std::optional<fs::path> find_gnuplot() {
  const char* search_path = std::getenv("PATH");
  if (search_path == nullptr) return std::nullopt;
  for (const std::string& folder : split(search_path, ':')) {
    fs::path candidate = fs::path(folder) / "gnuplot";
    std::error_code ignored;
    if (fs::is_regular_file(candidate, ignored) && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

[[noreturn]] void throw_system_error(const char* doing, int error_number) {
  throw_failed(fmt::format("cannot run gnuplot: {}: {}", doing, std::strerror(error_number)));
}

/// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void reset(int fd) {
    close();
    fd_ = fd;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

/// One of the child's output streams and what came out of it so far.
struct Stream {
  Descriptor reading;
  Descriptor writing;
  std::string text;

  void open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_system_error("pipe", errno);
    reading.reset(ends[0]);
    writing.reset(ends[1]);
  }
};

/// The script as an open file in memory: unlike a pipe it can neither fill up nor raise SIGPIPE.
void fill_script(Descriptor& file, const std::string& script) {
  file.reset(::memfd_create("gnuplot-script", MFD_CLOEXEC));
  if (!file.is_open()) throw_system_error("memfd_create", errno);
  for (std::string_view rest = script; !rest.empty();) {
    const ssize_t count = ::write(file.get(), rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_system_error("write", errno);
    rest.remove_prefix(static_cast<size_t>(count));
  }
  if (::lseek(file.get(), 0, SEEK_SET) != 0) throw_system_error("lseek", errno);
}

/// Starts `program` with its three standard streams redirected, in a process group of its own: Ctrl-C, which asks Mien
/// to finish what it is doing, does not break off the plots of what is done.
pid_t start(const fs::path& program, const Descriptor& input, const Stream& output, const Stream& errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.writing.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors.writing.get(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);

  std::string name = "gnuplot";
  std::string skip_start_up_files = "-d";
  char* arguments[] = {name.data(), skip_start_up_files.data(), nullptr};
  pid_t process = -1;
  const int error_number = ::posix_spawn(&process, program.c_str(), &actions, &attributes, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error_number != 0) throw_system_error(program.c_str(), error_number);
  return process;
}

/// Reads both streams to their ends, whichever has something first.
void drain(Stream& output, Stream& errors) {
  char buffer[1 << 16];
  while (output.reading.is_open() || errors.reading.is_open()) {
    pollfd waiting[] = {{output.reading.get(), POLLIN, 0}, {errors.reading.get(), POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0) {
      if (errno == EINTR) continue;
      throw_system_error("poll", errno);
    }
    for (Stream* stream : {&output, &errors}) {
      if (!stream->reading.is_open() || waiting[stream == &output ? 0 : 1].revents == 0) continue;
      const ssize_t count = ::read(stream->reading.get(), buffer, sizeof buffer);
      if (count > 0) stream->text.append(buffer, static_cast<size_t>(count));
      if (count == 0 || (count < 0 && errno != EINTR)) stream->reading.close();
    }
  }
}

int wait_for(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0) {
    if (errno != EINTR) throw_system_error("waitpid", errno);
  }
  return status;
}

/// What gnuplot said, on one line and of bounded length.
std::string summary(std::string_view message) {
  std::string words;
  for (const char c : message.substr(0, 2000)) {
    const bool blank = static_cast<unsigned char>(c) <= ' ';
    if (blank && (words.empty() || words.back() == ' ')) continue;
    words += blank ? ' ' : c;
  }
  words = std::string(trim(words));
  return words.empty() ? "it gave no reason" : words.substr(0, 400);
}

void replace_all(std::string& text, std::string_view old_part, std::string_view new_part) {
  for (size_t at = text.find(old_part); at != std::string::npos; at = text.find(old_part, at + new_part.size())) {
    text.replace(at, old_part.size(), new_part);
  }
}

/// gnuplot's svg names the font as its scripts do ("DejaVu Sans:Bold"), which no viewer understands.
void name_svg_fonts(std::string& svg) {
  replace_all(svg, "font-family=\"DejaVu Sans:Bold\"", "font-family=\"DejaVu Sans\" font-weight=\"bold\"");
  replace_all(svg, "font-family=\"DejaVu Sans\"", "font-family=\"DejaVu Sans, Verdana, sans-serif\"");
}

}  // namespace

bool gnuplot_available() { return find_gnuplot().has_value(); }

std::string run_gnuplot(const std::string& script) {
  const std::optional<fs::path> program = find_gnuplot();
  if (!program) {
    throw_failed("cannot draw: the program gnuplot is not on PATH",
                 "apt-get install gnuplot-nox; everything but the pictures works without it");
  }
  Descriptor input;
  fill_script(input, script);
  Stream output;
  Stream errors;
  output.open();
  errors.open();
  const pid_t process = start(*program, input, output, errors);
  output.writing.close();
  errors.writing.close();
  drain(output, errors);
  const int status = wait_for(process);
  if (WIFSIGNALED(status)) throw_failed(fmt::format("cannot draw: gnuplot was killed by signal {}", WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0) throw_failed(fmt::format("cannot draw: gnuplot said: {}", summary(errors.text)));
  return std::move(output.text);
}

std::string gnuplot_string(std::string_view text) {
  // gnuplot 5.4 takes a doubled quote at the very start of a string for an empty string: quotes that stand there become
  // a string of their own, in double quotes.
  const size_t quotes = std::min(text.find_first_not_of('\''), text.size());
  std::string out = quotes == 0 ? "'" : "\"" + std::string(quotes, '\'') + "\".'";
  text.remove_prefix(quotes);
  while (!text.empty()) {
    size_t length = 1;  // of the character that begins here, 0 where none does
    if (static_cast<unsigned char>(text[0]) >= 0x80) {
      length = 2;
      while (length <= 4 && !is_utf8(text.substr(0, length))) ++length;
      if (length > 4 || length > text.size()) length = 0;
    }
    if (length == 0) {
      out += '?';
    } else if (static_cast<unsigned char>(text[0]) < 0x20 || text[0] == 0x7f) {
      out += ' ';
    } else if (text[0] == '\'') {
      out += "''";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out + "'";
}

std::string gnuplot_tic_label(std::string_view text) {
  std::string doubled;
  for (const char c : text) doubled += c == '%' ? "%%" : std::string(1, c);
  return gnuplot_string(doubled);
}

std::string gnuplot_number(double value) { return std::isfinite(value) ? fmt::format("{:.9g}", value) : "NaN"; }

void write_picture(const fs::path& path, int64_t width, int64_t height, const std::string& body) {
  const std::string ending = path.extension().string();
  if (ending != ".png" && ending != ".svg") {
    throw_usage(fmt::format("cannot draw {}: its ending is {}, expected .png or .svg",
                            path.string(),
                            ending.empty() ? "missing" : quote_sample(ending)));
  }
  const std::string terminal =
      ending == ".svg"
          ? fmt::format("set terminal svg noenhanced size {},{} font '{},11' fontscale 1.3333 background '#ffffff'\n",
                        width,
                        height,
                        kFont)
          : fmt::format(
                "set terminal pngcairo noenhanced size {},{} font '{},11' fontscale 2 linewidth 2 "
                "pointscale 2 background '#ffffff'\n",
                2 * width,
                2 * height,
                kFont);
  std::string picture =
      run_gnuplot("set encoding utf8\n" + terminal +
                  "set border 3 linecolor rgb '#6b7280'\n"
                  "set format '%g'\n"  // the default begins with a blank, which puts labels beside their tics
                  "set tics nomirror out scale 0.5 textcolor rgb '#374151'\n"
                  "set grid linecolor rgb '#e5e7eb' linetype 1 dashtype solid linewidth 0.8\n"
                  "set key noautotitle samplen 2.2 spacing 1.25 textcolor rgb '#1f2937'\n" +
                  body + "\nunset output\n");
  const bool complete = ending == ".svg" ? picture.find("</svg>") != std::string::npos
                                         : picture.starts_with("\x89PNG") && picture.find("IEND") != std::string::npos;
  if (!complete) throw_failed(fmt::format("cannot draw {}: gnuplot ended without a picture", path.string()));
  if (ending == ".svg") name_svg_fonts(picture);
  write_atomic(path, picture);
}

}  // namespace mien::report
