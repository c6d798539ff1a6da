#include "mien/infer/model.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/safetensors.h"
#include "mien/core/text.h"
#include "mien/data/preprocess.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::infer {

using network::Activation;
using network::BlockArguments;
using network::ConvolutionArguments;
using network::Layer;
using network::LayerKind;
using network::Shape;

namespace {

constexpr int64_t kMostFaces = 16;  // run together, so that their activations stay in the caches

const std::string& fact(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    throw_bad_data(
        fmt::format("cannot load {}: its metadata has no '{}', expected weights that Mien wrote", file.origin(), key));
  }
  return found->second;
}

network::Graph graph_of(const SafetensorsFile& file) {
  if (fact(file, "mien.format") != "1") {
    throw_bad_data(fmt::format("cannot load {}: a newer Mien wrote it", file.origin()));
  }
  try {
    return network::parse_graph(fact(file, "mien.network"), "its network");
  } catch (const Error& error) {
    throw_bad_data(fmt::format("cannot load {}: {}", file.origin(), error.line()));
  }
}

/// Before memory is taken for the numbers.
void check_tensors(const SafetensorsFile& file, const network::Graph& graph) {
  for (const network::ParameterSpec& spec : graph.parameter_specs()) {
    const NamedArray* const array = file.find(spec.name);
    if (array != nullptr && array->dtype == "F32" && array->shape == spec.shape) continue;
    throw_bad_data(fmt::format("cannot load {} into network {}: tensor '{}' {}",
                               file.origin(),
                               graph.name,
                               spec.name,
                               array == nullptr ? "is missing" : "has another type or shape"));
  }
}

void check_values(const SafetensorsFile& file, const network::Graph& graph) {
  for (const network::ParameterSpec& spec : graph.parameter_specs()) {
    const auto values = file.floats(spec.name);
    const bool is_variance = spec.name.ends_with(".running_var");
    const bool is_good =
        std::all_of(values.begin(), values.end(), [&](float v) { return std::isfinite(v) && !(is_variance && v < 0); });
    if (!is_good) {
      throw_bad_data(fmt::format("cannot load {}: tensor '{}' holds a number that is not {}",
                                 file.origin(),
                                 spec.name,
                                 is_variance ? "a variance" : "finite"));
    }
  }
}

std::vector<std::string> names_of(const SafetensorsFile& file, int64_t classes) {
  std::vector<std::string> names;
  const auto list = nlohmann::json::parse(fact(file, "mien.classes"), nullptr, /*allow_exceptions=*/false);
  for (const auto& name : list) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  if (!list.is_array() || (!names.empty() && static_cast<int64_t>(names.size()) != classes)) {
    throw_bad_data(fmt::format("cannot load {}: its class names are not those of {} classes", file.origin(), classes));
  }
  for (int64_t i = static_cast<int64_t>(names.size()); i < classes; ++i) names.push_back(fmt::format("class{}", i));
  return names;
}

double temperature_of(const SafetensorsFile& file) {
  const auto found = file.metadata().find("mien.temperature");
  if (found == file.metadata().end()) return 1;
  const auto temperature = parse_double(found->second);
  if (temperature && *temperature > 0 && std::isfinite(*temperature)) return *temperature;
  throw_bad_data(fmt::format(
      "cannot load {}: its temperature is {}, expected a number above 0", file.origin(), quote_sample(found->second)));
}

std::vector<float> numbers(const SafetensorsFile& file, const Layer& layer, const std::string& ending) {
  const auto values = file.floats(layer.name + "." + ending);
  return {values.begin(), values.end()};
}

/// [K, C, height, width] to [height, width, C, K].
std::vector<float> by_taps(const std::vector<float>& weight, const Layer& layer) {
  const auto outputs = static_cast<size_t>(layer.output_shape.channels);
  const auto inputs = static_cast<size_t>(layer.input_shape.channels / layer.groups);
  const size_t area = weight.size() / outputs / inputs;
  std::vector<float> turned(weight.size());
  for (size_t k = 0; k < outputs; ++k) {
    for (size_t c = 0; c < inputs; ++c) {
      for (size_t place = 0; place < area; ++place) {
        turned[(place * inputs + c) * outputs + k] = weight[(k * inputs + c) * area + place];
      }
    }
  }
  return turned;
}

