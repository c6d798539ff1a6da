#include "mien/cli/command_line.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/cli/command.h"
#include "mien/cli/help.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/parallel.h"
#include "mien/core/text.h"
#include "mien/core/toml.h"
#include "mien/network/graph/graph.h"
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
  bool help_all = false;
};

/// What users of other programs type, and how it is called here.
struct NearWord {
  const char* word;
  const char* here;
};
constexpr NearWord kNearCommands[] = {
    {"evaluate", "eval"},    {"test", "eval"},        {"judge", "eval"},      {"validate", "eval"},
    {"fit", "train"},        {"training", "train"},   {"infer", "predict"},   {"inference", "predict"},
    {"classify", "predict"}, {"benchmark", "bench"},  {"models", "networks"}, {"model", "networks"},
    {"network", "networks"}, {"recipes", "run list"}, {"man", "manual"},      {"completions", "completion"},
    {"saliency", "explain"}, {"gradcam", "explain"},  {"lime", "explain"},    {"diff", "compare"},
    {"dataset", "data"},     {"list", "runs"},        {"history", "runs"},    {"env", "doctor"},
    {"ls", "networks list"}, {"docs", "reference"}};
constexpr NearWord kNearOptions[] = {{"plots", "pictures"},
                                     {"no-plots", "no-pictures"},
                                     {"learning-rate", "lr"},
                                     {"optimizer", "opt"},
                                     {"optim", "opt"},
                                     {"scheduler", "sched"},
                                     {"schedule", "sched"},
                                     {"model", "network"},
                                     {"arch", "network"},
                                     {"output", "out"},
                                     {"output-dir", "out"},
                                     {"workers", "threads"},
                                     {"jobs", "threads"},
                                     {"num-workers", "threads"},
                                     {"gpu", "device"},
                                     {"cuda", "device"},
                                     {"early-stopping", "patience"},
                                     {"bs", "batch-size"},
                                     {"dataset", "data"},
                                     {"val", "validation"},
                                     {"label-smoothing", "smoothing"},
                                     {"checkpoint", "weights"},
                                     {"overwrite", "exist-ok"},
                                     {"force", "exist-ok"},
                                     {"resume", "name"},
                                     {"methods", "method"},
                                     {"rotation", "rotate"},
                                     {"ensemble", "members"}};

/// Without quotes where a shell needs none.
std::string quote_word(const std::string& word) {
  const std::string quoted = quote_sample(word);
  return quoted.find_first_of(" \\") == std::string::npos ? word : quoted;
}

template <size_t N>
std::string near_word(const NearWord (&words)[N], std::string_view word) {
  for (const NearWord& near : words) {
    if (word == near.word) return near.here;
  }
  return "";
}

/// "did you mean ...?" for the first word of a command line, or the list of commands.
std::string command_hint(const std::string& word, const std::vector<std::string>& names) {
  std::string near = near_word(kNearCommands, word);
  if (near.empty()) {
    for (const CommandSpec& spec : command_table()) {
      if (spec.name.ends_with(" " + word)) near = spec.name;  // `mien summary`
    }
  }
  return near.empty() ? suggestion(word, names) : fmt::format("did you mean `mien {}`?", near);
}

/// The option of `names` that was meant by `name`: another program's word for it, one of its words, or a slip.
std::string near_option(const std::string& name, const std::vector<std::string>& names) {
  const auto has = [&](const std::string& option) {
    return std::find(names.begin(), names.end(), option) != names.end();
  };
  std::string plain = name;
  std::replace(plain.begin(), plain.end(), '_', '-');
  if (has(plain)) return plain;
  if (const std::string near = near_word(kNearOptions, plain); !near.empty() && has(near)) return near;
  if (const auto near = did_you_mean(plain, names)) return *near;
  if (plain.size() < 3) return "";
  const auto longer = std::find_if(
      names.begin(), names.end(), [&](const std::string& option) { return option.starts_with(plain + "-"); });
  if (longer != names.end()) return *longer;
  const auto last = std::find_if(
      names.begin(), names.end(), [&](const std::string& option) { return option.ends_with("-" + plain); });
  return last == names.end() ? "" : *last;
}

/// For a word that no positional takes.
std::string word_hint(const CommandSpec& spec, const OptionSet& options, const std::string& word) {
  if (options.find(word) != nullptr) return fmt::format("did you mean --{}?", word);
  std::error_code ignored;
  if (options.find("network") != nullptr) {
    const auto networks = network::builtin_networks();
    const bool is_network =
        std::any_of(networks.begin(), networks.end(), [&](const auto& entry) { return entry.name == word; });
    if (is_network || word.ends_with(".toml")) return fmt::format("did you mean --network {}?", quote_word(word));
  }
  if (options.find("data") != nullptr && (word.starts_with("drawn") || std::filesystem::exists(word, ignored)))
    return fmt::format("did you mean --data {}?", quote_word(word));
  return fmt::format("`mien {} --help` lists the options", spec.name);
}

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
    throw_usage(fmt::format("unknown command '{} {}'", first, words[1]), suggestion(words[1], below));
  }
  throw_usage(fmt::format("unknown command {}", quote_sample(first)), command_hint(first, names));
}

