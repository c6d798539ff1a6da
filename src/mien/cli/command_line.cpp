#include "mien/cli/command_line.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "mien/cli/command.h"
#include "mien/cli/help.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/parallel.h"
#include "mien/core/text.h"
#include "mien/core/toml.h"
#include "mien/runtime/environment.h"
#include "mien/version.h"

namespace mien::cli {
namespace {

/// What the words after a command's name say.
struct Parsed {
  std::vector<Override> flags;
  std::vector<std::string> config_files;
  bool json = false;
  bool print_config = false;
  bool help = false;
};

/// The command that the first words name, and how many words that are.
std::pair<const CommandSpec*, size_t> find_command(std::span<const std::string> words) {
  std::vector<std::string> names;
  std::vector<std::string> below;
  for (const CommandSpec& spec : command_table()) {
    const std::vector<std::string> name = split(spec.name, ' ');
    if (name.size() <= words.size() && std::equal(name.begin(), name.end(), words.begin())) return {&spec, name.size()};
    if (name.size() > 1 && name[0] == words[0]) below.push_back(name[1]);
    if (names.empty() || names.back() != name[0]) names.push_back(name[0]);
  }
  const std::string first = words[0];
  if (!below.empty()) {
    if (words.size() < 2)
      throw_usage(fmt::format("{} needs one more word: {}", first, join(below, ", ")),
                  fmt::format("see `mien {} --help`", first));
    throw_usage(fmt::format("unknown command '{} {}'", first, words[1]), suggestion(words[1], below));
  }
  throw_usage(fmt::format("unknown command {}", quote_sample(first)), suggestion(first, names));
}

/// Every option has one of the forms --name VALUE, --name=VALUE, --name and --no-name; all else is a positional word.
Parsed parse(const CommandSpec& spec, Command& command, const OptionSet& options, std::span<const std::string> words) {
  Parsed parsed;
  const std::vector<Positional> positionals = command.positionals();
  size_t positional = 0;
  bool only_positionals = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!only_positionals && (word == "--help" || word == "-h")) {
      parsed.help = true;
      return parsed;
    }
    if (!only_positionals && word == "--") {
      only_positionals = true;
      continue;
    }
    if (only_positionals || !word.starts_with('-') || word == "-") {
      if (positional == positionals.size()) {
        throw_usage(fmt::format("{} takes {}, found one more: {}",
                                spec.name,
                                positionals.empty()
                                    ? "no words"
                                    : fmt::format("{} word{}", positionals.size(), positionals.size() == 1 ? "" : "s"),
                                quote_sample(word)),
                    options.find(word) != nullptr ? fmt::format("did you mean --{}?", word)
                                                  : fmt::format("`mien {} --help` lists the options", spec.name));
      }
      *positionals[positional++].target = word;
      continue;
    }
    const size_t equals = word.find('=');
    const std::string name =
        word.starts_with("--") ? word.substr(2, equals == std::string::npos ? equals : equals - 2) : word;
    const auto value = [&](const std::string& expected) {
      if (equals != std::string::npos) return word.substr(equals + 1);
      if (i + 1 == words.size()) throw_usage(fmt::format("--{} needs a value, expected {}", name, expected));
      return words[++i];
    };
    const bool has_value = equals != std::string::npos;
    const OptionSet::Entry* const option = options.find(name);
    const OptionSet::Entry* const negated = name.starts_with("no-") ? options.find(name.substr(3)) : nullptr;
    if (option != nullptr && !option->is_flag()) {
      const std::string text = value(option->expected());
      parsed.flags.push_back({name, text, Origin::command_line, fmt::format("--{} {}", name, text)});
    } else if (option != nullptr) {
      parsed.flags.push_back({name, has_value ? value("") : "true", Origin::command_line, word});
    } else if (negated != nullptr && negated->is_flag() && !has_value) {
      parsed.flags.push_back({name.substr(3), "false", Origin::command_line, word});
    } else if (name == "json" && !has_value) {
      parsed.json = true;
    } else if (name == "print-config" && !has_value && !options.entries().empty()) {
      parsed.print_config = true;
    } else if (name == "config" && !options.entries().empty()) {
      parsed.config_files.push_back(value("a TOML file"));
    } else {
      std::vector<std::string> names = options.names();
      names.insert(names.end(), {"json", "help"});
      if (names.size() > 2) names.insert(names.end(), {"config", "print-config"});
      const auto near = did_you_mean(name, names);
      throw_usage(fmt::format("{} has no option {}", spec.name, quote_sample(word.substr(0, equals))),
                  near ? fmt::format("did you mean --{}?", *near)
                       : fmt::format("`mien {} --help` lists the options", spec.name));
    }
  }
  if (positional < positionals.size()) {
    const Positional& missing = positionals[positional];
    throw_usage(fmt::format("{} needs {}: {}", spec.name, missing.name, missing.help),
                fmt::format("see `mien {} --help`", spec.name));
  }
  return parsed;
}

