#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mien::evaluation {

/// Faces of each class, faces taken for it, and both at once: all that rates by class need. Filling it costs three
/// additions a face, which makes bootstrap resamples cheap.
struct ClassCounts {
  std::vector<int64_t> support;    ///< [K]
  std::vector<int64_t> predicted;  ///< [K]
  std::vector<int64_t> correct;    ///< [K]

  explicit ClassCounts(size_t classes) : support(classes), predicted(classes), correct(classes) {}

  void add(size_t truth, size_t guess, int64_t count = 1) {
    support[truth] += count;
    predicted[guess] += count;
    if (truth == guess) correct[truth] += count;
  }

  void clear() {
    for (auto* counts : {&support, &predicted, &correct}) std::fill(counts->begin(), counts->end(), 0);
  }

  /// 0 where there are no faces.
  double accuracy() const {
    int64_t right = 0;
    int64_t all = 0;
    for (size_t k = 0; k < support.size(); ++k) {
      right += correct[k];
      all += support[k];
    }
    return ratio(right, all);
  }

  double precision(size_t k) const { return ratio(correct[k], predicted[k]); }
  double recall(size_t k) const { return ratio(correct[k], support[k]); }
  double f1(size_t k) const { return ratio(2 * correct[k], support[k] + predicted[k]); }
  /// Whether class k is the label or the prediction of some face; macro means leave out classes that are not.
  bool occurs(size_t k) const { return support[k] + predicted[k] > 0; }

  double macro_precision() const {
    return mean([this](size_t k) { return precision(k); }, [this](size_t k) { return occurs(k); });
  }
  double macro_recall() const {
    return mean([this](size_t k) { return recall(k); }, [this](size_t k) { return occurs(k); });
  }
  double macro_f1() const {
    return mean([this](size_t k) { return f1(k); }, [this](size_t k) { return occurs(k); });
  }
  /// Mean recall of the classes that have faces.
  double balanced_accuracy() const {
    return mean([this](size_t k) { return recall(k); }, [this](size_t k) { return support[k] > 0; });
  }

 private:
  static double ratio(int64_t part, int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
  }
  /// Mean of `value` over the classes that `counts`; 0 where none does.
  double mean(const auto& value, const auto& counts) const {
    double sum = 0;
    int64_t classes = 0;
    for (size_t k = 0; k < support.size(); ++k) {
      if (!counts(k)) continue;
      sum += value(k);
      ++classes;
    }
    return classes > 0 ? sum / static_cast<double>(classes) : 0;
  }
};

}  // namespace mien::evaluation
