#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "explain/explain_testing.h"

#include "mien/explain/gradients/gradients.h"
#include "mien/explain/methods.h"

namespace mien::explain {

/// A reference network with the fixtures' three faces, or all eight where MIEN_REFERENCE names the folder of reference
/// numbers.
struct AllFaces : Reference {
  explicit AllFaces(const std::string& name) : Reference(name) {
    const char* folder = std::getenv("MIEN_REFERENCE");
    const auto path = std::filesystem::path(folder == nullptr ? "" : folder) / name / "explanations.safetensors";
    if (folder == nullptr || !std::filesystem::exists(path)) return;
    file = SafetensorsFile::open(path);
    request.images = (*this)["input"];
    request.targets = (*this)["target"];
  }
};

/// The row of the gradient family called `name`.
inline const MethodSpec& gradient_method(const std::string& name) {
  static const std::vector<MethodSpec> table = gradient_methods();
  for (const MethodSpec& spec : table) {
    if (spec.name == name) return spec;
  }
  throw std::logic_error("no gradient method " + name);
}

inline Attributions explain_with(const std::string& name,
                                 const AttributionRequest& request,
                                 const MethodOptions& options) {
  return gradient_method(name).explain(request, options);
}
inline Attributions explain_with(const std::string& name, const AttributionRequest& request) {
  const MethodOptions defaults;
  return explain_with(name, request, defaults);
}

/// The given layers (8x8 images, or `input`) with random weights, running statistics and batch norm parameters.
inline network::Network random_network(const std::string& layers,
                                       const std::string& input = "[1, 8, 8]",
                                       uint64_t seed = 5) {
  network::Network network = frozen_copy(network::Network(network::graph_of(layers, input), seed));
  for (const network::ParameterSpec& spec : network.graph().parameter_specs()) {
    RandomStream random(seed, "test " + spec.name);
    at::Tensor tensor = network.tensor(spec.name);
    if (!spec.name.starts_with("batch_norm")) continue;
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      const bool is_spread = spec.name.ends_with("running_var") || spec.name.ends_with("weight");
      tensor.data_ptr<float>()[i] = static_cast<float>(is_spread ? random.uniform(0.5, 1.5) : random.normal() * 0.3);
    }
  }
  return network;
}

/// One image a class and a last one, each with another target.
inline AttributionRequest question_of(const network::Network& network, int64_t count = 3, uint64_t seed = 1) {
  std::vector<int64_t> targets;
  for (int64_t i = 0; i < count; ++i) targets.push_back(i % network.graph().classes());
  return {.network = network,
          .images = network::random_images(network.graph(), count, seed),
          .targets = at::tensor(targets, at::kLong)};
}

inline at::Tensor score_at(const AttributionRequest& request, const at::Tensor& images) {
  const at::NoGradGuard no_gradient;
  return score_of(request.network.forward(images, network::Mode::evaluation), request.targets, request.score);
}

inline at::Tensor sum_of_maps(const Attributions& maps) { return maps.values.flatten(1).sum(1); }

/// Joins, global max pools and activations that kEveryKind does not have.
inline constexpr auto kJoinsAndActivations = R"({ conv = 6, kernel = 3, padding = 1 }, "batch_norm", "gelu",
  { concat = [[{ conv = 4, kernel = 1 }, "elu"], [{ max_pool = 3, stride = 1, padding = 1 }, "hardswish"], []] },
  { conv = 8, kernel = 3, stride = 2 }, "tanh", "global_max_pool", "flatten",
  { concat = [[{ dense = 4 }, "relu"], ["silu"]] }, { dense = 4 })";

/// Normalizations that depend on the image, and an activation that is not 0 at 0.
inline constexpr auto kNormsOfAnImage = R"({ conv = 6, kernel = 3, padding = 1 }, { group_norm = 2 }, "softplus",
  { conv = 8, kernel = 3, stride = 2 }, "layer_norm", "relu", "flatten", { dense = 6 }, "layer_norm", { dense = 4 })";

/// The kinds of layers that the field's first networks have, residual and squeeze-excite included.
inline constexpr auto kEveryKind = R"({ conv = 8, kernel = 3, padding = "same" }, "batch_norm", "silu",
  { residual = [{ depthwise = 3, padding = 1 }, "batch_norm", { leaky_relu = 0.1 }, { squeeze_excite = 2 },
                { conv = 8, kernel = 1, bias = false }, "batch_norm"] }, "relu",
  { avg_pool = 2 }, { conv = 8, kernel = 2, padding = "same", stride = 2 }, "relu", "batch_norm", { dropout = 0.5 },
  { residual = [{ conv = 12, kernel = 3, padding = 1 }, "relu"], shortcut = [{ conv = 12, kernel = 1 }] },
  { max_pool = 2, stride = 1 }, "global_avg_pool", "flatten", { dense = 5 }, "sigmoid", "batch_norm", { dense = 4 })";

}  // namespace mien::explain
