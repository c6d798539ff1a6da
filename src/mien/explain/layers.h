#pragma once

#include <string>

#include "mien/network/graph/graph.h"

namespace mien::explain {

/// The layer that a class activation method reads. `wish` is a layer's name, "last" (the last convolution), or empty:
/// the last layer with height and width and more than one position or, where that one pools, the layer before the pool
/// (dropout passed over), which has the same features at more positions. Throws Error(usage) with a suggestion for an
/// unknown name, and for a layer without height and width or a network that has none.
int choose_layer(const network::Graph& graph, const std::string& wish);

/// "max_pool4 (128*3*3)", as the choice is printed.
std::string layer_text(const network::Graph& graph, int layer);

}  // namespace mien::explain
