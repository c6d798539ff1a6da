#include "mien/network/graph/layer_traits.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "mien/core/text.h"

namespace mien::network {
namespace {

constexpr LayerTraits activation(LayerKind kind, std::string_view name, std::string_view title, bool is_zero_at_zero) {
  return {.kind = kind,
          .name = name,
          .title = title,
          .is_activation = true,
          .is_channelwise = true,
          .is_zero_at_zero = is_zero_at_zero,
          .can_overwrite = true};
}

constexpr std::array kTraits{
    LayerTraits{.kind = LayerKind::input, .name = "input", .title = "Input", .is_affine = true},
    LayerTraits{.kind = LayerKind::conv,
                .name = "conv",
                .title = "Conv2d",
                .reads = Reads::images,
                .is_weighted = true,
                .is_window = true,
                .is_affine = true,
                .is_zero_at_zero = true},
    LayerTraits{.kind = LayerKind::dense,
                .name = "dense",
                .title = "Linear",
                .reads = Reads::flat_values,
                .is_weighted = true,
                .is_affine = true,
                .sees_all_pixels = true,
                .is_zero_at_zero = true},
    LayerTraits{.kind = LayerKind::batch_norm,
                .name = "batch_norm",
                .title = "BatchNorm",
                .is_normalization = true,
                .is_channelwise = true,
                .is_affine = true},
    LayerTraits{.kind = LayerKind::group_norm,
                .name = "group_norm",
                .title = "GroupNorm",
                .is_normalization = true,
                .sees_all_pixels = true},
    LayerTraits{.kind = LayerKind::layer_norm, .name = "layer_norm", .title = "LayerNorm", .is_normalization = true},
    activation(LayerKind::relu, "relu", "ReLU", true),
    activation(LayerKind::leaky_relu, "leaky_relu", "LeakyReLU", true),
    activation(LayerKind::elu, "elu", "ELU", true),
    activation(LayerKind::silu, "silu", "SiLU", true),
    activation(LayerKind::gelu, "gelu", "GELU", true),
    activation(LayerKind::hardswish, "hardswish", "Hardswish", true),
    activation(LayerKind::softplus, "softplus", "Softplus", false),
    activation(LayerKind::sigmoid, "sigmoid", "Sigmoid", false),
    activation(LayerKind::tanh, "tanh", "Tanh", true),
    LayerTraits{.kind = LayerKind::max_pool,
                .name = "max_pool",
                .title = "MaxPool2d",
                .reads = Reads::images,
                .is_window = true,
                .is_channelwise = true,
                .is_zero_at_zero = true},
    LayerTraits{.kind = LayerKind::avg_pool,
                .name = "avg_pool",
                .title = "AvgPool2d",
                .reads = Reads::images,
                .is_window = true,
                .is_channelwise = true,
                .is_affine = true,
                .is_zero_at_zero = true},
    LayerTraits{.kind = LayerKind::global_avg_pool,
                .name = "global_avg_pool",
                .title = "AdaptiveAvgPool2d(1)",
                .reads = Reads::images,
                .is_channelwise = true,
                .is_affine = true,
                .sees_all_pixels = true,
                .is_zero_at_zero = true},
    LayerTraits{.kind = LayerKind::global_max_pool,
                .name = "global_max_pool",
                .title = "AdaptiveMaxPool2d(1)",
                .reads = Reads::images,
                .is_channelwise = true,
                .sees_all_pixels = true,
                .is_zero_at_zero = true},
    LayerTraits{.kind = LayerKind::flatten,
                .name = "flatten",
                .title = "Flatten",
                .reads = Reads::images,
                .is_affine = true,
                .sees_all_pixels = true,
                .is_zero_at_zero = true,
                .may_share_memory = true},
    LayerTraits{.kind = LayerKind::dropout,
                .name = "dropout",
                .title = "Dropout",
                .is_channelwise = true,
                .is_affine = true,
                .is_zero_at_zero = true,
                .may_share_memory = true},
    LayerTraits{.kind = LayerKind::add,
                .name = "add",
                .title = "add",
                .is_channelwise = true,
                .is_affine = true,
                .is_zero_at_zero = true,
                .can_overwrite = true},
    LayerTraits{.kind = LayerKind::multiply,
                .name = "multiply",
                .title = "multiply",
                .is_channelwise = true,
                .is_zero_at_zero = true,
                .can_overwrite = true},
    LayerTraits{
        .kind = LayerKind::concat, .name = "concat", .title = "cat", .is_affine = true, .is_zero_at_zero = true},
};

constexpr bool stand_in_order() {
  for (size_t i = 0; i < kTraits.size(); ++i) {
    if (kTraits[i].kind != static_cast<LayerKind>(i)) return false;
  }
  return kTraits.size() == static_cast<size_t>(LayerKind::concat) + 1;
}
static_assert(stand_in_order(), "traits() looks a kind up by its number");

// ---- what a network file says

LayerKey whole(std::string_view name, int64_t maximum, std::string_view meaning, std::optional<double> fallback = {}) {
  return {.name = name,
          .type = KeyType::whole,
          .minimum = 1,
          .maximum = static_cast<double>(maximum),
          .fallback = fallback,
          .meaning = meaning};
}
LayerKey flag(std::string_view name, std::string_view meaning) {
  return {.name = name, .type = KeyType::flag, .fallback = 1, .meaning = meaning};
}
LayerKey is_there(std::string_view word) { return flag(word, "always true; the word alone says the same"); }
LayerKey kernel(std::string_view name) {
  return {.name = name,
          .type = KeyType::kernel,
          .minimum = 1,
          .maximum = static_cast<double>(kMostSide),
          .meaning = "size of the window in pixels"};
}
LayerKey stride() { return whole("stride", kMostSide, "step from window to window in pixels", 1); }
LayerKey pool_stride() {
  LayerKey key = stride();
  key.fallback.reset();
  key.fallback_text = "the kernel's side";
  return key;
}
LayerKey padding() {
  return {.name = "padding",
          .type = KeyType::padding,
          .fallback_text = "\"valid\"",
          .meaning =
              "zeros around the image: none (\"valid\"), as many as give ceil(size / stride) outputs (\"same\", as "
              "Keras pads), or a number of pixels, less than the kernel"};
}
LayerKey pool_padding() {
  return {.name = "padding",
          .type = KeyType::pool_padding,
          .fallback_text = "\"valid\"",
          .meaning =
              "empty pixels around the image that count for nothing: none (\"valid\"), or a number up to half the "
              "kernel"};
}
LayerKey bias() { return flag("bias", "adds a learned number to each output channel"); }
LayerKey epsilon() {
  return {.name = "epsilon",
          .type = KeyType::number,
          .minimum = 0,
          .maximum = 1,
          .excludes_minimum = true,
          .fallback = 1e-5,
          .meaning = "added to the variance before its root"};
}
LayerKey number(std::string_view name, std::string_view noun, double minimum, double maximum, double fallback) {
  return {.name = name,
          .type = KeyType::number,
          .minimum = minimum,
          .maximum = maximum,
          .noun = noun,
          .fallback = fallback};
}
LayerKey layers(std::string_view name, std::string_view meaning) {
  return {.name = name, .type = KeyType::layers, .meaning = meaning};
}
LayerKey own_name() {
  return {.name = "name",
          .type = KeyType::text,
          .fallback_text = "the kind and a number",
          .meaning = "the layer's name, unlike every other's: 1 to 64 letters, digits, '-', '_' and, inside, '.'"};
}

LayerWord plain(LayerKind kind, std::string_view example, std::string_view meaning) {
  const std::string_view word = traits(kind).name;
  return {word, kind, example, meaning, {is_there(word)}};
}

std::vector<LayerWord> all_words() {
  LayerKey momentum = number("momentum", "", 0, 1, 0.1);
  momentum.excludes_minimum = true;
  momentum.meaning = "weight of a new batch in the running mean and variance";
  LayerKey slope = number("leaky_relu", "a slope", 0, 1, 0.01);
  slope.meaning = "slope below zero";
  LayerKey alpha = number("elu", "a limit", 0, 100, 1);
  alpha.excludes_minimum = true;
  alpha.meaning = "how far below zero it reaches";
  LayerKey probability = number("dropout", "a probability", 0, 1, 0);
  probability.excludes_maximum = true;
  probability.fallback.reset();
  probability.meaning = "share of values that a training step sets to zero; the others grow in proportion";
  LayerKey shortcut = layers("shortcut", "what stands on the other way around");
  shortcut.fallback_text = "nothing";

  std::vector<LayerWord> words{
      {"conv",
       LayerKind::conv,
       "{ conv = 64, kernel = 3, padding = \"same\" }",
       "2-d convolution; weights start as PyTorch's",
       {whole("conv", kMostChannels, "output channels"),
        kernel("kernel"),
        stride(),
        padding(),
        bias(),
        whole("groups", kMostChannels, "parts into which input and output channels are divided, each by itself", 1)}},
      {"depthwise",
       LayerKind::conv,
       "{ depthwise = 3, padding = \"same\" }",
       "a convolution of each channel by itself",
       {kernel("depthwise"), stride(), padding(), bias()}},
      {"dense",
       LayerKind::dense,
       "{ dense = 128 }",
       "y = W x + b on flat values; \"flatten\" stands before it",
       {whole("dense", kMostDenseOutputs, "outputs"), bias()}},
      {"batch_norm",
       LayerKind::batch_norm,
       "\"batch_norm\"",
       "normalizes each channel over a batch, in evaluation by running statistics; learned scale and shift",
       {is_there("batch_norm"), epsilon(), momentum}},
      {"group_norm",
       LayerKind::group_norm,
       "{ group_norm = 8 }",
       "normalizes groups of channels of each image over all its pixels; learned scale and shift (1 group: layer norm "
       "over the whole image; as many as channels: instance norm)",
       {whole("group_norm", kMostChannels, "groups, a divisor of the channels"), epsilon()}},
      {"layer_norm",
       LayerKind::layer_norm,
       "\"layer_norm\"",
       "normalizes the channels of each pixel (flat: all values), as Keras and ConvNeXt do; learned scale and shift",
       {is_there("layer_norm"), epsilon()}},
      plain(LayerKind::relu, "\"relu\"", "max(x, 0)"),
      {"leaky_relu", LayerKind::leaky_relu, "{ leaky_relu = 0.05 }", "x above zero, slope * x below", {slope}},
      {"elu", LayerKind::elu, "{ elu = 1.0 }", "x above zero, alpha * (exp(x) - 1) below", {alpha}},
      plain(LayerKind::silu, "\"silu\"", "x * sigmoid(x), also called swish"),
      plain(LayerKind::gelu, "\"gelu\"", "x * Phi(x), the normal distribution's (exact, by erf)"),
      plain(LayerKind::hardswish, "\"hardswish\"", "x * min(max(x + 3, 0), 6) / 6"),
      plain(LayerKind::softplus, "\"softplus\"", "log(1 + exp(x))"),
      plain(LayerKind::sigmoid, "\"sigmoid\"", "1 / (1 + exp(-x))"),
      plain(LayerKind::tanh, "\"tanh\"", "the hyperbolic tangent"),
      {"max_pool",
       LayerKind::max_pool,
       "{ max_pool = 2 }",
       "the largest value of each window",
       {kernel("max_pool"), pool_stride(), pool_padding()}},
      {"avg_pool",
       LayerKind::avg_pool,
       "{ avg_pool = 2 }",
       "the mean of each window's pixels inside the image",
       {kernel("avg_pool"), pool_stride(), pool_padding()}},
      plain(LayerKind::global_avg_pool, "\"global_avg_pool\"", "the mean of each channel; \"flatten\" may follow"),
      plain(LayerKind::global_max_pool,
            "\"global_max_pool\"",
            "the largest value of each channel; \"flatten\" may follow"),
      plain(LayerKind::flatten, "\"flatten\"", "channels*height*width become one row of values, in that order"),
      {"dropout",
       LayerKind::dropout,
       "{ dropout = 0.25 }",
       "sets values to zero at random while training",
       {probability}},
      {"residual",
       LayerKind::add,
       "{ residual = [ ... ], shortcut = [ ... ] }",
       "adds what its layers make of its input and the input itself, or what the shortcut makes of it",
       {layers("residual", "layers of the main way"), shortcut}},
      {"concat",
       LayerKind::concat,
       "{ concat = [ [ ... ], [ ... ] ] }",
       "joins what branches make of one input along the channels; an empty branch hands the input on",
       {{.name = "concat", .type = KeyType::branches, .meaning = "two or more branches"}}},
      {"squeeze_excite",
       LayerKind::multiply,
       "{ squeeze_excite = 16 }",
       "scales each channel by a gate: global_avg_pool, 1x1 convolution, ReLU, 1x1 convolution, sigmoid",
       {whole("squeeze_excite",
              kMostChannels,
              "by how much the first convolution has fewer channels, at most the channels")}},
      {"repeat",
       {},
       "{ repeat = 3, layers = [ ... ] }",
       "its layers, several times in a row",
       {whole("repeat", kMostRepeats, "how often"), layers("layers", "what to repeat")}},
  };
  for (LayerWord& word : words) {
    if (word.kind) word.keys.push_back(own_name());
  }
  return words;
}

}  // namespace

const LayerTraits& traits(LayerKind kind) { return kTraits[static_cast<size_t>(kind)]; }

std::string_view to_text(LayerKind kind) { return traits(kind).name; }

bool is_depthwise(const Layer& layer) {
  return layer.kind == LayerKind::conv && layer.input_shape.channels == layer.groups;
}

bool is_channelwise(const Layer& layer) { return traits(layer).is_channelwise || is_depthwise(layer); }

std::vector<ParameterSpec> layer_parameters(const Layer& layer) {
  const int64_t outputs = layer.output_shape.channels;
  std::vector<ParameterSpec> specs;
  if (layer.kind == LayerKind::conv) {
    specs.push_back(
        {"weight", {outputs, layer.input_shape.channels / layer.groups, layer.kernel_height, layer.kernel_width}});
  } else if (layer.kind == LayerKind::dense) {
    specs.push_back({"weight", {outputs, layer.input_shape.channels}});
  } else if (traits(layer).is_normalization) {
    specs.push_back({"weight", {outputs}});
  }
  const bool has_bias = traits(layer).is_normalization || (traits(layer).is_weighted && layer.bias);
  if (has_bias) specs.push_back({"bias", {outputs}});
  if (layer.kind == LayerKind::batch_norm) {
    specs.push_back({.name = "running_mean", .shape = {outputs}, .trainable = false});
    specs.push_back({.name = "running_var", .shape = {outputs}, .trainable = false});
  }
  return specs;
}

std::string LayerKey::range_text() const {
  switch (type) {
    case KeyType::whole:
      return fmt::format("a whole number from {} to {}", minimum, with_commas(static_cast<int64_t>(maximum)));
    case KeyType::number:
      return fmt::format("{}from {}{} to {}{}",
                         noun.empty() ? "" : fmt::format("{} ", noun),
                         excludes_minimum ? "above " : "",
                         format_double(minimum),
                         excludes_maximum ? "below " : "",
                         format_double(maximum));
    case KeyType::flag:
      return "true or false";
    case KeyType::kernel:
      return fmt::format("a side or [height, width], each from {} to {}", minimum, with_commas(int64_t(maximum)));
    case KeyType::padding:
      return "\"same\", \"valid\" or a number";
    case KeyType::pool_padding:
      return "\"valid\" or a number";
    case KeyType::text:
      return "a text";
    case KeyType::layers:
      return "a list of layers";
    case KeyType::branches:
      return "a list of lists of layers";
  }
  return {};
}

std::string LayerKey::default_text() const {
  if (!fallback_text.empty()) return std::string(fallback_text);
  if (!fallback) return "required";
  return type == KeyType::flag ? (*fallback != 0 ? "true" : "false") : format_double(*fallback);
}

const LayerKey* LayerWord::find(std::string_view key) const {
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const LayerKey& known) { return known.name == key; });
  return found == keys.end() ? nullptr : &*found;
}

std::span<const LayerWord> layer_words() {
  static const std::vector<LayerWord> words = all_words();
  return words;
}

const LayerWord* find_layer_word(std::string_view word) {
  const auto words = layer_words();
  const auto found =
      std::find_if(words.begin(), words.end(), [&](const LayerWord& known) { return known.word == word; });
  return found == words.end() ? nullptr : &*found;
}

}  // namespace mien::network
