#include "mien/explain/gradients/backward_walk.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

namespace mien::explain {

using network::Mode;

BackwardWalk::BackwardWalk(const network::Network& network, const at::Tensor& images)
    : network_(network), outputs_(network.graph().layers.size()) {
  const at::NoGradGuard no_gradient;
  network.forward_visit(images.detach(), Mode::evaluation, [&](int index, const at::Tensor& output) {
    outputs_[static_cast<size_t>(index)] = output;
  });
}

const at::Tensor& BackwardWalk::input(int layer, size_t number) const {
  return output(this->layer(layer).inputs[number]);
}

at::Tensor BackwardWalk::run(const at::Tensor& start, const Rule& rule) const {
  const at::NoGradGuard no_gradient;
  std::vector<at::Tensor> signals(outputs_.size());
  signals.back() = start;
  for (auto index = static_cast<int>(outputs_.size()) - 1; index > 0; --index) {
    const at::Tensor signal = std::exchange(signals[static_cast<size_t>(index)], at::Tensor());
    if (!signal.defined()) continue;
    const std::vector<at::Tensor> handed_down = rule(index, signal);
    for (size_t i = 0; i < handed_down.size(); ++i) {
      at::Tensor& sum = signals[static_cast<size_t>(layer(index).inputs[i])];
      if (handed_down[i].defined()) sum = sum.defined() ? sum + handed_down[i] : handed_down[i];
    }
  }
  return signals.front().defined() ? signals.front() : at::zeros_like(outputs_.front());
}

std::vector<at::Tensor> BackwardWalk::gradient(int layer, const at::Tensor& signal) const {
  const at::AutoGradMode with_gradient(true);
  std::vector<at::Tensor> inputs;
  for (const int input : this->layer(layer).inputs) inputs.push_back(output(input).detach().set_requires_grad(true));
  const at::Tensor result = network_.run_layer(layer, inputs, Mode::evaluation);
  return torch::autograd::grad({result}, inputs, {signal});
}

at::Tensor BackwardWalk::directional_derivative(int layer, const std::vector<at::Tensor>& directions) const {
  const at::AutoGradMode with_gradient(true);
  std::vector<at::Tensor> inputs;
  for (const int input : this->layer(layer).inputs) inputs.push_back(output(input).detach().set_requires_grad(true));
  const at::Tensor result = network_.run_layer(layer, inputs, Mode::evaluation);
  // The transposed Jacobian is linear in what it is applied to; its own transpose is the Jacobian.
  const at::Tensor signal = at::zeros_like(result).set_requires_grad(true);
  const std::vector<at::Tensor> transposed =
      torch::autograd::grad({result}, inputs, {signal}, /*retain_graph=*/true, /*create_graph=*/true);
  return torch::autograd::grad(transposed, {signal}, directions).front();
}

at::Tensor score_gradient(const at::Tensor& logits, const at::Tensor& targets, Score score) {
  if (score == Score::sum_of_logits) return at::ones_like(logits);
  const at::Tensor chosen = at::zeros_like(logits).scatter_(1, targets.unsqueeze(1), 1.0);
  if (score == Score::logit) return chosen;
  const at::Tensor probabilities = at::softmax(logits, 1);
  return (chosen - probabilities) * probabilities.gather(1, targets.unsqueeze(1));
}

}  // namespace mien::explain
