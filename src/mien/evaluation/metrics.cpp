#include "mien/evaluation/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/parallel.h"
#include "mien/core/random.h"
#include "mien/core/text.h"
#include "mien/evaluation/class_counts.h"
#include "mien/evaluation/confusion.h"

namespace mien::evaluation {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

/// Positions of the rows that have a label.
std::vector<int64_t> labeled_rows(const Predictions& predictions) {
  std::vector<int64_t> labeled;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (predictions.is_labeled(i)) labeled.push_back(i);
  }
  return labeled;
}

size_t label_of(const Predictions& predictions, int64_t i) {
  return static_cast<size_t>(predictions.labels[static_cast<size_t>(i)]);
}

/// Whether fewer than two classes come before the label in order of falling probability, then rising index.
bool among_top_two(std::span<const double> row, size_t label) {
  int before = 0;
  for (size_t k = 0; k < row.size(); ++k) {
    if (row[k] > row[label] || (row[k] == row[label] && k < label)) ++before;
  }
  return before < 2;
}

/// Area under the curve of class `k` against the rest: the chance that a face of the class has a larger probability of
/// it than another face, ties counting one half (Mann and Whitney's U / (positives * negatives)).
double area_under_curve(const Predictions& predictions, const std::vector<int64_t>& labeled, size_t k) {
  std::vector<std::pair<double, bool>> scores;
  scores.reserve(labeled.size());
  for (const int64_t i : labeled) scores.emplace_back(predictions.probability_row(i)[k], label_of(predictions, i) == k);
  std::sort(scores.begin(), scores.end());
  double wins = 0;
  int64_t positives = 0;
  int64_t negatives = 0;
  for (size_t begin = 0; begin < scores.size();) {
    size_t end = begin;
    int64_t tied_positives = 0;
    for (; end < scores.size() && scores[end].first == scores[begin].first; ++end) tied_positives += scores[end].second;
    const auto tied_negatives = static_cast<int64_t>(end - begin) - tied_positives;
    wins += static_cast<double>(tied_positives) *
            (static_cast<double>(negatives) + 0.5 * static_cast<double>(tied_negatives));
    positives += tied_positives;
    negatives += tied_negatives;
    begin = end;
  }
  if (positives == 0 || negatives == 0) return kUndefined;
  return wins / (static_cast<double>(positives) * static_cast<double>(negatives));
}

void add_class_metrics(const Predictions& predictions, const std::vector<int64_t>& labeled, Metrics& metrics) {
  ClassCounts counts(metrics.confusion.size());
  for (size_t t = 0; t < metrics.confusion.size(); ++t) {
    for (size_t p = 0; p < metrics.confusion.size(); ++p) counts.add(t, p, metrics.confusion[t][p]);
  }
  double auc_sum = 0;
  double auc_classes = 0;
  for (size_t k = 0; k < metrics.confusion.size(); ++k) {
    ClassMetrics one;
    one.name = predictions.class_names[k];
    one.support = counts.support[k];
    one.predicted = counts.predicted[k];
    one.correct = counts.correct[k];
    one.precision = counts.precision(k);
    one.recall = counts.recall(k);
    one.f1 = counts.f1(k);
    one.recall_interval = wilson_interval(one.correct, one.support);
    one.precision_interval = wilson_interval(one.correct, one.predicted);
    one.auc = area_under_curve(predictions, labeled, k);
    if (!std::isnan(one.auc)) {
      auc_sum += one.auc;
      auc_classes += 1;
    }
    metrics.weighted_f1 += one.f1 * static_cast<double>(one.support) / static_cast<double>(metrics.count);
    metrics.classes.push_back(std::move(one));
  }
  metrics.macro_precision = counts.macro_precision();
  metrics.macro_recall = counts.macro_recall();
  metrics.macro_f1 = counts.macro_f1();
  metrics.balanced_accuracy = counts.balanced_accuracy();
  metrics.macro_auc = auc_classes > 0 ? auc_sum / auc_classes : kUndefined;
}

/// Cohen's kappa and Matthews' coefficient: how far the agreement of labels and predictions exceeds that of chance.
void add_agreement(Metrics& metrics) {
  const auto n = static_cast<double>(metrics.count);
  double correct = 0;
  double support_predicted = 0;
  double support_support = 0;
  double predicted_predicted = 0;
  for (const ClassMetrics& one : metrics.classes) {
    const auto s = static_cast<double>(one.support);
    const auto p = static_cast<double>(one.predicted);
    correct += static_cast<double>(one.correct);
    support_predicted += s * p;
    support_support += s * s;
    predicted_predicted += p * p;
  }
  const double above_chance = correct * n - support_predicted;
  metrics.kappa = support_predicted < n * n ? above_chance / (n * n - support_predicted) : kUndefined;
  const double spread = (n * n - support_support) * (n * n - predicted_predicted);
  metrics.matthews = spread > 0 ? above_chance / std::sqrt(spread) : 0;
}

