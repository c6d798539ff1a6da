#include "mien/explain/faithfulness/method_evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/explain/layers.h"
#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

using nlohmann::ordered_json;

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

MeasuredMean mean_of(const std::vector<double>& values, uint64_t seed) {
  std::vector<double> defined;
  for (const double value : values) {
    if (std::isfinite(value)) defined.push_back(value);
  }
  if (defined.empty()) return {.mean = kNotANumber, .interval = {kNotANumber, kNotANumber}, .count = 0};
  const auto count = static_cast<int64_t>(defined.size());
  double sum = 0;
  for (const double value : defined) sum += value;
  const auto mean_of_resample = [&defined](std::span<const int64_t> indices) {
    double total = 0;
    for (const int64_t index : indices) total += defined[static_cast<size_t>(index)];
    return total / static_cast<double>(indices.size());
  };
  return {.mean = sum / static_cast<double>(count),
          .interval = evaluation::bootstrap_interval(count, mean_of_resample, 0.95, 1000, seed),
          .count = count};
}

MethodRow row_of(const MethodSpec& spec,
                 const AttributionRequest& request,
                 const at::Tensor& evidence,
                 const MethodOptions& options,
                 const FaithfulnessOptions& how) {
  MethodRow row{.method = spec.name, .family = spec.family};
  const auto start = std::chrono::steady_clock::now();
  const Attributions maps = spec.explain(request, options);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  row.seconds_per_face = spent.count() / static_cast<double>(request.images.size(0));
  if (maps.layer >= 0) row.layer = layer_text(request.network.graph(), maps.layer);
  row.faces = measure(spec, request, maps.values, evidence, options, how);
  for (const std::string& problem : row.faces.problems) {
    if (!problem.empty()) ++row.problems[problem];
  }
  for (const auto& [name, values] : row.faces.values) {
    row.means[name] = mean_of(values, static_cast<uint64_t>(options.seed));
  }
  return row;
}

bool has_measure(const MethodEvaluation& evaluation, const std::string& name) {
  return std::any_of(evaluation.rows.begin(), evaluation.rows.end(), [&](const MethodRow& row) {
    const auto found = row.means.find(name);
    return found != row.means.end() && found->second.count > 0;
  });
}

double mean_or_least(const MethodRow& row, const std::string& name) {
  const auto found = row.means.find(name);
  return found == row.means.end() || found->second.count == 0 ? -1e300 : found->second.mean;
}

std::string problems_text(const MethodRow& row) {
  std::vector<std::string> parts;
  for (const auto& [problem, count] : row.problems) parts.push_back(fmt::format("{} {}", count, problem));
  return join(parts, "; ");
}

std::string cell(const MethodRow& row, const std::string& measure) {
  const auto found = row.means.find(measure);
  if (found == row.means.end() || found->second.count == 0) return "-";
  const MeasuredMean& mean = found->second;
  return fmt::format("{:.3f}+-{:.3f}", mean.mean, (mean.interval.high - mean.interval.low) / 2);
}

/// As JSON has no NaN.
ordered_json number(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr); }

ordered_json numbers(const std::vector<double>& values) {
  ordered_json list = ordered_json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

std::string csv_number(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : ""; }

}  // namespace

MethodEvaluation evaluate_methods(std::span<const MethodSpec> methods,
                                  const AttributionRequest& request,
                                  const at::Tensor& evidence,
                                  const MethodOptions& options,
                                  const FaithfulnessOptions& how,
                                  ProgressListener& listener) {
  MethodEvaluation result{.rows = {}, .skipped = {}, .faces = request.images.size(0), .chance = kNotANumber};
  if (evidence.defined()) {
    const at::Tensor shares = evidence.ne(0).to(at::kDouble).mean({1, 2});
    const at::Tensor drawn = shares.masked_select(shares > 0);
    if (drawn.numel() > 0) result.chance = drawn.mean().item<double>();
  }
  const network::Graph& graph = request.network.graph();
  int64_t done = 0;
  for (const MethodSpec& spec : methods) {
    if (listener.stop_requested())
      throw Error(ErrorCode::interrupted, fmt::format("stopped before {}, after {} methods", spec.name, done));
    listener.progress("methods", done++, static_cast<int64_t>(methods.size()), spec.name);
    if (const std::string why = spec.unsupported_reason ? spec.unsupported_reason(graph) : std::string();
        !why.empty()) {
      result.skipped.emplace_back(spec.name, why);
      continue;
    }
    result.rows.push_back(row_of(spec, request, evidence, options, how));
    const MethodRow& row = result.rows.back();
    if (!row.problems.empty()) {
      listener.warning(fmt::format("{}: of {} maps, {}", spec.name, result.faces, problems_text(row)));
    }
  }
  listener.progress("methods", done, static_cast<int64_t>(methods.size()), "");
  const std::string key = has_measure(result, "mass-accuracy") ? "mass-accuracy" : "insertion-auc";
  std::stable_sort(result.rows.begin(), result.rows.end(), [&key](const MethodRow& a, const MethodRow& b) {
    return mean_or_least(a, key) > mean_or_least(b, key);
  });
  return result;
}

