#include "mien/export/onnx_writer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>
#include <stdexcept>

#include <fmt/format.h>

#include "mien/core/error.h"

namespace mien::exporting {
namespace {

constexpr float kLargestHalf = 65504;

template <class T>
void set_raw(onnx::TensorProto& tensor, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  tensor.set_raw_data(bytes.data(), bytes.size());
}

void set_shape(onnx::ValueInfoProto& value,
               const std::string& name,
               onnx::TensorProto::DataType type,
               const std::vector<int64_t>& sizes) {
  value.set_name(name);
  onnx::TypeProto::Tensor* const tensor = value.mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  tensor->mutable_shape()->add_dim()->set_dim_param("N");
  for (const int64_t size : sizes) tensor->mutable_shape()->add_dim()->set_dim_value(size);
}

}  // namespace

uint16_t half_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 65520) return static_cast<uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x1p-14F) {  // subnormal: a multiple of 2^-24
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(magnitude * 0x1p24F)));
  }
  // The exponent moves from bias 127 to 15; a carry out of the mantissa raises it, as it should.
  const uint32_t rebased = (bits & 0x7FFFFFFFU) - (112U << 23);
  return static_cast<uint16_t>(sign | ((rebased + 0xFFFU + ((rebased >> 13) & 1U)) >> 13));
}

void OnnxWriter::input(const std::string& name, onnx::TensorProto::DataType type, const std::vector<int64_t>& sizes) {
  names_.insert(name);
  set_shape(*graph_.add_input(), name, type, sizes);
}

void OnnxWriter::output(const std::string& name, const std::vector<int64_t>& sizes) {
  names_.insert(name);
  set_shape(*graph_.add_output(), name, onnx::TensorProto::FLOAT, sizes);
}

std::string OnnxWriter::node(const std::string& op,
                             const std::vector<std::string>& inputs,
                             const std::string& wish,
                             const Attributes& attributes) {
  std::string name = wish;
  while (constants_.contains(name) || !names_.insert(name).second) name += "_";
  last_node(op, inputs, name, attributes);
  return name;
}

void OnnxWriter::last_node(const std::string& op,
                           const std::vector<std::string>& inputs,
                           const std::string& name,
                           const Attributes& attributes) {
  onnx::NodeProto* const node = graph_.add_node();
  node->set_op_type(op);
  node->set_name(name);
  for (const std::string& input : inputs) node->add_input(input);
  node->add_output(name);
  for (const auto& [key, value] : attributes) {
    onnx::AttributeProto* const attribute = node->add_attribute();
    attribute->set_name(key);
    if (const auto* whole = std::get_if<int64_t>(&value)) {
      attribute->set_type(onnx::AttributeProto::INT);
      attribute->set_i(*whole);
    } else if (const auto* number = std::get_if<float>(&value)) {
      attribute->set_type(onnx::AttributeProto::FLOAT);
      attribute->set_f(*number);
    } else {
      attribute->set_type(onnx::AttributeProto::INTS);
      for (const int64_t item : std::get<std::vector<int64_t>>(value)) attribute->add_ints(item);
    }
  }
}

std::string OnnxWriter::tensor(const std::string& given,
                               const std::vector<int64_t>& shape,
                               const std::vector<float>& values) {
  const std::string name = typed(given);
  if (!constants_.insert(name).second) return name;
  onnx::TensorProto* const tensor = graph_.add_initializer();
  tensor->set_name(name);
  for (const int64_t size : shape) tensor->add_dims(size);
  if (!is_half_) {
    tensor->set_data_type(onnx::TensorProto::FLOAT);
    set_raw(*tensor, values);
    return name;
  }
  tensor->set_data_type(onnx::TensorProto::FLOAT16);
  std::vector<uint16_t> halves;
  for (const float value : values) {
    if (std::fabs(value) > kLargestHalf) {
      throw_bad_data(
          fmt::format("cannot export {} as float16: it holds {}, and {} is the largest", given, value, kLargestHalf),
          "export float32, or train with weight decay");
    }
    halves.push_back(half_bits(value));
  }
  set_raw(*tensor, halves);
  return name;
}

std::string OnnxWriter::scalar(const std::string& name, double value) {
  return tensor("constant." + name, {}, {static_cast<float>(value)});
}

