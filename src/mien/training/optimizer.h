#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/training/options.h"

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

  /// One update from the parameters' .grad() with learning rate `rate`. One pass over memory on the CPU.
  void step(double rate);
  /// Forgets all gradients.
  void zero_grad();
  /// L2 norm of the whole gradient, summed in float64; scales the gradient to `options.clip_grad` if that is
  /// set and smaller. Called by step.
  double clip();

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
  int64_t steps_ = 0;
};

}  // namespace mien::training
