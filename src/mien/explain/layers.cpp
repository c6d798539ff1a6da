#include "mien/explain/layers.h"

#include <fmt/format.h>

#include "mien/core/error.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Layer;
using network::LayerKind;

bool is_spatial(const Layer& layer) { return !layer.output_shape.is_flat && layer.kind != LayerKind::input; }

/// What `layer` pools, through dropout: at least as many positions, from the same weights. `layer` itself where it
/// pools the input.
int before_pooling(const Graph& graph, int layer) {
  int found = layer;
  const auto kind = [&] { return graph.layers[static_cast<size_t>(found)].kind; };
  while (kind() == LayerKind::max_pool || kind() == LayerKind::avg_pool || kind() == LayerKind::dropout)
    found = graph.layers[static_cast<size_t>(found)].inputs.front();
  return found > 0 ? found : layer;
}

}  // namespace

int choose_layer(const Graph& graph, const std::string& wish) {
  const auto count = static_cast<int>(graph.layers.size());
  if (!wish.empty() && wish != "last") {
    const int layer = graph.index_of(wish);
    if (!is_spatial(graph.layers[static_cast<size_t>(layer)])) {
      throw_usage(fmt::format("layer {} of {} gives {}, expected one with height and width",
                              wish,
                              graph.name,
                              graph.layers[static_cast<size_t>(layer)].output_shape.text()),
                  "`mien networks summary` shows the layers' sizes");
    }
    return layer;
  }
  for (int layer = count - 1; layer > 0; --layer) {
    const Layer& node = graph.layers[static_cast<size_t>(layer)];
    const bool has_positions = is_spatial(node) && node.output_shape.height * node.output_shape.width > 1;
    if (wish == "last" ? node.kind != LayerKind::conv : !has_positions) continue;
    return wish == "last" ? layer : before_pooling(graph, layer);
  }
  throw_usage(fmt::format("network {} has no layer with height and width to look at", graph.name),
              "class activation needs convolutions; gradient and perturbation methods do without");
}

std::string layer_text(const Graph& graph, int layer) {
  const Layer& node = graph.layers[static_cast<size_t>(layer)];
  return fmt::format("{} ({})", node.name, node.output_shape.text());
}

}  // namespace mien::explain
