#include "mien/explain/layer_gradient.h"

#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

namespace mien::explain {

using network::Mode;
using network::Network;

std::vector<at::Tensor> outputs_until(const Network& network, const at::Tensor& images, int layer) {
  const auto& layers = network.graph().layers;
  std::vector<bool> is_read_later(layers.size());
  for (size_t node = static_cast<size_t>(layer) + 1; node < layers.size(); ++node) {
    for (const int input : layers[node].inputs) is_read_later[static_cast<size_t>(input)] = true;
  }
  std::vector<at::Tensor> outputs(layers.size());
  const at::NoGradGuard no_gradient;
  const auto keep = [&](int node, const at::Tensor& output) {
    const auto index = static_cast<size_t>(node);
    if (node == layer || is_read_later[index]) outputs[index] = output;
  };
  network.forward_visit(images, Mode::evaluation, keep, layer);
  return outputs;
}

at::Tensor run_rest(const Network& network, std::vector<at::Tensor> outputs, int layer) {
  const auto& layers = network.graph().layers;
  for (size_t node = static_cast<size_t>(layer) + 1; node < layers.size(); ++node) {
    std::vector<at::Tensor> inputs;
    for (const int input : layers[node].inputs) inputs.push_back(outputs[static_cast<size_t>(input)]);
    outputs[node] = network.run_layer(static_cast<int>(node), inputs, Mode::evaluation);
  }
  return outputs.back();
}

LayerGradient layer_gradient(const Question& question, int layer) {
  std::vector<at::Tensor> outputs = outputs_until(question.network, question.images, layer);
  const at::AutoGradMode with_gradient(true);
  // A detached copy, so that the gradient of this layer alone is taken where a later layer reads an earlier one, too.
  at::Tensor& activation = outputs[static_cast<size_t>(layer)];
  activation = activation.detach().set_requires_grad(true);
  const at::Tensor leaf = activation;
  const at::Tensor logits = run_rest(question.network, std::move(outputs), layer);
  const at::Tensor total = score_of(logits, question.targets, question.score).sum();
  return {.activation = leaf.detach(),
          .gradient = torch::autograd::grad({total}, {leaf}).front(),
          .logits = logits.detach()};
}

}  // namespace mien::explain
