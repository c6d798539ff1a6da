#include <filesystem>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/benchmarks/bench_task.h"
#include "mien/cli/command.h"
#include "mien/cli/completion.h"
#include "mien/cli/data_commands.h"
#include "mien/cli/explain_commands.h"
#include "mien/cli/help.h"
#include "mien/cli/import_command.h"
#include "mien/cli/photo_commands.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/recipes/recipe.h"
#include "mien/recipes/run_recipe.h"
#include "mien/runs/compare_runs.h"
#include "mien/runs/eval_run.h"
#include "mien/runs/experiment.h"
#include "mien/runs/lr_find.h"
#include "mien/runs/predict_run.h"
#include "mien/runs/run_page.h"
#include "mien/runs/train_run.h"
#include "mien/runtime/environment.h"

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

class TrainCommand final : public ComputingCommand<TrainCommand> {
 public:
  void bind(OptionSet& options) override { experiment_.bind(options); }
  int compute(const Call& call) {
    warn_of_slow_blas(call.terminal);
    return finished(call, runs::train_task(experiment_, call.options, call.terminal));
  }

 private:
  runs::Experiment experiment_;
};

/// `mien run RECIPE` and `mien demo`.
class RunCommand final : public ComputingCommand<RunCommand> {
 public:
  explicit RunCommand(std::string recipe = {}) : recipe_(std::move(recipe)), is_fixed_(!recipe_.empty()) {}
  void bind(OptionSet& options) override {
    experiment_.bind(options);
    wish_.bind(options);
    figures_.bind(options);
  }
  std::vector<Positional> positionals() override {
    if (is_fixed_) return {};
    return {{"recipe", "a built-in recipe (`mien run list` names them) or a recipe file ending in .toml", &recipe_}};
  }
  bool prints_config_itself() const override { return true; }
  int run(const Call& call) override {
    if (recipe_ == "list") return list(call.terminal);
    return ComputingCommand::run(call);
  }
  int compute(const Call& call) {
    const recipes::Recipe recipe = recipes::load_recipe(recipe_);
    if (call.print_config) return print_config(recipe, overrides(call), call.terminal);
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
    return {{"first", "a run folder", &first_},
            {"second", "another run folder that was judged on rows of the same data", &second_}};
  }
  int compute(const Call& call) {
    const auto comparison = runs::compare_runs(first_, second_, part_, labels_);
    call.terminal.result(comparison.text, comparison.json);
    return 0;
  }

 private:
  std::string first_, second_;
  std::string part_ = "auto";
  std::string labels_ = "first";
};

class ReportCommand final : public ComputingCommand<ReportCommand> {
 public:
  std::vector<Positional> positionals() override {
    return {{"folder", "a finished folder of a run, an ensemble or a recipe", &folder_}};
  }
  int compute(const Call& call) {
    const std::string page = recipes::report_task(folder_, call.terminal).string();
    call.terminal.result("report: " + page, line_of({{"report", page}}));
    return 0;
  }

 private:
  std::string folder_;
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

ordered_json graph_object(const network::Graph& graph) {
  return {{"name", graph.name},
          {"source", graph.source},
          {"parameters", graph.total_parameters()},
          {"trainable", graph.trainable_parameters()},
          {"multiply_adds", graph.multiply_adds()}};
}

class NetworksListCommand final : public Command {
 public:
  int run(const Call& call) override {
    std::string text = fmt::format(
        "{:<16} {:>12} {:>12} {:>15}  {}\n", "network", "parameters", "trainable", "multiply-adds", "source");
    ordered_json json = ordered_json::array();
    for (const auto& entry : network::builtin_networks()) {
      const network::Graph graph = network::load_graph(entry.name);
      text += fmt::format("{:<16} {:>12} {:>12} {:>15}  {}\n",
                          entry.name,
                          with_commas(graph.total_parameters()),
                          with_commas(graph.trainable_parameters()),
                          with_commas(graph.multiply_adds()),
                          entry.source);
      json.push_back(graph_object(graph));
    }
    call.terminal.result(text, json.dump(2) + "\n");
    return 0;
  }
};

class NetworkCommand : public Command {
 public:
  std::vector<Positional> positionals() override {
    return {{"network", "a built-in network or the path of a network file", &name_}};
  }
  int run(const Call& call) override {
    show(network::load_graph(name_), call.terminal);
    return 0;
  }

 protected:
  virtual void show(const network::Graph& graph, Terminal& terminal) = 0;

