#include "mien/export/onnx.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <nlohmann/json.hpp>
#include <onnx/checker.h>
#include <onnx/defs/schema.h>
#include <onnx/shape_inference/implementation.h>

#include "mien/core/error.h"
#include "mien/export/onnx_writer.h"
#include "mien/network/graph/layer_traits.h"
#include "mien/version.h"

namespace mien::exporting {
namespace {

using network::Layer;
using network::LayerKind;
using network::Normalization;

constexpr int kIrVersion = 8;               // of ONNX 1.10 to 1.13, which all readers of operator set 17 know
constexpr size_t kMostMetadataBytes = 512;  // lists of rows are longer, and no business of a product
constexpr float kLeastDeviation = 1e-3F;    // of x / 255; a black image has none

int opset() {
  static const int newest = onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at(onnx::ONNX_DOMAIN).second;
  return std::min(kNewestOpset, newest);
}

/// The nodes of one network.
class LayerWriter {
 public:
  LayerWriter(const FrozenNetwork& network, const OnnxOptions& options, OnnxWriter& out)
      : network_(network), options_(options), out_(out) {}

  void write() {
    names_.push_back(write_input());
    for (size_t i = 1; i < network_.graph.layers.size(); ++i) {
      const Layer& layer = network_.graph.layers[i];
      names_.push_back(write_layer(layer));
      if (is_int8() && is_quantized(layer)) names_.back() = quantized(names_.back(), layer.name);
    }
    write_output(names_.back());
  }

 private:
  bool is_int8() const { return options_.precision == Precision::int8; }
  const std::string& input_of(const Layer& layer, size_t index = 0) const {
    return names_[static_cast<size_t>(layer.inputs[index])];
  }

  /// Gray levels to what the network was trained to read.
  std::string write_input() {
    std::string x = "faces";
    if (!options_.float_input) x = out_.node("Cast", {x}, "gray_levels", {{"to", int64_t{onnx::TensorProto::FLOAT}}});
    const Normalization& normalization = network_.normalization;
    const std::string name = network_.graph.layers.front().name;
    switch (normalization.kind) {
      case Normalization::Kind::scale:
        x = out_.node("Div", {x, out_.scalar("white", 255)}, name);
        break;
      case Normalization::Kind::dataset: {
        x = out_.node("Sub", {x, out_.scalar("mean_level", 255 * normalization.mean)}, "centered");
        const double deviation = std::max<double>(normalization.deviation, kLeastDeviation);
        x = out_.node("Mul", {x, out_.scalar("contrast", 1 / (255 * deviation))}, name);
        break;
      }
      case Normalization::Kind::per_image:
        x = write_per_image(x, name);
        break;
    }
    if (options_.precision == Precision::float16) {
      x = out_.node("Cast", {x}, name + "_half", {{"to", int64_t{onnx::TensorProto::FLOAT16}}});
      out_.set_half(true);
    }
    return is_int8() ? quantized(x, name) : x;
  }

  std::string write_per_image(const std::string& levels, const std::string& name) {
    const OnnxWriter::Attributes pixels{{"axes", std::vector<int64_t>{1, 2, 3}}, {"keepdims", int64_t{1}}};
    const std::string mean = out_.node("ReduceMean", {levels}, "image_mean", pixels);
    const std::string centered = out_.node("Sub", {levels, mean}, "centered");
    const std::string squares = out_.node("Mul", {centered, centered}, "squares");
    const std::string variance = out_.node("ReduceMean", {squares}, "image_variance", pixels);
    const std::string deviation = out_.node("Sqrt", {variance}, "image_deviation");
    const std::string divisor =
        out_.node("Max", {deviation, out_.scalar("least_deviation", 255.0 * kLeastDeviation)}, "divisor");
    return out_.node("Div", {centered, divisor}, name);
  }

  void write_output(std::string x) {
    if (options_.precision == Precision::float16) {
      out_.set_half(false);
      x = out_.node("Cast", {x}, "scores", {{"to", int64_t{onnx::TensorProto::FLOAT}}});
    }
    if (options_.logits) {
      out_.last_node("Identity", {x}, "logits");
      return;
    }
    if (options_.temperature != 1) {
      x = out_.node("Div", {x, out_.scalar("temperature", options_.temperature)}, "tempered");
    }
    out_.last_node("Softmax", {x}, "probabilities", {{"axis", int64_t{1}}});
  }

