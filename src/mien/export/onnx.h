#pragma once

#include <map>
#include <string>
#include <utility>

#include "mien/export/frozen.h"

namespace mien::exporting {

/// Newest operator set that is written; less where the installed ONNX knows less.
inline constexpr int kNewestOpset = 17;

enum class Precision { float32, float16, int8 };

struct OnnxOptions {
  bool float_input = false;  ///< gray levels as float32 in [0, 255] instead of uint8
  bool logits = false;       ///< instead of probabilities
  double temperature = 0;    ///< that logits are divided by before the softmax; 0: the network's own
  Precision precision = Precision::float32;
  /// For int8: least and largest output of each layer on faces, by its name; "input" is the normalized image.
  std::map<std::string, std::pair<float, float>> ranges = {};
};

/// `network` as the bytes of an ONNX file. Input "faces" [N, channels, height, width] of gray levels, normalization
/// inside; output "probabilities" or "logits" [N, classes]. Every layer's output has the layer's name, every tensor its
/// name in Mien's weights. Class names, normalization and provenance stand in metadata_props. float16 and int8 have
/// their batch norms folded into the weights. int8: weights a channel, activations a tensor, as pairs of QuantizeLinear
/// and DequantizeLinear. The bytes depend on the arguments alone. Throws Error(failed) if ONNX's own checker or its
/// shape inference refuses the model, Error(bad_data) for weights beyond float16, std::logic_error where `ranges` lacks
/// a layer.
/// @source ONNX operators: github.com/onnx/onnx, docs/Operators.md
std::string onnx_model(const FrozenNetwork& network, const OnnxOptions& options);

/// What the installed library says of itself: "ONNX, operator set 17".
std::string onnx_version();

}  // namespace mien::exporting