 private:
  std::string name_;
};

class NetworksShowCommand final : public NetworkCommand {
  void show(const network::Graph& graph, Terminal& terminal) override {
    terminal.result(graph.toml, line_of({{"name", graph.name}, {"toml", graph.toml}}));
  }
};

class NetworksTwinCommand final : public NetworkCommand {
  void show(const network::Graph& graph, Terminal& terminal) override {
    const std::string toml = network::dense_twin_toml(graph);
    terminal.result(toml, line_of({{"twin_of", graph.name}, {"toml", toml}}));
  }
};

class NetworksLayersCommand final : public Command {
 public:
  int run(const Call& call) override {
    const std::string text = network::layer_reference();
    call.terminal.result(text, line_of({{"markdown", text}}));
    return 0;
  }
};

class NetworksSummaryCommand final : public NetworkCommand {
  void show(const network::Graph& graph, Terminal& terminal) override {
    ordered_json json = graph_object(graph);
    for (const network::Layer& layer : graph.layers) {
      const network::Shape& shape = layer.output_shape;
      json["layers"].push_back(
          {{"name", layer.name},
           {"kind", network::to_text(layer.kind)},
           {"output",
            shape.is_flat ? ordered_json{shape.channels} : ordered_json{shape.channels, shape.height, shape.width}},
           {"parameters", layer.trainable_parameters() + layer.buffers()},
           {"multiply_adds", layer.multiply_adds()}});
    }
    terminal.result(network::summary_table(graph), json.dump(2) + "\n");
  }
};

class DoctorCommand final : public ComputingCommand<DoctorCommand> {
 public:
  int compute(const Call& call) {
    const runtime::Environment environment = runtime::measured_environment();
    call.terminal.result(runtime::doctor_text(environment), runtime::environment_json(environment));
    return environment.blas_is_slow || !environment.blas_is_right ? 1 : 0;
  }
};

/// A bench that needs no words of its own.
template <class Self>
class BenchCommand : public ComputingCommand<Self> {
 public:
  void bind(OptionSet& options) override { bench_.bind(options); }
  int compute(const Call& call) {
    const benchmarks::BenchReport report = static_cast<Self*>(this)->measure(call.terminal);
    call.terminal.result(report.text, report.json);
    return 0;
  }

 protected:
  benchmarks::BenchOptions bench_;
};

class BenchTrainCommand final : public BenchCommand<BenchTrainCommand> {
 public:
  void bind(OptionSet& options) override {
    BenchCommand::bind(options);
    options.add(
        &bench_.machine_rates,
        {.name = "machine-rates", .help = "measure what the machine computes at most, too, and give shares of it"});
  }
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_train(bench_, listener); }
};

class BenchEvalCommand final : public BenchCommand<BenchEvalCommand> {
 public:
  void bind(OptionSet& options) override {
    BenchCommand::bind(options);
    options.add(&faces_,
                {.name = "faces",
                 .help = "number of faces; FER2013 has 7,178 that are not for training",
                 .minimum = 1,
                 .maximum = 1e7});
  }
  benchmarks::BenchReport measure(ProgressListener& listener) {
    return benchmarks::bench_eval(bench_, faces_, listener);
  }

 private:
  int64_t faces_ = 7178;
};

class BenchLatencyCommand final : public BenchCommand<BenchLatencyCommand> {
 public:
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_latency(bench_, listener); }
};

class BenchMemoryCommand final : public BenchCommand<BenchMemoryCommand> {
 public:
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_memory(bench_, listener); }
};

class BenchStartCommand final : public BenchCommand<BenchStartCommand> {
 public:
  void bind(OptionSet& options) override {
    options.group("bench");
    options.add(&runs_, {.name = "runs", .help = "starts of each program", .minimum = 1, .maximum = 1000});
    options.add(&bench_.python,
                {.name = "python", .help = "Python that has PyTorch; an empty text leaves the comparison out"});
  }
  benchmarks::BenchReport measure(ProgressListener& listener) {
    return benchmarks::bench_start(bench_, runs_, listener);
  }

 private:
  int64_t runs_ = 11;
};

