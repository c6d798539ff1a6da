#include "mien/training/loss.h"

#include <ATen/ATen.h>

namespace mien::training {

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& class_weights) {
  const at::Tensor weighted = class_weights.defined() ? targets * class_weights : targets;
  return -(at::log_softmax(logits, 1) * weighted).sum() / weighted.sum();
}

}  // namespace mien::training
