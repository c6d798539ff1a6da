#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/network/graph/graph.h"

namespace mien::figures {

/// A layer and those of its filters or dense units that are shown.
struct LayerUnits {
  int layer = 0;
  std::vector<int64_t> units;
};

/// Which layers and which of their units a figure looks at.
struct LayerOptions {
  std::vector<std::string> layers;  ///< empty: those of the figure's kind
  std::string units = "first 64";   ///< one choice for all layers, or one for each, separated by ';'

  /// `default_layers` says in words which layers an empty list stands for.
  void bind(OptionSet& options, const std::string& default_layers);
  /// The layers that are named, else `defaults`, with their units. Throws Error(usage) for layers and units that the
  /// network does not have, another number of choices than of layers, and a network without such layers.
  std::vector<LayerUnits> choose(const network::Graph& graph, const std::vector<int>& defaults) const;
};

/// Every convolution.
std::vector<int> convolutions(const network::Graph& graph);
/// The activation that alone reads `layer`, directly or behind batch norm; `layer` itself where there is none.
int activation_of(const network::Graph& graph, int layer);
/// Every convolution at its activation (see activation_of).
std::vector<int> activations(const network::Graph& graph);
/// The last convolution and the dense layers behind it, each at its activation.
std::vector<int> last_activations(const network::Graph& graph);

}  // namespace mien::figures
