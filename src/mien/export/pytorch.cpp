#include "mien/export/pytorch.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/text.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::exporting {
namespace {

using network::Layer;
using network::LayerKind;
using network::Normalization;

const char* python(bool flag) { return flag ? "True" : "False"; }

/// The layer's module in Python. A name such as "forward" or "to-classes" cannot be an attribute of a module; none that
/// ends in a number is one of nn.Module's own.
std::string member(const Layer& layer) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool is_plain =
      is_letter(layer.name.front()) && is_digit(layer.name.back()) &&
      std::all_of(layer.name.begin(), layer.name.end(), [&](char c) { return is_letter(c) || is_digit(c); });
  return is_plain ? "self." + layer.name : fmt::format("self._modules[\"{}\"]", layer.name);
}

/// Text for inside a docstring.
std::string docstring(std::string text) {
  for (char& c : text) {
    if (c == '"' || c == '\\' || c == '\n') c = ' ';
  }
  return text;
}

std::string window(const Layer& layer) {
  return fmt::format("({}, {}), {}", layer.kernel_height, layer.kernel_width, layer.stride);
}

/// The module of a layer with tensors.
std::string constructor(const Layer& layer) {
  const int64_t inputs = layer.input_shape.channels;
  const int64_t outputs = layer.output_shape.channels;
  const std::string epsilon = format_double(layer.epsilon);
  switch (layer.kind) {
    case LayerKind::conv: {
      const std::string padding =
          layer.padding.is_symmetric() ? fmt::format(", padding=({}, {})", layer.padding.top, layer.padding.left) : "";
      return fmt::format("nn.Conv2d({}, {}, {}{}, groups={}, bias={})",
                         inputs,
                         outputs,
                         window(layer),
                         padding,
                         layer.groups,
                         python(layer.bias));
    }
    case LayerKind::dense:
      return fmt::format("nn.Linear({}, {}, bias={})", inputs, outputs, python(layer.bias));
    case LayerKind::batch_norm:
      return fmt::format("nn.BatchNorm{}d({}, eps={})", layer.input_shape.is_flat ? 1 : 2, inputs, epsilon);
    case LayerKind::group_norm:
      return fmt::format("nn.GroupNorm({}, {}, eps={})", layer.groups, inputs, epsilon);
    case LayerKind::layer_norm:
      return fmt::format("nn.LayerNorm({}, eps={})", inputs, epsilon);
    default:
      throw std::logic_error("no PyTorch module for " + layer.name);
  }
}

std::string activation(const Layer& layer, const std::string& x) {
  switch (layer.kind) {
    case LayerKind::relu:
      return fmt::format("F.relu({})", x);
    case LayerKind::leaky_relu:
      return fmt::format("F.leaky_relu({}, {})", x, format_double(layer.negative_slope));
    case LayerKind::elu:
      return fmt::format("F.elu({}, {})", x, format_double(layer.alpha));
    case LayerKind::silu:
      return fmt::format("F.silu({})", x);
    case LayerKind::gelu:
      return fmt::format("F.gelu({})", x);
    case LayerKind::hardswish:
      return fmt::format("F.hardswish({})", x);
    case LayerKind::softplus:
      return fmt::format("F.softplus({})", x);
    case LayerKind::sigmoid:
      return fmt::format("torch.sigmoid({})", x);
    case LayerKind::tanh:
      return fmt::format("torch.tanh({})", x);
    default:
      throw std::logic_error("no PyTorch function for " + layer.name);
  }
}