/// Settings of a config file as overrides, so that recipes can put them above their own.
std::vector<Override> read_config(const std::string& path, const CommandSpec& spec) {
  OptionSet probe;
  const std::unique_ptr<Command> scratch = spec.make();
  scratch->bind(probe);
  std::string text;
  try {
    text = read_text(path, 1 << 20);
  } catch (const Error& error) {
    throw_usage(fmt::format("--config: {}", error.what()), error.hint());
  }
  set_from_toml(probe, text, path, Origin::config_file);
  std::vector<Override> result;
  for (const OptionSet::Entry& entry : probe.entries()) {
    if (entry.origin == Origin::config_file)
      result.push_back({entry.spec.name, entry.text(), Origin::config_file, entry.origin_detail});
  }
  return result;
}

}  // namespace

int run_command_line(std::span<const std::string> words) {
  const std::span<const std::string> all_words = words;
  if (words.empty()) {
    fmt::print("{}", overview());
    return exit_status(ErrorCode::usage);
  }
  const std::string& first = words[0];
  if (first == "--version" || first == "version") {
    fmt::print("mien {} ({})\n", kVersion, kCommit);
    return 0;
  }
  const bool asks_for_help = first == "--help" || first == "-h" || first == "help";
  if (asks_for_help && (first != "help" || words.size() == 1)) {
    fmt::print("{}", overview());
    return 0;
  }
  if (asks_for_help) words = words.subspan(1);  // `mien help train`
  const bool is_family = std::any_of(command_table().begin(), command_table().end(), [&](const CommandSpec& spec) {
    return spec.name.starts_with(words[0] + " ");
  });
  if (is_family && (words.size() == 1 ? asks_for_help : words[1] == "--help" || words[1] == "-h")) {
    fmt::print("{}", family_help(words[0]));
    return 0;
  }
  const auto [spec, length] = find_command(words);
  const std::unique_ptr<Command> command = spec->make();
  OptionSet options;
  command->bind(options);
  Parsed parsed{.help = asks_for_help};
  if (!parsed.help) parsed = parse(*spec, *command, options, words.subspan(length));
  if (parsed.help) {
    fmt::print("{}", command_help(*spec));
    return 0;
  }
  std::vector<Override> overrides;
  for (const std::string& path : parsed.config_files) {
    // A pipe can be read once only: the program that does the work shall do it.
    std::error_code ignored;
    if (kIsLauncher && std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored))
      exec_compute(all_words);
    for (Override& setting : read_config(path, *spec)) overrides.push_back(std::move(setting));
  }
  overrides.insert(overrides.end(), parsed.flags.begin(), parsed.flags.end());
  for (const Override& setting : overrides) options.set(setting.name, setting.text, setting.origin, setting.detail);
  Terminal terminal(parsed.json);
  if (parsed.print_config && !command->prints_config_itself()) {
    terminal.result(options.to_toml(), options_json(options));
    return 0;
  }
  const OptionSet::Entry* option = options.find("threads");
  const int threads = option == nullptr ? 0 : static_cast<int>(*parse_int(option->text()));
  if constexpr (kIsLauncher) {
    set_threads(threads);
  } else {
    runtime::configure_threads(threads);
  }
  return command->run({terminal, options, overrides, parsed.print_config, all_words});
}

}  // namespace mien::cli
