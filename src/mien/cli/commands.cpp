#include <filesystem>
#include <numeric>

#include <fmt/format.h>

#include "mien/app/bench_task.h"
#include "mien/app/environment.h"
#include "mien/app/experiment.h"
#include "mien/app/recipe.h"
#include "mien/app/run_page.h"
#include "mien/app/train_task.h"
#include "mien/app/weights_tasks.h"
#include "mien/cli/command.h"
#include "mien/cli/data_commands.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/network/graph.h"

namespace mien::cli {
namespace {

constexpr int kInterrupted = 130;

void warn_of_slow_blas(Terminal& terminal) {
  const std::string warning = app::blas_warning(app::measured_environment());
  if (!warning.empty()) terminal.warning(warning);
}

int finished(const Call& call, const std::optional<std::filesystem::path>& folder) {
  if (!folder) return kInterrupted;
  if (call.terminal.machine_readable()) call.terminal.result("", fmt::format("{{\"folder\": \"{}\"}}", folder->string()));
  return 0;
}

class TrainCommand final : public Command {
 public:
  void bind(OptionSet& options) override { experiment_.bind(options); }
  int run(const Call& call) override {
    if (call.print_config) {
      call.terminal.result(call.options.to_toml(), "");
      return 0;
    }
    warn_of_slow_blas(call.terminal);
    return finished(call, app::train_task(experiment_, call.options, call.terminal));
  }

 private:
  app::Experiment experiment_;
};

/// `mien run RECIPE` and `mien demo`.
class RunCommand final : public Command {
 public:
  explicit RunCommand(std::string recipe = {}) : recipe_(std::move(recipe)), is_fixed_(!recipe_.empty()) {}
  void bind(OptionSet& options) override {
    experiment_.bind(options);
    options.group("recipe");
    options.add(&only_, {.name = "only", .help = "names of the recipe's runs to carry out; the default is all"});
  }
  std::vector<Positional> positionals() override {
    if (is_fixed_) return {};
    return {{"recipe", "a built-in recipe (`mien run list` names them) or a recipe file ending in .toml", &recipe_}};
  }
  int run(const Call& call) override {
    if (recipe_ == "list") {
      std::string text;
      for (const auto& recipe : app::builtin_recipes()) text += fmt::format("{:<20} {} ({})\n", recipe.name, recipe.title, recipe.source);
      call.terminal.result(text, "");
      return 0;
    }
    const app::Recipe recipe = app::load_recipe(recipe_);
    std::vector<app::Override> overrides;
    for (const app::Override& setting : call.overrides) {
      if (setting.name != "only") overrides.push_back(setting);
    }
    if (call.print_config) {
      for (const app::RecipeRun& run : recipe.runs) {
        app::Experiment experiment;
        OptionSet options;
        experiment.bind(options);
        app::apply_recipe(recipe, run, overrides, options);
        call.terminal.result(fmt::format("# run {}\n{}\n", run.name, options.to_toml()), "");
      }
      return 0;
    }
    warn_of_slow_blas(call.terminal);
    return finished(call, app::run_recipe(recipe, overrides, only_, call.terminal));
  }

 private:
  std::string recipe_;
  bool is_fixed_;
  app::Experiment experiment_;
  std::vector<std::string> only_;
};

class PredictCommand final : public Command {
 public:
  void bind(OptionSet& options) override { task_.bind_predict(options); }
  std::vector<Positional> positionals() override {
    return {{"weights", "weights file or run folder; several, separated by commas, vote", &weights_}, {"data", "csv or folder of faces", &task_.data}};
  }
  int run(const Call& call) override {
    task_.weights = split(weights_, ',');
    const int64_t count = app::predict_task(task_, call.terminal);
    if (call.terminal.machine_readable()) call.terminal.result("", fmt::format("{{\"faces\": {}, \"file\": \"{}\"}}", count, task_.out));
    return 0;
  }

 private:
  std::string weights_;
  app::PredictTaskOptions task_;
};

class EvalCommand final : public Command {
 public:
  EvalCommand() { task_.out = "runs/eval"; }
  void bind(OptionSet& options) override {
    task_.bind_eval(options);
    judge_.bind(options);
  }
  std::vector<Positional> positionals() override {
    return {{"weights", "weights file or run folder; several, separated by commas, vote", &weights_}, {"data", "labelled csv or folder of faces", &task_.data}};
  }
  int run(const Call& call) override {
    task_.weights = split(weights_, ',');
    const auto metrics = app::eval_task(task_, judge_, call.terminal);
    call.terminal.result(evaluation::metrics_text(metrics) + fmt::format("pictures and tables: {}\n", task_.out), evaluation::metrics_json(metrics));
    return 0;
  }

