#pragma once

#include <span>
#include <string>

namespace mien::cli {

/// Carries out the command that `words` (the command line without the program's name) asks for and returns its exit
/// status. Throws mien::Error; Error(usage) for words that are no command, option or value, with what was expected.
int run_command_line(std::span<const std::string> words);

}  // namespace mien::cli