  std::string write_layer(const Layer& layer) {
    const std::string& x = input_of(layer);
    const std::string& name = layer.name;
    switch (layer.kind) {
      case LayerKind::input:
      case LayerKind::dropout:
        return x;
      case LayerKind::conv:
        return write_conv(layer);
      case LayerKind::dense:
        return out_.node("Gemm", weighted(layer), name, {{"transB", int64_t{1}}});
      case LayerKind::batch_norm:
        return out_.node("BatchNormalization",
                         {x,
                          tensor(layer, "weight"),
                          tensor(layer, "bias"),
                          tensor(layer, "running_mean"),
                          tensor(layer, "running_var")},
                         name,
                         {{"epsilon", static_cast<float>(layer.epsilon)}});
      case LayerKind::group_norm:
        return write_group_norm(layer);
      case LayerKind::layer_norm:
        return write_layer_norm(layer);
      case LayerKind::max_pool:
        return out_.node("MaxPool", {x}, name, window(layer));
      case LayerKind::avg_pool:
        return out_.node("AveragePool", {x}, name, window(layer));  // padding does not count
      case LayerKind::global_avg_pool:
        return out_.node("GlobalAveragePool", {x}, name);
      case LayerKind::global_max_pool:
        return out_.node("GlobalMaxPool", {x}, name);
      case LayerKind::flatten:
        return out_.node("Flatten", {x}, name, {{"axis", int64_t{1}}});
      case LayerKind::add:
        return out_.node("Add", {x, input_of(layer, 1)}, name);
      case LayerKind::multiply:
        return out_.node("Mul", {x, input_of(layer, 1)}, name);
      case LayerKind::concat: {
        std::vector<std::string> all;
        for (size_t i = 0; i < layer.inputs.size(); ++i) all.push_back(input_of(layer, i));
        return out_.node("Concat", all, name, {{"axis", int64_t{1}}});
      }
      default:
        return write_activation(layer);
    }
  }

  std::string write_activation(const Layer& layer) {
    const std::string& x = input_of(layer);
    const std::string& name = layer.name;
    switch (layer.kind) {
      case LayerKind::relu:
        return out_.node("Relu", {x}, name);
      case LayerKind::leaky_relu:
        return out_.node("LeakyRelu", {x}, name, {{"alpha", static_cast<float>(layer.negative_slope)}});
      case LayerKind::elu:
        return out_.node("Elu", {x}, name, {{"alpha", static_cast<float>(layer.alpha)}});
      case LayerKind::silu:
        return out_.node("Mul", {x, out_.node("Sigmoid", {x}, name + "_gate")}, name);
      case LayerKind::gelu: {  // x * (1 + erf(x / sqrt 2)) / 2
        const std::string scaled = out_.node("Mul", {x, out_.scalar("inverse_root_2", std::sqrt(0.5))}, name + "_x");
        const std::string error = out_.node("Erf", {scaled}, name + "_erf");
        const std::string sum = out_.node("Add", {error, out_.scalar("one", 1)}, name + "_sum");
        const std::string twice = out_.node("Mul", {x, sum}, name + "_twice");
        return out_.node("Mul", {twice, out_.scalar("half", 0.5)}, name);
      }
      case LayerKind::hardswish: {
        const std::string gate = out_.node("HardSigmoid", {x}, name + "_gate", {{"alpha", 1.0F / 6}, {"beta", 0.5F}});
        return out_.node("Mul", {x, gate}, name);
      }
      case LayerKind::softplus:
        return out_.node("Softplus", {x}, name);
      case LayerKind::tanh:
        return out_.node("Tanh", {x}, name);
      case LayerKind::sigmoid:
        return out_.node("Sigmoid", {x}, name);
      default:
        throw std::logic_error(fmt::format("no ONNX for {}", network::to_text(layer.kind)));
    }
  }

  static OnnxWriter::Attributes window(const Layer& layer) {
    const network::Padding& p = layer.padding;
    // Global pools are written by their own operators, so that every window here has a stride.
    return {{"kernel_shape", std::vector<int64_t>{layer.kernel_height, layer.kernel_width}},
            {"strides", std::vector<int64_t>{layer.stride, layer.stride}},
            {"pads", std::vector<int64_t>{p.top, p.left, p.bottom, p.right}}};
  }

