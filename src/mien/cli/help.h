#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mien/cli/command.h"

namespace mien::cli {

/// How help is laid out.
struct HelpStyle {
  size_t width = 80;        ///< columns
  bool has_colors = false;  ///< headings and option names stand out
  bool shows_all = false;   ///< advanced options too (`--help-all`)
};

/// For standard output: the terminal's width, or COLUMNS, or 80; colors on a terminal unless NO_COLOR is set or TERM
/// is dumb.
HelpStyle style_of_output();

/// `mien --help`: every command in one line.
std::string overview(const HelpStyle& style);

/// `mien data`: the commands below one word.
std::string family_help(std::string_view family, const HelpStyle& style);

/// `mien train --help`: words, then options by group with accepted values and defaults. Of many options only the common
/// ones, unless the style shows all. `command` may hold a recipe, whose values are then the defaults shown.
std::string command_help(const CommandSpec& spec, Command& command, const HelpStyle& style);

/// docs/cli.md: every command with its words and options, from their declarations.
std::string command_reference();

/// "--epochs", or "--[no-]stratified" for a flag that is on by default.
std::string flag_name(const OptionSet::Entry& option);

/// "mien predict WEIGHTS DATA [options]".
std::string usage_line(const CommandSpec& spec, Command& command);

/// First words of commands that stand before a second one: data, networks, inside, bench.
std::vector<std::string> families();

}  // namespace mien::cli
