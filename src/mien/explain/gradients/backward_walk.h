#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/explain/attribution.h"

namespace mien::explain {

/// A batch's way through a network, kept layer by layer, to be walked back with a rule of one's own at every layer.
/// What flows back, the signal, is whatever the rules make of it: a gradient, a multiplier, a relevance. It starts at
/// the logits and has at each layer the shape of that layer's output; where a layer is read by several, their signals
/// add up. Keeps all layers' outputs: the caller splits batches.
class BackwardWalk {
 public:
  /// What a layer hands down to its inputs, one signal each, for the one that it received. An undefined tensor hands
  /// nothing down.
  using Rule = std::function<std::vector<at::Tensor>(int layer, const at::Tensor& signal)>;

  /// Runs the network in evaluation mode. Throws Error(usage) as Network::forward does.
  BackwardWalk(const network::Network& network, const at::Tensor& images);

  const network::Layer& layer(int index) const { return network_.graph().layers[static_cast<size_t>(index)]; }
  const at::Tensor& output(int layer) const { return outputs_[static_cast<size_t>(layer)]; }
  /// Output of the layer that is input number `number` of `layer`.
  const at::Tensor& input(int layer, size_t number = 0) const;
  const at::Tensor& logits() const { return outputs_.back(); }

  /// Signal at the images, [N,C,H,W], for `start` [N,K] at the logits. Zero where nothing arrived.
  at::Tensor run(const at::Tensor& start, const Rule& rule) const;

  /// The rule of the chain rule: the layer's transposed Jacobian, at this batch, applied to `signal`.
  std::vector<at::Tensor> gradient(int layer, const at::Tensor& signal) const;

  /// The layer's Jacobian, at this batch, times `directions`, one of the shape of each input; of the output's shape.
  at::Tensor directional_derivative(int layer, const std::vector<at::Tensor>& directions) const;

 private:
  network::Network network_;
  std::vector<at::Tensor> outputs_;
};

/// Gradient of the summed scores with respect to the logits, [N,K].
at::Tensor score_gradient(const at::Tensor& logits, const at::Tensor& targets, Score score);

}  // namespace mien::explain
