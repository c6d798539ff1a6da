#include "mien/network/channel_affine.h"

#include <stdexcept>

#include <ATen/ATen.h>

namespace mien::network {

ChannelAffine channel_affine(const Network& network, const Layer& layer) {
  if (layer.kind != LayerKind::batch_norm) throw std::logic_error(layer.name + " is no batch norm");
  const auto parameter = [&](const char* ending) { return network.tensor(layer.name + ending); };
  const at::Tensor scale = parameter(".weight") / (parameter(".running_var") + layer.epsilon).sqrt();
  return {.scale = scale, .shift = parameter(".bias") - parameter(".running_mean") * scale};
}

}  // namespace mien::network
