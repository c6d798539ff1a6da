#include "mien/cli/help.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "mien/core/text.h"
#include "mien/version.h"

namespace mien::cli {
namespace {

constexpr size_t kTextColumn = 24;
constexpr size_t kNarrowest = 50;
constexpr size_t kWidest = 110;  ///< longer lines are hard to read
/// A command with no more options than these shows them all.
constexpr size_t kFewOptions = 16;

bool is_set(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

std::string bold(const std::string& text, const HelpStyle& style) {
  return style.has_colors ? "\x1b[1m" + text + "\x1b[0m" : text;
}

/// Words of `text`, broken into lines that begin at one column; `column` is where the first line stands.
std::string wrapped(const std::string& text, size_t column, size_t indent, size_t width) {
  std::string out;
  bool is_first = true;
  for (const std::string& word : split(text, ' ')) {
    if (!is_first && column + 1 + word.size() > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (!is_first) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    is_first = false;
  }
  return out;
}

/// "  --name  text", the text broken into lines that begin at one column.
std::string entry(const std::string& name, const std::string& text, const HelpStyle& style) {
  std::string out = "  " + bold(name, style);
  if (name.size() + 3 > kTextColumn) {
    out += "\n" + std::string(kTextColumn, ' ');
  } else {
    out += std::string(kTextColumn - 2 - name.size(), ' ');
  }
  return out + wrapped(text, kTextColumn, kTextColumn, style.width) + "\n";
}

std::string paragraph(const std::string& text, const HelpStyle& style) {
  return wrapped(text, 0, 0, style.width) + "\n";
}

std::string default_text(const OptionSet::Entry& option) {
  if (option.is_flag()) return option.default_text == "true" ? "on" : "off";
  return option.default_text.empty() ? "none" : option.default_text;
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
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

/// Declared alike in two commands.
bool is_same(const OptionSet::Entry* first, const OptionSet::Entry& second) {
  return first != nullptr && first->spec.help == second.spec.help && first->default_text == second.default_text &&
         first->expected() == second.expected();
}

const CommandSpec& find_spec(std::string_view name) {
  return *std::find_if(
      command_table().begin(), command_table().end(), [&](const CommandSpec& spec) { return spec.name == name; });
}

}  // namespace

HelpStyle style_of_output() {
  HelpStyle style;
  const bool is_terminal = ::isatty(STDOUT_FILENO) != 0;
  winsize size{};
  if (is_terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.width = size.ws_col;
  } else if (is_set("COLUMNS")) {
    if (const auto columns = parse_int(std::getenv("COLUMNS")))
      style.width = static_cast<size_t>(std::max<int64_t>(*columns, 0));
  }
  style.width = std::clamp(style.width, kNarrowest, kWidest);
  style.has_colors =
      is_terminal && !is_set("NO_COLOR") && is_set("TERM") && std::string_view(std::getenv("TERM")) != "dumb";
  return style;
}

std::string flag_name(const OptionSet::Entry& option) {
  return (option.is_flag() && option.default_text == "true" ? "--[no-]" : "--") + option.spec.name;
}

std::string usage_line(const CommandSpec& spec, Command& command) {
  std::string line = "mien " + spec.name;
  for (const Positional& word : command.positionals()) {
    const std::string name = upper(word.name) + (word.more != nullptr || word.targets != nullptr ? "..." : "");
    line += word.is_optional ? fmt::format(" [{}]", name) : " " + name;
  }
  return line + " [options]";
}

std::vector<std::string> families() {
  std::vector<std::string> result;
  for (const CommandSpec& spec : command_table()) {
    const size_t space = spec.name.find(' ');
    if (space == std::string::npos) continue;
    const std::string first = spec.name.substr(0, space);
    if (std::find(result.begin(), result.end(), first) == result.end()) result.push_back(first);
  }
  return result;
}

std::string overview(const HelpStyle& style) {
  std::string text =
      paragraph(fmt::format("Mien {}: trains, judges and explains facial-expression classifiers.", kVersion), style);
  text += "\nusage: mien COMMAND [options]\n";
  std::string group;
  for (const CommandSpec& spec : command_table()) {
    if (spec.group != group) {
      group = spec.group;
      text += fmt::format("\n{}\n", bold(group, style));
    }
    text += entry(spec.name, spec.summary, style);
  }
  text += "\n" + paragraph(
                     "`mien COMMAND --help` lists a command's options with ranges and defaults. The options of "
                     "`mien train` are also keys of recipes and of --config files.",
                     style);
  return text + "\n" + paragraph("exit status: 0 done, 1 failed, 2 usage, 3 bad data, 130 interrupted", style);
}

std::string family_help(std::string_view family, const HelpStyle& style) {
  std::string text = fmt::format("usage: mien {} COMMAND [options]\n\n", family);
  for (const CommandSpec& spec : command_table()) {
    if (spec.name.starts_with(std::string(family) + " ")) text += entry(spec.name, spec.summary, style);
  }
  return text + fmt::format("\n`mien {} COMMAND --help` lists a command's options.\n", family);
}

std::string command_help(const CommandSpec& spec, Command& command, const HelpStyle& style) {
  std::string text = paragraph(fmt::format("mien {}: {}", spec.name, spec.summary), style);
  text += fmt::format("\nusage: {}\n", usage_line(spec, command));
  const auto words = command.positionals();
  if (!words.empty()) text += "\n";
  for (const Positional& word : words) text += entry(upper(word.name), word.help, style);
  OptionSet options;
  command.bind(options);
  const std::map<std::string, std::string> values = command.recipe_values();
  std::vector<std::string> groups;
  std::vector<const OptionSet::Entry*> shown;
  const auto& all = options.entries();
  const bool has_common = std::any_of(
      all.begin(), all.end(), [](const OptionSet::Entry& option) { return option.spec.level == OptionLevel::common; });
  for (const OptionSet::Entry& option : all) {
    const bool is_common = option.spec.level == OptionLevel::common || values.contains(option.spec.name);
    if (!style.shows_all && has_common && all.size() > kFewOptions && !is_common) continue;
    shown.push_back(&option);
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) groups.push_back(option.group);
  }
  for (const std::string& group : groups) {
    text += fmt::format("\n{}\n", bold(group, style));
    for (const OptionSet::Entry* option : shown) {
      if (option->group != group) continue;
      const std::string accepted = option->is_flag() ? "flag" : option->expected();
      const std::string conditions = option->conditions();
      const auto value = values.find(option->spec.name);
      text += entry(flag_name(*option),
                    fmt::format("{}{} ({}) [{}: {}]",
                                option->spec.help,
                                conditions.empty() ? "" : "; only " + conditions,
                                accepted,
                                value == values.end() ? "default" : "recipe",
                                value == values.end() ? default_text(*option) : value->second),
                    style);
    }
  }
  text += fmt::format("\n{}\n", bold("every command", style));
  text += entry(
      "--json", "print the result, or the error, as JSON on standard output and all else on standard error", style);
  if (!all.empty()) {
    text += entry("--config FILE", "TOML file with options; flags overrule it, later files earlier ones", style);
    text += entry("--print-config", "print the effective options as TOML, which --config reads back, and stop", style);
  }
  if (shown.size() < all.size())
    text += entry("--help-all", fmt::format("all {} options; here stand the common ones", all.size()), style);
  return text;
}

std::string command_reference() {
  std::string text =
      "# Commands\n\nWritten by `mien reference` from the declarations in the program. Every option is a flag `--name` "
      "and a key of\n"
      "`--config` files; those of `mien train` are also keys of recipes. A flag that is on by default, "
      "`--[no-]name`, is\n"
      "switched off by `--no-name`. Every command also takes `--json` (result as JSON) and, if it has options, "
      "`--config FILE` and\n"
      "`--print-config`. Exit status: 0 done, 1 failed, 2 usage, 3 bad data, 130 interrupted.\n";
  const auto train = find_spec("train").make();
  OptionSet of_train;
  train->bind(of_train);
  for (const CommandSpec& spec : command_table()) {
    const auto command = spec.make();
    text += fmt::format("\n## mien {}\n\n{}.\n\n    {}\n", spec.name, spec.summary, usage_line(spec, *command));
    const auto words = command->positionals();
    if (!words.empty()) text += "\n";
    for (const Positional& word : words) text += fmt::format("- `{}`: {}\n", upper(word.name), word.help);
    OptionSet options;
    command->bind(options);
    if (options.entries().empty()) continue;
    // Options that are declared as those of `mien train` stand there.
    std::vector<const OptionSet::Entry*> own;
    for (const OptionSet::Entry& option : options.entries()) {
      if (spec.name == "train" || !is_same(of_train.find(option.spec.name), option)) own.push_back(&option);
    }
    const auto& train_options = of_train.entries();
    // Which process does what is train's alone.
    std::string without;
    const bool is_superset =
        spec.name != "train" &&
        std::all_of(train_options.begin(), train_options.end(), [&](const OptionSet::Entry& option) {
          const bool has_it = options.find(option.spec.name) != nullptr;
          if (!has_it && option.group == "machines")
            without += fmt::format("{} `--{}`", without.empty() ? " without" : " and", option.spec.name);
          return has_it || option.group == "machines";
        });
    if (is_superset) {
      text += fmt::format("\nOptions: those of `mien train`{}{}\n", without, own.empty() ? "." : ", and:");
      if (own.empty()) continue;
    } else {
      own.clear();
      for (const OptionSet::Entry& option : options.entries()) own.push_back(&option);
    }
    text += "\n| option | meaning | accepted | default |\n|---|---|---|---|\n";
    for (const OptionSet::Entry* entry : own) {
      const OptionSet::Entry& option = *entry;
      std::string meaning = option.spec.help;
      if (const std::string conditions = option.conditions(); !conditions.empty()) meaning += "; only " + conditions;
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