 private:
  std::string weights_;
  app::PredictTaskOptions task_;
  app::JudgeOptions judge_;
};

class CompareCommand final : public Command {
 public:
  void bind(OptionSet& options) override {
    options.group("compare");
    options.add(&part_, {.name = "part", .help = "which predictions to compare; the default is PublicTest if both runs have it", .choices = {"", "val", "public_test", "vote"}});
  }
  std::vector<Positional> positionals() override {
    return {{"first", "a run folder", &first_}, {"second", "another run folder, judged on the same rows", &second_}};
  }
  int run(const Call& call) override {
    const auto comparison = app::compare_task(first_, second_, part_);
    call.terminal.result(comparison.text, comparison.json);
    return 0;
  }

 private:
  std::string first_, second_, part_;
};

class ReportCommand final : public Command {
 public:
  std::vector<Positional> positionals() override { return {{"folder", "a finished run folder", &folder_}}; }
  int run(const Call& call) override {
    app::write_run_page(app::read_run(folder_), call.terminal);
    call.terminal.result(fmt::format("report: {}/report.html", folder_), fmt::format("{{\"report\": \"{}/report.html\"}}", folder_));
    return 0;
  }

 private:
  std::string folder_;
};

class FindRateCommand final : public Command {
 public:
  FindRateCommand() { experiment_.run.project = "runs/learning-rate"; }
  void bind(OptionSet& options) override { experiment_.bind(options); }
  int run(const Call& call) override {
    const double rate = app::find_learning_rate_task(experiment_, experiment_.run.project, call.terminal);
    if (call.terminal.machine_readable()) call.terminal.result("", fmt::format("{{\"lr\": {}}}", format_double(rate)));
    return 0;
  }

 private:
  app::Experiment experiment_;
};

class NetworksListCommand final : public Command {
 public:
  int run(const Call& call) override {
    std::string text = fmt::format("{:<16} {:>12} {:>12} {:>15}  {}\n", "network", "parameters", "trainable", "multiply-adds", "source");
    std::string json;
    for (const auto& entry : network::builtin_networks()) {
      const network::Graph graph = network::load_graph(entry.name);
      text += fmt::format("{:<16} {:>12} {:>12} {:>15}  {}\n", entry.name, with_commas(graph.total_parameters()), with_commas(graph.trainable_parameters()),
                          with_commas(graph.multiply_adds()), entry.source);
      json += fmt::format("{}  {{\"name\": \"{}\", \"parameters\": {}, \"trainable\": {}, \"multiply_adds\": {}}}", json.empty() ? "" : ",\n", entry.name,
                          graph.total_parameters(), graph.trainable_parameters(), graph.multiply_adds());
    }
    call.terminal.result(text, "[\n" + json + "\n]\n");
    return 0;
  }
};

/// `networks show`, `summary` and `twin`: a network in, a text out.
class NetworkTextCommand final : public Command {
 public:
  using Function = std::string (*)(const network::Graph&);
  explicit NetworkTextCommand(Function text) : text_(text) {}
  std::vector<Positional> positionals() override { return {{"network", "a built-in network or the path of a network file", &name_}}; }
  int run(const Call& call) override {
    call.terminal.result(text_(network::load_graph(name_)), "");
    return 0;
  }

 private:
  Function text_;
  std::string name_;
};

class DoctorCommand final : public Command {
 public:
  int run(const Call& call) override {
    const app::Environment environment = app::measured_environment();
    call.terminal.result(app::doctor_text(environment), app::environment_json(environment));
    return environment.blas_is_slow ? 1 : 0;
  }
};

class BenchTrainCommand final : public Command {
 public:
  void bind(OptionSet& options) override { bench_.bind(options); }
  int run(const Call& call) override {
    const auto result = app::bench_train(bench_, call.terminal);
    call.terminal.result(app::bench_text(result), app::bench_json(result));
    return 0;
  }

