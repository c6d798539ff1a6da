#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mien::benchmarks {

/// How a child process ended and what it took.
struct ChildResult {
  bool succeeded = false;
  std::string out;                ///< its standard output
  std::string error;              ///< the last line of its standard error that is not empty
  double seconds = 0;             ///< from its start to its end
  int64_t peak_memory_bytes = 0;  ///< largest resident set (ru_maxrss), shared libraries included
};

/// Environment variables by name: what they are set to, or nothing for those that are taken away.
using EnvironmentChanges = std::map<std::string, std::optional<std::string>>;

/// Runs `words[0]` (looked for on PATH) with `input` on standard input, in this process's environment with `changes`;
/// A program that cannot be started has not succeeded, and has written nothing. The peak is at least what this
/// process held when it started the child.
ChildResult run_child(std::vector<std::string> words,
                      const std::string& input = {},
                      const EnvironmentChanges& changes = {});

/// Path of the program `name` beside the one that runs now.
std::string sibling_program(const std::string& name);

/// Text of a file of `bench/` that the build put into the program.
std::string bench_script(const std::string& name);

}  // namespace mien::benchmarks