/// What a layer makes of the Python expressions `x`.
std::string expression(const Layer& layer, const std::vector<std::string>& x) {
  const network::Padding& p = layer.padding;
  switch (layer.kind) {
    case LayerKind::conv:
      if (!p.is_symmetric()) {
        return fmt::format("{}(F.pad({}, ({}, {}, {}, {})))", member(layer), x[0], p.left, p.right, p.top, p.bottom);
      }
      return fmt::format("{}({})", member(layer), x[0]);
    case LayerKind::layer_norm:
      if (layer.input_shape.is_flat) return fmt::format("{}({})", member(layer), x[0]);
      return fmt::format("{}({}.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)", member(layer), x[0]);
    case LayerKind::dense:
    case LayerKind::batch_norm:
    case LayerKind::group_norm:
      return fmt::format("{}({})", member(layer), x[0]);
    case LayerKind::max_pool:
      return fmt::format("F.max_pool2d({}, {}, ({}, {}))", x[0], window(layer), p.top, p.left);
    case LayerKind::avg_pool:
      return fmt::format("F.avg_pool2d({}, {}, ({}, {}), count_include_pad=False)", x[0], window(layer), p.top, p.left);
    case LayerKind::global_avg_pool:
      return fmt::format("{}.mean((2, 3), keepdim=True)", x[0]);
    case LayerKind::global_max_pool:
      return fmt::format("{}.amax((2, 3), keepdim=True)", x[0]);
    case LayerKind::flatten:
      return fmt::format("{}.flatten(1)", x[0]);
    case LayerKind::dropout:
      return fmt::format("F.dropout({}, {}, self.training)", x[0], format_double(layer.probability));
    case LayerKind::add:
      return fmt::format("{} + {}", x[0], x[1]);
    case LayerKind::multiply:
      return fmt::format("{} * {}", x[0], x[1]);
    case LayerKind::concat:
      return fmt::format("torch.cat(({}), 1)", join(x, ", "));
    default:
      return activation(layer, x[0]);
  }
}

std::string normalization(const Normalization& normalization) {
  switch (normalization.kind) {
    case Normalization::Kind::scale:
      return "        x = x.float() / 255\n";
    case Normalization::Kind::dataset:
      return fmt::format("        x = (x.float() / 255 - {}) / {}\n",
                         format_double(normalization.mean),
                         format_double(std::max(normalization.deviation, 1e-3)));
    case Normalization::Kind::per_image:
      break;
  }
  return "        x = x.float() / 255\n"
         "        deviation = x.std((1, 2, 3), unbiased=False, keepdim=True)\n"
         "        x = (x - x.mean((1, 2, 3), keepdim=True)) / deviation.clamp_min(1e-3)\n";
}

constexpr const char* kHead =
    R"py("""{name}: {source}. Written by `mien export --to safetensors-torch`; needs torch alone.

Network's forward takes gray levels 0 to 255, uint8 or float [N, {channels}, {height}, {width}], and gives logits [N, {classes}].
"""
import json
import pathlib
import struct

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = {names}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
)py";

constexpr const char* kTail = R"py(

def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            values = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32)
            tensors[name] = values.reshape(entry["shape"])
    return tensors


def load(path=pathlib.Path(__file__).with_name("weights.safetensors")):
    network = Network()
    missing, extra = network.load_state_dict(read_safetensors(path), strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or extra:
        raise ValueError(f"{path} does not fit: without {missing}, beside them {extra}")
    return network.eval()
)py";

}  // namespace

std::string pytorch_module(const FrozenNetwork& network) {
  const std::vector<Layer>& layers = network.graph.layers;
  std::vector<int> last_reader(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const int input : layers[i].inputs) last_reader[static_cast<size_t>(input)] = static_cast<int>(i);
  }
  const network::Shape shape = network.graph.input_shape();
  std::string text = fmt::format(kHead,
                                 fmt::arg("name", docstring(network.graph.name)),
                                 fmt::arg("source", docstring(network.graph.source)),
                                 fmt::arg("channels", shape.channels),
                                 fmt::arg("height", shape.height),
                                 fmt::arg("width", shape.width),
                                 fmt::arg("classes", network.graph.classes()),
                                 fmt::arg("names", nlohmann::json(network.class_names).dump()));
  for (const Layer& layer : layers) {
    if (layer_parameters(layer).empty()) continue;
    text += fmt::format("        {} = {}\n", member(layer), constructor(layer));
  }
  text += "\n    def forward(self, x):\n" + normalization(network.normalization);
  // A value that only the next line reads is called x; others have names of their own.
  std::vector<std::string> names{last_reader[0] <= 1 ? "x" : "x0"};
  if (names.front() != "x") text += "        x0 = x\n";
  for (size_t i = 1; i < layers.size(); ++i) {
    std::vector<std::string> inputs;
    for (const int input : layers[i].inputs) inputs.push_back(names[static_cast<size_t>(input)]);
    const bool is_next_alone = last_reader[i] <= static_cast<int>(i) + 1;
    names.push_back(is_next_alone ? "x" : fmt::format("x{}", i));
    text += fmt::format("        {} = {}\n", names.back(), expression(layers[i], inputs));
  }
  return text + "        return x\n" + kTail;
}

}  // namespace mien::exporting
