#include "mien/serve/run_list.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/report/history_csv.h"
#include "mien/runs/compare_runs.h"
#include "mien/runs/run_document.h"

namespace mien::serve {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

std::string dumped(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json rates_json(const std::string& id, const std::string& judged_on, const evaluation::Metrics& metrics) {
  const auto pair = [](const evaluation::Interval& interval) { return ordered_json{interval.low, interval.high}; };
  return {{"id", id},
          {"judged_on", judged_on},
          {"count", metrics.count},
          {"accuracy", metrics.accuracy},
          {"accuracy_interval", pair(metrics.accuracy_interval)},
          {"macro_f1", metrics.macro_f1},
          {"macro_f1_interval", pair(metrics.macro_f1_interval)},
          {"log_loss", metrics.log_loss},
          {"calibration_error", metrics.expected_calibration_error}};
}

}  // namespace

std::string run_facts(const runs::RunSummary& run) {
  ordered_json json{{"network", run.network},
                    {"data", run.data},
                    {"seed", run.seed},
                    {"parameters", run.total_parameters},
                    {"best_epoch", run.best_epoch},
                    {"seconds", run.seconds},
                    {"rates", ordered_json::array()},
                    {"history", ordered_json::parse(runs::history_json(run.history))}};
  if (run.test_metrics) json["rates"].push_back(rates_json("public_test", run.test_name, *run.test_metrics));
  if (run.validation_metrics) json["rates"].push_back(rates_json("val", "validation", *run.validation_metrics));
  return dumped(json);
}

std::string run_facts(const runs::EnsembleSummary& ensemble) {
  ordered_json json{{"network", ensemble.members.empty() ? std::string() : ensemble.members.front().network},
                    {"data", ensemble.members.empty() ? std::string() : ensemble.members.front().data},
                    {"members", ensemble.members.size()},
                    {"rates", ordered_json::array()},
                    {"history", ordered_json::array()}};
  const fs::path voted = ensemble.folder / "predictions_vote.csv";
  if (std::error_code ignored; fs::is_regular_file(voted, ignored)) {
    json["rates"].push_back(
        rates_json("vote", ensemble.judged_on, evaluation::compute_metrics(evaluation::read_predictions_csv(voted))));
  }
  return dumped(json);
}

std::string unfinished_facts(const runs::ListedRun& run) {
  ordered_json json{{"network", run.network},
                    {"data", run.data},
                    {"seed", run.seed},
                    {"rates", ordered_json::array()},
                    {"history", ordered_json::array()}};
  const fs::path file = run.folder / "results.csv";
  if (std::error_code ignored; fs::is_regular_file(file, ignored)) {
    try {
      json["history"] = ordered_json::parse(runs::history_json(report::read_history_csv(file)));
    } catch (const Error&) {  // the run shows without its curve
    }
  }
  return dumped(json);
}

std::string run_state(const fs::path& folder) {
  std::error_code ignored;
  const fs::path file = folder / "run.json";
  if (!fs::is_regular_file(file, ignored)) return "";
  const auto json = nlohmann::json::parse(read_text(file, 1 << 24), nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains("status") && json["status"].is_string() ? json["status"].get<std::string>()
                                                                                   : "";
}

std::string difference_json(const ServedRun& first, const ServedRun& second) {
  const runs::PairOfRuns pair = runs::compare_pair(first.folder, second.folder, "auto");
  ordered_json json = ordered_json::parse(evaluation::comparison_json(pair.result));
  json["first_name"] = first.name;
  json["second_name"] = second.name;
  json["first_part"] = pair.first_part;
  json["second_part"] = pair.second_part;
  json["classes"] = pair.shared.first.class_names;
  ordered_json faces{{"rows", ordered_json::array()},
                     {"labels", ordered_json::array()},
                     {"first", ordered_json::array()},
                     {"second", ordered_json::array()}};
  for (int64_t i = 0; i < pair.shared.first.size(); ++i) {
    const int32_t a = pair.shared.first.predicted(i);
    const int32_t b = pair.shared.second.predicted(i);
    if (a == b) continue;
    faces["rows"].push_back(pair.shared.first.rows[static_cast<size_t>(i)]);
    faces["labels"].push_back(pair.shared.first.labels[static_cast<size_t>(i)]);
    faces["first"].push_back(a);
    faces["second"].push_back(b);
  }
  json["differing"] = std::move(faces);
  return dumped(json);
}

}  // namespace mien::serve
