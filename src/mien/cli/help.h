#pragma once

#include <string>
#include <string_view>

#include "mien/cli/command.h"

namespace mien::cli {

/// `mien --help`: every command in one line.
std::string overview();

/// `mien data --help`: the commands below one word.
std::string family_help(std::string_view family);

/// `mien train --help`: words, then options by group with accepted values and defaults.
std::string command_help(const CommandSpec& spec);

/// docs/cli.md: every command with its words and options, from their declarations.
std::string command_reference();

}  // namespace mien::cli
