#include "mien/network/graph/graph.h"

#include <utility>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::network {
namespace {

int64_t elements(const std::vector<int64_t>& shape) {
  int64_t product = 1;
  for (const int64_t size : shape) product *= size;
  return product;
}

int64_t values_of(const Layer& layer, bool trainable) {
  int64_t sum = 0;
  for (const ParameterSpec& spec : layer_parameters(layer))
    sum += spec.trainable == trainable ? elements(spec.shape) : 0;
  return sum;
}

template <class Value>
int64_t sum_over(const std::vector<Layer>& layers, Value value) {
  int64_t sum = 0;
  for (const Layer& layer : layers) sum += value(layer);
  return sum;
}

}  // namespace

std::string Shape::text() const {
  return is_flat ? fmt::format("{}", channels) : fmt::format("{}*{}*{}", channels, height, width);
}

int64_t Layer::trainable_parameters() const { return values_of(*this, /*trainable=*/true); }

int64_t Layer::buffers() const { return values_of(*this, /*trainable=*/false); }

int64_t Layer::multiply_adds() const {
  if (!traits(*this).is_weighted) return 0;
  // Every weight is used once per output pixel; the bias's addition is counted with the last product.
  return elements(layer_parameters(*this).front().shape) * output_shape.height * output_shape.width;
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
  for (size_t index = 0; index < layers.size(); ++index) {
    for (ParameterSpec& spec : layer_parameters(layers[index])) {
      spec.name = fmt::format("{}.{}", layers[index].name, spec.name);
      spec.layer = static_cast<int>(index);
      specs.push_back(std::move(spec));
    }
  }
  return specs;
}

}  // namespace mien::network
