#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mien::evaluation {

/// What a network said about N faces, beside what their labels say.
struct Predictions {
  std::vector<std::string> class_names;  ///< K names
  std::vector<int64_t> rows;             ///< [N] row of the data set each prediction belongs to
  std::vector<int32_t> labels;           ///< [N] 0..K-1, or -1 where unknown
  std::vector<double> logits;            ///< [N, K]
  std::vector<double> probabilities;     ///< [N, K], each row sums to 1

  int64_t size() const { return static_cast<int64_t>(rows.size()); }
  int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
  std::span<const double> probability_row(int64_t i) const {
    return {probabilities.data() + i * classes(), static_cast<size_t>(classes())};
  }
  std::span<const double> logit_row(int64_t i) const {
    return {logits.data() + i * classes(), static_cast<size_t>(classes())};
  }
  /// Class of the largest probability; the lowest index wins a tie.
  int32_t predicted(int64_t i) const;
};

}  // namespace mien::evaluation