 private:
  app::BenchOptions bench_;
};

class BenchCsvCommand final : public Command {
 public:
  void bind(OptionSet& options) override { bench_.bind(options); }
  std::vector<Positional> positionals() override { return {{"csv", "a csv of faces", &csv_}}; }
  int run(const Call& call) override {
    const auto r = app::bench_csv(csv_, bench_, call.terminal);
    std::string text = fmt::format("{:.1f} MB in {:.3f} s: {:.0f} MB/s", r.megabytes, r.mien_seconds, r.megabytes / r.mien_seconds);
    if (r.pandas_seconds > 0) text += fmt::format("; pandas + numpy {:.2f} s, {:.0f} times as long", r.pandas_seconds, r.pandas_seconds / r.mien_seconds);
    call.terminal.result(text, fmt::format("{{\"megabytes\": {}, \"mien_seconds\": {}, \"pandas_seconds\": {}}}", r.megabytes, r.mien_seconds, r.pandas_seconds));
    return 0;
  }

 private:
  std::string csv_;
  app::BenchOptions bench_;
};

class ReferenceCommand final : public Command {
 public:
  int run(const Call& call) override {
    call.terminal.result(command_reference(), "");
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
        {"demo", "Start here", "train and judge two networks on drawn faces; needs no data, takes minutes", make<RunCommand>(std::string("demo"))},
        {"run", "Start here", "carry out a recipe from csv to report; `mien run list` names the recipes", make<RunCommand>()},
        {"doctor", "Start here", "versions, threads, BLAS speed, GPU, what is built in", make<DoctorCommand>()},
        {"train", "Networks", "train one network, or with --members an ensemble, and judge it", make<TrainCommand>()},
        {"predict", "Networks", "predict a csv into id,label from weights alone", make<PredictCommand>()},
        {"eval", "Networks", "judge weights on labelled faces", make<EvalCommand>()},
        {"compare", "Networks", "are two runs different beyond chance? McNemar and paired bootstrap", make<CompareCommand>()},
        {"report", "Networks", "write a run's report.html again", make<ReportCommand>()},
        {"lr-find", "Networks", "look for a learning rate, with its curve", make<FindRateCommand>()},
        {"networks list", "Networks", "the built-in networks with their sizes", make<NetworksListCommand>()},
        {"networks show", "Networks", "a network's file, ready to copy and change",
         make<NetworkTextCommand>(+[](const network::Graph& graph) { return graph.toml; })},
        {"networks summary", "Networks", "layers, shapes, parameters, multiply-adds",
         make<NetworkTextCommand>(+[](const network::Graph& graph) { return network::summary_table(graph) + "\n" + network::shape_table(graph); })},
        {"networks twin", "Networks", "a dense network with as many parameters, as a network file", make<NetworkTextCommand>(&network::dense_twin_toml)}};
    for (CommandSpec& command : data_commands()) commands.push_back(std::move(command));
    commands.push_back({"bench train", "Measuring", "faces/s of training beside PyTorch, in one run", make<BenchTrainCommand>()});
    commands.push_back({"bench csv", "Measuring", "MB/s of reading a csv beside pandas + numpy", make<BenchCsvCommand>()});
    commands.push_back({"reference", "Measuring", "this command reference as Markdown (docs/cli.md)", make<ReferenceCommand>()});
    return commands;
  }();
  return table;
}

std::string command_reference() {
  std::string text =
      "# Commands\n\nWritten by `mien reference` from the declarations in the program. Every option is a flag `--name`, a key of recipes and of\n"
      "`--config` files. Every command also takes `--json` (result as JSON) and, if it has options, `--config FILE` and `--print-config`.\n";
  for (const CommandSpec& spec : command_table()) {
    const auto command = spec.make();
    text += fmt::format("\n## mien {}\n{}.\n", spec.name, spec.summary);
    for (const Positional& word : command->positionals()) text += fmt::format("- `{}`: {}\n", word.name, word.help);
    OptionSet options;
    command->bind(options);
    if (options.entries().empty()) continue;
    if (spec.name == "demo" || spec.name == "run" || spec.name == "lr-find") {
      text += "\nOptions: those of `mien train`";
      text += spec.name == "lr-find" ? ".\n" : ", and `--only` (names of the recipe's runs to carry out).\n";
      continue;
    }
    text += "\n| option | meaning | accepted | default |\n|---|---|---|---|\n";
    for (const OptionSet::Entry& entry : options.entries()) {
      std::string meaning = entry.spec.help;
      if (!entry.spec.source.empty()) meaning += fmt::format(" ({})", entry.spec.source);
      text += fmt::format("| `--{}` | {} | {} | {} |\n", entry.spec.name, meaning, entry.is_flag() ? "flag" : entry.expected(),
                          entry.default_text.empty() ? "none" : "`" + entry.default_text + "`");
    }
  }
  return text;
}

}  // namespace mien::cli
