#pragma once

#include <ATen/core/Tensor.h>

namespace mien::training {

/// Weighted soft-target cross entropy of logits [N,K] and targets [N,K] (rows sum to 1), a float32 scalar:
///   L = sum_i sum_c w_c t_ic (-log softmax(z_i)_c) / sum_i sum_c w_c t_ic.
/// `class_weights` is [K] or undefined for all ones. With hard targets it is PyTorch's weighted mean; without weights
/// it is the mean over rows, whose gradient is (softmax(z) - t) / N (docs/math.md).
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& class_weights = {});

/// What a teacher adds to the loss, a float32 scalar: T^2 times the cross entropy of softmax(logits / T) and
/// softmax(teacher_logits / T), meaned over rows; both [N,K], T = `temperature`.
/// @source Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network", section 2
at::Tensor distillation_loss(const at::Tensor& logits, const at::Tensor& teacher_logits, double temperature);

}  // namespace mien::training
