#include "mien/runs/compare_runs.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/evaluation/compare.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/runs/evaluate_run.h"

namespace mien::runs {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

fs::path predictions_file(const fs::path& folder, const std::string& part) {
  return folder / fmt::format("predictions_{}.csv", part);
}

bool has(const fs::path& folder, const std::string& part) { return fs::exists(predictions_file(folder, part)); }

/// Which predictions of two folders are compared.
std::pair<std::string, std::string> parts_of(const fs::path& first, const fs::path& second, const std::string& part) {
  if (part != "auto") {
    if (has(first, part) && has(second, part)) return {part, part};
    throw_bad_data(
        fmt::format("cannot compare {} and {}: no predictions_{}.csv in both", first.string(), second.string(), part),
        "name two folders that `mien train` finished, or that `mien eval` wrote");
  }
  const auto of_test = [](const fs::path& folder) -> std::string {
    for (const char* name : {"public_test", "vote", "eval"}) {
      if (has(folder, name)) return name;
    }
    return "";
  };
  if (const std::string a = of_test(first), b = of_test(second); !a.empty() && !b.empty()) return {a, b};
  const auto of_any = [&](const fs::path& folder) -> std::string {
    return has(folder, "val") ? "val" : of_test(folder);
  };
  const std::string a = of_any(first);
  const std::string b = of_any(second);
  if (a.empty() || b.empty()) {
    throw_bad_data(fmt::format("cannot compare {} and {}: {} has no predictions of labeled faces",
                               first.string(),
                               second.string(),
                               (a.empty() ? first : second).string()),
                   "name two folders that `mien train` finished, or that `mien eval` wrote");
  }
  return {a, b};
}

/// A fact of the metrics beside predictions; empty where they do not say.
std::string metrics_fact(const fs::path& folder, const std::string& part, const char* key) {
  const fs::path file = folder / part_file("metrics", ".json", part);
  if (!fs::exists(file)) return "";
  const auto json = nlohmann::json::parse(read_text(file, 1 << 24), nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
}

}  // namespace

ComparisonText compare_runs(const fs::path& first,
                            const fs::path& second,
                            const std::string& part,
                            const std::string& labels) {
  for (const auto& folder : {first, second}) {
    if (!fs::is_directory(folder))
      throw_bad_data(fmt::format("cannot compare {}: there is no such folder", folder.string()));
  }
  const auto [first_part, second_part] = parts_of(first, second, part);
  const std::string first_data = metrics_fact(first, first_part, "data_checksum");
  const std::string second_data = metrics_fact(second, second_part, "data_checksum");
  if (!first_data.empty() && !second_data.empty() && first_data != second_data) {
    throw_bad_data(
        fmt::format("cannot compare {} and {}: they were judged on different data", first.string(), second.string()),
        "`mien eval RUN DATA` judges each on the same data");
  }
  const evaluation::SharedFaces shared =
      evaluation::shared_faces(evaluation::read_predictions_csv(predictions_file(first, first_part)),
                               evaluation::read_predictions_csv(predictions_file(second, second_part)),
                               labels == "second",
                               first.string(),
                               second.string());
  const auto comparison =
      evaluation::compare(shared.first, shared.second, {.first_name = first.string(), .second_name = second.string()});
  ComparisonText result{.text = evaluation::comparison_text(comparison), .json = {}};
  const int64_t count = shared.first.size();
  if (count < shared.first_count || count < shared.second_count) {
    result.text = fmt::format("{} faces were judged by both ({} by the first, {} by the second)\n",
                              with_commas(count),
                              with_commas(shared.first_count),
                              with_commas(shared.second_count)) +
                  result.text;
  }
  const auto labels_name = [](const std::string& source) {
    return source.empty() ? std::string("the data's own") : source;
  };
  const std::string first_labels = metrics_fact(first, first_part, "labels");
  const std::string second_labels = metrics_fact(second, second_part, "labels");
  if (shared.relabeled > 0) {
    result.text = fmt::format(
                      "{} of them are labeled differently; both are judged by the labels of the {} ({}); "
                      "--labels {} takes the others\n",
                      with_commas(shared.relabeled),
                      labels,
                      labels_name(labels == "second" ? second_labels : first_labels),
                      labels == "second" ? "first" : "second") +
                  result.text;
  }
  ordered_json json = ordered_json::parse(evaluation::comparison_json(comparison));
  json["first_count"] = shared.first_count;
  json["second_count"] = shared.second_count;
  json["labeled_differently"] = shared.relabeled;
  json["labels"] = labels;
  result.json = json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  return result;
}

}  // namespace mien::runs
