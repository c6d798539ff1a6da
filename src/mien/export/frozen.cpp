#include "mien/export/frozen.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/data/faces/crop.h"
#include "mien/network/graph/layer_traits.h"
#include "mien/network/network.h"
#include "mien/runs/voters.h"

namespace mien::exporting {

using network::Layer;
using network::LayerKind;

FrozenNetwork freeze(const network::LoadedWeights& weights) {
  FrozenNetwork frozen{.graph = weights.network.graph(),
                       .normalization = weights.info.normalization,
                       .class_names = weights.info.class_names,
                       .temperature = runs::stored_temperature(weights.info),
                       .metadata = weights.info.extra};
  frozen.metadata["mien.weights"] = weights.hash;
  frozen.metadata[data::kCropKey] = data::CropRecipe::of(weights.info.extra).text();
  const auto specs = frozen.graph.parameter_specs();
  for (size_t i = 0; i < specs.size(); ++i) {
    const at::Tensor row_major = weights.network.tensors()[i].detach().to(at::kCPU, at::kFloat).contiguous();
    const float* const begin = row_major.data_ptr<float>();
    frozen.values[specs[i].name].assign(begin, begin + row_major.numel());
  }
  if (frozen.class_names.empty()) {
    for (int64_t i = 0; i < frozen.graph.classes(); ++i) frozen.class_names.push_back(fmt::format("class{}", i));
  }
  return frozen;
}

namespace {

/// y = (gamma / deviation) (W x + b - mean) + beta
void fold(FrozenNetwork& network, Layer& weighted, const Layer& norm) {
  std::vector<float>& weight = network.values.at(weighted.name + ".weight");
  const auto outputs = static_cast<size_t>(weighted.output_shape.channels);
  std::vector<float>& bias = network.values[weighted.name + ".bias"];
  bias.resize(outputs);
  weighted.bias = true;
  const auto take = [&](const char* ending) {
    const auto found = network.values.find(norm.name + ending);
    std::vector<float> values = std::move(found->second);
    network.values.erase(found);
    return values;
  };
  const std::vector<float> gamma = take(".weight");
  const std::vector<float> beta = take(".bias");
  const std::vector<float> mean = take(".running_mean");
  const std::vector<float> variance = take(".running_var");
  const size_t taps = weight.size() / outputs;
  for (size_t k = 0; k < outputs; ++k) {
    const double scale = gamma[k] / std::sqrt(variance[k] + norm.epsilon);
    for (size_t i = 0; i < taps; ++i) weight[k * taps + i] = static_cast<float>(weight[k * taps + i] * scale);
    bias[k] = static_cast<float>((static_cast<double>(bias[k]) - mean[k]) * scale + beta[k]);
  }
}

}  // namespace

void fold_batch_norms(FrozenNetwork& network) {
  std::vector<Layer>& layers = network.graph.layers;
  std::vector<int> readers(layers.size());
  for (const Layer& layer : layers) {
    for (const int input : layer.inputs) ++readers[static_cast<size_t>(input)];
  }
  for (Layer& layer : layers) {
    if (layer.kind != LayerKind::batch_norm) continue;
    const auto input = static_cast<size_t>(layer.inputs.front());
    if (readers[input] != 1 || !traits(layers[input]).is_weighted) continue;
    fold(network, layers[input], layer);
    layer.kind = LayerKind::dropout;
    layer.probability = 0;
  }
}

}  // namespace mien::exporting
