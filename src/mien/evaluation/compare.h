#pragma once

#include <cstdint>
#include <string>

#include "mien/core/options.h"
#include "mien/evaluation/intervals.h"
#include "mien/evaluation/predictions.h"

namespace mien::evaluation {

struct CompareOptions {
  int64_t resamples = 2000;
  uint64_t seed = 0;
  std::string first_name = "first";    ///< stands for the first in messages, text and JSON
  std::string second_name = "second";  ///< the same for the second

  /// Declares `bootstrap-resamples`.
  void bind(OptionSet& options);
};

/// Difference second - first of one statistic, judged by resampling faces.
struct PairedDifference {
  double first = 0;
  double second = 0;
  double difference = 0;
  Interval interval;   ///< percentile bootstrap, 95 %
  double p_value = 1;  ///< two-sided: twice the smaller share of resamples at or beyond 0, at least 2 / (resamples + 1)
};

/// Two networks judged on the same labeled faces.
struct Comparison {
  std::string first_name;
  std::string second_name;
  int64_t count = 0;  ///< labeled faces
  int64_t both_correct = 0;
  int64_t only_first_correct = 0;
  int64_t only_second_correct = 0;
  int64_t both_wrong = 0;
  double agreement = 0;  ///< share of faces where both predict the same class, right or wrong
  Interval agreement_interval;
  Interval first_accuracy_interval;   ///< Wilson, 95 %
  Interval second_accuracy_interval;  ///< Wilson, 95 %
  /// McNemar's test on the faces that only one of the two got right: the exact binomial test below 25 such faces, else
  /// chi-squared with continuity correction.
  bool mcnemar_exact = false;
  double mcnemar_statistic = 0;  ///< chi-squared with one degree of freedom; NaN for the exact test
  double mcnemar_p_value = 1;
  PairedDifference accuracy;
  PairedDifference macro_f1;
  int64_t resamples = 0;
};

/// Two-sided p-value of McNemar's test where only the first was right `only_first` times and only the second
/// `only_second` times; 1 where both are 0.
/// @source McNemar 1947; Edwards 1948 (continuity correction); exact below 25 discordant pairs as in Dietterich 1998,
/// "Approximate statistical tests for comparing supervised classification learning algorithms"
double mcnemar_p_value(int64_t only_first, int64_t only_second);

/// Throws Error(bad_data) unless both have the same rows and labels (naming the first row that differs) and at least
/// one is labeled. Deterministic in the seed.
/// @source paired bootstrap: Efron and Tibshirani 1993, "An introduction to the bootstrap", chapters 13 and 15
Comparison compare(const Predictions& first, const Predictions& second, const CompareOptions& options = {});

/// A few lines for people, the last of which says in words whether the difference is beyond chance at 5 %.
std::string comparison_text(const Comparison& comparison);

/// Indented JSON with keys in a fixed order.
std::string comparison_json(const Comparison& comparison);

}  // namespace mien::evaluation