/// Every option has one of the forms --name VALUE, --name=VALUE, --name and --no-name; all else is a positional word.
Parsed parse(const CommandSpec& spec, Command& command, const OptionSet& options, std::span<const std::string> words) {
  Parsed parsed;
  const std::vector<Positional> positionals = command.positionals();
  size_t positional = 0;
  bool only_positionals = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!only_positionals && (word == "--help" || word == "-h" || word == "--help-all")) {
      parsed.help = true;
      parsed.help_all = word == "--help-all";
      return parsed;
    }
    if (!only_positionals && word == "--") {
      only_positionals = true;
      continue;
    }
    if (only_positionals || !word.starts_with('-') || word == "-") {
      if (positional == positionals.size() && positional > 0 && positionals.back().more != nullptr) {
        positionals.back().more->push_back(word);
        continue;
      }
      if (!positionals.empty() && positional + 1 >= positionals.size() && positionals.back().targets != nullptr) {
        positionals.back().targets->push_back(word);
        positional = positionals.size();
        continue;
      }
      if (positional == positionals.size()) {
        throw_usage(fmt::format("{} takes {}, found one more: {}",
                                spec.name,
                                positionals.empty()
                                    ? "no words"
                                    : fmt::format("{} word{}", positionals.size(), positionals.size() == 1 ? "" : "s"),
                                quote_sample(word)),
                    word_hint(spec, options, word));
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
      parsed.flags.push_back({option->spec.name, text, Origin::command_line, fmt::format("--{} {}", name, text)});
    } else if (option != nullptr) {
      parsed.flags.push_back({option->spec.name, has_value ? value("") : "true", Origin::command_line, word});
    } else if (negated != nullptr && negated->is_flag() && !has_value) {
      parsed.flags.push_back({negated->spec.name, "false", Origin::command_line, word});
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
      const std::string near = near_option(name, names);
      throw_usage(fmt::format("{} has no option {}", spec.name, quote_sample(word.substr(0, equals))),
                  name == "data" && !positionals.empty()
                      ? fmt::format("the data is named by a word: `{}`", usage_line(spec, command))
                  : !near.empty() ? fmt::format("did you mean --{}?", near)
                                  : fmt::format("`mien {} --help` lists the options", spec.name));
    }
  }
  if (positional < positionals.size() && !positionals[positional].is_optional) {
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

/// File of the BLAS that programs of this system are linked with at their start, or nothing.
std::string system_blas() {
  std::error_code ignored;
  for (const std::string& folder : {std::string("/usr/lib/") + kMultiarch, std::string("/usr/lib64")}) {
    const auto file = std::filesystem::canonical(std::filesystem::path(folder) / "libblas.so.3", ignored);
    if (!ignored) return file.parent_path().filename().string() + "/" + file.filename().string();
  }
  return "";
}

std::string version_line() {
  const std::string blas = system_blas();
  return fmt::format(
      "mien {} (commit {}, libtorch {}{})\n", kVersion, kCommit, kTorchVersion, blas.empty() ? "" : ", BLAS " + blas);
}

/// Refuses options on the command line that have no effect; says so of those in config files.
void check_used(const OptionSet& options, Terminal& terminal) {
  for (const OptionSet::Unused& unused : options.unused(Origin::command_line)) throw_usage(unused.reason, unused.hint);
  for (const OptionSet::Unused& unused : options.unused(Origin::config_file))
    terminal.warning(fmt::format("{}: {}", unused.entry->origin_detail, unused.reason));
}

/// Says if more threads were asked for than can compute at a time. They are kept: a run's bytes depend on their number.
void check_threads(int threads, Terminal& terminal) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (kIsLauncher || cores <= 0 || threads <= cores) return;
  terminal.warning(fmt::format(
      "--threads {} is more than this machine's {} cores, which makes it slower; 0 takes all cores", threads, cores));
}

/// `--no-pictures`, which is the same for all that draws, and no option of a run: its numbers are the same.
void leave_pictures_out(OptionSet& options, std::vector<Override>& overrides) {
  const OptionSet::Entry* pictures = options.find("pictures");
  if (pictures == nullptr || pictures->default_text != "true") return;
  if (pictures->text() == "false") ::setenv("MIEN_PICTURES", "unwanted", 1);
  options.remove("pictures");
  std::erase_if(overrides, [](const Override& setting) { return setting.name == "pictures"; });
}

