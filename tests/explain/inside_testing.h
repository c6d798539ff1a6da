#pragma once

#include <string>

#include "network/helpers.h"

#include "mien/explain/attribution.h"

namespace mien::explain {

/// A network with parameters and running statistics as after a training: none is 0, 1 or the same for all channels.
inline network::Network lively(const network::Graph& graph, uint64_t seed = 3) {
  network::Network network = frozen_copy(network::Network(graph, seed));
  RandomStream random(seed, "lively statistics");
  for (const network::ParameterSpec& spec : graph.parameter_specs()) {
    if (graph.layers[static_cast<size_t>(spec.layer)].kind != network::LayerKind::batch_norm) continue;
    at::Tensor values = network.tensor(spec.name);
    const bool is_positive = spec.name.ends_with("running_var");
    for (int64_t i = 0; i < values.numel(); ++i) values[i] = random.uniform(is_positive ? 0.5 : -1.0, 1.5);
  }
  return network;
}

}  // namespace mien::explain
