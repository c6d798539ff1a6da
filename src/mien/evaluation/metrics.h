#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/evaluation/calibration.h"
#include "mien/evaluation/intervals.h"
#include "mien/evaluation/predictions.h"

namespace mien::evaluation {

/// How one class fared. All rates are in [0, 1]; intervals are Wilson's at 95 %.
struct ClassMetrics {
  std::string name;
  int64_t support = 0;    ///< faces of this class
  int64_t predicted = 0;  ///< faces taken for this class
  int64_t correct = 0;
  double precision = 0;  ///< correct / predicted; 0 where nothing was predicted as this class
  double recall = 0;     ///< correct / support; 0 where the class has no faces
  double f1 = 0;         ///< 2 correct / (support + predicted); 0 where both are 0
  Interval recall_interval;
  Interval precision_interval;
  double auc = 0;  ///< one class against the rest, ties count one half; NaN where one side is empty
};

/// How a network fared on the labeled rows. Every number equals scikit-learn's of the same name unless said otherwise.
struct Metrics {
  std::string judged_on;      ///< what the rows are, in words; empty where nobody said
  std::string label_source;   ///< Dataset::label_source
  std::string data_checksum;  ///< Dataset::source_checksum
  int64_t count = 0;          ///< labeled rows
  double accuracy = 0;
  Interval accuracy_interval;           ///< Wilson, 95 %
  double balanced_accuracy = 0;         ///< mean recall of the classes that have faces
  Interval balanced_accuracy_interval;  ///< bootstrap, 95 %; NaN where none was asked for
  /// Share of faces whose label is among the two largest probabilities; of equal ones the lower index goes first, as
  /// in Predictions::predicted (scikit-learn lets the higher index go first).
  double top2_accuracy = 0;
  Interval top2_interval;  ///< Wilson, 95 %
  /// The macro means are over the classes that are the label or the prediction of some row.
  double macro_precision = 0;
  double macro_recall = 0;
  double macro_f1 = 0;
  Interval macro_f1_interval;  ///< bootstrap, 95 %; NaN where none was asked for
  double weighted_f1 = 0;      ///< weighted by support
  double kappa = 0;            ///< Cohen's; NaN where labels and predictions are all of one and the same class
  double matthews = 0;         ///< 0 where labels or predictions are all of one class
  double log_loss = 0;         ///< nats, mean of Predictions::loss
  double brier = 0;  ///< sum over classes of (probability - [is the label])^2, mean over rows: 0 to 2 (Brier 1950)
  double expected_calibration_error = 0;  ///< 15 bins, see calibration.h
  double macro_auc = 0;                   ///< mean of the classes' auc where it is defined; NaN where none is
  std::vector<ClassMetrics> classes;
  std::vector<std::vector<int64_t>> confusion;  ///< [true][predicted]
  std::vector<ReliabilityBin> reliability;
};

/// All of the above on the labeled rows. `resamples` bootstrap resamples give the intervals of balanced accuracy and
/// macro F1; 0 leaves them out. Throws Error(bad_data) if no row is labeled.
/// @source kappa: Cohen 1960; matthews: Gorodkin 2004, "Comparing two K-category assignments by a K-category
/// correlation coefficient"; auc: Mann and Whitney 1947
Metrics compute_metrics(const Predictions& predictions, int64_t resamples = 1000);

/// Indented JSON with keys in a fixed order, intervals as [low, high], and null for what is undefined.
std::string metrics_json(const Metrics& metrics);

/// A table for people: overall rates with their intervals, then one line a class. Ends with a line break.
std::string metrics_text(const Metrics& metrics);

}  // namespace mien::evaluation
