#pragma once

#include <array>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "network/helpers.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <sys/wait.h>

#include "mien/core/files.h"
#include "mien/core/random.h"
#include "mien/data/preprocess.h"
#include "mien/network/network.h"

namespace mien::exporting {

/// A network whose every number is drawn, batch-norm statistics too, so that nothing is 0 or 1 by chance.
inline network::LoadedWeights drawn_weights(network::Graph graph, network::Normalization normalization = {}) {
  network::LoadedWeights weights{.network = network::Network(std::move(graph), 3),
                                 .info = {.normalization = normalization, .extra = {{"mien.seed", "3"}}},
                                 .hash = "0123"};
  const at::NoGradGuard no_grad;
  const auto specs = weights.network.graph().parameter_specs();
  for (size_t i = 0; i < specs.size(); ++i) {
    const auto& layer = weights.network.graph().layers[static_cast<size_t>(specs[i].layer)];
    if (layer.kind == network::LayerKind::conv || layer.kind == network::LayerKind::dense) continue;
    RandomStream random(5, specs[i].name);
    at::Tensor values = weights.network.tensors()[i];
    const bool is_near_one = specs[i].name.ends_with("weight") || specs[i].name.ends_with("var");
    for (int64_t k = 0; k < values.numel(); ++k) {
      values.data_ptr<float>()[k] = static_cast<float>(random.uniform(-0.2, 0.2) + (is_near_one ? 1 : 0));
    }
  }
  return weights;
}

/// Gray levels [count, channels, height, width]; the first picture is black.
inline std::vector<uint8_t> drawn_levels(const network::Graph& graph, int64_t count) {
  const int64_t size = graph.input_shape().elements();
  std::vector<uint8_t> levels(static_cast<size_t>(count * size));
  RandomStream random(7, "levels");
  for (size_t i = static_cast<size_t>(size); i < levels.size(); ++i) {
    levels[i] = static_cast<uint8_t>(random.uniform() * 256);
  }
  return levels;
}

/// What Mien says of them: logits [count, classes].
inline at::Tensor logits_of(const network::LoadedWeights& weights, const std::vector<uint8_t>& levels) {
  const network::Shape shape = weights.network.graph().input_shape();
  const auto size = static_cast<size_t>(shape.elements());
  const auto count = static_cast<int64_t>(levels.size() / size);
  const at::NoGradGuard no_grad;
  const at::Tensor images = at::empty({count, shape.channels, shape.height, shape.width}, at::kFloat);
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    data::normalize_image(
        std::span(levels).subspan(i * size, size), weights.info.normalization, images.data_ptr<float>() + i * size);
  }
  return weights.network.forward(images, network::Mode::evaluation).contiguous();
}

/// Layers that no built-in network has, or has in another way; on images [2, 12, 11].
struct LayerCase {
  std::string name;
  std::string layers;
};
inline std::vector<LayerCase> layer_cases() {
  const std::string end = R"(, "flatten", { dense = 3 })";
  std::vector<LayerCase> cases{
      {"activations", R"({ conv = 8, kernel = 3 }, "relu", { conv = 8, kernel = 1 }, { elu = 0.7 },
         { conv = 8, kernel = 1 }, "silu", { conv = 8, kernel = 1 }, "gelu", { conv = 8, kernel = 1 }, "hardswish",
         { conv = 8, kernel = 1 }, "softplus", { conv = 8, kernel = 1 }, "tanh", { conv = 8, kernel = 1 }, "sigmoid")"},
      {"group-norm", R"({ conv = 8, kernel = 3, bias = false }, { group_norm = 4, epsilon = 0.01 }, "relu")"},
      {"layer-norm", R"({ conv = 8, kernel = 3 }, "layer_norm", { leaky_relu = 0.2 })"},
      {"pools", R"({ conv = 8, kernel = 3, padding = "same" }, { max_pool = 3, stride = 2, padding = 1 },
         { avg_pool = 3, stride = 2, padding = 1 })"},
      {"paddings", R"({ conv = 6, kernel = [2, 3], padding = "same", stride = 2 }, "batch_norm",
         { conv = 6, kernel = 3, padding = 1, groups = 3 }, "relu", { conv = 4, kernel = 2, padding = "same" })"},
      {"branches", R"({ concat = [[{ conv = 4, kernel = 1 }], [{ conv = 6, kernel = 3, padding = "same" }, "relu"]] },
         { residual = ["batch_norm", "relu", { conv = 10, kernel = 3, padding = 1 }] }, { squeeze_excite = 2 },
         { depthwise = 3, padding = 1 }, "global_max_pool")"}};
  for (LayerCase& one : cases) one.layers += end;
  cases.push_back({"flat", R"("flatten", { dense = 12, name = "forward" }, "batch_norm", "relu", { dense = 12 },
      "layer_norm", { dense = 12 }, { group_norm = 3 }, { dropout = 0.3 }, { dense = 3, name = "logits" })"});
  return cases;
}
inline network::Graph graph_of(const LayerCase& one) { return network::graph_of(one.layers, "[2, 12, 11]"); }

struct Ran {
  int status = -1;
  std::string out;
};
inline Ran run_program(const std::string& command) {
  Ran ran;
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const size_t bytes = std::fread(buffer.data(), 1, buffer.size(), pipe)) ran.out.append(buffer.data(), bytes);
  const int status = ::pclose(pipe);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return ran;
}

template <class T>
void write_numbers(const std::filesystem::path& path, std::span<const T> values) {
  write_atomic(path, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}
inline at::Tensor read_floats(const std::filesystem::path& path, at::IntArrayRef shape) {
  std::string bytes = read_text(path);
  return at::from_blob(bytes.data(), shape, at::kFloat).clone();
}

}  // namespace mien::exporting
