#include "mien/evaluation/label_issues.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "mien/core/error.h"

namespace mien::evaluation {
namespace {

/// The class that row `i` confidently is; -1 if none reaches its threshold.
int64_t confident_class(std::span<const double> row, const std::vector<double>& thresholds) {
  int64_t best = -1;
  for (size_t k = 0; k < row.size(); ++k) {
    if (!(row[k] >= thresholds[k])) continue;  // a threshold of NaN is never reached
    if (best < 0 || row[k] > row[static_cast<size_t>(best)]) best = static_cast<int64_t>(k);
  }
  return best;
}

double normalized_entropy(std::span<const double> row) {
  double sum = 0;
  for (const double p : row) sum -= p > 0 ? p * std::log(p) : 0;
  return sum / std::log(static_cast<double>(row.size()));
}

}  // namespace

LabelIssues find_label_issues(const Predictions& out_of_sample) {
  const auto classes = static_cast<size_t>(out_of_sample.classes());
  const auto count = static_cast<size_t>(out_of_sample.size());
  LabelIssues issues;
  std::vector<double> sums(classes, 0);
  std::vector<int64_t> members(classes, 0);
  for (size_t i = 0; i < count; ++i) {
    if (!out_of_sample.is_labeled(static_cast<int64_t>(i)))
      throw_bad_data("cannot look for wrong labels: " + out_of_sample.face_name(static_cast<int64_t>(i)) + " has none");
    const auto label = static_cast<size_t>(out_of_sample.labels[i]);
    sums[label] += out_of_sample.probability_row(static_cast<int64_t>(i))[label];
    ++members[label];
  }
  for (size_t k = 0; k < classes; ++k) {
    issues.thresholds.push_back(members[k] > 0 ? sums[k] / static_cast<double>(members[k])
                                               : std::numeric_limits<double>::quiet_NaN());
  }
  issues.confident_joint.assign(classes, std::vector<int64_t>(classes, 0));
  issues.is_issue.assign(count, false);
  std::vector<double> confident, self, margins, entropies;
  for (size_t i = 0; i < count; ++i) {
    const auto row = out_of_sample.probability_row(static_cast<int64_t>(i));
    const auto label = static_cast<size_t>(out_of_sample.labels[i]);
    const double own = row[label];
    double other = 0;
    for (size_t k = 0; k < classes; ++k) other = k == label ? other : std::max(other, row[k]);
    const int64_t is = confident_class(row, issues.thresholds);
    if (is >= 0) ++issues.confident_joint[label][static_cast<size_t>(is)];
    issues.is_issue[i] = is >= 0 && static_cast<size_t>(is) != label;
    const double margin = (1 + other - own) / 2;
    const double ratio = normalized_entropy(row) / std::max(own, 1e-12);
    self.push_back(1 - own);
    margins.push_back(margin);
    entropies.push_back(ratio / (1 + ratio));
    confident.push_back(issues.is_issue[i] ? 1 + margin : margin);
  }
  issues.detectors = {{.name = "confident-learning", .doubt = std::move(confident)},
                      {.name = "self-confidence", .doubt = std::move(self)},
                      {.name = "margin", .doubt = std::move(margins)},
                      {.name = "entropy", .doubt = std::move(entropies)}};
  return issues;
}

std::vector<int64_t> ranked(std::span<const double> doubt) {
  std::vector<int64_t> order(doubt.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return doubt[static_cast<size_t>(a)] > doubt[static_cast<size_t>(b)];
  });
  return order;
}

RankingQuality ranking_quality(std::span<const double> doubt,
                               const std::vector<bool>& is_positive,
                               std::span<const int64_t> counts) {
  RankingQuality quality;
  std::vector<int64_t> hits{0};
  double sum = 0;
  for (const int64_t i : ranked(doubt)) {
    const bool is_hit = is_positive[static_cast<size_t>(i)];
    hits.push_back(hits.back() + (is_hit ? 1 : 0));
    if (is_hit) sum += static_cast<double>(hits.back()) / static_cast<double>(hits.size() - 1);
  }
  if (hits.back() > 0) quality.average_precision = sum / static_cast<double>(hits.back());
  for (const int64_t wanted : counts) {
    const auto first = std::min(static_cast<size_t>(wanted), doubt.size());
    quality.precision_at.push_back(first > 0 ? static_cast<double>(hits[first]) / static_cast<double>(first) : 0);
  }
  return quality;
}

}  // namespace mien::evaluation