/// Options that stand in a hint, without those inside `commands`.
std::vector<std::string> options_in(std::string_view hint) {
  std::vector<std::string> names;
  bool is_command = false;
  for (size_t i = 0; i < hint.size(); ++i) {
    if (hint[i] == '`') is_command = !is_command;
    if (is_command || hint.substr(i, 2) != "--" || (i > 0 && hint[i - 1] == '-')) continue;
    size_t end = i + 2;
    while (end < hint.size() && (std::isalnum(static_cast<unsigned char>(hint[end])) != 0 || hint[end] == '-')) ++end;
    if (end > i + 2) names.emplace_back(hint.substr(i + 2, end - i - 2));
    i = end - 1;
  }
  return names;
}

/// The parts of a hint, which semicolons separate, that name no option which the command lacks: readers and checks that
/// several commands share do not know whose they are.
std::string fitting_hint(const std::string& hint, const OptionSet& options) {
  const auto has = [&](const std::string& name) {
    for (const char* of_every_command : {"json", "help", "help-all", "config", "print-config", "version"}) {
      if (name == of_every_command) return true;
    }
    return options.find(name) != nullptr || (name.starts_with("no-") && options.find(name.substr(3)) != nullptr);
  };
  std::vector<std::string> kept;
  for (const std::string& part : split(hint, ';')) {
    const auto names = options_in(part);
    if (std::all_of(names.begin(), names.end(), has)) kept.emplace_back(trim(part));
  }
  return join(kept, "; ");
}

bool wants_json(std::span<const std::string> words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

/// The error on standard output, for programs; people read the line on standard error.
void print_error(const std::string& message, const std::string& hint, int status) {
  nlohmann::ordered_json json{{"error", message}};
  if (!hint.empty()) json["hint"] = hint;
  json["status"] = status;
  print(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

int run_words(std::span<const std::string> words);

}  // namespace

int run_command_line(std::span<const std::string> words) {
  try {
    return run_words(words);
  } catch (const Error& error) {
    if (wants_json(words)) print_error(error.what(), error.hint(), exit_status(error.code()));
    throw;
  } catch (const std::exception& error) {
    if (wants_json(words)) print_error(error.what(), "", exit_status(ErrorCode::failed));
    throw;
  }
}

namespace {

int run_words(std::span<const std::string> words) {
  const std::span<const std::string> all_words = words;
  if (words.empty()) {
    print(overview(style_of_output()));
    return exit_status(ErrorCode::usage);
  }
  const std::string& first = words[0];
  if (first == "--version" || first == "version" || first == "-v" || first == "-V") {
    print(version_line());
    return 0;
  }
  const bool asks_for_help = first == "--help" || first == "-h" || first == "help" || first == "--help-all";
  if (asks_for_help && (first != "help" || words.size() == 1)) {
    print(overview(style_of_output()));
    return 0;
  }
  if (asks_for_help) words = words.subspan(1);  // `mien help train`
  const bool is_family = std::any_of(command_table().begin(), command_table().end(), [&](const CommandSpec& spec) {
    return spec.name.starts_with(words[0] + " ");
  });
  if (is_family && (words.size() == 1 || words[1].starts_with('-') || words[1] == "help")) {
    print(family_help(words[0], style_of_output()));
    return 0;
  }
  const auto [spec, length] = find_command(words);
  const std::unique_ptr<Command> command = spec->make();
  OptionSet options;
  command->bind(options);
  Parsed parsed;
  parsed.help = asks_for_help;
  if (!parsed.help) parsed = parse(*spec, *command, options, words.subspan(length));
  if (parsed.help) {
    if (kIsLauncher && command->help_needs_compute()) exec_compute(all_words);
    HelpStyle style = style_of_output();
    style.shows_all = parsed.help_all;
    print(command_help(*spec, *command, style));
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
  leave_pictures_out(options, overrides);
  Terminal terminal(parsed.json);
  if (!command->prints_config_itself()) check_used(options, terminal);
  if (parsed.print_config && !command->prints_config_itself()) {
    terminal.result(options.to_toml(), options_json(options));
    return 0;
  }
  const OptionSet::Entry* option = options.find("threads");
  const int threads = option == nullptr ? 0 : static_cast<int>(*parse_int(option->text()));
  check_threads(threads, terminal);
  if constexpr (kIsLauncher) {
    set_threads(threads);
  } else {
    runtime::configure_threads(threads);
  }
  try {
    return command->run({terminal, options, overrides, parsed.print_config, all_words});
  } catch (const Error& error) {
    throw Error(error.code(), error.what(), fitting_hint(error.hint(), options));
  }
}

}  // namespace

}  // namespace mien::cli
