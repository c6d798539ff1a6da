#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mien::explain {

/// Solves A x = b for a symmetric positive semidefinite A [n,n], row-major, by Cholesky's factorisation. A variable
/// that the ones before it determine gets 0.
std::vector<double> solve_semidefinite(std::vector<double> matrix, std::vector<double> right);

/// A linear model of some features: value = intercept + sum of weights[i] * feature features[i].
struct LinearFit {
  std::vector<int64_t> features;
  std::vector<double> weights;  ///< in the order of `features`
  double intercept = 0;
  double r2 = 0;  ///< weighted share of the variance explained; 1 for a constant that is met, 0 for one that is missed
};

/// Weighted linear regression on binary features. Sums over the samples are formed once, in float64; every model is
/// then fitted from them.
class MaskRegression {
 public:
  /// `masks` [samples, features] of 0 and 1; `values` and `sample_weights` one a sample. The three must outlive this.
  MaskRegression(std::span<const uint8_t> masks,
                 int64_t features,
                 std::span<const double> values,
                 std::span<const double> sample_weights);

  int64_t features() const { return features_; }

  /// Least squares with the penalty alpha * |weights|^2; the intercept is free. @source Hoerl and Kennard 1970,
  /// equation 2.3
  LinearFit ridge(const std::vector<int64_t>& features, double alpha) const;

  /// `count` features, each the one that raises R^2 of the model without penalty most. @source lime 0.2, LimeBase
  std::vector<int64_t> forward_selection(int64_t count) const;

  /// The `count` features of largest absolute weight in a ridge with alpha 0.01. @source lime 0.2, LimeBase
  std::vector<int64_t> highest_weights(int64_t count) const;

 private:
  std::span<const uint8_t> masks_;
  int64_t features_;
  std::span<const double> values_;
  std::span<const double> sample_weights_;
  std::vector<double> feature_means_;  // weighted
  double value_mean_ = 0;              // weighted
  double variation_ = 0;               // weighted sum of squares of the values about their mean
  std::vector<double> gram_;           // [features, features] weighted, centered
  std::vector<double> cross_;          // [features] weighted, centered: with the values
};

}  // namespace mien::explain
