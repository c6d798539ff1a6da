#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mien::network {

/// Kinds of nodes. A network file's nested constructs (residual, squeeze_excite, repeat) are written out into these.
/// What is true of each kind stands in layer_traits.h.
enum class LayerKind {
  input,
  conv,        ///< 2-d convolution; `groups` > 1 for grouped and depthwise ones
  dense,       ///< y = W x + b on [N, features]
  batch_norm,  ///< over channels of [N,C,H,W] or features of [N,C]
  group_norm,  ///< each image by itself, `groups` of channels over all pixels. @source Wu, He 2018, arXiv 1803.08494
  layer_norm,  ///< each pixel's channels, or an image's features. @source Ba, Kiros, Hinton 2016, arXiv 1607.06450
  relu,
  leaky_relu,  ///< slope `negative_slope` below zero
  elu,         ///< `alpha` (exp(x) - 1) below zero. @source Clevert, Unterthiner, Hochreiter 2015, arXiv 1511.07289
  silu,        ///< x * sigmoid(x). @source Elfwing, Uchibe, Doya 2018, arXiv 1702.03118
  gelu,        ///< x * Phi(x), exact. @source Hendrycks, Gimpel 2016, arXiv 1606.08415
  hardswish,   ///< x * relu6(x + 3) / 6. @source Howard et al. 2019, arXiv 1905.02244
  softplus,    ///< log(1 + exp(x))
  sigmoid,
  tanh,
  max_pool,
  avg_pool,         ///< mean over the kernel's pixels inside the image; padding does not count
  global_avg_pool,  ///< mean over height and width; [N,C,H,W] -> [N,C,1,1]
  global_max_pool,  ///< largest value over height and width: a max pool whose kernel is the whole image
  flatten,          ///< [N,C,H,W] -> [N, C*H*W]
  dropout,          ///< inverted dropout with probability `probability`, identity in evaluation mode
  add,              ///< inputs[0] + inputs[1]
  multiply,         ///< inputs[0] * inputs[1]; the second may be [N,C,1,1]
  concat,           ///< all inputs in a row along the channels
};
std::string_view to_text(LayerKind kind);  // "conv", "leaky_relu", ...

/// Size of one sample between two layers. After `flatten` height and width are 1 and `is_flat` is true.
struct Shape {
  int64_t channels = 0;
  int64_t height = 1;
  int64_t width = 1;
  bool is_flat = false;

  int64_t elements() const { return channels * height * width; }
  std::string text() const;  ///< "32*48*48", or "256" when flat
  bool operator==(const Shape&) const = default;
};

/// Zeros (for max_pool: nothing) added at each border. Padding 'same' gives ceil(size / stride) outputs and, where the
/// sum is odd, one more at the bottom and right, as Keras does. Pools are padded symmetrically.
struct Padding {
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  bool is_symmetric() const { return top == bottom && left == right; }
  bool operator==(const Padding&) const = default;
};

/// One node. Only the members that its kind uses are meaningful.
struct Layer {
  LayerKind kind = LayerKind::input;
  std::string name;         ///< stable and unique: the file's own, or kind plus a count from 1 ("conv2"), lone kinds
                            ///< too, except "input", and "flatten" when there is one of it
  std::vector<int> inputs;  ///< indices of the nodes it reads; always smaller than its own
  Shape input_shape;        ///< of inputs[0]
  Shape output_shape;
  int64_t kernel_height = 0, kernel_width = 0;
  int64_t stride = 1;
  Padding padding;
  int64_t groups = 1;            ///< conv and group_norm
  bool bias = true;              ///< conv and dense
  double negative_slope = 0.01;  ///< leaky_relu
  double alpha = 1;              ///< elu
  double probability = 0;        ///< dropout
  double epsilon = 1e-5;         ///< normalizations
  double momentum = 0.1;         ///< batch_norm: weight of the new batch in the running statistics
  int line = 0;                  ///< line of the network file, for messages

  /// Learned values: weight, bias, gamma, beta.
  int64_t trainable_parameters() const;
  /// Values kept but not learned by gradient: running mean and variance.
  int64_t buffers() const;
  /// Multiply-adds of one sample's forward pass in conv and dense layers, 0 elsewhere (torchinfo's convention).
  int64_t multiply_adds() const;
};

/// Facts about one parameter or buffer tensor, in storage order. Batch-norm buffers follow their layer's parameters.
struct ParameterSpec {
  std::string name;            ///< "conv1.weight", "batch_norm1.running_mean" (PyTorch's endings)
  std::vector<int64_t> shape;  ///< conv weight [out, in/groups, kh, kw], dense weight [out, in]
  int layer = 0;               ///< index of its node
  bool trainable = true;
};

/// A checked network: nodes in evaluation order, the last one giving the logits [N, classes].
struct Graph {
  std::string name;
  std::string source;  ///< where the architecture comes from
  std::string toml;    ///< the text it was read from, stored beside the weights
  std::vector<Layer> layers;

  Shape input_shape() const { return layers.front().output_shape; }
  int64_t classes() const { return layers.back().output_shape.elements(); }
  int64_t trainable_parameters() const;
  int64_t buffers() const;
  int64_t total_parameters() const { return trainable_parameters() + buffers(); }
  int64_t multiply_adds() const;
  /// Index of the layer called `name`; throws Error(usage) with a suggestion if there is none.
  int index_of(std::string_view name) const;
  std::vector<ParameterSpec> parameter_specs() const;
};

/// Reads a network file's text; `file` is its name in messages. Dense layers read flat inputs only: "flatten" stands
/// before them, after global_avg_pool too. Throws Error(usage), always with a hint, as
/// "networks/x.toml:7: conv3 has stride 0, expected at least 1" for malformed TOML, unknown layers and keys (with a
/// suggestion), impossible shapes, a last layer that is not flat, and more than 2000 layers or 2^31 parameters.
Graph parse_graph(std::string_view toml_text, const std::string& file);

/// A built-in network by name ("leaky4") or a network file by path ("my/net.toml"). Throws Error(usage) with a
/// suggestion if it is neither.
Graph load_graph(const std::string& name_or_path);

struct BuiltinNetwork {
  std::string name;
  std::string source;
};
/// Names of the networks inside the program, in the order of the reports.
std::vector<BuiltinNetwork> builtin_networks();

/// Layer table with Keras's and torchinfo's columns: layer (kind), output shape, parameters, multiply-adds, connected
/// to; then totals: parameters, trainable, not trainable, multiply-adds.
std::string summary_table(const Graph& graph);
/// Every word, key, range and default of a network file as Markdown tables: what `mien networks layers` prints and
/// docs/networks.md holds.
std::string layer_reference();

/// A dense network for the same input and classes whose trainable parameters are within 1.5 % of `graph`'s: dnn3's
/// three hidden layers in 1:2:1 proportions, or, where no width comes that near (small networks), with another middle
/// one; as a network file's text. Throws Error(usage) if none comes that near.
/// @source report A, which compares a CNN and a DNN of the same size
std::string dense_twin_toml(const Graph& graph);

}  // namespace mien::network
