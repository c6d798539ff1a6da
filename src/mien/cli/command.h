#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mien/cli/exec_compute.h"
#include "mien/cli/terminal.h"
#include "mien/core/options.h"

namespace mien::cli {

/// A word on the command line that is no flag. Words are required, except a last one that is optional.
struct Positional {
  std::string name;
  std::string help;
  std::string* target = nullptr;
  std::vector<std::string>* more = nullptr;     ///< of the last: takes what follows it
  std::vector<std::string>* targets = nullptr;  ///< in place of `target`, of the last: takes one word or more
  bool is_optional = false;
};

/// What a command is given when it runs.
struct Call {
  Terminal& terminal;
  OptionSet& options;                      ///< set from config files and flags
  const std::vector<Override>& overrides;  ///< the same settings in order, for commands that have a recipe below them
  bool print_config = false;               ///< only for commands that print it themselves
  std::span<const std::string> words;      ///< the whole command line behind the program's name
};

/// One command: declares its words and options, then runs. Throws mien::Error.
class Command {
 public:
  virtual ~Command() = default;
  virtual void bind(OptionSet& options) { (void)options; }
  virtual std::vector<Positional> positionals() { return {}; }
  /// What stands in help in place of the defaults, by option: the values of the recipe that was named.
  virtual std::map<std::string, std::string> recipe_values() { return {}; }
  /// True if help needs the complete program, because `recipe_values` does.
  virtual bool help_needs_compute() const { return false; }
  /// True if --print-config is more than this command's options.
  virtual bool prints_config_itself() const { return false; }
  /// Exit status.
  virtual int run(const Call& call) = 0;
};

/// A command whose work needs libtorch or OpenCV: `class TrainCommand final : public ComputingCommand<TrainCommand>`
/// has `int compute(const Call&)` in place of `run`. `mien` is compiled without these functions and hands over to
/// `mien-compute`.
template <class Self>
class ComputingCommand : public Command {
 public:
  int run(const Call& call) override {
    if constexpr (kIsLauncher) {
      exec_compute(call.words);
    } else {
      return static_cast<Self*>(this)->compute(call);
    }
  }
};

/// A line of `mien --help`.
struct CommandSpec {
  std::string name;     ///< "train", or "data info" for a command below another
  std::string group;    ///< heading in the help
  std::string summary;  ///< one line
  std::function<std::unique_ptr<Command>()> make;
};

/// Declares `--no-pictures`; the command line itself acts on it.
inline void bind_pictures(OptionSet& options, bool& pictures) {
  options.group("pictures");
  options.add(&pictures,
              {.name = "pictures",
               .help = "draw pictures; --no-pictures writes numbers, tables and reports only, which is faster"});
}

/// All commands, in the order of the help. A new command is one class and one line here.
const std::vector<CommandSpec>& command_table();

/// The options as a JSON object of name and value.
std::string options_json(const OptionSet& options);

}  // namespace mien::cli
