#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/training/train_options.h"

namespace mien::training {

/// Gradient descent on a fixed list of parameters. State is per parameter and named, so that it can be saved.
///   adam:    m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  p -= lr / (1-b1^t) * m / (sqrt(v / (1-b2^t)) + eps)
///   adamw:   p *= 1 - lr * decay first, then as adam
///   sgd:     u = mu u + g;  p -= lr (g + mu u)                            (Nesterov; Sutskever et al. 2013 as in
///   PyTorch) rmsprop: v = b2 v + (1-b2) g^2;  u = mu u + g / (sqrt(v) + eps);  p -= lr u
/// with g += decay * p first, for all but adamw; decay touches parameters of two or more dimensions only.
class Optimizer {
 public:
  /// `names` are the parameters' names, in the same order.
  Optimizer(const OptimizerOptions& options, std::vector<at::Tensor> parameters, std::vector<std::string> names);

  /// Tensors like the parameters, in the same order, that every step moves towards them (an exponential moving
  /// average).
  void set_averages(std::vector<at::Tensor> averages);

  /// One update from the parameters' .grad() with learning rate `rate`; then, if set_averages was called,
  /// average += average_share (parameter - average). On the CPU one pass over the memory of all parameters, after one
  /// over the gradients where `options.clip_grad` needs their norm; the outcome does not depend on the threads.
  void step(double rate, double average_share = 0);
  /// Forgets all gradients: the next backward pass hands over its own tensors, nothing is filled or added.
  void zero_grad();
  /// L2 norm of the whole gradient, summed in float64. Where it exceeds `options.clip_grad` (and that is not 0), step
  /// uses the gradient times clip_grad / (norm + 1e-6).
  /// @source Pascanu, Mikolov & Bengio 2013, algorithm 1; the 1e-6 as in torch.nn.utils.clip_grad_norm_
  double gradient_norm() const;

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  /// "optimizer.m.conv1.weight" and its tensor, for every state tensor.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

 private:
  OptimizerOptions options_;
  std::vector<at::Tensor> parameters_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> first_;   // m or u
  std::vector<at::Tensor> second_;  // v
  std::vector<at::Tensor> averages_;
  int64_t steps_ = 0;
};

}  // namespace mien::training
