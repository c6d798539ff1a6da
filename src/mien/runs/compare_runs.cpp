#include "mien/runs/compare_runs.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/evaluation/compare.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/list_runs.h"

namespace mien::runs {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

fs::path predictions_file(const fs::path& folder, const std::string& part) {
  return folder / fmt::format("predictions_{}.csv", part);
}

bool has(const fs::path& folder, const std::string& part) { return fs::exists(predictions_file(folder, part)); }

/// Which predictions of the folders are compared, in the folders' order.
std::vector<std::string> parts_of(std::span<const fs::path> folders, const std::string& part) {
  const std::string hint = "name folders that `mien train` finished, or that `mien eval` wrote";
  if (part != "auto") {
    for (const fs::path& folder : folders) {
      if (!has(folder, part))
        throw_bad_data(fmt::format("cannot compare: {} has no predictions_{}.csv", folder.string(), part), hint);
    }
    return std::vector<std::string>(folders.size(), part);
  }
  const auto of_test = [](const fs::path& folder) -> std::string {
    for (const char* name : {"public_test", "vote", "eval"}) {
      if (has(folder, name)) return name;
    }
    return "";
  };
  const bool all_tested =
      std::all_of(folders.begin(), folders.end(), [&](const fs::path& folder) { return !of_test(folder).empty(); });
  std::vector<std::string> parts;
  for (const fs::path& folder : folders) {
    parts.push_back(!all_tested && has(folder, "val") ? "val" : of_test(folder));
    if (parts.back().empty())
      throw_bad_data(fmt::format("cannot compare {}: it has no predictions of labeled faces", folder.string()), hint);
  }
  return parts;
}

/// A fact of the metrics beside predictions; empty where they do not say.
std::string metrics_fact(const fs::path& folder, const std::string& part, const char* key) {
  const fs::path file = folder / part_file("metrics", ".json", part);
  if (!fs::exists(file)) return "";
  const auto json = nlohmann::json::parse(read_text(file, 1 << 24), nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
}

void check_folders(std::span<const fs::path> folders) {
  for (const fs::path& folder : folders) {
    if (!fs::is_directory(folder))
      throw_bad_data(fmt::format("cannot compare {}: there is no such folder", folder.string()));
  }
}

/// The predictions of each folder on the faces that all were judged on, in the order of the first.
std::vector<evaluation::Predictions> shared_by_all(std::span<const fs::path> folders,
                                                   std::span<const std::string> parts) {
  std::vector<evaluation::Predictions> all;
  std::map<int64_t, size_t> counts;
  for (size_t i = 0; i < folders.size(); ++i) {
    all.push_back(evaluation::read_predictions_csv(predictions_file(folders[i], parts[i])));
    for (const int64_t row : all.back().rows) ++counts[row];
  }
  std::vector<evaluation::Predictions> shared;
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<int64_t> positions;
    for (int64_t at = 0; at < all[i].size(); ++at) {
      if (counts[all[i].rows[static_cast<size_t>(at)]] == all.size()) positions.push_back(at);
    }
    if (positions.empty())
      throw_bad_data("cannot compare: no face was judged by all of the runs",
                     "`mien eval RUN DATA` judges each on the same data");
    evaluation::Predictions part = evaluation::select(all[i], positions);
    // Checks classes and files, and takes the order and the labels of the first.
    if (i > 0) part = evaluation::shared_faces(shared[0], part, false, folders[0].string(), folders[i].string()).second;
    shared.push_back(std::move(part));
  }
  return shared;
}

/// Runs that differ only in their seeds, at least two together, as positions.
std::vector<std::vector<size_t>> repetitions(std::span<const fs::path> folders) {
  std::map<std::string, std::vector<size_t>> of;
  for (size_t i = 0; i < folders.size(); ++i) {
    if (const std::string configuration = configuration_of(folders[i]); !configuration.empty())
      of[configuration].push_back(i);
  }
  std::vector<std::vector<size_t>> groups;
  for (const auto& [configuration, members] : of) {
    if (members.size() > 1) groups.push_back(members);
  }
  std::sort(groups.begin(), groups.end());
  return groups;
}

}  // namespace

std::vector<PairedTest> paired_tests(const std::vector<RunSummary>& runs) {
  std::vector<PairedTest> tests;
  for (size_t i = 0; i < runs.size(); ++i) {
    for (size_t j = i + 1; j < runs.size(); ++j) {
      const auto& a = runs[i].test ? runs[i].test : runs[i].validation;
      const auto& b = runs[j].test ? runs[j].test : runs[j].validation;
      if (!a || !b || a->rows != b->rows || a->labels != b->labels) continue;
      tests.push_back({i, j, evaluation::compare(*a, *b, {.first_name = runs[i].name, .second_name = runs[j].name})});
    }
  }
  return tests;
}

