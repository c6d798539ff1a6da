#include "mien/explain/units/filters.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Layer;
using network::LayerKind;
using network::Mode;
using network::Network;

at::Tensor row_major_copy(const at::Tensor& values) {
  return values.detach().to(at::kCPU).clone(at::MemoryFormat::Contiguous);
}

const Layer& layer_at(const Graph& graph, int layer) {
  if (layer < 0 || layer >= static_cast<int>(graph.layers.size())) {
    throw_usage(
        fmt::format("network {} has no layer {}, expected 0 to {}", graph.name, layer, graph.layers.size() - 1));
  }
  return graph.layers[static_cast<size_t>(layer)];
}

/// Whether `layer` reads the image as it is, or flattened.
bool reads_image(const Graph& graph, const Layer& layer) {
  const int input = layer.inputs.front();
  return input == 0 || (graph.layers[static_cast<size_t>(input)].kind == LayerKind::flatten &&
                        graph.layers[static_cast<size_t>(input)].inputs.front() == 0);
}

}  // namespace

std::vector<FilterWeights> convolution_weights(const Network& network) {
  std::vector<FilterWeights> found;
  const Graph& graph = network.graph();
  for (size_t i = 0; i < graph.layers.size(); ++i) {
    const Layer& layer = graph.layers[i];
    if (layer.kind != LayerKind::conv) continue;
    found.push_back({.layer = static_cast<int>(i),
                     .name = layer.name,
                     .weight = row_major_copy(network.tensor(layer.name + ".weight")),
                     .bias = layer.bias ? row_major_copy(network.tensor(layer.name + ".bias")) : at::Tensor()});
  }
  return found;
}

at::Tensor weight_pictures(const Network& network, int layer, int64_t channel) {
  const Graph& graph = network.graph();
  const Layer& node = layer_at(graph, layer);
  const network::Shape input = graph.input_shape();
  const bool is_dense = node.kind == LayerKind::dense && reads_image(graph, node);
  if (node.kind != LayerKind::conv && !is_dense) {
    throw_usage(fmt::format("{} of {} has no weights that are pictures", node.name, graph.name),
                "convolutions have, and dense layers that read the image");
  }
  const at::Tensor weight = network.tensor(node.name + ".weight").detach().to(at::kCPU);
  const at::Tensor kernels = is_dense ? weight.reshape({-1, input.channels, input.height, input.width}) : weight;
  if (channel < 0 || channel >= kernels.size(1)) {
    throw_usage(fmt::format("{} reads no input channel {}, expected 0 to {}", node.name, channel, kernels.size(1) - 1));
  }
  return row_major_copy(kernels.select(1, channel));
}

std::vector<at::Tensor> layer_outputs(const Network& network,
                                      const at::Tensor& images,
                                      const std::vector<int>& layers,
                                      int64_t batch_size) {
  if (layers.empty()) return {};
  for (const int layer : layers) layer_at(network.graph(), layer);
  const at::NoGradGuard no_grad;
  const int last = *std::max_element(layers.begin(), layers.end());
  std::vector<std::vector<at::Tensor>> parts(layers.size());
  // An empty batch goes through once, to be refused.
  for (int64_t begin = 0; begin == 0 || begin < images.size(0); begin += batch_size) {
    const at::Tensor batch = images.slice(0, begin, begin + batch_size).contiguous(at::MemoryFormat::ChannelsLast);
    network.forward_visit(
        batch,
        Mode::evaluation,
        [&](int layer, const at::Tensor& output) {
          for (size_t i = 0; i < layers.size(); ++i) {
            if (layers[i] == layer) parts[i].push_back(row_major_copy(output));
          }
        },
        last);
  }
  std::vector<at::Tensor> outputs;
  for (const auto& part : parts) outputs.push_back(part.size() == 1 ? part.front() : at::cat(part));
  return outputs;
}

int64_t unit_count(const Graph& graph, int layer) { return layer_at(graph, layer).output_shape.channels; }

std::vector<int64_t> parse_units(const std::string& text, const Graph& graph, int layer) {
  const int64_t count = unit_count(graph, layer);
  const std::string& name = layer_at(graph, layer).name;
  const auto refuse = [&](std::string_view part) {
    throw_usage(fmt::format("units {} of {} (it has {}): {} is none of `all`, `first 64`, `3`, `0-31,40`",
                            quote_sample(text),
                            name,
                            count,
                            quote_sample(part)));
  };
  const auto number = [&](std::string_view part) {
    const auto value = parse_int(trim(part));
    if (!value || *value < 0) refuse(part);
    return *value;
  };
  std::vector<int64_t> units;
  const auto add = [&](int64_t first, int64_t last) {
    if (last >= count || first > last) {
      throw_usage(fmt::format("{} has no units {}-{}, expected 0 to {}", name, first, last, count - 1));
    }
    for (int64_t unit = first; unit <= last; ++unit) units.push_back(unit);
  };
  const std::string_view whole = trim(text);
  if (whole == "all") {
    add(0, count - 1);
  } else if (whole.starts_with("first ")) {
    const int64_t wanted = number(whole.substr(6));
    if (wanted < 1) refuse(whole);
    add(0, std::min(wanted, count) - 1);
  } else {
    for (const std::string_view part : split(whole, ',')) {
      const size_t dash = part.find('-');
      const int64_t first = number(part.substr(0, dash));
      add(first, dash == std::string_view::npos ? first : number(part.substr(dash + 1)));
    }
  }
  return units;
}

at::Tensor tile(const at::Tensor& pictures, int64_t columns, int64_t margin, double fill) {
  if (pictures.dim() != 3 || pictures.size(0) == 0 || columns < 0 || margin < 0) {
    throw_usage(fmt::format("cannot tile pictures of shape [{}], expected [N,h,w]", fmt::join(pictures.sizes(), ",")));
  }
  const int64_t count = pictures.size(0);
  const int64_t height = pictures.size(1);
  const int64_t width = pictures.size(2);
  const auto rows_for = [&](int64_t wide) { return (count + wide - 1) / wide; };
  if (columns == 0) {
    columns = 1;
    while (columns * (width + margin) < rows_for(columns) * (height + margin)) ++columns;
  }
  const int64_t rows = rows_for(columns);
  at::Tensor picture =
      at::full({rows * (height + margin) - margin, columns * (width + margin) - margin}, fill, at::kFloat);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t top = i / columns * (height + margin);
    const int64_t left = i % columns * (width + margin);
    picture.slice(0, top, top + height).slice(1, left, left + width).copy_(pictures[i]);
  }
  return picture;
}

}  // namespace mien::explain
