#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "mien/app/environment.h"
#include "mien/cli/command.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/log.h"
#include "mien/core/text.h"
#include "mien/core/toml.h"
#include "mien/version.h"

namespace mien::cli {
namespace {

/// First Ctrl-C: stop after the current step. Second: at once.
void on_interrupt(int) {
  if (stop_requested()) std::_Exit(130);
  request_stop();
}

/// A command as CLI11 knows it, with the texts that were given for its options.
struct Parsed {
  const CommandSpec* spec = nullptr;
  std::unique_ptr<Command> command;
  std::unique_ptr<OptionSet> options = std::make_unique<OptionSet>();
  CLI::App* app = nullptr;
  std::vector<app::Override> flags;
  std::vector<std::string> config_files;
  bool json = false;
  bool print_config = false;
};

std::string help_text(const OptionSet::Entry& entry) {
  std::string text = entry.spec.help;
  if (!entry.is_flag()) text += fmt::format(" ({})", entry.expected());
  text += fmt::format(" [{}]", entry.default_text.empty() ? "none" : entry.default_text);
  return text;
}

void declare(Parsed& parsed) {
  parsed.command->bind(*parsed.options);
  for (const Positional& word : parsed.command->positionals()) {
    CLI::Option* option = std::visit([&](auto* target) { return parsed.app->add_option(word.name, *target, word.help); }, word.target);
    if (word.required) option->required();
  }
  for (const OptionSet::Entry& entry : parsed.options->entries()) {
    const std::string name = entry.spec.name;
    if (entry.is_flag()) {
      parsed.app
          ->add_flag_callback(
              "--" + name, [&parsed, name] { parsed.flags.push_back({name, "true", Origin::command_line, "--" + name}); }, help_text(entry))
          ->group(entry.group);
      parsed.app
          ->add_flag_callback(
              "--no-" + name, [&parsed, name] { parsed.flags.push_back({name, "false", Origin::command_line, "--no-" + name}); }, "turns --" + name + " off")
          ->group("");
      continue;
    }
    parsed.app
        ->add_option_function<std::string>(
            "--" + name,
            [&parsed, name](const std::string& text) { parsed.flags.push_back({name, text, Origin::command_line, fmt::format("--{} {}", name, text)}); },
            help_text(entry))
        ->type_name("")
        ->take_last()
        ->group(entry.group);
  }
  if (!parsed.options->entries().empty()) {
    parsed.app->add_option("--config", parsed.config_files, "TOML files with options; flags overrule them, later files earlier ones")->type_name("");
    parsed.app->add_flag("--print-config", parsed.print_config, "print the effective options as TOML and stop");
  }
  parsed.app->add_flag("--json", parsed.json, "print the result as JSON");
}

std::string overview() {
  std::string text = fmt::format("Mien {}: trains, judges and explains facial-expression classifiers.\n\nusage: mien COMMAND [options]\n", kVersion);
  std::string group;
  for (const CommandSpec& spec : command_table()) {
    if (spec.group != group) {
      group = spec.group;
      text += fmt::format("\n{}\n", group);
    }
    text += fmt::format("  {:<18} {}\n", spec.name, spec.summary);
  }
  return text +
         "\n`mien COMMAND --help` lists a command's options with ranges and defaults. Every option is also a key of recipes and of\n"
         "--config files.\n\nexit status: 0 done, 1 failed, 2 usage, 3 bad data, 130 interrupted\n";
}

/// Settings of a config file as overrides, so that recipes can put them above their own.
std::vector<app::Override> read_config(const std::string& path, Parsed& parsed) {
  OptionSet probe;
  const std::unique_ptr<Command> scratch = parsed.spec->make();
  scratch->bind(probe);
  set_from_toml(probe, read_text(path, 1 << 20), path, Origin::config_file);
  std::vector<app::Override> result;
  for (const OptionSet::Entry& entry : probe.entries()) {
    if (entry.origin == Origin::config_file) result.push_back({entry.spec.name, entry.text(), Origin::config_file, entry.origin_detail});
  }
  return result;
}

int run(Parsed& parsed) {
  std::vector<app::Override> overrides;
  for (const std::string& path : parsed.config_files) {
    for (app::Override& setting : read_config(path, parsed)) overrides.push_back(std::move(setting));
  }
  overrides.insert(overrides.end(), parsed.flags.begin(), parsed.flags.end());
  for (const app::Override& setting : overrides) parsed.options->set(setting.name, setting.text, setting.origin, setting.detail);
  Terminal terminal(parsed.json);
  if (const OptionSet::Entry* entry = parsed.options->find("threads")) {
    app::configure_threads(static_cast<int>(*parse_int(entry->text())));
  } else {
    app::configure_threads(0);
  }
  return parsed.command->run({terminal, *parsed.options, overrides, parsed.print_config});
}

int main_checked(int argc, char** argv) {
  if (argc < 2) {
    fmt::print("{}", overview());
    return exit_status(ErrorCode::usage);
  }
  const std::string first = argv[1];
  if (first == "--help" || first == "-h" || first == "help") {
    fmt::print("{}", overview());
    return 0;
  }
  if (first == "--version") {
    fmt::print("mien {} ({})\n", kVersion, kCommit);
    return 0;
  }
  CLI::App root("mien");
  root.require_subcommand(1);
  std::vector<std::unique_ptr<Parsed>> all;
  std::vector<std::string> names;
  CLI::App* family = nullptr;  // "data" of "data info"
  for (const CommandSpec& spec : command_table()) {
    const std::vector<std::string> words = split(spec.name, ' ');
    if (words[0] != first) {
      names.push_back(words[0]);
      continue;  // declaring a command costs time; only the one that was asked for is needed
    }
    CLI::App* parent = &root;
    if (words.size() > 1) {
      if (family == nullptr) {
        family = root.add_subcommand(words[0]);
        family->require_subcommand(1);
      }
      parent = family;
    }
    auto parsed = std::make_unique<Parsed>();
    parsed->spec = &spec;
    parsed->command = spec.make();
    parsed->app = parent->add_subcommand(words.back(), spec.summary);
    parsed->app->get_formatter()->column_width(34);
    declare(*parsed);
    all.push_back(std::move(parsed));
  }
  if (all.empty()) throw_usage(fmt::format("unknown command '{}'", first), suggestion(first, names) + "; `mien --help` lists all");
  try {
    root.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const CLI::App* deepest = &root;
    while (!deepest->get_subcommands().empty()) deepest = deepest->get_subcommands().front();
    fmt::print("{}", deepest->help());
    return 0;
  } catch (const CLI::ExtrasError& error) {
    // CLI11 says "The following argument was not expected: --epoch"; the nearest option is what helps.
    const std::string message = error.what();
    const size_t dashes = message.find("--");
    std::string hint = fmt::format("`mien {} --help` lists the options", first);
    if (dashes != std::string::npos) {
      const std::string word(trim(message.substr(dashes + 2, message.find_first_of(" =", dashes + 2) - dashes - 2)));
      for (const auto& parsed : all) {
        if (parsed->app->parsed()) {
          if (const auto near = did_you_mean(word, parsed->options->names())) hint = fmt::format("did you mean --{}?", *near);
        }
      }
    }
    throw_usage(message, hint);
  } catch (const CLI::ParseError& error) {
    throw_usage(error.what(), fmt::format("see `mien {} --help`", first));
  }
  for (const auto& parsed : all) {
    if (parsed->app->parsed()) return run(*parsed);
  }
  throw_usage(fmt::format("no command was given after '{}'", first), fmt::format("see `mien {} --help`", first));
}

}  // namespace
}  // namespace mien::cli

int main(int argc, char** argv) {
  struct sigaction action {};
  action.sa_handler = mien::cli::on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return mien::cli::main_checked(argc, argv);
  } catch (const mien::Error& error) {
    fmt::print(stderr, "mien: {}\n", error.line());
    return mien::exit_status(error.code());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "mien: out of memory. hint: a smaller --batch-size needs less\n");
    return 1;
  } catch (const std::exception& error) {
    // A library's own exception (libtorch's are long: the first line says what matters).
    const std::string text = error.what();
    fmt::print(stderr, "mien: unexpected error: {}\n", text.substr(0, text.find('\n')));
    return 1;
  }
}
