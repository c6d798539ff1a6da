#include "mien/cli/model_commands.h"

#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/safetensors.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/network/shipped.h"
#include "mien/recipes/sweep.h"
#include "mien/runs/audit_run.h"
#include "mien/runs/pack_run.h"

namespace mien::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kInterrupted = 130;

class SweepCommand final : public ComputingCommand<SweepCommand> {
 public:
  void bind(OptionSet& options) override {
    options.group("sweep");
    options.add(&project_, {.name = "project", .help = "folder that the sweep's folder is made in"});
    options.add(
        &threads_,
        {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
  }
  std::vector<Positional> positionals() override {
    return {{"file", "a TOML file with the tables sweep, options and values (docs/recipes.md)", &file_}};
  }
  int compute(const Call& call) {
    const auto outcome = recipes::run_sweep(recipes::load_sweep(file_), project_, call.terminal);
    if (!outcome) return kInterrupted;
    call.terminal.result(outcome->text, outcome->json);
    return 0;
  }

 private:
  std::string file_;
  std::string project_ = "runs/sweep";
  int64_t threads_ = 0;
};

class AuditCommand final : public ComputingCommand<AuditCommand> {
 public:
  AuditCommand() { experiment_.run.project = "runs/audit"; }
  void bind(OptionSet& options) override {
    audit_.bind(options);
    experiment_.bind(options);
    for (const char* own : {"validation", "drop-leaks", "keep", "members", "vote", "holdout", "test-data", "calibrate"})
      options.remove(own);  // the folds decide them
  }
  int compute(const Call& call) {
    const auto outcome = runs::audit_task(experiment_, call.options, audit_, call.terminal);
    if (!outcome) return kInterrupted;
    call.terminal.result(outcome->text, outcome->json);
    return 0;
  }

 private:
  runs::AuditOptions audit_;
  runs::Experiment experiment_;
};

class CalibrateCommand final : public ComputingCommand<CalibrateCommand> {
 public:
  void bind(OptionSet& options) override { task_.bind(options); }
  std::vector<Positional> positionals() override {
    return {{"weights", "weights file or run folder", &task_.weights},
            {"data",
             "labeled csv or folder of faces: that of the training, whose validation rows are taken",
             &task_.data.data}};
  }
  int compute(const Call& call) {
    const auto outcome = runs::calibrate_run(task_, call.terminal);
    call.terminal.result(outcome.text, outcome.json);
    return 0;
  }

 private:
  runs::CalibrateOptions task_;
};

class PackCommand final : public ComputingCommand<PackCommand> {
 public:
  void bind(OptionSet& options) override { task_.bind(options); }
  std::vector<Positional> positionals() override {
    return {{"run", "run folder or weights file", &task_.run}, {"data", "the data of the training", &task_.data.data}};
  }
  int compute(const Call& call) {
    const std::string file = runs::pack_run(task_, call.terminal).string();
    if (call.terminal.machine_readable()) call.terminal.result("", ordered_json{{"file", file}}.dump() + "\n");
    return 0;
  }

 private:
  runs::PackOptions task_;
};

class ModelsCommand final : public Command {
 public:
  void bind(OptionSet& options) override {
    options.group("models");
    options.add(&card_, {.name = "card", .help = "name of a model whose card is shown instead"});
  }
  int run(const Call& call) override {
    const auto models = network::shipped_models();
    if (!card_.empty()) return show(call.terminal, models);
    std::string text =
        fmt::format("{:<10} {:<12} {:>11}  {}\n", "model", "network", "parameters", "accuracy (95 % interval)");
    ordered_json json = ordered_json::array();
    for (const network::ShippedModel& model : models) {
      const SafetensorsFile file = SafetensorsFile::open(model.weights);
      const auto fact = [&](const char* key) {
        const auto found = file.metadata().find(key);
        return found == file.metadata().end() ? std::string() : found->second;
      };
      const network::Graph graph = network::parse_graph(fact("mien.network"), model.weights.string());
      text += fmt::format("{:<10} {:<12} {:>11}  {}\n",
                          model.name,
                          graph.name,
                          with_commas(graph.total_parameters()),
                          fact("mien.summary"));
      json.push_back({{"name", model.name},
                      {"network", graph.name},
                      {"parameters", graph.total_parameters()},
                      {"summary", fact("mien.summary")},
                      {"weights", model.weights.string()},
                      {"card", model.card.string()}});
    }
    if (models.empty()) text = "no weights ship with this build\n";
    call.terminal.result(text, json.dump(2) + "\n");
    return 0;
  }

 private:
  int show(Terminal& terminal, const std::vector<network::ShippedModel>& models) const {
    std::vector<std::string> names;
    for (const network::ShippedModel& model : models) {
      names.push_back(model.name);
      if (model.name != card_) continue;
      const std::string text = read_text(model.card);
      terminal.result(text, ordered_json{{"name", card_}, {"card", text}}.dump() + "\n");
      return 0;
    }
    throw_usage(fmt::format("--card: no model is called {}", quote_sample(card_)), suggestion(card_, names));
  }

  std::string card_;
};

template <class T>
CommandSpec command(const char* name, const char* summary) {
  return {name, "Networks", summary, [] { return std::make_unique<T>(); }};
}

}  // namespace

std::vector<CommandSpec> model_commands() {
  return {command<SweepCommand>("sweep", "train every combination of option lists, or some, into one table"),
          command<AuditCommand>("audit", "look for wrong labels with networks that have not seen the faces"),
          command<CalibrateCommand>("calibrate", "fit a temperature to weights, so that their probabilities hold"),
          command<PackCommand>("pack", "weights with a card that says what they are and how well they do"),
          command<ModelsCommand>("models", "the weights that come with the program")};
}

}  // namespace mien::cli
