#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "mien/app/recipe.h"
#include "mien/cli/terminal.h"
#include "mien/core/options.h"

namespace mien::cli {

/// A word on the command line that is no flag.
struct Positional {
  std::string name;
  std::string help;
  std::variant<std::string*, std::vector<std::string>*> target;
  bool required = true;
};

/// What a command is given when it runs.
struct Call {
  Terminal& terminal;
  OptionSet& options;                          ///< set from config files and flags
  const std::vector<app::Override>& overrides;  ///< the same settings in order, for commands that have a recipe below them
  bool print_config = false;
};

/// One command: declares its words and options, then runs. Throws mien::Error.
class Command {
 public:
  virtual ~Command() = default;
  virtual void bind(OptionSet& options) { (void)options; }
  virtual std::vector<Positional> positionals() { return {}; }
  /// Exit status.
  virtual int run(const Call& call) = 0;
};

/// A line of `mien --help`.
struct CommandSpec {
  std::string name;     ///< "train", or "data info" for a command below another
  std::string group;    ///< heading in the help
  std::string summary;  ///< one line
  std::function<std::unique_ptr<Command>()> make;
};

/// All commands, in the order of the help. A new command is one class and one line here.
const std::vector<CommandSpec>& command_table();

/// docs/cli.md: every command with its words and options, from their declarations.
std::string command_reference();

}  // namespace mien::cli
