#include "mien/evaluation/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/parallel.h"
#include "mien/core/random.h"
#include "mien/core/text.h"
#include "mien/evaluation/class_counts.h"

namespace mien::evaluation {
namespace {

/// Discordant faces from which McNemar's test uses the chi-squared distribution.
constexpr int64_t kApproximateFrom = 25;

/// One labeled face: its class and what the two networks took it for.
struct Face {
  size_t truth, first, second;
};

/// Share of `resampled` differences at or beyond 0 on the rarer side, doubled. One is added to both counts, since the
/// sample itself is one of the possible resamples (Davison and Hinkley 1997, section 4.2.3).
double two_sided_p_value(const std::vector<double>& resampled) {
  const auto at_most = std::count_if(resampled.begin(), resampled.end(), [](double d) { return d <= 0; });
  const auto at_least = std::count_if(resampled.begin(), resampled.end(), [](double d) { return d >= 0; });
  const double rarer = static_cast<double>(std::min(at_most, at_least) + 1);
  return std::min(1.0, 2 * rarer / (static_cast<double>(resampled.size()) + 1));
}

PairedDifference judge(double first, double second, const std::vector<double>& resampled) {
  return {first, second, second - first, percentile_interval(resampled), two_sided_p_value(resampled)};
}

void add_paired_bootstrap(const std::vector<Face>& faces, size_t classes, uint64_t seed, Comparison& comparison) {
  ClassCounts first(classes);
  ClassCounts second(classes);
  for (const Face& face : faces) {
    first.add(face.truth, face.first);
    second.add(face.truth, face.second);
  }
  std::vector<double> accuracy(static_cast<size_t>(comparison.resamples));
  std::vector<double> macro_f1(static_cast<size_t>(comparison.resamples));
  parallel_for(comparison.resamples, [&](int64_t begin, int64_t end) {
    ClassCounts drawn_first(classes);
    ClassCounts drawn_second(classes);
    for (int64_t r = begin; r < end; ++r) {
      RandomStream random(seed, "paired bootstrap", static_cast<uint64_t>(r));
      drawn_first.clear();
      drawn_second.clear();
      for (size_t draw = 0; draw < faces.size(); ++draw) {
        const Face& face = faces[random.below(faces.size())];
        drawn_first.add(face.truth, face.first);
        drawn_second.add(face.truth, face.second);
      }
      accuracy[static_cast<size_t>(r)] = drawn_second.accuracy() - drawn_first.accuracy();
      macro_f1[static_cast<size_t>(r)] = drawn_second.macro_f1() - drawn_first.macro_f1();
    }
  });
  comparison.accuracy = judge(first.accuracy(), second.accuracy(), accuracy);
  comparison.macro_f1 = judge(first.macro_f1(), second.macro_f1(), macro_f1);
}

/// (|b - c| - 1)^2 / (b + c), chi-squared with one degree of freedom under no difference (Edwards 1948).
double corrected_chi_squared(int64_t only_first, int64_t only_second) {
  const double gap = std::max(0.0, std::abs(static_cast<double>(only_first - only_second)) - 1);
  return gap * gap / static_cast<double>(only_first + only_second);
}

nlohmann::ordered_json to_json(const Interval& interval) {
  return nlohmann::ordered_json::array({interval.low, interval.high});
}

nlohmann::ordered_json to_json(const PairedDifference& difference) {
  return {{"first", difference.first},
          {"second", difference.second},
          {"difference", difference.difference},
          {"interval", to_json(difference.interval)},
          {"p_value", difference.p_value}};
}

/// p-values below the resolution of print are shown as a bound.
std::string p_value_text(double p_value) {
  return p_value < 0.0001 ? "p < 0.0001" : fmt::format("p = {:.4f}", p_value);
}

}  // namespace

void CompareOptions::bind(OptionSet& options) {
  options.group("compare");
  options.add(&resamples,
              {.name = "bootstrap-resamples",
               .help = "times the faces are drawn anew for the intervals of differences",
               .unit = "resamples",
               .minimum = 100,
               .maximum = 1'000'000,
               .source = "Efron and Tibshirani 1993, section 13.3: 1,000 or more for intervals"});
}

double mcnemar_p_value(int64_t only_first, int64_t only_second) {
  const int64_t discordant = only_first + only_second;
  if (discordant == 0) return 1;
  if (discordant >= kApproximateFrom) return std::erfc(std::sqrt(corrected_chi_squared(only_first, only_second) / 2));
  double term = std::ldexp(1.0, -static_cast<int>(discordant));  // chance of exactly k of them, k = 0 first
  double tail = 0;
  for (int64_t k = 0; k <= std::min(only_first, only_second); ++k) {
    tail += term;
    term *= static_cast<double>(discordant - k) / static_cast<double>(k + 1);
  }
  return std::min(1.0, 2 * tail);
}

Comparison compare(const Predictions& first, const Predictions& second, const CompareOptions& options) {
  check_predictions(first, "cannot compare " + options.first_name);
  check_predictions(second, "cannot compare " + options.second_name);
  require_same_rows(first, second, options.first_name, options.second_name);
  if (options.resamples <= 0) {
    throw_usage(fmt::format("cannot compare with {} bootstrap resamples, expected at least 1", options.resamples));
  }
  std::vector<Face> faces;
  for (int64_t i = 0; i < first.size(); ++i) {
    if (!first.is_labeled(i)) continue;
    faces.push_back({static_cast<size_t>(first.labels[static_cast<size_t>(i)]),
                     static_cast<size_t>(first.predicted(i)),
                     static_cast<size_t>(second.predicted(i))});
  }
  if (faces.empty()) {
    throw_bad_data(fmt::format("cannot compare {} with {}: none of {} rows has a label",
                               options.first_name,
                               options.second_name,
                               first.size()));
  }

  Comparison comparison;
  comparison.first_name = options.first_name;
  comparison.second_name = options.second_name;
  comparison.count = static_cast<int64_t>(faces.size());
  comparison.resamples = options.resamples;
  int64_t agreeing = 0;
  for (const Face& face : faces) {
    const bool first_correct = face.first == face.truth;
    const bool second_correct = face.second == face.truth;
    comparison.both_correct += first_correct && second_correct;
    comparison.only_first_correct += first_correct && !second_correct;
    comparison.only_second_correct += !first_correct && second_correct;
    comparison.both_wrong += !first_correct && !second_correct;
    agreeing += face.first == face.second;
  }
  comparison.agreement = static_cast<double>(agreeing) / static_cast<double>(comparison.count);
  comparison.agreement_interval = wilson_interval(agreeing, comparison.count);
  comparison.first_accuracy_interval =
      wilson_interval(comparison.both_correct + comparison.only_first_correct, comparison.count);
  comparison.second_accuracy_interval =
      wilson_interval(comparison.both_correct + comparison.only_second_correct, comparison.count);

  const int64_t only_first = comparison.only_first_correct;
  const int64_t only_second = comparison.only_second_correct;
  comparison.mcnemar_exact = only_first + only_second < kApproximateFrom;
  comparison.mcnemar_statistic = comparison.mcnemar_exact ? std::numeric_limits<double>::quiet_NaN()
                                                          : corrected_chi_squared(only_first, only_second);
  comparison.mcnemar_p_value = mcnemar_p_value(only_first, only_second);
  add_paired_bootstrap(faces, static_cast<size_t>(first.classes()), options.seed, comparison);
  return comparison;
}

std::string comparison_text(const Comparison& comparison) {
  const auto rate = [](double value, const Interval& interval) {
    return fmt::format("{:.4f} [{:.4f}, {:.4f}]", value, interval.low, interval.high);
  };
  const auto difference = [](const PairedDifference& d) {
    return fmt::format(
        "{:+.4f} [{:+.4f}, {:+.4f}], {}", d.difference, d.interval.low, d.interval.high, p_value_text(d.p_value));
  };
  const size_t width = std::max({comparison.first_name.size(), comparison.second_name.size(), size_t{23}});
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<{}}  {}\n", name, width, value);
  };
  line("faces", with_commas(comparison.count));
  text += fmt::format("{:<{}}  {:<23}  {}\n", "", width, "accuracy", "macro F1");
  text += fmt::format("{:<{}}  {:<23}  {:.4f}\n",
                      comparison.first_name,
                      width,
                      rate(comparison.accuracy.first, comparison.first_accuracy_interval),
                      comparison.macro_f1.first);
  text += fmt::format("{:<{}}  {:<23}  {:.4f}\n",
                      comparison.second_name,
                      width,
                      rate(comparison.accuracy.second, comparison.second_accuracy_interval),
                      comparison.macro_f1.second);
  line("difference in accuracy", difference(comparison.accuracy));
  line("difference in macro F1", difference(comparison.macro_f1));
  line("same class predicted", rate(comparison.agreement, comparison.agreement_interval));
  line("right: both, neither",
       fmt::format("{}, {}", with_commas(comparison.both_correct), with_commas(comparison.both_wrong)));
  line("right: only the first", with_commas(comparison.only_first_correct));
  line("right: only the second", with_commas(comparison.only_second_correct));
  line("McNemar",
       fmt::format("{} ({})",
                   p_value_text(comparison.mcnemar_p_value),
                   comparison.mcnemar_exact ? std::string("exact binomial")
                                            : fmt::format("chi-squared {:.3f}", comparison.mcnemar_statistic)));
  if (comparison.mcnemar_p_value < 0.05) {
    const bool second_better = comparison.accuracy.difference > 0;
    text += fmt::format("{} is more accurate than {}, beyond chance at the 5 % level.\n",
                        second_better ? comparison.second_name : comparison.first_name,
                        second_better ? comparison.first_name : comparison.second_name);
  } else {
    text += "The difference in accuracy is within chance at the 5 % level.\n";
  }
  return text;
}

std::string comparison_json(const Comparison& comparison) {
  nlohmann::ordered_json json;
  json["first_name"] = comparison.first_name;
  json["second_name"] = comparison.second_name;
  json["count"] = comparison.count;
  json["both_correct"] = comparison.both_correct;
  json["only_first_correct"] = comparison.only_first_correct;
  json["only_second_correct"] = comparison.only_second_correct;
  json["both_wrong"] = comparison.both_wrong;
  json["agreement"] = comparison.agreement;
  json["agreement_interval"] = to_json(comparison.agreement_interval);
  json["first_accuracy_interval"] = to_json(comparison.first_accuracy_interval);
  json["second_accuracy_interval"] = to_json(comparison.second_accuracy_interval);
  json["mcnemar_exact"] = comparison.mcnemar_exact;
  json["mcnemar_statistic"] = comparison.mcnemar_statistic;
  json["mcnemar_p_value"] = comparison.mcnemar_p_value;
  json["accuracy"] = to_json(comparison.accuracy);
  json["macro_f1"] = to_json(comparison.macro_f1);
  json["resamples"] = comparison.resamples;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace mien::evaluation
