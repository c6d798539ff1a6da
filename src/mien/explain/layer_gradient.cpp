#include "mien/explain/layer_gradient.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

namespace mien::explain {

using network::Mode;
using network::Network;

std::vector<at::Tensor> outputs_until(const Network& network, const at::Tensor& images, int layer) {
  const at::NoGradGuard no_gradient;
  return network.forward_until(images, Mode::evaluation, layer);
}

at::Tensor run_rest(const Network& network, std::vector<at::Tensor> outputs, int layer) {
  return network.forward_after(std::move(outputs), Mode::evaluation, layer);
}

LayerGradient layer_gradient(const AttributionRequest& request, int layer) {
  std::vector<at::Tensor> outputs = outputs_until(request.network, request.images, layer);
  const at::AutoGradMode with_gradient(true);
  // A detached copy, so that the gradient of this layer alone is taken where a later layer reads an earlier one, too.
  at::Tensor& activation = outputs[static_cast<size_t>(layer)];
  activation = activation.detach().set_requires_grad(true);
  const at::Tensor leaf = activation;
  const at::Tensor logits = run_rest(request.network, std::move(outputs), layer);
  const at::Tensor total = score_of(logits, request.targets, request.score).sum();
  return {.activation = leaf.detach(),
          .gradient = torch::autograd::grad({total}, {leaf}).front(),
          .logits = logits.detach()};
}

}  // namespace mien::explain
