#include <filesystem>
#include <numeric>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/cli/bench_commands.h"
#include "mien/cli/command.h"
#include "mien/cli/completion.h"
#include "mien/cli/data_commands.h"
#include "mien/cli/explain_commands.h"
#include "mien/cli/export_command.h"
#include "mien/cli/help.h"
#include "mien/cli/import_command.h"
#include "mien/cli/model_commands.h"
#include "mien/cli/network_commands.h"
#include "mien/cli/photo_commands.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/core/toml.h"
#include "mien/ranks/group.h"
#include "mien/recipes/recipe.h"
#include "mien/recipes/run_recipe.h"
#include "mien/runs/compare_runs.h"
#include "mien/runs/eval_run.h"
#include "mien/runs/experiment.h"
#include "mien/runs/list_runs.h"
#include "mien/runs/lr_find.h"
#include "mien/runs/machine_options.h"
#include "mien/runs/merge_run.h"
#include "mien/runs/predict_run.h"
#include "mien/runs/run_page.h"
#include "mien/runs/shard.h"
#include "mien/runs/train_run.h"
#include "mien/runtime/environment.h"
#include "mien/serve/server.h"

namespace mien::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kInterrupted = 130;

/// One line; bytes of a path that are not UTF-8 are replaced.
std::string line_of(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

ordered_json options_object(const OptionSet& options) {
  ordered_json json = ordered_json::object();
  for (const OptionSet::Entry& entry : options.entries()) {
    std::visit([&](const auto* value) { json[entry.spec.name] = *value; }, entry.field);
  }
  return json;
}

inline void warn_of_slow_blas(Terminal& terminal) {
  const runtime::Environment environment = runtime::environment_with_blas();
  for (const std::string& warning : {runtime::blas_warning(environment), runtime::convolution_warning(environment)}) {
    if (!warning.empty()) terminal.warning(warning);
  }
}

/// What a finished run says of itself: its folder and, for one network, its best epoch and rates.
inline ordered_json train_object(const std::filesystem::path& folder) {
  ordered_json json{{"folder", folder.string()}};
  if (!std::filesystem::exists(folder / "weights" / "best.safetensors")) return json;
  const runs::RunSummary run = runs::read_run(folder);
  json["best_epoch"] = run.best_epoch;
  const auto add = [&json](const char* part, const std::optional<evaluation::Metrics>& metrics) {
    if (!metrics) return;
    json[part] = {{"accuracy", metrics->accuracy},
                  {"accuracy_interval", {metrics->accuracy_interval.low, metrics->accuracy_interval.high}},
                  {"faces", metrics->count}};
  };
  add("test", run.test_metrics);
  add("validation", run.validation_metrics);
  return json;
}

inline int finished(const Call& call, const std::optional<std::filesystem::path>& folder) {
  if (!folder) return kInterrupted;
  if (call.terminal.machine_readable()) call.terminal.result("", line_of(train_object(*folder)));
  return 0;
}

/// What `mien train` is told.
struct TrainWish {
  runs::Experiment experiment;
  runs::MachineOptions machines;

  void bind(OptionSet& options) {
    experiment.bind(options);
    machines.bind(options);
  }
};

class TrainCommand final : public ComputingCommand<TrainCommand> {
 public:
  void bind(OptionSet& options) override {
    wish_.bind(options);
    bind_pictures(options, pictures_);
  }
  int compute(const Call& call) {
    if (const auto place = ranks::place_from()) return compute_as_rank(call, *place);
    warn_of_slow_blas(call.terminal);
    runs::Together part;
    if (!wish_.machines.shard.empty()) part.shard = runs::parse_shard(wish_.machines.shard);
    return finished(call, runs::train_task(wish_.experiment, call.options, call.terminal, part));
  }

 private:
  /// As one of several processes that train one network; only the first one speaks.
  int compute_as_rank(const Call& call, const ranks::Place& place) {
    const auto group = ranks::join(place);
    if (wish_.experiment.run.threads == 0) runtime::configure_threads(ranks::threads_of_one(group->processes_here()));
    ProgressListener& listener = group->is_first() ? static_cast<ProgressListener&>(call.terminal) : silent_listener();
    try {
      if (group->is_first()) {
        warn_of_slow_blas(call.terminal);
        const std::set<std::string> hosts(group->facts().hosts.begin(), group->facts().hosts.end());
        listener.line(fmt::format("{} ranks on {}, started by {}",
                                  group->size(),
                                  join(std::vector(hosts.begin(), hosts.end()), ", "),
                                  place.launcher));
      }
      const auto folder = runs::train_task(wish_.experiment,
                                           call.options,
                                           listener,
                                           {.group = group.get(), .sync_batch_norm = wish_.machines.sync_batch_norm});
      group->leave();
      if (!group->is_first()) return folder ? 0 : kInterrupted;
      return finished(call, folder);
    } catch (...) {
      group->fail(std::current_exception());
    }
  }

  TrainWish wish_;
  bool pictures_ = true;
};

/// `mien merge`: what the shards' own args.toml say is done to the end.
class MergeCommand final : public ComputingCommand<MergeCommand> {
 public:
  void bind(OptionSet& options) override { bind_pictures(options, pictures_); }
  std::vector<Positional> positionals() override {
    return {{.name = "folder",
             .help = "folders of all shards of an ensemble: runs/train/NAME.shard-*",
             .targets = &folders_}};
  }
  int compute(const Call& call) {
    const std::vector<std::filesystem::path> shards(folders_.begin(), folders_.end());
    runs::check_shards(shards);
    TrainWish wish;
    OptionSet options;
    wish.bind(options);
    const std::filesystem::path file = shards.front() / "args.toml";
    set_from_toml(options, read_text(file, 1 << 20), file.string(), Origin::config_file);
    options.set("shard", "", Origin::command_line, "mien merge");
    warn_of_slow_blas(call.terminal);
    return finished(call, runs::merge_task(shards, wish.experiment, options, call.terminal));
  }

 private:
  std::vector<std::string> folders_;
  bool pictures_ = true;
};

/// `mien run RECIPE` and `mien demo`.
class RunCommand final : public ComputingCommand<RunCommand> {
 public:
  explicit RunCommand(std::string recipe = {}) : recipe_(std::move(recipe)), is_fixed_(!recipe_.empty()) {}
  void bind(OptionSet& options) override {
    experiment_.bind(options);
    wish_.bind(options);
    figures_.bind(options);
    bind_pictures(options, pictures_);
  }
  std::vector<Positional> positionals() override {
    if (is_fixed_) return {};
    return {{"recipe", "a built-in recipe (`mien run list` names them) or a recipe file ending in .toml", &recipe_}};
  }
  bool prints_config_itself() const override { return true; }
  bool help_needs_compute() const override { return !recipe_.empty() && recipe_ != "list"; }
  std::map<std::string, std::string> recipe_values() override {
    if constexpr (kIsLauncher) {
      return {};
    } else {
      return help_needs_compute() ? values_of(recipes::load_recipe(recipe_)) : std::map<std::string, std::string>{};
    }
  }
  int run(const Call& call) override {
    if (recipe_ == "list") return list(call.terminal);
    return ComputingCommand::run(call);
  }
  int compute(const Call& call) {
    const recipes::Recipe recipe = recipes::load_recipe(recipe_);
    if (call.print_config) return print_config(recipe, overrides(call), call.terminal);
    ranks::refuse_ranks("a recipe");
    warn_of_slow_blas(call.terminal);
    return finished(call, recipes::run_recipe(recipe, overrides(call), wish_, call.terminal));
  }

 private:
  /// What overrules the recipe.
  static std::vector<Override> overrides(const Call& call) {
    recipes::RecipeOptions wish;
    OptionSet of_command;
    wish.bind(of_command);
    std::vector<Override> settings;
    for (const Override& setting : call.overrides) {
      if (of_command.find(setting.name) == nullptr) settings.push_back(setting);
    }
    return settings;
  }

  /// What the recipe sets, by option; where its runs differ, each value with its run.
  static std::map<std::string, std::string> values_of(const recipes::Recipe& recipe) {
    constexpr size_t kMostRuns = 4;
    std::map<std::string, std::string> values;
    for (const Override& option : recipe.options) values[option.name] = option.text;
    std::map<std::string, std::vector<std::string>> of_runs;
    for (const recipes::RecipeRun& run : recipe.runs) {
      for (const Override& option : run.options)
        of_runs[option.name].push_back(recipe.runs.size() == 1 ? option.text
                                                               : fmt::format("{} in {}", option.text, run.name));
    }
    for (const auto& [name, texts] : of_runs) {
      const bool is_long = texts.size() > kMostRuns;
      values[name] =
          is_long ? fmt::format("its {} runs differ, see --print-config", recipe.runs.size()) : join(texts, ", ");
    }
    return values;
  }

  static int list(Terminal& terminal) {
    std::string text;
    ordered_json json = ordered_json::array();
    for (const auto& recipe : recipes::builtin_recipes()) {
      text += fmt::format("{:<20} {} ({})\n", recipe.name, recipe.title, recipe.source);
      json.push_back({{"name", recipe.name}, {"title", recipe.title}, {"source", recipe.source}});
    }
    terminal.result(text, line_of(json));
    return 0;
  }

  /// One document a run; with --only of one run it is a file for --config.
  int print_config(const recipes::Recipe& recipe, const std::vector<Override>& overrides, Terminal& terminal) const {
    std::string text;
    ordered_json json = ordered_json::object();
    for (const recipes::ResolvedRun& run : recipes::resolve(recipe, overrides, wish_, terminal).runs) {
      text += fmt::format("{}# run {}\n{}", text.empty() ? "" : "\n", run.name, run.options.to_toml());
      json[run.name] = options_object(run.options);
    }
    terminal.result(text, line_of(json));
    return 0;
  }

  std::string recipe_;
  bool is_fixed_;
  runs::Experiment experiment_;
  recipes::RecipeOptions wish_;
  recipes::FigureOptions figures_;
  bool pictures_ = true;
};

class PredictCommand final : public ComputingCommand<PredictCommand> {
 public:
  void bind(OptionSet& options) override { task_.bind(options); }
  std::vector<Positional> positionals() override {
    return {
        {"weights", "weights file, run folder or an ensemble's folder; several, separated by commas, vote", &weights_},
        {"data", "csv or folder of faces", &task_.data.data}};
  }
  int compute(const Call& call) {
    task_.weights = split(weights_, ',');
    const int64_t count = runs::predict_run(task_, call.terminal);
    if (call.terminal.machine_readable()) call.terminal.result("", line_of({{"faces", count}, {"file", task_.out}}));
    return 0;
  }

 private:
  std::string weights_;
  runs::PredictRunOptions task_;
};

class EvalCommand final : public ComputingCommand<EvalCommand> {
 public:
  void bind(OptionSet& options) override {
    task_.bind(options);
    judge_.bind_pictures(options);
    bind_pictures(options, pictures_);
  }
  std::vector<Positional> positionals() override {
    return {
        {"weights", "weights file, run folder or an ensemble's folder; several, separated by commas, vote", &weights_},
        {"data", "labeled csv or folder of faces", &task_.data.data}};
  }
  int compute(const Call& call) {
    task_.weights = split(weights_, ',');
    const auto metrics = runs::eval_run(task_, judge_, call.terminal);
    call.terminal.result(evaluation::metrics_text(metrics) + fmt::format("pictures and tables: {}\n", task_.out),
                         evaluation::metrics_json(metrics));
    return 0;
  }

 private:
  std::string weights_;
  runs::EvalRunOptions task_;
  runs::RunEvaluationOptions judge_;
  bool pictures_ = true;
};

class CompareCommand final : public ComputingCommand<CompareCommand> {
 public:
  void bind(OptionSet& options) override {
    options.group("compare");
    options.add(&part_,
                {.name = "part",
                 .help = "which predictions to compare: auto takes those on PublicTest or of the vote if both folders "
                         "have them, else those on validation rows",
                 .choices = {"auto", "val", "public_test", "vote", "eval"}});
    options.add(&labels_,
                {.name = "labels",
                 .help = "whose labels judge both where they differ, as FER+ and FER2013 do",
                 .choices = {"first", "second"}});
  }
  std::vector<Positional> positionals() override {
    return {{"first", "a folder that `mien train`, `mien run` or `mien eval` made", &first_},
            {"second", "others that were judged on rows of the same data, one or more", &second_, &others_}};
  }
  int compute(const Call& call) {
    if (others_.empty()) {
      const auto comparison = runs::compare_runs(first_, second_, part_, labels_);
      call.terminal.result(comparison.text, comparison.json);
      return 0;
    }
    if (labels_ != "first")
      throw_usage("--labels second is for two runs", "the labels of the first judge all; name another one first");
    std::vector<std::filesystem::path> folders{first_, second_};
    folders.insert(folders.end(), others_.begin(), others_.end());
    const auto comparison = runs::compare_all(folders, part_);
    call.terminal.result(comparison.text, comparison.json);
    return 0;
  }

 private:
  std::string first_, second_;
  std::vector<std::string> others_;
  std::string part_ = "auto";
  std::string labels_ = "first";
};

class RunsCommand final : public Command {
 public:
  void bind(OptionSet& options) override {
    options.group("runs");
    options.add(&folder_, {.name = "project", .help = "folder whose runs are listed, at any depth"});
  }
  int run(const Call& call) override {
    const auto list = runs::list_runs(folder_);
    call.terminal.result(runs::runs_text(list), runs::runs_json(list));
    return 0;
  }

 private:
  std::string folder_ = "runs";
};

class ReportCommand final : public ComputingCommand<ReportCommand> {
 public:
  void bind(OptionSet& options) override {
    options.group("report");
    options.add(&plain_,
                {.name = "plain",
                 .help = "write pictures and tables without a script instead of the interactive page",
                 .level = OptionLevel::common});
  }
  std::vector<Positional> positionals() override {
    return {{"folder", "a finished folder of a run, an ensemble or a recipe", &folder_}};
  }
  int compute(const Call& call) {
    const std::string page =
        recipes::report_task(folder_, call.terminal, plain_ ? runs::PageKind::plain : runs::PageKind::interactive)
            .string();
    call.terminal.result("report: " + page, line_of({{"report", page}}));
    return 0;
  }

 private:
  std::string folder_;
  bool plain_ = false;
};

class ServeCommand final : public ComputingCommand<ServeCommand> {
 public:
  void bind(OptionSet& options) override { options_.bind(options); }
  std::vector<Positional> positionals() override {
    return {{.name = "folder",
             .help = "folders of runs, ensembles, recipes or audits, also in training, and folders of such folders",
             .targets = &folders_}};
  }
  int compute(const Call& call) {
    std::vector<std::string> folders;
    for (const std::string& word : folders_) {  // commas separate, too, where no folder has one in its name
      const auto parts = std::filesystem::exists(word) ? std::vector<std::string>{word} : split(word, ',');
      folders.insert(folders.end(), parts.begin(), parts.end());
    }
    serve::serve_task(folders, options_, call.terminal);
    return 0;
  }

 private:
  std::vector<std::string> folders_;
  serve::ServeOptions options_;
};

class FindRateCommand final : public ComputingCommand<FindRateCommand> {
 public:
  FindRateCommand() { experiment_.run.project = "runs/learning-rate"; }
  void bind(OptionSet& options) override { experiment_.bind(options); }
  int compute(const Call& call) {
    const double rate = runs::lr_find(experiment_, experiment_.run.project, call.terminal);
    if (call.terminal.machine_readable()) call.terminal.result("", line_of({{"lr", rate}}));
    return 0;
  }

 private:
  runs::Experiment experiment_;
};

class DoctorCommand final : public ComputingCommand<DoctorCommand> {
 public:
  int compute(const Call& call) {
    const runtime::Environment environment = runtime::measured_environment();
    call.terminal.result(runtime::doctor_text(environment), runtime::environment_json(environment));
    return environment.blas_is_slow || !environment.blas_is_right ? 1 : 0;
  }
};

class ReferenceCommand final : public Command {
 public:
  int run(const Call& call) override {
    const std::string text = command_reference();
    call.terminal.result(text, line_of({{"markdown", text}}));
    return 0;
  }
};

class CompletionCommand final : public Command {
 public:
  std::vector<Positional> positionals() override { return {{"shell", "bash, zsh or fish", &shell_}}; }
  int run(const Call& call) override {
    const std::string text = completion_script(shell_);
    call.terminal.result(text, line_of({{"shell", shell_}, {"script", text}}));
    return 0;
  }

 private:
  std::string shell_;
};

class ManualCommand final : public Command {
 public:
  int run(const Call& call) override {
    const std::string text = manual_page();
    call.terminal.result(text, line_of({{"roff", text}}));
    return 0;
  }
};

template <class T, class... Arguments>
std::function<std::unique_ptr<Command>()> make(Arguments... arguments) {
  return [=] { return std::make_unique<T>(arguments...); };
}

}  // namespace

