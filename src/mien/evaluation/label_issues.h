#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mien/evaluation/predictions.h"

namespace mien::evaluation {

/// How doubtful each label is by one detector: the larger, the more doubtful.
struct Detector {
  std::string name;
  std::vector<double> doubt;  ///< [N]
};

/// What out-of-sample predictions say of their labels, all of which must be known.
struct LabelIssues {
  std::vector<Detector> detectors;  ///< confident-learning, self-confidence, margin, entropy
  std::vector<bool> is_issue;       ///< [N] off the diagonal of the confident joint
  std::vector<double> thresholds;   ///< [K] mean probability of a class over the faces labeled so; NaN without any
  std::vector<std::vector<int64_t>> confident_joint;  ///< [label][class that is confidently another]
};

/// Detectors of wrong labels:
///   self-confidence      1 - p(label)
///   margin               largest p of another class - p(label), from [-1, 1] to [0, 1]
///   entropy              entropy of p over ln K, divided by p(label), r -> r / (1 + r)
///   confident-learning   the margin, all faces off the diagonal of the confident joint before all others: a face of
///                        label i counts as class j if p(j) is the largest of those that reach their threshold
/// Predictions must come from networks that did not train on the face. Throws Error(bad_data) if a label is unknown.
/// @source Northcutt, Jiang, Chuang 2021, "Confident learning: estimating uncertainty in dataset labels", section 3.1;
/// Kuan and Mueller 2022, "Model-agnostic label quality scoring to detect real-world label errors"
LabelIssues find_label_issues(const Predictions& out_of_sample);

/// How well a ranking finds what is known to be so.
struct RankingQuality {
  double average_precision = 0;
  std::vector<double> precision_at;  ///< for each asked-for count; of all faces where there are fewer
};

/// Of faces ranked by `doubt` (equal ones in their order); `is_positive` says which are right to be doubted. With
/// no positive face all is 0.
RankingQuality ranking_quality(std::span<const double> doubt,
                               const std::vector<bool>& is_positive,
                               std::span<const int64_t> counts);

/// Faces by falling doubt; equal ones in their order.
std::vector<int64_t> ranked(std::span<const double> doubt);

}  // namespace mien::evaluation