  std::string write_conv(const Layer& layer) {
    OnnxWriter::Attributes attributes = window(layer);
    attributes.push_back({"group", layer.groups});
    return out_.node("Conv", weighted(layer), layer.name, attributes);
  }

  /// Input, weight and bias.
  std::vector<std::string> weighted(const Layer& layer) {
    std::vector<std::string> inputs{input_of(layer), tensor(layer, "weight")};
    if (layer.bias) inputs.push_back(tensor(layer, "bias"));
    if (!is_int8()) return inputs;
    if (layer.bias) inputs[2] = out_.quantized_bias(inputs[2], inputs[0], inputs[1]);
    inputs[1] = out_.quantized_weight(inputs[1]);
    return inputs;
  }

  std::string tensor(const Layer& layer, const std::string& ending, std::vector<int64_t> shape = {}) {
    const std::string name = layer.name + "." + ending;
    if (shape.empty()) {
      for (const auto& spec : network::layer_parameters(layer)) {
        if (spec.name == ending) shape = spec.shape;
      }
    }
    return out_.tensor(name, shape, network_.values.at(name));
  }

  /// Gamma and beta of a norm over the channels of what has the layer's output shape.
  std::string scaled(const Layer& layer, const std::string& normal) {
    const std::vector<int64_t> shape = layer.output_shape.is_flat
                                           ? std::vector<int64_t>{layer.output_shape.channels}
                                           : std::vector<int64_t>{layer.output_shape.channels, 1, 1};
    const std::string product = out_.node("Mul", {normal, tensor(layer, "weight", shape)}, layer.name + "_scaled");
    return out_.node("Add", {product, tensor(layer, "bias", shape)}, layer.name);
  }

  /// Groups become the channels of an instance norm, as PyTorch exports it.
  std::string write_group_norm(const Layer& layer) {
    const network::Shape& shape = layer.output_shape;
    const auto groups = static_cast<size_t>(layer.groups);
    const std::string as_groups = out_.integers(layer.name + "_groups", {0, layer.groups, -1});
    const std::string back =
        out_.integers(layer.name + "_shape",
                      shape.is_flat ? std::vector<int64_t>{0, shape.channels}
                                    : std::vector<int64_t>{0, shape.channels, shape.height, shape.width});
    const std::string grouped = out_.node("Reshape", {input_of(layer), as_groups}, layer.name + "_grouped");
    const std::string ones = out_.tensor(layer.name + "_ones", {layer.groups}, std::vector<float>(groups, 1.0F));
    const std::string zeros = out_.tensor(layer.name + "_zeros", {layer.groups}, std::vector<float>(groups, 0.0F));
    const std::string normal = out_.node("InstanceNormalization",
                                         {grouped, ones, zeros},
                                         layer.name + "_normal",
                                         {{"epsilon", static_cast<float>(layer.epsilon)}});
    return scaled(layer, out_.node("Reshape", {normal, back}, layer.name + "_ungrouped"));
  }

  /// Over the channels, which ONNX's own layer norm could only reach by turning the image.
  std::string write_layer_norm(const Layer& layer) {
    const OnnxWriter::Attributes channels{{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{1}}};
    const std::string& x = input_of(layer);
    const std::string& name = layer.name;
    const std::string mean = out_.node("ReduceMean", {x}, name + "_mean", channels);
    const std::string centered = out_.node("Sub", {x, mean}, name + "_centered");
    const std::string squares = out_.node("Mul", {centered, centered}, name + "_squares");
    const std::string variance = out_.node("ReduceMean", {squares}, name + "_variance", channels);
    const std::string safe =
        out_.node("Add", {variance, out_.scalar(name + "_epsilon", layer.epsilon)}, name + "_safe");
    const std::string deviation = out_.node("Sqrt", {safe}, name + "_deviation");
    return scaled(layer, out_.node("Div", {centered, deviation}, name + "_normal"));
  }

  /// Whether a layer's output passes through 8 bits: all but the scores', and what a ReLU alone reads, which readers
  /// join with the layer before it.
  bool is_quantized(const Layer& layer) const {
    const std::vector<Layer>& layers = network_.graph.layers;
    auto index = static_cast<size_t>(&layer - layers.data());
    if (layer.kind == LayerKind::dropout) return false;
    while (index + 1 < layers.size()) {
      std::vector<size_t> readers;
      for (size_t i = index + 1; i < layers.size(); ++i) {
        const std::vector<int>& inputs = layers[i].inputs;
        if (std::find(inputs.begin(), inputs.end(), static_cast<int>(index)) != inputs.end()) readers.push_back(i);
      }
      if (readers.size() != 1 || layers[readers.front()].kind != LayerKind::dropout) {
        return readers.size() != 1 || layers[readers.front()].kind != LayerKind::relu;
      }
      index = readers.front();
    }
    return false;
  }

