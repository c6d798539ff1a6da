#pragma once

#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "mien/explain/attribution.h"

namespace mien::explain {

/// What the layers after `layer` read of a batch: the outputs of layers up to it, by index; those that no later layer
/// reads are undefined, except `layer`'s own. Computed in evaluation mode without an autograd graph.
/// Throws Error(usage) as Network::forward_until does.
std::vector<at::Tensor> outputs_until(const network::Network& network, const at::Tensor& images, int layer);

/// Logits [N,K] from what `outputs_until` gave, with changes to it if the caller made any: only the layers after
/// `layer` are run, in evaluation mode. Differentiable where at::GradMode is on.
at::Tensor run_rest(const network::Network& network, std::vector<at::Tensor> outputs, int layer);

/// One layer's output and the gradient of the summed scores with respect to it, both [N,C,h,w] (or [N,F] after
/// flatten).
struct LayerGradient {
  at::Tensor activation;
  at::Tensor gradient;
  at::Tensor logits;  ///< [N,K]
};
/// In one piece (the caller splits batches); the graph for the backward pass begins at the layer.
LayerGradient layer_gradient(const AttributionRequest& request, int layer);

}  // namespace mien::explain
