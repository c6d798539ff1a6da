#include "mien/training/loss.h"

#include <ATen/ATen.h>

namespace mien::training {

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& class_weights) {
  const at::Tensor weighted = class_weights.defined() ? targets * class_weights : targets;
  return -(at::log_softmax(logits, 1) * weighted).sum() / weighted.sum();
}

at::Tensor distillation_loss(const at::Tensor& logits, const at::Tensor& teacher_logits, double temperature) {
  const at::Tensor wanted = at::softmax(teacher_logits / temperature, 1);
  return cross_entropy(logits / temperature, wanted) * (temperature * temperature);
}

}  // namespace mien::training