void prepare_weights(PreparedStep& prepared, const Layer& layer, const SafetensorsFile& file) {
  const std::vector<float> weight = numbers(file, layer, "weight");
  std::vector<float> bias(static_cast<size_t>(layer.output_shape.channels));
  if (layer.bias) bias = numbers(file, layer, "bias");
  if (layer.groups == 1) {
    prepared.convolution = pack(weight, bias, layer);
  } else {
    prepared.weight = by_taps(weight, layer);
    prepared.bias = std::move(bias);
  }
}

void prepare_batch_norm(PreparedStep& prepared, const Layer& norm, const SafetensorsFile& file) {
  const std::vector<float> gamma = numbers(file, norm, "weight");
  const std::vector<float> beta = numbers(file, norm, "bias");
  const std::vector<float> mean = numbers(file, norm, "running_mean");
  const std::vector<float> variance = numbers(file, norm, "running_var");
  for (size_t c = 0; c < gamma.size(); ++c) {
    const double factor = gamma[c] / std::sqrt(static_cast<double>(variance[c]) + norm.epsilon);
    prepared.scale.push_back(static_cast<float>(factor));
    prepared.shift.push_back(static_cast<float>(beta[c] - mean[c] * factor));
  }
}

Activation activation_of(LayerKind kind) {
  switch (kind) {
    case LayerKind::relu:
      return Activation::relu;
    case LayerKind::leaky_relu:
      return Activation::leaky_relu;
    case LayerKind::silu:
      return Activation::silu;
    default:
      return Activation::none;
  }
}

/// The block of a step, all but where its numbers lie and how many they are.
std::optional<BlockArguments> block_of(const PreparedStep& prepared, const network::Graph& graph) {
  const network::Block& block = *prepared.step.block;
  BlockArguments arguments;
  const auto set = [&](int node, Activation& activation, float& slope) {
    if (node < 0) return;
    const Layer& layer = graph.layers[static_cast<size_t>(node)];
    activation = activation_of(layer.kind);
    slope = static_cast<float>(layer.negative_slope);
  };
  set(block.before, arguments.before, arguments.before_slope);
  set(block.after, arguments.after, arguments.after_slope);
  if (block.batch_norm >= 0) {
    arguments.normalizes = true;
    arguments.scale = prepared.scale.data();
    arguments.shift = prepared.shift.data();
  }
  if (block.max_pool >= 0) arguments.pool = graph.layers[static_cast<size_t>(block.max_pool)].stride;
  const bool is_empty =
      block.before < 0 && block.after < 0 && block.batch_norm < 0 && block.add < 0 && arguments.pool == 1;
  return is_empty ? std::nullopt : std::optional(arguments);
}

ConvolutionArguments arguments_of(const Layer& layer, const network::Step& step, int64_t count) {
  ConvolutionArguments c{.images = count,
                         .height = layer.input_shape.height,
                         .width = layer.input_shape.width,
                         .channels = layer.input_shape.channels,
                         .out_height = layer.output_shape.height,
                         .out_width = layer.output_shape.width,
                         .out_channels = layer.output_shape.channels,
                         .kernel_height = std::max<int64_t>(layer.kernel_height, 1),
                         .kernel_width = std::max<int64_t>(layer.kernel_width, 1),
                         .stride = layer.stride,
                         .pad_height = step.padding[0],
                         .pad_width = step.padding[1]};
  if (layer.groups > 1 || !step.pad_before.empty()) {  // padded beforehand
    c.height += layer.padding.top + layer.padding.bottom;
    c.width += layer.padding.left + layer.padding.right;
    c.pad_height = 0;
    c.pad_width = 0;
  }
  return c;
}

