#include "mien/explain/perturbation/ridge.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace mien::explain {

std::vector<double> solve_semidefinite(std::vector<double> matrix, std::vector<double> right) {
  const size_t n = right.size();
  const auto at = [&](size_t row, size_t column) -> double& { return matrix[row * n + column]; };
  std::vector<bool> dropped(n, false);
  for (size_t j = 0; j < n; ++j) {
    const double original = at(j, j);
    for (size_t k = 0; k < j; ++k) at(j, j) -= at(j, k) * at(j, k);
    // What rounding leaves of a variable that depends on others is noise, and would be divided by.
    dropped[j] = at(j, j) <= 1e-11 * std::abs(original) || !(at(j, j) > 0);
    at(j, j) = dropped[j] ? 0 : std::sqrt(at(j, j));
    for (size_t i = j + 1; i < n; ++i) {
      for (size_t k = 0; k < j; ++k) at(i, j) -= at(i, k) * at(j, k);
      at(i, j) = dropped[j] ? 0 : at(i, j) / at(j, j);
    }
  }
  for (size_t j = 0; j < n; ++j) {
    for (size_t k = 0; k < j; ++k) right[j] -= at(j, k) * right[k];
    right[j] = dropped[j] ? 0 : right[j] / at(j, j);
  }
  for (size_t j = n; j-- > 0;) {
    for (size_t i = j + 1; i < n; ++i) right[j] -= at(i, j) * right[i];
    right[j] = dropped[j] ? 0 : right[j] / at(j, j);
  }
  return right;
}

MaskRegression::MaskRegression(std::span<const uint8_t> masks,
                               int64_t features,
                               std::span<const double> values,
                               std::span<const double> sample_weights)
    : masks_(masks), features_(features), values_(values), sample_weights_(sample_weights) {
  const auto count = static_cast<size_t>(features);
  feature_means_.assign(count, 0);
  double total = 0;
  for (size_t sample = 0; sample < values.size(); ++sample) {
    const uint8_t* row = masks.data() + sample * count;
    const double weight = sample_weights[sample];
    total += weight;
    value_mean_ += weight * values[sample];
    for (size_t j = 0; j < count; ++j) feature_means_[j] += weight * row[j];
  }
  value_mean_ /= total;
  for (double& mean : feature_means_) mean /= total;

  gram_.assign(count * count, 0);
  cross_.assign(count, 0);
  std::vector<double> centered(count);
  for (size_t sample = 0; sample < values.size(); ++sample) {
    const uint8_t* row = masks.data() + sample * count;
    for (size_t j = 0; j < count; ++j) centered[j] = row[j] - feature_means_[j];
    const double difference = values[sample] - value_mean_;
    variation_ += sample_weights[sample] * difference * difference;
    for (size_t i = 0; i < count; ++i) {
      const double weighted = sample_weights[sample] * centered[i];
      cross_[i] += weighted * difference;
      double* out = gram_.data() + i * count;
      for (size_t j = 0; j <= i; ++j) out[j] += weighted * centered[j];
    }
  }
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = i + 1; j < count; ++j) gram_[i * count + j] = gram_[j * count + i];
  }
}

LinearFit MaskRegression::ridge(const std::vector<int64_t>& features, double alpha) const {
  const auto count = static_cast<size_t>(features_);
  const size_t used = features.size();
  std::vector<double> matrix(used * used);
  std::vector<double> right(used);
  for (size_t i = 0; i < used; ++i) {
    const auto row = static_cast<size_t>(features[i]);
    for (size_t j = 0; j < used; ++j) matrix[i * used + j] = gram_[row * count + static_cast<size_t>(features[j])];
    matrix[i * used + i] += alpha;
    right[i] = cross_[row];
  }
  LinearFit fit{.features = features,
                .weights = solve_semidefinite(std::move(matrix), std::move(right)),
                .intercept = value_mean_};
  for (size_t i = 0; i < used; ++i) fit.intercept -= fit.weights[i] * feature_means_[static_cast<size_t>(features[i])];
  double left_over = 0;
  for (size_t sample = 0; sample < values_.size(); ++sample) {
    const uint8_t* row = masks_.data() + sample * count;
    double difference = values_[sample] - fit.intercept;
    for (size_t i = 0; i < used; ++i) difference -= row[features[i]] != 0 ? fit.weights[i] : 0;
    left_over += sample_weights_[sample] * difference * difference;
  }
  fit.r2 = variation_ > 0 ? 1 - left_over / variation_ : left_over > 0 ? 0 : 1;
  return fit;
}

std::vector<int64_t> MaskRegression::forward_selection(int64_t count) const {
  const auto all = static_cast<size_t>(features_);
  // R^2 of a chosen set is a sum over the factor's rows: a candidate adds (what it shares with the rest of the
  // values)^2 over (what of it the chosen ones leave), so one triangular step replaces a fit for each candidate.
  std::vector<double> left = gram_;    // features' covariance after the chosen ones are taken out
  std::vector<double> share = cross_;  // their covariance with what is left of the values
  std::vector<int64_t> chosen;
  while (static_cast<int64_t>(chosen.size()) < std::min(count, features_)) {
    double best_gain = -1;
    size_t best = all;
    for (size_t j = 0; j < all; ++j) {
      if (std::find(chosen.begin(), chosen.end(), static_cast<int64_t>(j)) != chosen.end()) continue;
      const bool adds = left[j * all + j] > 1e-11 * gram_[j * all + j] && left[j * all + j] > 0;
      const double gain = adds ? share[j] * share[j] / left[j * all + j] : 0;
      if (gain > best_gain) {
        best_gain = gain;
        best = j;
      }
    }
    chosen.push_back(static_cast<int64_t>(best));
    if (best_gain <= 0) continue;
    const std::vector<double> column(left.begin() + static_cast<std::ptrdiff_t>(best * all),
                                     left.begin() + static_cast<std::ptrdiff_t>((best + 1) * all));
    const double pivot = column[best];
    const double shared = share[best];
    for (size_t i = 0; i < all; ++i) {
      share[i] -= column[i] * shared / pivot;
      for (size_t j = 0; j < all; ++j) left[i * all + j] -= column[i] * column[j] / pivot;
    }
  }
  return chosen;
}

std::vector<int64_t> MaskRegression::highest_weights(int64_t count) const {
  std::vector<int64_t> order(static_cast<size_t>(features_));
  std::iota(order.begin(), order.end(), 0);
  const std::vector<double> weights = ridge(order, 0.01).weights;
  std::stable_sort(order.begin(), order.end(), [&](int64_t one, int64_t other) {
    return std::abs(weights[static_cast<size_t>(one)]) > std::abs(weights[static_cast<size_t>(other)]);
  });
  order.resize(static_cast<size_t>(std::min(count, features_)));
  return order;
}

}  // namespace mien::explain
