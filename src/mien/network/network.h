#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "mien/network/graph/graph.h"
#include "mien/network/normalization.h"

namespace mien::network {

/// Batch statistics and dropout on, or running statistics and dropout off.
enum class Mode { training, evaluation };

struct BlockCall;
enum class Fusion : uint8_t;
struct Plan;
class PlanCache;
struct Step;
class PackedWeights;

/// A graph with its parameters: what is trained, evaluated and explained. float32, on one device. Copies share
/// parameters (like at::Tensor). Convolutions keep their weights channels-last, so that activations are channels-last
/// from the first convolution on, whatever the images are.
class Network {
 public:
  /// Fresh parameters: weights and biases uniform in +-1/sqrt(fan_in), as PyTorch's Conv2d and Linear
  /// (kaiming_uniform with a = sqrt 5); normalizations gamma 1, beta 0, mean 0, variance 1. Each tensor depends on
  /// `seed` and its own name alone.
  Network(Graph graph, uint64_t seed);

  const Graph& graph() const { return graph_; }

  /// Logits [N, classes] of images [N,C,H,W] float32 (already normalized), N > 0. Throws Error(usage) if the shape is
  /// not the graph's input, or if batch norm in training mode gets one value a channel only. Builds an autograd graph
  /// where at::GradMode is on. In training mode batch norm updates its running statistics, and a network with dropout
  /// draws one number from ATen's default generator for the CPU, from which all masks of this pass follow (on the CPU;
  /// on a GPU libtorch's dropout draws from the GPU's generator).
  at::Tensor forward(const at::Tensor& images_nchw, Mode mode) const;

  /// Whether `forward` computes activation, batch norm, residual add, pool and dropout in fused blocks, as it does for
  /// float32 on the CPU, or every layer by libtorch's own function. Both give the same numbers up to rounding, with the
  /// same dropout masks; the blocks have first derivatives only. Holds for this object, not for its copies so far.
  void set_fused(bool is_fused) { is_fused_ = is_fused; }
  bool is_fused() const { return is_fused_; }

  /// Output of every layer in turn, the input's included, to `visit(index, output)`; stops after layer `last` (-1: all)
  /// and returns its output. Outputs stay valid: nothing is computed in place.
  at::Tensor forward_visit(const at::Tensor& images_nchw,
                           Mode mode,
                           const std::function<void(int layer, const at::Tensor& output)>& visit,
                           int last = -1) const;

  /// What the layers after `layer` read of a batch: the outputs of the input and of layers up to `layer`, by index;
  /// those that no later layer reads are undefined, except `layer`'s own. Fused where `forward` is.
  std::vector<at::Tensor> forward_until(const at::Tensor& images_nchw, Mode mode, int layer) const;

  /// Logits [N, classes] from what `forward_until` gave, with changes to it if the caller made any: only the layers
  /// after `layer` are run, and none of `outputs` is written to. Differentiable where at::GradMode is on.
  at::Tensor forward_after(std::vector<at::Tensor> outputs, Mode mode, int layer) const;

  /// Output of one layer for given outputs of its `inputs`, for methods that change what flows between layers. Throws
  /// Error(usage) if their number is wrong.
  at::Tensor run_layer(int layer, const std::vector<at::Tensor>& inputs, Mode mode) const;

  /// All parameters and buffers, in the order of graph().parameter_specs().
  const std::vector<at::Tensor>& tensors() const { return tensors_; }
  /// Those that a gradient trains, in order, and their names.
  std::vector<at::Tensor> trainable() const;
  std::vector<std::string> trainable_names() const;
  /// The parameter or buffer called `name` ("conv1.weight"). Throws Error(usage) with a suggestion if there is none.
  at::Tensor tensor(const std::string& name) const;

  /// An independent copy of graph and values.
  Network clone() const;
  /// An independent copy of graph and values on `device`.
  Network to(const at::Device& device) const;

 private:
  void check_images(const at::Tensor& images_nchw) const;
  void check_layer(int layer) const;
  bool can_fuse(const at::Tensor& images_nchw) const;
  Fusion fusion_for(const at::Tensor& images_nchw, Mode mode) const;
  uint64_t next_dropout_seed(Mode mode) const;
  std::vector<at::Tensor> tensors_of(int node) const;
  at::Tensor run_node(int node, const std::vector<at::Tensor>& inputs, Mode mode, uint64_t dropout_seed) const;
  BlockCall block_call(const Step& step, const at::Tensor& x, Mode mode, uint64_t dropout_seed) const;
  at::Tensor run_fused(const Step& step, const std::vector<at::Tensor>& inputs, Mode mode, uint64_t dropout_seed) const;
  void run_steps(const Plan& plan, int after, int last, std::vector<at::Tensor>& outputs, Mode mode) const;

  Graph graph_;
  std::shared_ptr<PlanCache> plans_;  // of graph_
  const Plan* plan_;                  // of plans_: one step a node
  bool is_fused_ = true;
  std::vector<ParameterSpec> specs_;
  std::vector<at::Tensor> tensors_;
  std::vector<std::vector<int>> layer_tensors_;         // for each layer, indices into tensors_
  std::vector<std::shared_ptr<PackedWeights>> packed_;  // for each layer; a cache
};

/// What a weights file holds beside the numbers: enough to predict from the file alone.
struct WeightsInfo {
  Normalization normalization;
  std::vector<std::string> class_names;
  std::map<std::string, std::string> extra;  ///< free metadata, e.g. "epoch", "mien.version"
};

/// Writes parameters and buffers as safetensors, row-major. Metadata: "mien.format" ("1"), "mien.network" (its TOML),
/// "mien.classes" (a JSON list), "mien.normalization", and `extra` under its own keys. Throws Error(usage) if the
/// number of class names is neither 0 nor the network's, or `extra` has one of those four keys.
void save_weights(const std::filesystem::path& path, const Network& network, const WeightsInfo& info);

/// Throws Error(bad_data) naming the first of a graph's tensors, in the order of parameter_specs(), that holds a value
/// which is not finite, or a running variance below 0. `origin` is the file's name in messages.
void check_values(const Graph& graph, const std::vector<at::Tensor>& tensors, const std::string& origin);

struct LoadedWeights {
  Network network;
  WeightsInfo info;
  std::string hash;  ///< checksum of the file
};
/// Rebuilds network and facts from a weights file alone. Throws Error(bad_data) if the file is damaged, is not Mien's
/// (no network in its metadata), its tensors do not fit its network (which is found before memory is taken for either),
/// or a value is not finite.
LoadedWeights load_weights(const std::filesystem::path& path);

/// Copies a safetensors file's tensors into `network`; a PyTorch state dict's `num_batches_tracked` are passed over.
/// Throws Error(bad_data), with `network` unchanged, naming the first tensor that is missing, left over, not float32,
/// of another shape ("weights of another network"), or not finite.
void load_weights_into(const std::filesystem::path& path, Network& network);

}  // namespace mien::network