ComparisonText compare_all(std::span<const fs::path> folders, const std::string& part) {
  check_folders(folders);
  const std::vector<std::string> parts = parts_of(folders, part);
  const std::string data = metrics_fact(folders[0], parts[0], "data_checksum");
  for (size_t i = 1; i < folders.size(); ++i) {
    const std::string other = metrics_fact(folders[i], parts[i], "data_checksum");
    if (data.empty() || other.empty() || data == other) continue;
    throw_bad_data(
        fmt::format(
            "cannot compare {} and {}: they were judged on different data", folders[0].string(), folders[i].string()),
        "`mien eval RUN DATA` judges each on the same data");
  }
  const std::vector<evaluation::Predictions> shared = shared_by_all(folders, parts);
  size_t width = 3;
  for (const fs::path& folder : folders) width = std::max(width, folder.string().size());
  std::string text =
      fmt::format("{} runs on the {} faces that all of them were judged on\n\n{:<{}}  {:<28}  {:>8}  {}\n",
                  folders.size(),
                  with_commas(shared[0].size()),
                  "run",
                  width,
                  "accuracy (95 % interval)",
                  "macro F1",
                  "against the first (McNemar's p)");
  ordered_json json{{"faces", shared[0].size()}, {"runs", ordered_json::array()}};
  std::vector<double> rates;
  for (size_t i = 0; i < folders.size(); ++i) {
    const evaluation::Metrics metrics = evaluation::compute_metrics(shared[i], 0);
    const auto& interval = metrics.accuracy_interval;
    rates.push_back(metrics.accuracy);
    ordered_json row{{"folder", folders[i].string()},
                     {"accuracy", metrics.accuracy},
                     {"accuracy_interval", {interval.low, interval.high}},
                     {"macro_f1", metrics.macro_f1}};
    std::string against = "-";
    if (i > 0) {
      const auto comparison = evaluation::compare(
          shared[0], shared[i], {.first_name = folders[0].string(), .second_name = folders[i].string()});
      against = fmt::format("{:+.2f} (p {:.3g})", 100 * comparison.accuracy.difference, comparison.mcnemar_p_value);
      row["difference"] = comparison.accuracy.difference;
      row["mcnemar_p_value"] = comparison.mcnemar_p_value;
    }
    const std::string rate =
        fmt::format("{:.2f} % ({:.2f} to {:.2f})", 100 * metrics.accuracy, 100 * interval.low, 100 * interval.high);
    text += fmt::format("{:<{}}  {:<28}  {:>8.4f}  {}\n", folders[i].string(), width, rate, metrics.macro_f1, against);
    json["runs"].push_back(std::move(row));
  }
  json["repetitions"] = ordered_json::array();
  for (const std::vector<size_t>& group : repetitions(folders)) {
    std::vector<double> of_group;
    std::vector<std::string> names;
    for (const size_t i : group) {
      of_group.push_back(rates[i]);
      names.push_back(folders[i].string());
    }
    text +=
        fmt::format("\nthe same options, other seeds: {}\n  accuracy: {}\n", join(names, ", "), mean_text(of_group));
    json["repetitions"].push_back(
        {{"runs", names},
         {"mean_accuracy",
          std::accumulate(of_group.begin(), of_group.end(), 0.0) / static_cast<double>(of_group.size())},
         {"standard_deviation", sample_deviation(of_group)}});
  }
  return {.text = text, .json = json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n"};
}

PairOfRuns compare_pair(const fs::path& first,
                        const fs::path& second,
                        const std::string& part,
                        const std::string& labels) {
  const std::array<fs::path, 2> folders{first, second};
  check_folders(folders);
  const std::vector<std::string> parts = parts_of(folders, part);
  const std::string& first_part = parts[0];
  const std::string& second_part = parts[1];
  const std::string first_data = metrics_fact(first, first_part, "data_checksum");
  const std::string second_data = metrics_fact(second, second_part, "data_checksum");
  if (!first_data.empty() && !second_data.empty() && first_data != second_data) {
    throw_bad_data(
        fmt::format("cannot compare {} and {}: they were judged on different data", first.string(), second.string()),
        "`mien eval RUN DATA` judges each on the same data");
  }
  PairOfRuns pair{
      .first_part = first_part,
      .second_part = second_part,
      .shared = evaluation::shared_faces(evaluation::read_predictions_csv(predictions_file(first, first_part)),
                                         evaluation::read_predictions_csv(predictions_file(second, second_part)),
                                         labels == "second",
                                         first.string(),
                                         second.string()),
      .result = {}};
  pair.result = evaluation::compare(
      pair.shared.first, pair.shared.second, {.first_name = first.string(), .second_name = second.string()});
  return pair;
}

ComparisonText compare_runs(const fs::path& first,
                            const fs::path& second,
                            const std::string& part,
                            const std::string& labels) {
  const auto [first_part, second_part, shared, comparison] = compare_pair(first, second, part, labels);
  const std::array<fs::path, 2> folders{first, second};
  ComparisonText result{.text = evaluation::comparison_text(comparison), .json = {}};
  if (!repetitions(folders).empty()) {
    const double rates[] = {comparison.accuracy.first, comparison.accuracy.second};
    result.text += fmt::format("the same options, other seeds: accuracy {}\n", mean_text(rates));
  }
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
