#include "mien/explain/units/receptive_field.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Layer;
using network::LayerKind;

/// Follows a rectangle of positions back to the image. With `is_bounded` it keeps inside every layer's output.
std::optional<PixelWindow> window_on_image(const Graph& graph, int layer, const PixelWindow& at, bool is_bounded) {
  std::vector<std::optional<PixelWindow>> windows(graph.layers.size());
  windows[static_cast<size_t>(layer)] = at;
  // Nodes come after what they read, so one pass from the layer down sees every reader first.
  for (int index = layer; index > 0; --index) {
    const Layer& node = graph.layers[static_cast<size_t>(index)];
    const auto& own = windows[static_cast<size_t>(index)];
    if (!own) continue;
    for (size_t which = 0; which < node.inputs.size(); ++which) {
      const auto& from = graph.layers[static_cast<size_t>(node.inputs[which])].output_shape;
      PixelWindow read = *own;
      if (network::traits(node).is_window) {
        read.top = own->top * node.stride - node.padding.top;
        read.left = own->left * node.stride - node.padding.left;
        read.bottom = (own->bottom - 1) * node.stride - node.padding.top + node.kernel_height;
        read.right = (own->right - 1) * node.stride - node.padding.left + node.kernel_width;
      } else if (network::traits(node).sees_all_pixels || (node.kind == LayerKind::multiply && which == 1)) {
        if (!is_bounded) return std::nullopt;
        read = {.bottom = from.height, .right = from.width};
      }
      if (is_bounded) {
        read.top = std::max<int64_t>(read.top, 0);
        read.left = std::max<int64_t>(read.left, 0);
        read.bottom = std::min(read.bottom, from.height);
        read.right = std::min(read.right, from.width);
      }
      auto& known = windows[static_cast<size_t>(node.inputs[which])];
      if (!known) {
        known = read;
        continue;
      }
      known->top = std::min(known->top, read.top);
      known->left = std::min(known->left, read.left);
      known->bottom = std::max(known->bottom, read.bottom);
      known->right = std::max(known->right, read.right);
    }
  }
  return windows.front();
}

const Layer& layer_at(const Graph& graph, int layer) {
  if (layer < 0 || layer >= static_cast<int>(graph.layers.size())) {
    throw_usage(
        fmt::format("network {} has no layer {}, expected 0 to {}", graph.name, layer, graph.layers.size() - 1));
  }
  return graph.layers[static_cast<size_t>(layer)];
}

}  // namespace

ReceptiveField receptive_field(const Graph& graph, int layer) {
  layer_at(graph, layer);
  const auto first = window_on_image(graph, layer, {0, 0, 1, 1}, /*is_bounded=*/false);
  if (!first) {
    const auto shape = graph.input_shape();
    return {.height = shape.height, .width = shape.width, .stride = 0, .is_whole_image = true};
  }
  const auto second = window_on_image(graph, layer, {1, 1, 2, 2}, /*is_bounded=*/false);
  return {.height = first->height(),
          .width = first->width(),
          .stride = second->top - first->top,
          .offset_y = first->top,
          .offset_x = first->left};
}

PixelWindow receptive_window(const Graph& graph, int layer, int64_t y, int64_t x) {
  const Layer& node = layer_at(graph, layer);
  if (y < 0 || x < 0 || y >= node.output_shape.height || x >= node.output_shape.width) {
    throw_usage(fmt::format("{} gives {}, it has no position ({}, {})", node.name, node.output_shape.text(), y, x));
  }
  return *window_on_image(graph, layer, {y, x, y + 1, x + 1}, /*is_bounded=*/true);
}

}  // namespace mien::explain