/// Bootstrap intervals of what depends on the labels and the predicted classes alone.
void add_bootstrap_intervals(const Predictions& predictions,
                             const std::vector<int64_t>& labeled,
                             int64_t resamples,
                             Metrics& metrics) {
  metrics.balanced_accuracy_interval = metrics.macro_f1_interval = {kUndefined, kUndefined};
  if (resamples <= 0) return;
  std::vector<std::pair<size_t, size_t>> faces;  // label and predicted class
  faces.reserve(labeled.size());
  for (const int64_t i : labeled) {
    faces.emplace_back(label_of(predictions, i), static_cast<size_t>(predictions.predicted(i)));
  }
  std::vector<double> balanced(static_cast<size_t>(resamples));
  std::vector<double> f1(static_cast<size_t>(resamples));
  parallel_for(resamples, [&](int64_t begin, int64_t end) {
    ClassCounts counts(static_cast<size_t>(predictions.classes()));
    for (int64_t r = begin; r < end; ++r) {
      RandomStream random(0, "metrics bootstrap", static_cast<uint64_t>(r));
      counts.clear();
      for (size_t draw = 0; draw < faces.size(); ++draw) {
        const auto [truth, guess] = faces[random.below(faces.size())];
        counts.add(truth, guess);
      }
      balanced[static_cast<size_t>(r)] = counts.balanced_accuracy();
      f1[static_cast<size_t>(r)] = counts.macro_f1();
    }
  });
  metrics.balanced_accuracy_interval = percentile_interval(balanced);
  metrics.macro_f1_interval = percentile_interval(f1);
}

nlohmann::ordered_json to_json(const Interval& interval) {
  return nlohmann::ordered_json::array({interval.low, interval.high});
}

/// "0.7012 [0.6860, 0.7160]", or the rate alone where the interval is undefined.
std::string with_interval(double rate, const Interval& interval) {
  if (std::isnan(interval.low)) return fmt::format("{:.4f}", rate);
  return fmt::format("{:.4f} [{:.4f}, {:.4f}]", rate, interval.low, interval.high);
}

std::string or_undefined(double value) { return std::isnan(value) ? "undefined" : fmt::format("{:.4f}", value); }

}  // namespace

Metrics compute_metrics(const Predictions& predictions, int64_t resamples) {
  check_predictions(predictions, "cannot compute metrics");
  const std::vector<int64_t> labeled = labeled_rows(predictions);
  if (labeled.empty()) {
    throw_bad_data(fmt::format("cannot compute metrics: none of {} predictions has a label", predictions.size()));
  }
  Metrics metrics;
  metrics.count = static_cast<int64_t>(labeled.size());
  metrics.confusion = confusion_counts(predictions);

  int64_t correct = 0;
  int64_t top_two = 0;
  double loss = 0;
  double brier = 0;
  for (const int64_t i : labeled) {
    const std::span<const double> row = predictions.probability_row(i);
    const size_t label = label_of(predictions, i);
    correct += static_cast<size_t>(predictions.predicted(i)) == label;
    top_two += among_top_two(row, label);
    loss += predictions.loss(i);
    for (size_t k = 0; k < row.size(); ++k) {
      const double error = row[k] - (k == label ? 1 : 0);
      brier += error * error;
    }
  }
  const auto n = static_cast<double>(metrics.count);
  metrics.accuracy = static_cast<double>(correct) / n;
  metrics.accuracy_interval = wilson_interval(correct, metrics.count);
  metrics.top2_accuracy = static_cast<double>(top_two) / n;
  metrics.top2_interval = wilson_interval(top_two, metrics.count);
  metrics.log_loss = loss / n;
  metrics.brier = brier / n;
  add_class_metrics(predictions, labeled, metrics);
  add_agreement(metrics);
  add_bootstrap_intervals(predictions, labeled, resamples, metrics);
  metrics.reliability = reliability_bins(predictions);
  metrics.expected_calibration_error = expected_calibration_error(metrics.reliability);
  return metrics;
}

