#include "mien/figures/layer_options.h"

#include <algorithm>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/explain/units/filters.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::figures {

using network::Graph;
using network::LayerKind;

void LayerOptions::bind(OptionSet& options, const std::string& default_layers) {
  options.add(&layers,
              {.name = "layers",
               .help = fmt::format("layers to look at, separated by commas; the default is {}", default_layers)});
  options.add(&units,
              {.name = "units",
               .help = "filters or dense units to look at: first 64, all, or 0-31,40; with one choice for each layer, "
                       "separated by ;"});
}

std::vector<LayerUnits> LayerOptions::choose(const Graph& graph, const std::vector<int>& defaults) const {
  std::vector<LayerUnits> chosen;
  for (const std::string& name : layers) chosen.push_back({graph.index_of(name), {}});
  for (const int layer : defaults) {
    if (layers.empty()) chosen.push_back({layer, {}});
  }
  if (chosen.empty())
    throw_usage(fmt::format("network {} has no convolution to look into", graph.name), "--layers names layers of it");
  const std::vector<std::string> texts = split(units, ';');
  if (texts.size() != 1 && texts.size() != chosen.size()) {
    throw_usage(fmt::format("units {} are {} choices for {} layers, expected 1 or {}",
                            quote_sample(units),
                            texts.size(),
                            chosen.size(),
                            chosen.size()));
  }
  for (size_t i = 0; i < chosen.size(); ++i)
    chosen[i].units = explain::parse_units(std::string(trim(texts[texts.size() == 1 ? 0 : i])), graph, chosen[i].layer);
  return chosen;
}

std::vector<int> convolutions(const Graph& graph) {
  std::vector<int> layers;
  for (int i = 0; i < static_cast<int>(graph.layers.size()); ++i) {
    if (graph.layers[static_cast<size_t>(i)].kind == LayerKind::conv) layers.push_back(i);
  }
  return layers;
}

int activation_of(const Graph& graph, int layer) {
  for (int at = layer;;) {
    std::vector<int> readers;
    for (int i = 0; i < static_cast<int>(graph.layers.size()); ++i) {
      const auto& inputs = graph.layers[static_cast<size_t>(i)].inputs;
      if (i > 0 && std::find(inputs.begin(), inputs.end(), at) != inputs.end()) readers.push_back(i);
    }
    if (readers.size() != 1) return layer;
    at = readers.front();
    const network::LayerTraits& facts = network::traits(graph.layers[static_cast<size_t>(at)]);
    if (facts.is_activation) return at;
    if (!facts.is_normalization) return layer;
  }
}

std::vector<int> activations(const Graph& graph) {
  std::vector<int> layers = convolutions(graph);
  for (int& layer : layers) layer = activation_of(graph, layer);
  return layers;
}

std::vector<int> last_activations(const Graph& graph) {
  std::vector<int> layers;
  for (int i = 1; i < static_cast<int>(graph.layers.size()); ++i) {
    const network::Layer& node = graph.layers[static_cast<size_t>(i)];
    if (node.kind == LayerKind::conv) layers.clear();
    if (network::traits(node).is_weighted) layers.push_back(activation_of(graph, i));
  }
  return layers;
}

}  // namespace mien::figures
