#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <onnx/onnx_pb.h>

namespace mien::exporting {

/// Puts nodes and tensors into an ONNX graph. Floating-point tensors are float16 after set_half(true).
class OnnxWriter {
 public:
  using Value = std::variant<int64_t, float, std::vector<int64_t>>;
  using Attributes = std::vector<std::pair<std::string, Value>>;

  explicit OnnxWriter(onnx::GraphProto& graph) : graph_(graph) {}

  void set_half(bool is_half) { is_half_ = is_half; }

  /// An input or output [N, sizes...].
  void input(const std::string& name, onnx::TensorProto::DataType type, const std::vector<int64_t>& sizes);
  void output(const std::string& name, const std::vector<int64_t>& sizes);

  /// A node with one output. Both are called `name`, or nearly so where that is taken; returns their name.
  std::string node(const std::string& op,
                   const std::vector<std::string>& inputs,
                   const std::string& name,
                   const Attributes& attributes = {});

  /// The same for the graph's output, whose name is its own.
  void last_node(const std::string& op,
                 const std::vector<std::string>& inputs,
                 const std::string& name,
                 const Attributes& attributes = {});

  /// A constant tensor; returns its name. A name that is there already is the same constant.
  std::string tensor(const std::string& name, const std::vector<int64_t>& shape, const std::vector<float>& values);
  /// The constant "constant.NAME".
  std::string scalar(const std::string& name, double value);
  std::string integers(const std::string& name, const std::vector<int64_t>& values);

  /// The constant `name` [outputs, ...] as int8 with one scale an output, symmetric about 0, and back to float32.
  std::string quantized_weight(const std::string& name);
  /// The constant `name` [outputs] as int32 in steps of `x`'s times `weight`'s, a constant not yet quantized; as it is
  /// where `x` was not quantized.
  std::string quantized_bias(const std::string& name, const std::string& x, const std::string& weight);
  /// `x`, whose values lie in [least, largest], as uint8 and back to float32.
  std::string quantized_values(const std::string& x, float least, float largest);

 private:
  onnx::TensorProto& constant(const std::string& name);
  std::string typed(const std::string& name) const { return is_half_ ? name + "_half" : name; }

  onnx::GraphProto& graph_;
  bool is_half_ = false;
  std::set<std::string> names_;         // of inputs, outputs and nodes
  std::set<std::string> constants_;     // of tensor()
  std::map<std::string, float> steps_;  // of what quantized_values gave
};

/// The nearest float16's bits, ties to even; infinity beyond its range.
uint16_t half_bits(float value);

}  // namespace mien::exporting