class BenchExplainCommand final : public BenchCommand<BenchExplainCommand> {
 public:
  void bind(OptionSet& options) override {
    options.group("bench");
    options.add(&bench_.rounds,
                {.name = "rounds", .help = "times that everything is measured", .minimum = 1, .maximum = 100});
    options.add(
        &bench_.threads,
        {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
    options.add(&faces_,
                {.name = "faces",
                 .help = "faces for Grad-CAM; FER2013 has 7,178 that are not for training",
                 .minimum = 16,
                 .maximum = 1e6});
  }
  benchmarks::BenchReport measure(ProgressListener& listener) {
    return benchmarks::bench_explain(bench_, faces_, listener);
  }

 private:
  int64_t faces_ = 1024;
};

class BenchAllCommand final : public BenchCommand<BenchAllCommand> {
 public:
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_all(bench_, listener); }
};

class BenchScalingCommand final : public BenchCommand<BenchScalingCommand> {
 public:
  void bind(OptionSet& options) override {
    scaling_.bind(options);
    options.add(&bench_.batch_size,
                {.name = "batch-size",
                 .help = "faces per step where the batch is not what is varied",
                 .minimum = 2,
                 .maximum = 65536});
    options.add(&bench_.python, {.name = "python", .help = "Python that has PyTorch"});
    options.add(&bench_.threads,
                {.name = "threads",
                 .help = "threads where they are not what is varied, and the most of them; 0 takes all cores",
                 .minimum = 0,
                 .maximum = 1024});
  }
  std::vector<Positional> positionals() override {
    return {{"network", "a built-in network or the path of a network file", &network_}};
  }
  benchmarks::BenchReport measure(ProgressListener& listener) {
    return benchmarks::bench_scaling(network_, bench_, scaling_, listener);
  }

 private:
  std::string network_;
  benchmarks::ScalingOptions scaling_;
};

class BenchCsvCommand final : public BenchCommand<BenchCsvCommand> {
 public:
  std::vector<Positional> positionals() override { return {{"csv", "a csv of faces", &csv_}}; }
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_csv(csv_, bench_, listener); }

 private:
  std::string csv_;
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
        {"predict", "Networks", "predict a csv into id,label from weights alone", make<PredictCommand>()},
        {"eval", "Networks", "judge weights on labeled faces", make<EvalCommand>()},
        {"compare",
         "Networks",
         "are two runs different beyond chance? McNemar and paired bootstrap",
         make<CompareCommand>()},
        {"report", "Networks", "write a run's report.html again", make<ReportCommand>()},
        {"lr-find", "Networks", "look for a learning rate, with its curve", make<FindRateCommand>()},
        {"networks list", "Networks", "the built-in networks with their sizes", make<NetworksListCommand>()},
        {"networks layers",
         "Networks",
         "every layer of a network file with its keys, ranges and defaults",
         make<NetworksLayersCommand>()},
        {"networks show", "Networks", "a network's file, ready to copy and change", make<NetworksShowCommand>()},
        {"networks summary", "Networks", "layers, shapes, parameters, multiply-adds", make<NetworksSummaryCommand>()},
        {"networks twin",
         "Networks",
         "a dense network with as many parameters, as a network file",
         make<NetworksTwinCommand>()}};
    for (CommandSpec& command : import_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : explain_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : photo_commands()) commands.push_back(std::move(command));
    for (CommandSpec& command : data_commands()) commands.push_back(std::move(command));
    commands.push_back({"bench all",
                        "Measuring",
                        "training, evaluation, latency, memory and start beside PyTorch",
                        make<BenchAllCommand>()});
    commands.push_back(
        {"bench train", "Measuring", "faces/s of training beside PyTorch, in one run", make<BenchTrainCommand>()});
    commands.push_back(
        {"bench eval", "Measuring", "seconds to evaluate a test set beside PyTorch", make<BenchEvalCommand>()});
    commands.push_back(
        {"bench latency", "Measuring", "milliseconds for one face beside PyTorch", make<BenchLatencyCommand>()});
    commands.push_back(
        {"bench memory", "Measuring", "peak memory of training beside PyTorch", make<BenchMemoryCommand>()});
    commands.push_back(
        {"bench start", "Measuring", "milliseconds that the program takes to start", make<BenchStartCommand>()});
    commands.push_back({"bench explain",
                        "Measuring",
                        "seconds of explanations beside bare passes and a plain loop",
                        make<BenchExplainCommand>()});
    commands.push_back({"bench scaling",
                        "Measuring",
                        "how the cost grows with batch, threads, image, width and data",
                        make<BenchScalingCommand>()});
    commands.push_back(
        {"bench csv", "Measuring", "MB/s of reading a csv beside pandas + numpy", make<BenchCsvCommand>()});
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
