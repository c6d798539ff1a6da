#pragma once

#include <ATen/core/Tensor.h>

namespace mien::training {

/// Weighted soft-target cross entropy of logits [N,K] and targets [N,K] (rows sum to 1), a float32 scalar:
///   L = sum_i sum_c w_c t_ic (-log softmax(z_i)_c) / sum_i sum_c w_c t_ic.
/// `class_weights` is [K] or undefined for all ones. With hard targets it is PyTorch's weighted mean; without weights
/// it is the mean over rows, whose gradient is (softmax(z) - t) / N (docs/math.md).
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& class_weights = {});

}  // namespace mien::training
