#pragma once

#include <ATen/core/Tensor.h>

#include "mien/network/network.h"

namespace mien::network {

/// y = scale x + shift, one value [C] a channel, float32.
struct ChannelAffine {
  at::Tensor scale;
  at::Tensor shift;
};

/// What the batch norm `layer` of `network` is in evaluation mode: scale = gamma / sqrt(running variance + epsilon),
/// shift = beta - running mean * scale. Differentiable in gamma and beta. Throws std::logic_error for another kind.
ChannelAffine channel_affine(const Network& network, const Layer& layer);

}  // namespace mien::network
