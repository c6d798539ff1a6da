#include "mien/network/graph/graph_builder.h"

#include <utility>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::network {

GraphBuilder::GraphBuilder(std::string file, const Shape& input, int line) : file_(std::move(file)) {
  if (input.elements() > kMostElements) {
    fail(
        line,
        fmt::format(
            "the input has {} values, expected at most {}", with_commas(input.elements()), with_commas(kMostElements)));
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
    fail(layer.line, fmt::format("the network has more than {} layers after writing out its blocks", kMostLayers));
  }
  layer.name = next_name(layer.kind);
  ++counts_[layer.kind];
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
                     with_commas(kMostElements)));
  }
  parameters_ += layer.trainable_parameters() + layer.buffers();
  if (parameters_ > kMostParameters) {
    fail(layer.line,
         fmt::format("{} brings the network to {} parameters, expected at most {}",
                     layer.name,
                     with_commas(parameters_),
                     with_commas(kMostParameters)));
  }
  layers_.push_back(std::move(layer));
  return static_cast<int>(layers_.size()) - 1;
}

void GraphBuilder::check_flatness(const Layer& layer) const {
  const Shape& input = layer.input_shape;
  switch (layer.kind) {
    case LayerKind::conv:
    case LayerKind::max_pool:
    case LayerKind::avg_pool:
    case LayerKind::global_avg_pool:
    case LayerKind::flatten:
      if (input.is_flat) {
        fail(layer.line,
             fmt::format("{} reads {} flat values, expected channels*height*width", layer.name, input.text()));
      }
      break;
    case LayerKind::dense:
      if (!input.is_flat) {
        fail(layer.line,
             fmt::format("{} reads {}, expected a flat input", layer.name, input.text()),
             "put \"flatten\" before it");
      }
      break;
    default:
      break;
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
                     width));
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
                         outputs));
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
      return {.channels = input.channels};
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

std::vector<Layer> GraphBuilder::finish() {
  const Layer& scores = layers_.back();
  if (!scores.output_shape.is_flat) {
    fail(scores.line,
         fmt::format(
             "the last layer, {}, gives {}, expected a flat list of scores", scores.name, scores.output_shape.text()),
         "end the network in \"flatten\" and a dense layer with one output a class");
  }
  if (scores.output_shape.channels < 2) {
    fail(scores.line, fmt::format("the last layer, {}, gives 1 score, expected one a class, at least 2", scores.name));
  }
  if (counts_[LayerKind::flatten] == 1) {
    for (Layer& layer : layers_) {
      if (layer.kind == LayerKind::flatten) layer.name = "flatten";
    }
  }
  return std::move(layers_);
}

}  // namespace mien::network