/// A convolution or dense layer and the block behind it, if any.
void run_convolution(const PreparedStep& prepared,
                     const Layer& layer,
                     const BlockArguments* block,
                     int64_t count,
                     const float* x,
                     float* y) {
  const ConvolutionArguments c = arguments_of(layer, prepared.step, count);
  Values padded;
  const bool is_padded = layer.padding != network::Padding{} && (layer.groups > 1 || !prepared.step.pad_before.empty());
  if (is_padded) padded = pad(x, count, layer.input_shape, layer.padding);
  const float* const from = is_padded ? padded.data() : x;
  if (prepared.convolution.is_there()) {
    convolve(prepared.convolution, c, block, from, y);
    return;
  }
  if (block == nullptr) {
    convolve_groups(c, layer.groups, prepared.weight.data(), prepared.bias.data(), from, y);
    return;
  }
  Values wide(count * layer.output_shape.elements());
  convolve_groups(c, layer.groups, prepared.weight.data(), prepared.bias.data(), from, wide.data());
  BlockArguments whole = *block;
  whole.images = count;
  whole.height = c.out_height;
  whole.width = c.out_width;
  whole.channels = c.out_channels;
  whole.out_height = c.out_height / whole.pool;
  whole.out_width = c.out_width / whole.pool;
  whole.x = wide.data();
  network::block_kernels().forward(whole, 0, whole.units(), y);
}

}  // namespace

Model::Model(const std::filesystem::path& path) {
  const SafetensorsFile file = SafetensorsFile::open(path, [&](const SafetensorsFile& header) {
    graph_ = graph_of(header);
    class_names_ = names_of(header, graph_.classes());
    normalization_ = network::Normalization::parse(fact(header, "mien.normalization"));
    temperature_ = temperature_of(header);
    check_tensors(header, graph_);
  });
  check_values(file, graph_);
  network::Plan plan = network::make_plan(graph_, network::Fusion::evaluation);
  for (network::Step& step : plan.steps) {
    PreparedStep prepared{.step = std::move(step)};
    for (const int node : prepared.step.layers) {
      const Layer& layer = graph_.layers[static_cast<size_t>(node)];
      if (network::traits(layer).is_weighted) prepare_weights(prepared, layer, file);
      if (layer.kind == LayerKind::batch_norm) prepare_batch_norm(prepared, layer, file);
      if (layer.kind == LayerKind::group_norm || layer.kind == LayerKind::layer_norm) {
        prepared.weight = numbers(file, layer, "weight");
        prepared.bias = numbers(file, layer, "bias");
      }
    }
    steps_.push_back(std::move(prepared));
  }
}

void Model::logits(const uint8_t* faces, int64_t count, float* out) const {
  for (int64_t begin = 0; begin < count; begin += kMostFaces) {
    run(faces + begin * graph_.input_shape().elements(),
        std::min(kMostFaces, count - begin),
        out + begin * graph_.classes());
  }
}

void Model::run(const uint8_t* faces, int64_t count, float* out) const {
  const Shape shape = graph_.input_shape();
  const int64_t pixels = shape.height * shape.width;
  std::vector<Values> values(graph_.layers.size());
  values.front() = Values(count * shape.elements());
  std::vector<float> planes(static_cast<size_t>(shape.elements()));
  for (int64_t image = 0; image < count; ++image) {
    data::normalize_image({faces + image * shape.elements(), planes.size()}, normalization_, planes.data());
    float* const to = values.front().data() + image * shape.elements();
    for (int64_t c = 0; c < shape.channels; ++c) {
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        to[pixel * shape.channels + c] = planes[static_cast<size_t>(c * pixels + pixel)];
      }
    }
  }
  for (const PreparedStep& prepared : steps_) {
    values[static_cast<size_t>(prepared.step.output())] = run_step(prepared, values, count);
    for (const int dead : prepared.step.release) values[static_cast<size_t>(dead)] = Values();
  }
  std::copy_n(values.back().data(), count * graph_.classes(), out);
}

