#include "mien/benchmarks/bench_process.h"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <span>

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mien/core/embedded.h"
#include "mien/core/error.h"
#include "mien/core/files.h"

extern char** environ;

namespace mien {
std::span<const EmbeddedFile> bench_scripts_files();
}

namespace mien::benchmarks {
namespace {

/// This process's environment with `changes`, as "NAME=value".
std::vector<std::string> changed_environment(const EnvironmentChanges& changes) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    if (!changes.contains(text.substr(0, text.find('=')))) variables.push_back(text);
  }
  for (const auto& [name, value] : changes) {
    if (value) variables.push_back(name + "=" + *value);
  }
  return variables;
}

/// Null-terminated, as posix_spawn takes them; valid while `texts` is.
std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \r\n");
  if (end == std::string::npos) return {};
  const size_t before = text.find_last_of('\n', end);
  return text.substr(before == std::string::npos ? 0 : before + 1,
                     end - (before == std::string::npos ? 0 : before + 1) + 1);
}

}  // namespace

ChildResult run_child(std::vector<std::string> words, const std::string& input, const EnvironmentChanges& changes) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("mien-bench-{}", ::getpid());
  const auto in = folder / "in";
  const auto out = folder / "out";
  write_atomic(in, input);
  const auto error = folder / "error";
  write_atomic(out, "");
  write_atomic(error, "");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, error.c_str(), O_WRONLY | O_TRUNC, 0600);
  std::vector<std::string> variables = changed_environment(changes);
  const std::vector<char*> arguments = pointers_to(words);
  const std::vector<char*> environment = pointers_to(variables);
  ChildResult result;
  const auto start = std::chrono::steady_clock::now();
  pid_t child = 0;
  if (::posix_spawnp(&child, words.front().c_str(), &actions, nullptr, arguments.data(), environment.data()) == 0) {
    int status = -1;
    rusage usage{};
    while (::wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result.succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    result.peak_memory_bytes = static_cast<int64_t>(usage.ru_maxrss) * 1024;
    result.out = read_text(out);
    result.error = last_line(read_text(error));
  }
  posix_spawn_file_actions_destroy(&actions);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return result;
}

std::string sibling_program(const std::string& name) {
  std::error_code ignored;
  return (std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / name).string();
}

std::string bench_script(const std::string& name) {
  for (const EmbeddedFile& file : bench_scripts_files()) {
    if (file.name == name) return std::string(file.text);
  }
  throw_failed(fmt::format("the program holds no script {}", name));
}

}  // namespace mien::benchmarks