  /// As uint8 and back.
  std::string quantized(const std::string& x, const std::string& layer) {
    const auto range = options_.ranges.find(layer);
    if (range == options_.ranges.end()) throw std::logic_error("no range of " + layer);
    return out_.quantized_values(x, range->second.first, range->second.second);
  }

  const FrozenNetwork& network_;
  const OnnxOptions& options_;
  OnnxWriter& out_;
  std::vector<std::string> names_;  // of each layer's output
};

void set_metadata(onnx::ModelProto& model, const FrozenNetwork& network, const OnnxOptions& options) {
  const auto set = [&](const std::string& key, const std::string& value) {
    onnx::StringStringEntryProto* const entry = model.add_metadata_props();
    entry->set_key(key);
    entry->set_value(value);
  };
  const network::Shape& shape = network.graph.input_shape();
  std::map<std::string, std::string> all = network.metadata;
  all["mien.classes"] = nlohmann::json(network.class_names).dump();
  all["mien.network"] = network.graph.name;
  all["mien.normalization"] = network.normalization.text();
  all["mien.input"] = fmt::format("{} [N,{},{},{}], levels from 0 (black) to 255 (white), {}",
                                  options.float_input ? "float32" : "uint8",
                                  shape.channels,
                                  shape.height,
                                  shape.width,
                                  shape.channels == 1 ? "gray" : "red, green, blue");
  if (!options.logits) all["mien.temperature"] = fmt::format("{}", options.temperature);
  for (const auto& [key, value] : all) {
    if (value.size() <= kMostMetadataBytes && !value.empty()) set(key, value);
  }
}

void check(const onnx::ModelProto& model) {
  try {
    onnx::checker::check_model(model);
    onnx::ModelProto copy = model;
    onnx::shape_inference::InferShapes(
        copy, onnx::OpSchemaRegistry::Instance(), onnx::ShapeInferenceOptions(/*check_type=*/true, /*strict_mode=*/1));
  } catch (const std::exception& error) {
    throw_failed(fmt::format("the checker of ONNX refuses {}: {}", model.graph().name(), error.what()));
  }
}

std::string serialized(const onnx::ModelProto& model) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  if (!model.SerializeToCodedStream(&coded)) throw_failed("cannot write " + model.graph().name() + " as ONNX");
  coded.Trim();
  return bytes;
}

}  // namespace

std::string onnx_version() { return fmt::format("ONNX, operator set {}", opset()); }

std::string onnx_model(const FrozenNetwork& given, const OnnxOptions& given_options) {
  FrozenNetwork network = given;
  OnnxOptions options = given_options;
  if (options.temperature == 0) options.temperature = network.temperature;
  if (options.precision != Precision::float32) fold_batch_norms(network);
  for (size_t i = 0; i < network.graph.layers.size() && !options.ranges.empty(); ++i) {
    const Layer& layer = network.graph.layers[i];
    if (layer.kind == given.graph.layers[i].kind) continue;
    // A folded norm's output is that of the layer before it.
    options.ranges[network.graph.layers[static_cast<size_t>(layer.inputs.front())].name] = options.ranges[layer.name];
  }
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("mien");
  model.set_producer_version(kVersion);
  model.set_doc_string(fmt::format("{} ({})", network.graph.name, network.graph.source));
  onnx::OperatorSetIdProto* const operators = model.add_opset_import();
  operators->set_domain("");
  operators->set_version(opset());
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name(network.graph.name);
  const network::Shape& shape = network.graph.input_shape();
  OnnxWriter writer(graph);
  writer.input("faces",
               options.float_input ? onnx::TensorProto::FLOAT : onnx::TensorProto::UINT8,
               {shape.channels, shape.height, shape.width});
  writer.output(options.logits ? "logits" : "probabilities", {network.graph.classes()});
  LayerWriter(network, options, writer).write();
  set_metadata(model, network, options);
  check(model);
  return serialized(model);
}

}  // namespace mien::exporting
