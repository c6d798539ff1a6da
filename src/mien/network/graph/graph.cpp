#include "mien/network/graph/graph.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::network {
namespace {

constexpr std::array<std::pair<LayerKind, std::string_view>, 15> kKindNames{{
    {LayerKind::input, "input"},
    {LayerKind::conv, "conv"},
    {LayerKind::dense, "dense"},
    {LayerKind::batch_norm, "batch_norm"},
    {LayerKind::relu, "relu"},
    {LayerKind::leaky_relu, "leaky_relu"},
    {LayerKind::silu, "silu"},
    {LayerKind::sigmoid, "sigmoid"},
    {LayerKind::max_pool, "max_pool"},
    {LayerKind::avg_pool, "avg_pool"},
    {LayerKind::global_avg_pool, "global_avg_pool"},
    {LayerKind::flatten, "flatten"},
    {LayerKind::dropout, "dropout"},
    {LayerKind::add, "add"},
    {LayerKind::multiply, "multiply"},
}};

int64_t weights(const Layer& layer) {
  switch (layer.kind) {
    case LayerKind::conv:
      return layer.output_shape.channels * (layer.input_shape.channels / layer.groups) * layer.kernel_height *
             layer.kernel_width;
    case LayerKind::dense:
      return layer.output_shape.channels * layer.input_shape.channels;
    default:
      return 0;
  }
}

template <class Value>
int64_t sum_over(const std::vector<Layer>& layers, Value value) {
  int64_t sum = 0;
  for (const Layer& layer : layers) sum += value(layer);
  return sum;
}

}  // namespace

std::string_view to_text(LayerKind kind) {
  for (const auto& [candidate, name] : kKindNames) {
    if (candidate == kind) return name;
  }
  return "unknown";
}

std::string Shape::text() const {
  return is_flat ? fmt::format("{}", channels) : fmt::format("{}*{}*{}", channels, height, width);
}

int64_t Layer::trainable_parameters() const {
  if (kind == LayerKind::batch_norm) return 2 * output_shape.channels;
  return weights(*this) + (weights(*this) > 0 && bias ? output_shape.channels : 0);
}

int64_t Layer::buffers() const { return kind == LayerKind::batch_norm ? 2 * output_shape.channels : 0; }

int64_t Layer::multiply_adds() const {
  // Every weight is used once per output pixel; the bias's addition is counted with the last product.
  return weights(*this) * output_shape.height * output_shape.width;
}

int64_t Graph::trainable_parameters() const {
  return sum_over(layers, [](const Layer& layer) { return layer.trainable_parameters(); });
}

int64_t Graph::buffers() const {
  return sum_over(layers, [](const Layer& layer) { return layer.buffers(); });
}

int64_t Graph::multiply_adds() const {
  return sum_over(layers, [](const Layer& layer) { return layer.multiply_adds(); });
}

int Graph::index_of(std::string_view layer_name) const {
  std::vector<std::string> names;
  for (const Layer& layer : layers) {
    if (layer.name == layer_name) return static_cast<int>(names.size());
    names.push_back(layer.name);
  }
  throw_usage(fmt::format("network {} has no layer {}", name, quote_sample(layer_name)), suggestion(layer_name, names));
}

std::vector<ParameterSpec> Graph::parameter_specs() const {
  std::vector<ParameterSpec> specs;
  for (int index = 0; index < static_cast<int>(layers.size()); ++index) {
    const Layer& layer = layers[static_cast<size_t>(index)];
    const int64_t outputs = layer.output_shape.channels;
    const auto add = [&](std::string_view ending, std::vector<int64_t> shape, bool trainable) {
      specs.push_back({fmt::format("{}.{}", layer.name, ending), std::move(shape), index, trainable});
    };
    if (layer.kind == LayerKind::conv) {
      add("weight",
          {outputs, layer.input_shape.channels / layer.groups, layer.kernel_height, layer.kernel_width},
          true);
      if (layer.bias) add("bias", {outputs}, true);
    } else if (layer.kind == LayerKind::dense) {
      add("weight", {outputs, layer.input_shape.channels}, true);
      if (layer.bias) add("bias", {outputs}, true);
    } else if (layer.kind == LayerKind::batch_norm) {
      add("weight", {outputs}, true);
      add("bias", {outputs}, true);
      add("running_mean", {outputs}, false);
      add("running_var", {outputs}, false);
    }
  }
  return specs;
}

}  // namespace mien::network