std::string metrics_json(const Metrics& metrics) {
  nlohmann::ordered_json json;
  if (!metrics.judged_on.empty()) json["judged_on"] = metrics.judged_on;
  if (!metrics.label_source.empty()) json["labels"] = metrics.label_source;
  if (!metrics.data_checksum.empty()) json["data_checksum"] = metrics.data_checksum;
  json["count"] = metrics.count;
  json["accuracy"] = metrics.accuracy;
  json["accuracy_interval"] = to_json(metrics.accuracy_interval);
  json["balanced_accuracy"] = metrics.balanced_accuracy;
  json["balanced_accuracy_interval"] = to_json(metrics.balanced_accuracy_interval);
  json["top2_accuracy"] = metrics.top2_accuracy;
  json["top2_interval"] = to_json(metrics.top2_interval);
  json["macro_precision"] = metrics.macro_precision;
  json["macro_recall"] = metrics.macro_recall;
  json["macro_f1"] = metrics.macro_f1;
  json["macro_f1_interval"] = to_json(metrics.macro_f1_interval);
  json["weighted_f1"] = metrics.weighted_f1;
  json["kappa"] = metrics.kappa;
  json["matthews"] = metrics.matthews;
  json["log_loss"] = metrics.log_loss;
  json["brier"] = metrics.brier;
  json["expected_calibration_error"] = metrics.expected_calibration_error;
  json["macro_auc"] = metrics.macro_auc;
  json["classes"] = nlohmann::ordered_json::array();
  for (const ClassMetrics& one : metrics.classes) {
    json["classes"].push_back({{"name", one.name},
                               {"support", one.support},
                               {"predicted", one.predicted},
                               {"correct", one.correct},
                               {"precision", one.precision},
                               {"precision_interval", to_json(one.precision_interval)},
                               {"recall", one.recall},
                               {"recall_interval", to_json(one.recall_interval)},
                               {"f1", one.f1},
                               {"auc", one.auc}});
  }
  json["confusion"] = metrics.confusion;
  json["reliability"] = nlohmann::ordered_json::array();
  for (const ReliabilityBin& bin : metrics.reliability) {
    json["reliability"].push_back({{"low", bin.low},
                                   {"high", bin.high},
                                   {"count", bin.count},
                                   {"confidence", bin.confidence},
                                   {"accuracy", bin.accuracy},
                                   {"accuracy_interval", to_json(bin.accuracy_interval)}});
  }
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string metrics_text(const Metrics& metrics) {
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<19} {}\n", name, value);
  };
  line("faces", with_commas(metrics.count));
  line("accuracy", with_interval(metrics.accuracy, metrics.accuracy_interval));
  line("top-2 accuracy", with_interval(metrics.top2_accuracy, metrics.top2_interval));
  line("balanced accuracy", with_interval(metrics.balanced_accuracy, metrics.balanced_accuracy_interval));
  line("macro F1", with_interval(metrics.macro_f1, metrics.macro_f1_interval));
  line("weighted F1", or_undefined(metrics.weighted_f1));
  line("kappa, matthews", or_undefined(metrics.kappa) + ", " + or_undefined(metrics.matthews));
  line("log loss, Brier", fmt::format("{:.4f}, {:.4f}", metrics.log_loss, metrics.brier));
  line("calibration error", or_undefined(metrics.expected_calibration_error));
  line("macro AUC", or_undefined(metrics.macro_auc));

  size_t width = 5;
  for (const ClassMetrics& one : metrics.classes) width = std::max(width, one.name.size());
  text += fmt::format(
      "\n{:<{}}  {:>7}  {:<23}  {:<23}  {:>6}  {:>6}\n", "class", width, "faces", "recall", "precision", "F1", "AUC");
  const auto or_dash = [](bool defined, double value) { return defined ? fmt::format("{:.4f}", value) : "-"; };
  for (const ClassMetrics& one : metrics.classes) {
    text += fmt::format("{:<{}}  {:>7}  {:<23}  {:<23}  {:>6}  {:>6}\n",
                        one.name,
                        width,
                        with_commas(one.support),
                        one.support > 0 ? with_interval(one.recall, one.recall_interval) : "-",
                        one.predicted > 0 ? with_interval(one.precision, one.precision_interval) : "-",
                        or_dash(one.support + one.predicted > 0, one.f1),
                        or_dash(!std::isnan(one.auc), one.auc));
  }
  text += "[low, high]: 95 % interval\n";
  return text;
}

}  // namespace mien::evaluation
