#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mien::explain {

/// Sets of segments to evaluate, and how much each counts in the regression.
struct Coalitions {
  at::Tensor masks;             ///< [S,K] uint8, 1 = segment seen; neither all nor none
  std::vector<double> weights;  ///< one a row
  bool is_exact = false;        ///< all 2^K - 2 sets are there
};

/// At most `samples` sets of `segments` segments: whole sizes from the outside in (1 and K-1, 2 and K-2, ...) as long
/// as the number suffices for them, then random sets, drawn in complementary pairs, by the kernel's weight of their
/// size.
/// @source Lundberg and Lee 2017, theorem 2; order and sampling as in shap 0.4x, KernelExplainer
Coalitions coalitions(int64_t segments, int64_t samples, int64_t seed);

/// The segments' Shapley values by weighted regression, [K]: they add up to `full` - `empty` exactly. `values` are the
/// scores of `coalitions.masks`' rows. @source Lundberg and Lee 2017, theorem 2
std::vector<double> shapley_values(const Coalitions& coalitions,
                                   const std::vector<double>& values,
                                   double empty,
                                   double full);

}  // namespace mien::explain
