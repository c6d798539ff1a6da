#include "mien/cli/completion.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "mien/cli/command.h"
#include "mien/cli/help.h"
#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/recipes/recipe.h"
#include "mien/version.h"

namespace mien::cli {
namespace {

/// An option as a shell sees it.
struct ShellOption {
  std::string name;  ///< without dashes
  std::string help;
  bool takes_value = false;
  std::vector<std::string> values;  ///< to choose from; empty: a file or anything
};

struct ShellCommand {
  std::string name;  ///< "train", "data info"
  std::string summary;
  std::vector<ShellOption> options;
  std::vector<std::string> words;  ///< values of the first positional word; empty: files
};

std::vector<std::string> network_names() {
  std::vector<std::string> names;
  for (const auto& entry : network::builtin_networks()) names.push_back(entry.name);
  return names;
}

std::vector<std::string> values_of_word(const std::string& word) {
  if (word == "network") return network_names();
  if (word == "shell") return {"bash", "zsh", "fish"};
  if (word != "recipe") return {};
  std::vector<std::string> names{"list"};
  for (const auto& recipe : recipes::builtin_recipes()) names.push_back(recipe.name);
  return names;
}

std::vector<ShellCommand> shell_commands() {
  std::vector<ShellCommand> result;
  for (const CommandSpec& spec : command_table()) {
    ShellCommand shell{.name = spec.name, .summary = spec.summary, .options = {}, .words = {}};
    const auto command = spec.make();
    const auto words = command->positionals();
    if (!words.empty()) shell.words = values_of_word(words.front().name);
    OptionSet options;
    command->bind(options);
    for (const OptionSet::Entry& option : options.entries()) {
      std::vector<std::string> values = option.spec.choices;
      if (option.spec.name == "network") values = network_names();
      shell.options.push_back({option.spec.name, option.spec.help, !option.is_flag(), values});
      if (option.is_flag() && option.default_text == "true")
        shell.options.push_back({"no-" + option.spec.name, "not: " + option.spec.help, false, {}});
    }
    shell.options.push_back({"help", "the common options", false, {}});
    shell.options.push_back({"help-all", "all options", false, {}});
    shell.options.push_back({"json", "print the result as JSON", false, {}});
    if (!options.entries().empty()) {
      shell.options.push_back({"config", "TOML file with options", true, {}});
      shell.options.push_back({"print-config", "print the effective options", false, {}});
    }
    result.push_back(std::move(shell));
  }
  return result;
}

std::vector<std::string> first_words(const std::vector<ShellCommand>& commands) {
  std::vector<std::string> words;
  for (const ShellCommand& command : commands) {
    const std::string first = split(command.name, ' ').front();
    if (std::find(words.begin(), words.end(), first) == words.end()) words.push_back(first);
  }
  words.emplace_back("help");
  return words;
}

std::vector<std::string> second_words(const std::vector<ShellCommand>& commands, const std::string& family) {
  std::vector<std::string> words;
  for (const ShellCommand& command : commands) {
    if (command.name.starts_with(family + " ")) words.push_back(command.name.substr(family.size() + 1));
  }
  return words;
}

std::string replaced(std::string_view text, char from, std::string_view to) {
  std::string out;
  for (const char c : text) {
    if (c == from) {
      out += to;
    } else {
      out += c;
    }
  }
  return out;
}

/// Inside single quotes of a POSIX shell.
std::string shell_quoted(std::string_view text) { return "'" + replaced(text, '\'', "'\\''") + "'"; }

std::string bash_script() {
  const auto commands = shell_commands();
  std::string out =
      "# bash completion for mien; written by `mien completion bash`\n"
      "_mien() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
      "  local first=2 options='' words=''\n"
      "  if [[ $current == = ]]; then current=''\n"
      "  elif [[ $previous == = ]]; then previous=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
      "  COMPREPLY=()\n"
      "  if ((COMP_CWORD == 1)); then\n";
  out += fmt::format("    COMPREPLY=($(compgen -W '{} --help --version' -- \"$current\")); return\n  fi\n",
                     join(first_words(commands), " "));
  out += "  case $command in\n";
  for (const std::string& family : families()) {
    out += fmt::format(
        "    {}) if ((COMP_CWORD == 2)); then COMPREPLY=($(compgen -W '{}' -- \"$current\")); return; fi\n"
        "      command+=\" ${{COMP_WORDS[2]}}\"; first=3;;\n",
        family,
        join(second_words(commands, family), " "));
  }
  out += "  esac\n  case $command in\n";
  for (const ShellCommand& command : commands) {
    std::vector<std::string> names;
    for (const ShellOption& option : command.options) names.push_back("--" + option.name);
    out += fmt::format("    '{}') options='{}'", command.name, join(names, " "));
    if (!command.words.empty()) out += fmt::format(" words='{}'", join(command.words, " "));
    out += "\n      case $previous in\n";
    std::vector<std::string> others;
    for (const ShellOption& option : command.options) {
      if (!option.takes_value) continue;
      if (option.values.empty()) {
        others.push_back("--" + option.name);
        continue;
      }
      out += fmt::format("        --{}) COMPREPLY=($(compgen -W '{}' -- \"$current\")); return;;\n",
                         option.name,
                         join(option.values, " "));
    }
    if (!others.empty()) out += fmt::format("        {}) return;;\n", join(others, "|"));
    out += "      esac;;\n";
  }
  return out +
         "  esac\n"
         "  if [[ $current == -* ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
         "  elif ((COMP_CWORD == first)) && [[ -n $words ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  fi\n"
         "}\n"
         "complete -o bashdefault -o default -F _mien mien\n";
}

/// Inside the brackets of a zsh option description, in single quotes.
std::string zsh_text(const std::string& text) {
  return replaced(replaced(replaced(replaced(text, '\\', "\\\\"), '[', "\\["), ']', "\\]"), '\'', "'\\''");
}

std::string zsh_script() {
  const auto commands = shell_commands();
  std::string out =
      "#compdef mien\n# zsh completion for mien; written by `mien completion zsh`\n_mien() {\n  local -a commands\n";
  const auto describe = [&](const std::string& prefix) {
    std::string lines = "commands=(";
    for (const ShellCommand& command : commands) {
      if (!prefix.empty() && !command.name.starts_with(prefix)) continue;
      const std::string name = command.name.substr(prefix.size());
      if (name.find(' ') != std::string::npos) continue;
      lines += " " + shell_quoted(replaced(name, ':', "\\:") + ":" + command.summary);
    }
    if (prefix.empty()) {
      for (const std::string& family : families()) lines += " " + shell_quoted(family + ":" + "see mien " + family);
    }
    return lines + ")";
  };
  out += "  if (( CURRENT == 2 )); then\n    " + describe("") +
         "\n    _describe command commands; return\n  fi\n  local command=$words[2]\n  case $command in\n";
  for (const std::string& family : families()) {
    out += fmt::format(
        "    {}) if (( CURRENT == 3 )); then {}; _describe command commands; return; fi\n"
        "      command=\"$words[2] $words[3]\"; shift words; (( CURRENT-- ));;\n",
        family,
        describe(family + " "));
  }
  out += "  esac\n  shift words; (( CURRENT-- ))\n  case $command in\n";
  for (const ShellCommand& command : commands) {
    out += fmt::format("    {}) _arguments -S", shell_quoted(command.name));
    for (const ShellOption& option : command.options) {
      const std::string action = option.values.empty() ? "_files" : "(" + join(option.values, " ") + ")";
      out += fmt::format(" \\\n      '--{}{}[{}]{}'",
                         option.name,
                         option.takes_value ? "=" : "",
                         zsh_text(option.help),
                         option.takes_value ? ":value:" + action : "");
    }
    if (!command.words.empty()) out += fmt::format(" \\\n      '1:word:({})'", join(command.words, " "));
    out += " \\\n      '*:file:_files';;\n";
  }
  return out + "  esac\n}\ncompdef _mien mien 2>/dev/null\n[[ $funcstack[1] == _mien ]] && _mien \"$@\"\n";
}

std::string fish_script() {
  const auto commands = shell_commands();
  const auto text = [](const std::string& words) {
    return "'" + replaced(replaced(words, '\\', "\\\\"), '\'', "\\'") + "'";
  };
  std::string out = "# fish completion for mien; written by `mien completion fish`\n";
  for (const std::string& word : first_words(commands))
    out += fmt::format("complete -c mien -n __fish_use_subcommand -f -a {}\n", word);
  for (const std::string& family : families()) {
    const auto words = second_words(commands, family);
    out += fmt::format(
        "complete -c mien -n '__fish_seen_subcommand_from {0}; and not __fish_seen_subcommand_from {1}' -f -a '{1}'\n",
        family,
        join(words, " "));
  }
  for (const ShellCommand& command : commands) {
    std::string condition;
    for (const std::string& word : split(command.name, ' '))
      condition += (condition.empty() ? "__fish_seen_subcommand_from " : "; and __fish_seen_subcommand_from ") + word;
    for (const ShellOption& option : command.options) {
      out += fmt::format("complete -c mien -n '{}' -l {} -d {}", condition, option.name, text(option.help));
      if (option.takes_value) out += " -r";
      if (!option.values.empty()) out += fmt::format(" -f -a '{}'", join(option.values, " "));
      out += "\n";
    }
    if (!command.words.empty())
      out += fmt::format("complete -c mien -n '{}' -a '{}'\n", condition, join(command.words, " "));
  }
  return out;
}

/// Text of a roff line: no backslash, hyphen or leading dot keeps its meaning as a request.
std::string roff(const std::string& text) {
  const std::string out = replaced(replaced(text, '\\', "\\e"), '-', "\\-");
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

}  // namespace

std::string completion_script(std::string_view shell) {
  if (shell == "bash") return bash_script();
  if (shell == "zsh") return zsh_script();
  if (shell == "fish") return fish_script();
  throw_usage(fmt::format("completion: {} is no shell that is known here", quote_sample(shell)),
              "one of: bash, zsh, fish");
}

std::string manual_page() {
  std::string out = fmt::format(".TH MIEN 1 \"\" \"Mien {}\" \"User Commands\"\n", kVersion);
  out +=
      ".SH NAME\nmien \\- train, judge and explain facial\\-expression classifiers\n"
      ".SH SYNOPSIS\n.B mien\n.I COMMAND\n[\\fIoptions\\fR]\n"
      ".SH DESCRIPTION\nMien goes from a csv of faces to a trained, judged and explained expression classifier.\n"
      "Every option is a flag and a key of \\fB\\-\\-config\\fR files.\n.SH COMMANDS\n";
  for (const CommandSpec& spec : command_table()) {
    const auto command = spec.make();
    out += fmt::format(".SS {}\n{}.\n", roff(usage_line(spec, *command)), roff(spec.summary));
    for (const Positional& word : command->positionals())
      out += fmt::format(".TP\n.I {}\n{}\n", roff(word.name), roff(word.help));
    OptionSet options;
    command->bind(options);
    for (const OptionSet::Entry& option : options.entries()) {
      const std::string conditions = option.conditions();
      out += fmt::format(".TP\n.B {}\n{}{} ({}; default: {})\n",
                         roff(flag_name(option)),
                         roff(option.spec.help),
                         conditions.empty() ? "" : roff("; only " + conditions),
                         option.is_flag() ? "flag" : roff(option.expected()),
                         option.default_text.empty() ? "none" : roff(option.default_text));
    }
  }
  return out +
         ".SH EXIT STATUS\n0 done, 1 failed, 2 usage, 3 bad data, 130 interrupted.\n"
         ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nno colors in help\n.TP\n.B COLUMNS\nwidth of help where it is not a "
         "terminal\n";
}

}  // namespace mien::cli