std::string evaluation_text(const MethodEvaluation& evaluation) {
  size_t name_width = 6;
  for (const MethodRow& row : evaluation.rows) name_width = std::max(name_width, row.method.size());
  std::string text = fmt::format("{:<{}}", "method", name_width);
  std::string legend;
  for (const MeasureSpec& measure : measures()) {
    if (!has_measure(evaluation, measure.name)) continue;
    text += fmt::format("  {:>13}", measure.title);
    const char* better = measure.better > 0 ? " (larger is better)" : measure.better < 0 ? " (smaller is better)" : "";
    legend += fmt::format("{:<11}  {}{}. {}\n", measure.title, measure.summary, better, measure.source);
  }
  text += fmt::format("  {:>8}\n", "ms/face");
  for (const MethodRow& row : evaluation.rows) {
    text += fmt::format("{:<{}}", row.method, name_width);
    for (const MeasureSpec& measure : measures()) {
      if (has_measure(evaluation, measure.name)) text += fmt::format("  {:>13}", cell(row, measure.name));
    }
    text += fmt::format("  {:>8.2f}\n", row.seconds_per_face * 1000);
  }
  text +=
      fmt::format("\n{} faces; +- is half the 95 % interval (bootstrap over faces)\n", with_commas(evaluation.faces));
  if (std::isfinite(evaluation.chance)) {
    text += fmt::format("a map that knows nothing gets {:.3f} in mass, rank and pointing\n", evaluation.chance);
  }
  text += legend;
  for (const MethodRow& row : evaluation.rows) {
    if (!row.problems.empty())
      text += fmt::format("{}: of {} maps, {}\n", row.method, evaluation.faces, problems_text(row));
  }
  for (const auto& [method, why] : evaluation.skipped) text += fmt::format("{}: {}\n", method, why);
  return text;
}

std::string evaluation_csv(const MethodEvaluation& evaluation) {
  std::string text = "method,family,layer,faces,problems,seconds_per_face";
  for (const MeasureSpec& measure : measures()) text += fmt::format(",{0},{0}_low,{0}_high", measure.name);
  text += '\n';
  for (const MethodRow& row : evaluation.rows) {
    int64_t problems = 0;
    for (const auto& [problem, count] : row.problems) problems += count;
    text += fmt::format("{},{},{},{},{},{}",
                        row.method,
                        to_text(row.family),
                        row.layer,
                        evaluation.faces,
                        problems,
                        csv_number(row.seconds_per_face));
    for (const MeasureSpec& measure : measures()) {
      const auto found = row.means.find(measure.name);
      if (found == row.means.end()) {
        text += ",,,";
        continue;
      }
      const MeasuredMean& mean = found->second;
      text += fmt::format(
          ",{},{},{}", csv_number(mean.mean), csv_number(mean.interval.low), csv_number(mean.interval.high));
    }
    text += '\n';
  }
  return text;
}

std::string evaluation_json(const MethodEvaluation& evaluation) {
  ordered_json document;
  document["faces"] = evaluation.faces;
  document["chance"] = number(evaluation.chance);
  document["measures"] = ordered_json::array();
  for (const MeasureSpec& measure : measures()) {
    if (!has_measure(evaluation, measure.name)) continue;
    document["measures"].push_back(
        {{"name", measure.name}, {"summary", measure.summary}, {"better", measure.better}, {"source", measure.source}});
  }
  document["methods"] = ordered_json::array();
  for (const MethodRow& row : evaluation.rows) {
    ordered_json entry;
    entry["method"] = row.method;
    entry["family"] = to_text(row.family);
    entry["layer"] = row.layer.empty() ? ordered_json(nullptr) : ordered_json(row.layer);
    entry["seconds_per_face"] = number(row.seconds_per_face);
    entry["problems"] = ordered_json::object();
    for (const auto& [problem, count] : row.problems) entry["problems"][problem] = count;
    for (const MeasureSpec& measure : measures()) {
      const auto found = row.means.find(measure.name);
      if (found == row.means.end()) continue;
      const MeasuredMean& mean = found->second;
      entry[measure.name] = {{"mean", number(mean.mean)},
                             {"interval", numbers({mean.interval.low, mean.interval.high})},
                             {"faces", mean.count}};
    }
    entry["curves"] = {{"shares", numbers(row.faces.curves.shares)},
                       {"deletion", numbers(mean_curve(row.faces.curves.deletion))},
                       {"insertion", numbers(mean_curve(row.faces.curves.insertion))}};
    const Randomization& check = row.faces.randomization;
    entry["randomized"] = {{"layers", check.layers},
                           {"rank_correlation", numbers(check.rank_correlation)},
                           {"structural_similarity", numbers(check.similarity)}};
    document["methods"].push_back(std::move(entry));
  }
  document["skipped"] = ordered_json::object();
  for (const auto& [method, why] : evaluation.skipped) document["skipped"][method] = why;
  return document.dump(2) + "\n";
}

}  // namespace mien::explain