const std::vector<CommandSpec>& command_table() {
  static const std::vector<CommandSpec> table = [] {
    std::vector<CommandSpec> commands{
        {"demo",
         "Start here",
         "train and judge two networks on drawn faces; needs no data, takes minutes",
         make<RunCommand>(std::string("demo"))},
        {"run", "Start here", "run a recipe from csv to report; `mien run list` names the recipes", make<RunCommand>()},
        {"doctor",
         "Start here",
         "versions, threads, BLAS speed and correctness, GPU, what is built in",
         make<DoctorCommand>()},
        {"train", "Networks", "train one network, or with --members an ensemble, and judge it", make<TrainCommand>()},
        {"merge", "Networks", "put the shards of an ensemble together and let it vote", make<MergeCommand>()},
        {"predict", "Networks", "predict a csv into id,label from weights alone", make<PredictCommand>()},
        {"eval", "Networks", "judge weights on labeled faces", make<EvalCommand>()},
        {"compare",
         "Networks",
         "do runs differ beyond chance? McNemar, paired bootstrap; seeds as mean and deviation",
         make<CompareCommand>()},
        {"runs", "Networks", "list the runs of a folder: network, data, accuracy, date, state", make<RunsCommand>()},
        {"report", "Networks", "write a run's report.html again", make<ReportCommand>()},
        {"serve", "Networks", "the same page live: ask the networks why, and change a face", make<ServeCommand>()},
        {"lr-find", "Networks", "look for a learning rate, with its curve", make<FindRateCommand>()}};
    for (CommandSpec& command : network_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : model_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : import_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : export_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : explain_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : photo_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : data_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : bench_commands()) commands.push_back(std::move(command));
    commands.push_back(
        {"reference", "Help", "this command reference as Markdown (docs/cli.md)", make<ReferenceCommand>()});
    commands.push_back({"completion",
                        "Help",
                        "a script for bash, zsh or fish that completes commands, options and values",
                        make<CompletionCommand>()});
    commands.push_back({"manual", "Help", "the manual page mien(1) as roff", make<ManualCommand>()});
    return commands;
  }();
  return table;
}

std::string options_json(const OptionSet& options) { return line_of(options_object(options)); }

}  // namespace mien::cli
