#include "mien/runs/run_summary.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/report/history_csv.h"

namespace mien::runs {

const evaluation::Metrics* RunSummary::judged() const {
  if (test_metrics) return &*test_metrics;
  return validation_metrics ? &*validation_metrics : nullptr;
}

std::vector<DrawnPicture> read_figures(const std::filesystem::path& run_folder) {
  const auto file = run_folder / "explain" / "figures.json";
  if (!std::filesystem::exists(file)) return {};
  const auto json = nlohmann::json::parse(read_text(file, 1 << 24), nullptr, /*allow_exceptions=*/false);
  std::vector<DrawnPicture> pictures;
  if (!json.is_object() || !json.contains("figures"))
    throw_bad_data(fmt::format("cannot read {}: it is no list of figures", file.string()),
                   "remove it and start the recipe again");
  for (const auto& entry : json["figures"]) {
    pictures.push_back(
        {run_folder / "explain" / entry.value("file", std::string()), entry.value("caption", std::string())});
  }
  return pictures;
}

RunSummary read_run(const std::filesystem::path& folder) {
  const auto file = folder / "run.json";
  if (!std::filesystem::exists(file)) {
    throw_bad_data(fmt::format("{} is no run folder: it has no run.json", folder.string()),
                   "name a folder that `mien train` or `mien run` made");
  }
  std::string labels;
  RunSummary run{.folder = folder, .name = std::filesystem::weakly_canonical(folder).filename().string()};
  try {
    const auto json = nlohmann::json::parse(read_text(file, 1 << 24));
    const auto& facts = json.at("facts");
    if (!facts.contains("best_epoch")) {
      throw_bad_data(
          fmt::format(
              "the run in {} has not finished (status {})", folder.string(), json.at("status").get<std::string>()),
          "start it again: it goes on where it stopped");
    }
    run.network = facts.at("network").get<std::string>();
    run.data = facts.at("data").at("source").get<std::string>();
    run.split = facts.at("split").get<std::string>();
    run.leaks = facts.at("leaks").get<std::string>();
    run.test_name = facts.value("test_name", std::string("PublicTest"));
    labels = facts.at("data").value("labels", std::string());
    run.stop_reason = facts.at("stop_reason").get<std::string>();
    run.seed = facts.at("seed").get<int64_t>();
    run.trainable_parameters = facts.at("parameters").at("trainable").get<int64_t>();
    run.total_parameters = facts.at("parameters").at("total").get<int64_t>();
    run.best_epoch = facts.at("best_epoch").get<int64_t>();
    run.seconds = facts.at("seconds").get<double>();
    run.faces_per_second = facts.at("faces_per_second").get<double>();
  } catch (const nlohmann::json::exception& error) {
    throw_bad_data(fmt::format("cannot read {}: {}", file.string(), error.what()));
  }
  run.history = report::read_history_csv(folder / "results.csv");
  const auto read_part = [&](const char* name, auto& predictions, auto& metrics) {
    const auto path = folder / fmt::format("predictions_{}.csv", name);
    if (!std::filesystem::exists(path)) return;
    predictions = evaluation::read_predictions_csv(path);
    metrics = evaluation::compute_metrics(*predictions);
    metrics->label_source = labels;
  };
  read_part("val", run.validation, run.validation_metrics);
  read_part("public_test", run.test, run.test_metrics);
  return run;
}

}  // namespace mien::runs
