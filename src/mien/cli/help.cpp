#include "mien/cli/help.h"

#include <algorithm>

#include <fmt/format.h>

#include "mien/core/text.h"
#include "mien/version.h"

namespace mien::cli {
namespace {

constexpr size_t kLineWidth = 110;
constexpr size_t kTextColumn = 24;

/// "  --name  text", the text broken into lines that begin at one column.
std::string entry(const std::string& name, const std::string& text) {
  std::string out = fmt::format("  {:<{}}", name, kTextColumn - 2);
  size_t column = std::max(kTextColumn, name.size() + 2);
  if (name.size() + 3 > kTextColumn) {
    out += "\n" + std::string(kTextColumn, ' ');
    column = kTextColumn;
  }
  bool is_first = true;
  for (const std::string& word : split(text, ' ')) {
    if (!is_first && column + 1 + word.size() > kLineWidth) {
      out += "\n" + std::string(kTextColumn, ' ') + word;
      column = kTextColumn + word.size();
      continue;
    }
    out += (is_first ? "" : " ") + word;
    column += word.size() + (is_first ? 0 : 1);
    is_first = false;
  }
  return out + "\n";
}

std::string default_text(const OptionSet::Entry& option) {
  if (option.is_flag()) return option.default_text == "true" ? "on" : "off";
  return option.default_text.empty() ? "none" : option.default_text;
}

/// "--name", or how a flag is switched away from its default.
std::string flag_name(const OptionSet::Entry& option) {
  return (option.is_flag() && option.default_text == "true" ? "--no-" : "--") + option.spec.name;
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::string usage_line(const CommandSpec& spec, Command& command) {
  std::string line = "mien " + spec.name;
  for (const Positional& word : command.positionals()) line += " " + upper(word.name);
  return line + " [options]";
}

/// A list's "|" would end a cell of a Markdown table.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string overview() {
  std::string text = fmt::format(
      "Mien {}: trains, judges and explains facial-expression classifiers.\n\nusage: mien COMMAND [options]\n",
      kVersion);
  std::string group;
  for (const CommandSpec& spec : command_table()) {
    if (spec.group != group) {
      group = spec.group;
      text += fmt::format("\n{}\n", group);
    }
    text += entry(spec.name, spec.summary);
  }
  return text +
         "\n`mien COMMAND --help` lists a command's options with ranges and defaults. The options of `mien train` are "
         "also\n"
         "keys of recipes and of --config files.\n\nexit status: 0 done, 1 failed, 2 usage, 3 bad data, 130 "
         "interrupted\n";
}

std::string family_help(std::string_view family) {
  std::string text = fmt::format("usage: mien {} COMMAND [options]\n\n", family);
  for (const CommandSpec& spec : command_table()) {
    if (spec.name.starts_with(std::string(family) + " ")) text += entry(spec.name, spec.summary);
  }
  return text + fmt::format("\n`mien {} COMMAND --help` lists a command's options.\n", family);
}

std::string command_help(const CommandSpec& spec) {
  const auto command = spec.make();
  std::string text = fmt::format("mien {}: {}\n\nusage: {}\n", spec.name, spec.summary, usage_line(spec, *command));
  const auto words = command->positionals();
  if (!words.empty()) text += "\n";
  for (const Positional& word : words) text += entry(upper(word.name), word.help);
  OptionSet options;
  command->bind(options);
  std::vector<std::string> groups;
  for (const OptionSet::Entry& option : options.entries()) {
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) groups.push_back(option.group);
  }
  for (const std::string& group : groups) {
    text += fmt::format("\n{}\n", group);
    for (const OptionSet::Entry& option : options.entries()) {
      if (option.group != group) continue;
      const std::string accepted = option.is_flag() ? "flag" : option.expected();
      text += entry(flag_name(option),
                    fmt::format("{} ({}) [default: {}]", option.spec.help, accepted, default_text(option)));
    }
  }
  text += "\nevery command\n";
  text += entry("--json", "print the result as JSON on standard output, everything else on standard error");
  if (!options.entries().empty()) {
    text += entry("--config FILE", "TOML file with options; flags overrule it, later files earlier ones");
    text += entry("--print-config", "print the effective options as TOML, which --config reads back, and stop");
  }
  return text;
}

std::string command_reference() {
  std::string text =
      "# Commands\n\nWritten by `mien reference` from the declarations in the program. Every option is a flag `--name` "
      "and a key of\n"
      "`--config` files; those of `mien train` are also keys of recipes. A flag that is on by default is switched off "
      "by\n"
      "`--no-name`. Every command also takes `--json` (result as JSON) and, if it has options, `--config FILE` and\n"
      "`--print-config`. Exit status: 0 done, 1 failed, 2 usage, 3 bad data, 130 interrupted.\n";
  for (const CommandSpec& spec : command_table()) {
    const auto command = spec.make();
    text += fmt::format("\n## mien {}\n\n{}.\n\n    {}\n", spec.name, spec.summary, usage_line(spec, *command));
    const auto words = command->positionals();
    if (!words.empty()) text += "\n";
    for (const Positional& word : words) text += fmt::format("- `{}`: {}\n", upper(word.name), word.help);
    OptionSet options;
    command->bind(options);
    if (options.entries().empty()) continue;
    if (options.find("network") != nullptr && spec.name != "train") {
      text += fmt::format("\nOptions: those of `mien train`{}.\n",
                          options.find("only") != nullptr ? ", and `--only`: " + options.find("only")->spec.help : "");
      continue;
    }
    text += "\n| option | meaning | accepted | default |\n|---|---|---|---|\n";
    for (const OptionSet::Entry& option : options.entries()) {
      std::string meaning = option.spec.help;
      if (!option.spec.source.empty()) meaning += fmt::format(" ({})", option.spec.source);
      text += fmt::format(
          "| `{}` | {} | {} | {} |\n",
          flag_name(option),
          cell(meaning),
          option.is_flag() ? "flag" : cell(option.expected()),
          option.is_flag() || option.default_text.empty() ? default_text(option) : "`" + option.default_text + "`");
    }
  }
  return text;
}

}  // namespace mien::cli