Values Model::run_step(const PreparedStep& prepared, std::vector<Values>& values, int64_t count) const {
  return prepared.step.block ? run_block(prepared, values, count) : run_layer(prepared, values, count);
}

Values Model::run_block(const PreparedStep& prepared, std::vector<Values>& values, int64_t count) const {
  const network::Step& step = prepared.step;
  const float* const x = values[static_cast<size_t>(step.inputs[0])].data();
  std::optional<BlockArguments> block = block_of(prepared, graph_);
  const Layer& last = graph_.layers[static_cast<size_t>(step.output())];
  Values y(count * last.output_shape.elements());
  if (step.convolution >= 0) {
    const Layer& layer = graph_.layers[static_cast<size_t>(step.convolution)];
    run_convolution(prepared, layer, block ? &*block : nullptr, count, x, y.data());
    return y;
  }
  const Shape& in = graph_.layers[static_cast<size_t>(step.layers.front())].input_shape;
  if (!block) {  // a dropout
    std::copy_n(x, count * in.elements(), y.data());
    return y;
  }
  block->images = count;
  block->height = in.height;
  block->width = in.width;
  block->channels = in.channels;
  block->out_height = in.height / block->pool;
  block->out_width = in.width / block->pool;
  block->x = x;
  if (step.block->add >= 0) block->residual = values[static_cast<size_t>(step.inputs[1])].data();
  network::block_kernels().forward(*block, 0, block->units(), y.data());
  return y;
}

Values Model::run_layer(const PreparedStep& prepared, std::vector<Values>& values, int64_t count) const {
  const network::Step& step = prepared.step;
  const Layer& layer = graph_.layers[static_cast<size_t>(step.output())];
  const auto input = [&](size_t index) -> const float* {
    return values[static_cast<size_t>(step.inputs[index])].data();
  };
  const int64_t size = count * layer.output_shape.elements();
  Values y(size);
  const auto copy_input = [&] { std::copy_n(input(0), size, y.data()); };
  switch (layer.kind) {
    case LayerKind::conv:
    case LayerKind::dense:
      run_convolution(prepared, layer, nullptr, count, input(0), y.data());
      break;
    case LayerKind::group_norm:
      copy_input();
      group_norm(layer, count, prepared.weight.data(), prepared.bias.data(), y.data());
      break;
    case LayerKind::layer_norm:
      copy_input();
      layer_norm(layer, count, prepared.weight.data(), prepared.bias.data(), y.data());
      break;
    case LayerKind::max_pool:
    case LayerKind::avg_pool:
    case LayerKind::global_avg_pool:
    case LayerKind::global_max_pool:
      pool(layer, count, input(0), y.data());
      break;
    case LayerKind::flatten:
      flatten(layer.input_shape, count, input(0), y.data());
      break;
    case LayerKind::dropout:
      copy_input();
      break;
    case LayerKind::add:
      for (int64_t i = 0; i < size; ++i) y.data()[i] = input(0)[i] + input(1)[i];
      break;
    case LayerKind::multiply:
      copy_input();
      multiply(layer.input_shape,
               graph_.layers[static_cast<size_t>(step.inputs[1])].output_shape,
               count,
               y.data(),
               input(1));
      break;
    case LayerKind::concat: {
      const int64_t channels = layer.output_shape.channels;
      int64_t first = 0;
      for (size_t i = 0; i < step.inputs.size(); ++i) {
        const int64_t own = graph_.layers[static_cast<size_t>(step.inputs[i])].output_shape.channels;
        for (int64_t pixel = 0; pixel < size / channels; ++pixel) {
          std::copy_n(input(i) + pixel * own, own, y.data() + pixel * channels + first);
        }
        first += own;
      }
      break;
    }
    default:
      copy_input();
      activate(layer, count, y.data());
  }
  return y;
}

}  // namespace mien::infer
