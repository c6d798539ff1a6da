#include "mien/network/graph/graph_builder.h"

#include <utility>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::network {

GraphBuilder::GraphBuilder(std::string file, const Shape& input, int line) : file_(std::move(file)) {
  if (input.elements() > kMostElements) {
    fail(line,
         fmt::format(
             "the input has {} values, expected at most {}", with_commas(input.elements()), with_commas(kMostElements)),
         "input = [channels, height, width]; FER2013's faces are [1, 48, 48]");
  }
  layers_.push_back(
      {.kind = LayerKind::input, .name = "input", .input_shape = input, .output_shape = input, .line = line});
}

void GraphBuilder::fail(int line, const std::string& message, const std::string& hint) const {
  throw_usage(fmt::format("{}:{}: {}", file_, line, message), hint);
}

std::string GraphBuilder::next_name(LayerKind kind) const {
  const auto count = counts_.find(kind);
  return fmt::format("{}{}", to_text(kind), count == counts_.end() ? 1 : count->second + 1);
}

int GraphBuilder::add(Layer layer, std::vector<int> inputs) {
  if (static_cast<int64_t>(layers_.size()) > kMostLayers) {
    fail(layer.line,
         fmt::format("the network has more than {} layers after writing out its blocks", kMostLayers),
         "repeat less often; a repeat inside a repeat multiplies");
  }
  set_name(layer);
  layer.inputs = std::move(inputs);
  layer.input_shape = shape(layer.inputs.front());
  check_flatness(layer);
  layer.output_shape = output_shape(layer);
  if (layer.output_shape.elements() > kMostElements) {
    fail(layer.line,
         fmt::format("{} gives {} = {} values a sample, expected at most {}",
                     layer.name,
                     layer.output_shape.text(),
                     with_commas(layer.output_shape.elements()),
                     with_commas(kMostElements)),
         "take fewer channels, or pool or stride before it");
  }
  parameters_ += layer.trainable_parameters() + layer.buffers();
  if (parameters_ > kMostParameters) {
    fail(layer.line,
         fmt::format("{} brings the network to {} parameters, expected at most {}",
                     layer.name,
                     with_commas(parameters_),
                     with_commas(kMostParameters)),
         "take fewer channels or outputs; a pool before \"flatten\" makes the dense layer behind it small");
  }
  layers_.push_back(std::move(layer));
  return static_cast<int>(layers_.size()) - 1;
}

void GraphBuilder::set_name(Layer& layer) {
  const bool is_own = !layer.name.empty();
  if (!is_own) layer.name = next_name(layer.kind);
  ++counts_[layer.kind];
  if (names_.insert(layer.name).second) return;
  fail(layer.line,
       fmt::format("two layers are called {}", layer.name),
       is_own ? "give each its own name; layers inside repeat stand there several times, leave their names out"
              : fmt::format("that is the name of {} number {}; call the other one otherwise",
                            to_text(layer.kind),
                            counts_[layer.kind]));
}

void GraphBuilder::check_flatness(const Layer& layer) const {
  const Shape& input = layer.input_shape;
  const Reads reads = traits(layer).reads;
  if (reads == Reads::images && input.is_flat) {
    fail(layer.line,
         fmt::format("{} reads {} flat values, expected channels*height*width", layer.name, input.text()),
         "put it before \"flatten\"");
  }
  if (reads == Reads::flat_values && !input.is_flat) {
    fail(layer.line,
         fmt::format("{} reads {}, expected a flat input", layer.name, input.text()),
         "put \"flatten\" before it");
  }
}

Shape GraphBuilder::output_of_window(const Layer& layer, int64_t channels) const {
  const Shape& input = layer.input_shape;
  const int64_t height = input.height + layer.padding.top + layer.padding.bottom;
  const int64_t width = input.width + layer.padding.left + layer.padding.right;
  if (layer.kernel_height > height || layer.kernel_width > width) {
    fail(layer.line,
         fmt::format("{} has kernel {}x{} on {}x{} pixels, expected one that fits",
                     layer.name,
                     layer.kernel_height,
                     layer.kernel_width,
                     height,
                     width),
         "take a smaller kernel, padding = \"same\", or fewer pools and strides before it");
  }
  return {.channels = channels,
          .height = (height - layer.kernel_height) / layer.stride + 1,
          .width = (width - layer.kernel_width) / layer.stride + 1};
}

Shape GraphBuilder::output_shape(const Layer& layer) const {
  const Shape& input = layer.input_shape;
  switch (layer.kind) {
    case LayerKind::conv: {
      const int64_t outputs = layer.output_shape.channels;
      if (input.channels % layer.groups != 0 || outputs % layer.groups != 0) {
        fail(layer.line,
             fmt::format("{} has {} groups, expected a divisor of its {} input and {} output channels",
                         layer.name,
                         layer.groups,
                         input.channels,
                         outputs),
             "groups = 1 is the ordinary convolution, { depthwise = 3 } one group a channel");
      }
      return output_of_window(layer, outputs);
    }
    case LayerKind::max_pool:
    case LayerKind::avg_pool:
      return output_of_window(layer, input.channels);
    case LayerKind::dense:
      return {.channels = layer.output_shape.channels, .is_flat = true};
    case LayerKind::flatten:
      return {.channels = input.elements(), .is_flat = true};
    case LayerKind::global_avg_pool:
    case LayerKind::global_max_pool:
      return {.channels = input.channels};
    case LayerKind::group_norm:
      if (input.channels % layer.groups != 0) {
        fail(layer.line,
             fmt::format(
                 "{} has {} groups, expected a divisor of its {} channels", layer.name, layer.groups, input.channels),
             "8 groups fit any number of channels that 8 divides, 1 group fits all");
      }
      return input;
    case LayerKind::concat:
      return joined(layer);
    case LayerKind::add:
      if (const Shape& other = shape(layer.inputs[1]); other != input) {
        fail(layer.line,
             fmt::format("{} adds {} and {}, expected equal shapes", layer.name, input.text(), other.text()),
             "give the residual block a shortcut, such as shortcut = [{ conv = 128, kernel = 1, stride = 2 }]");
      }
      return input;
    default:
      return input;
  }
}

Shape GraphBuilder::joined(const Layer& layer) const {
  Shape sum = layer.input_shape;
  for (size_t i = 1; i < layer.inputs.size(); ++i) {
    const Shape& other = shape(layer.inputs[i]);
    if (other.height != sum.height || other.width != sum.width || other.is_flat != sum.is_flat) {
      fail(layer.line,
           fmt::format("{} joins {} and {}, expected equal heights and widths", layer.name, sum.text(), other.text()),
           "give every branch the same strides and pools, and its convolutions padding = \"same\"");
    }
    sum.channels += other.channels;
  }
  return sum;
}

std::vector<Layer> GraphBuilder::finish() {
  const Layer& scores = layers_.back();
  if (!scores.output_shape.is_flat) {
    fail(scores.line,
         fmt::format(
             "the last layer, {}, gives {}, expected a flat list of scores", scores.name, scores.output_shape.text()),
         "end the network in \"flatten\" and a dense layer with one output a class");
  }
  if (scores.output_shape.channels < 2) {
    fail(scores.line,
         fmt::format("the last layer, {}, gives 1 score, expected one a class, at least 2", scores.name),
         "end the network in a dense layer with one output a class, such as { dense = 7 }");
  }
  if (counts_[LayerKind::flatten] == 1 && !names_.contains("flatten")) {
    for (Layer& layer : layers_) {
      if (layer.name == "flatten1") layer.name = "flatten";
    }
  }
  return std::move(layers_);
}

}  // namespace mien::network
