#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/network/graph.h"
#include "mien/network/normalization.h"

namespace mien::network {

/// Batch statistics and dropout on, or running statistics and dropout off.
enum class Mode { training, evaluation };

/// A graph with its parameters: what is trained, evaluated and explained. float32, on one device. Copies share
/// parameters (like at::Tensor).
class Network {
 public:
  /// Fresh parameters: weights and biases uniform in +-1/sqrt(fan_in), as PyTorch's Conv2d and Linear
  /// (kaiming_uniform with a = sqrt 5); batch norm gamma 1, beta 0, mean 0, variance 1. Each tensor depends on `seed`
  /// and its own name alone.
  Network(Graph graph, uint64_t seed);

  const Graph& graph() const { return graph_; }

  /// Logits [N, classes] of images [N,C,H,W] float32 (already normalised). Throws Error(usage) if the shape is not
  /// the graph's input. Builds an autograd graph where at::GradMode is on.
  at::Tensor forward(const at::Tensor& images_nchw, Mode mode) const;

  /// Output of every layer in turn, to `visit(index, output)`; stops after layer `last` (-1: all).
  at::Tensor forward_visit(const at::Tensor& images_nchw,
                           Mode mode,
                           const std::function<void(int layer, const at::Tensor& output)>& visit,
                           int last = -1) const;

  /// All parameters and buffers, in the order of graph().parameter_specs().
  const std::vector<at::Tensor>& tensors() const { return tensors_; }
  /// Those that a gradient trains, in order, and their names.
  std::vector<at::Tensor> trainable() const;
  std::vector<std::string> trainable_names() const;
  at::Tensor tensor(const std::string& name) const;

  /// An independent copy of graph and values.
  Network clone() const;

 private:
  Graph graph_;
  std::vector<ParameterSpec> specs_;
  std::vector<at::Tensor> tensors_;
  std::vector<std::vector<int>> layer_tensors_;  // for each layer, indices into tensors_
};

/// What a weights file holds beside the numbers: enough to predict from the file alone.
struct WeightsInfo {
  Normalization normalization;
  std::vector<std::string> class_names;
  std::map<std::string, std::string> extra;  ///< free metadata, e.g. "epoch", "mien.version"
};

/// Writes parameters and buffers as safetensors; metadata holds network TOML, classes, normalisation and `extra`.
void save_weights(const std::filesystem::path& path, const Network& network, const WeightsInfo& info);

struct LoadedWeights {
  Network network;
  WeightsInfo info;
  std::string hash;  ///< checksum of the file
};
/// Rebuilds network and facts from a weights file alone. Throws Error(bad_data) if the file is damaged, is not Mien's
/// (no network in its metadata), or its tensors do not fit its network.
LoadedWeights load_weights(const std::filesystem::path& path);

/// Copies a safetensors file's tensors into `network`. Throws Error(bad_data) naming the first tensor that is missing,
/// left over, or of another shape ("weights of another network").
void load_weights_into(const std::filesystem::path& path, Network& network);

}  // namespace mien::network
