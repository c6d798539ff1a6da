#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mien/network/graph/graph.h"

namespace mien::network {

/// Bounds of a network file. They keep every size, sum and product of a graph within int64_t.
inline constexpr int64_t kMostLayers = 2000;
inline constexpr int64_t kMostChannels = int64_t{1} << 16;  ///< of an image or a convolution
inline constexpr int64_t kMostSide = int64_t{1} << 12;      ///< pixels: input sides, kernels, strides
inline constexpr int64_t kMostDenseOutputs = int64_t{1} << 20;
inline constexpr int64_t kMostElements = int64_t{1} << 28;    ///< values of one sample between two layers
inline constexpr int64_t kMostParameters = int64_t{1} << 31;  ///< of a network, with buffers
inline constexpr int64_t kMostRepeats = 1000;

/// What a kind of layer can read.
enum class Reads : uint8_t { anything, images, flat_values };

/// Facts about a kind of layer, wherever they are asked for: in this room, in explanations, in pictures. A question
/// about one kind only ("is it a ReLU?") compares `Layer::kind`.
struct LayerTraits {
  LayerKind kind;
  std::string_view name;          ///< "leaky_relu": in a network file, in names of layers and in messages
  std::string_view title;         ///< "LeakyReLU": as papers and PyTorch write it
  Reads reads = Reads::anything;  ///< of what shape its inputs may be
  bool is_weighted = false;       ///< weights times inputs, and a bias: linear
  bool is_normalization = false;
  bool is_activation = false;     ///< one function of one number for every value
  bool is_window = false;         ///< has a kernel, a stride and padding
  bool is_channelwise = false;    ///< an output channel reads the same channel of its inputs only
  bool is_affine = false;         ///< in evaluation mode: scale times input plus shift
  bool sees_all_pixels = false;   ///< an output reads all positions of its input, not only those near its own
  bool is_zero_at_zero = false;   ///< gives 0 for inputs of 0 (without a bias)
  bool may_share_memory = false;  ///< its output can be its input's memory in evaluation mode
  bool can_overwrite = false;     ///< can write its output into its input's memory
};
const LayerTraits& traits(LayerKind kind);
inline const LayerTraits& traits(const Layer& layer) { return traits(layer.kind); }

/// A convolution whose every output channel reads one input channel.
bool is_depthwise(const Layer& layer);
/// Whether an output channel of `layer` reads one channel of each input only: channelwise kinds, depthwise
/// convolutions.
bool is_channelwise(const Layer& layer);

/// Tensors of one layer in storage order; `name` is the ending alone ("weight") and `layer` 0.
std::vector<ParameterSpec> layer_parameters(const Layer& layer);

/// What stands behind a key of a layer in a network file.
enum class KeyType : uint8_t {
  whole,         ///< a whole number in [minimum, maximum]
  number,        ///< a number between minimum and maximum
  flag,          ///< true or false
  kernel,        ///< a side, or [height, width], in pixels
  padding,       ///< "same", "valid" or a number of pixels
  pool_padding,  ///< "valid" or a number of pixels
  text,          ///< a layer's own name
  layers,        ///< a list of layers
  branches,      ///< a list of lists of layers
};

struct LayerKey {
  std::string_view name;
  KeyType type = KeyType::flag;
  double minimum = 0;
  double maximum = 0;
  bool excludes_minimum = false;
  bool excludes_maximum = false;
  std::string_view noun;           ///< "a slope": what a number is, for messages
  std::optional<double> fallback;  ///< value of a key that is left out (a flag's is 0 or 1)
  std::string_view fallback_text;  ///< the same in words where it is no number
  std::string_view meaning;

  bool is_required() const { return !fallback && fallback_text.empty(); }
  std::string range_text() const;    ///< "a whole number from 1 to 4096"
  std::string default_text() const;  ///< "1", "the kernel's side", "required"
};

/// A word that begins a layer or a block in a network file, with every key it understands. The key that is called like
/// the word is its value; every word but repeat has the key `name` besides.
struct LayerWord {
  std::string_view word;
  std::optional<LayerKind> kind;  ///< the node that it becomes; absent for blocks of several
  std::string_view example;
  std::string_view meaning;
  std::vector<LayerKey> keys;

  const LayerKey* find(std::string_view key) const;
  const LayerKey& value() const { return keys.front(); }
};
/// In the order of docs/networks.md.
std::span<const LayerWord> layer_words();
const LayerWord* find_layer_word(std::string_view word);

}  // namespace mien::network