std::string OnnxWriter::integers(const std::string& name, const std::vector<int64_t>& values) {
  onnx::TensorProto* const tensor = graph_.add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(onnx::TensorProto::INT64);
  tensor->add_dims(static_cast<int64_t>(values.size()));
  set_raw(*tensor, values);
  return name;
}

onnx::TensorProto& OnnxWriter::constant(const std::string& name) {
  for (onnx::TensorProto& one : *graph_.mutable_initializer()) {
    if (one.name() == name) return one;
  }
  throw std::logic_error("no constant " + name);
}

namespace {

std::vector<float> floats_of(const onnx::TensorProto& tensor) {
  std::vector<float> values(tensor.raw_data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.raw_data().data(), values.size() * sizeof(float));
  return values;
}

/// One step an output, so that the largest weight is 127 of them.
std::vector<float> steps_of(const onnx::TensorProto& weight) {
  const std::vector<float> values = floats_of(weight);
  const size_t taps = values.size() / static_cast<size_t>(weight.dims(0));
  std::vector<float> steps;
  for (size_t begin = 0; begin < values.size(); begin += taps) {
    float largest = 0;
    for (size_t i = begin; i < begin + taps; ++i) largest = std::max(largest, std::fabs(values[i]));
    steps.push_back(largest > 0 ? largest / 127 : 1);
  }
  return steps;
}

}  // namespace

std::string OnnxWriter::quantized_weight(const std::string& name) {
  onnx::TensorProto& weight = constant(name);
  const std::vector<float> values = floats_of(weight);
  const std::vector<float> steps = steps_of(weight);
  const size_t taps = values.size() / steps.size();
  std::vector<int8_t> levels(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    levels[i] = static_cast<int8_t>(std::nearbyint(values[i] / steps[i / taps]));
  }
  weight.set_data_type(onnx::TensorProto::INT8);
  set_raw(weight, levels);
  const auto outputs = static_cast<int64_t>(steps.size());
  const std::string step = tensor(name + ".step", {outputs}, steps);
  onnx::TensorProto* const zeros = graph_.add_initializer();
  zeros->set_name(name + ".zero");
  zeros->set_data_type(onnx::TensorProto::INT8);
  zeros->add_dims(outputs);
  set_raw(*zeros, std::vector<int8_t>(steps.size()));
  return node("DequantizeLinear", {name, step, name + ".zero"}, name + ".values", {{"axis", int64_t{0}}});
}

std::string OnnxWriter::quantized_bias(const std::string& name, const std::string& x, const std::string& weight) {
  const auto x_step = steps_.find(x);
  if (x_step == steps_.end()) return name;
  onnx::TensorProto& bias = constant(name);
  const std::vector<float> values = floats_of(bias);
  std::vector<float> steps = steps_of(constant(weight));
  std::vector<int32_t> levels;
  for (size_t k = 0; k < values.size(); ++k) {
    steps[k] *= x_step->second;
    const double level = std::nearbyint(static_cast<double>(values[k]) / steps[k]);
    levels.push_back(static_cast<int32_t>(std::clamp(level, -2147483648.0, 2147483647.0)));
  }
  bias.set_data_type(onnx::TensorProto::INT32);
  set_raw(bias, levels);
  const std::string step = tensor(name + ".step", {static_cast<int64_t>(steps.size())}, steps);
  return node("DequantizeLinear", {name, step}, name + ".values", {{"axis", int64_t{0}}});
}

std::string OnnxWriter::quantized_values(const std::string& x, float least, float largest) {
  least = std::min(least, 0.0F);  // 0 is exact, as padding needs it
  largest = std::max(largest, 0.0F);
  const float scale = largest > least ? (largest - least) / 255 : 1;
  const std::string step = tensor(x + ".step", {}, {scale});
  const std::string zero = x + ".zero";
  onnx::TensorProto* const level = graph_.add_initializer();
  level->set_name(zero);
  level->set_data_type(onnx::TensorProto::UINT8);
  set_raw(*level, std::vector<uint8_t>{static_cast<uint8_t>(std::nearbyint(-least / scale))});
  const std::string levels = node("QuantizeLinear", {x, step, zero}, x + ".levels");
  std::string rounded = node("DequantizeLinear", {levels, step, zero}, x + ".rounded");
  steps_[rounded] = scale;
  return rounded;
}

}  // namespace mien::exporting
