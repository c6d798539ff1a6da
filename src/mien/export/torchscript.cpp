#include "mien/export/torchscript.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/api/module.h>

#include "mien/core/text.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::exporting {
namespace {

using network::Layer;
using network::LayerKind;
using network::Normalization;

/// Attributes of the module: "p0", "p1", ... in the order of parameter_specs(), because layers may have any name.
class Script {
 public:
  explicit Script(const FrozenNetwork& network) : network_(network) {
    const auto specs = network.graph.parameter_specs();
    for (size_t i = 0; i < specs.size(); ++i) attributes_[specs[i].name] = fmt::format("self.p{}", i);
  }

  std::string text() const {
    std::string text = "def forward(self, x):\n    v0 = " + normalized() + "\n";
    for (size_t i = 1; i < network_.graph.layers.size(); ++i) {
      text += fmt::format("    v{} = {}\n", i, expression(network_.graph.layers[i]));
    }
    return text + fmt::format("    return v{}\n", network_.graph.layers.size() - 1);
  }

 private:
  std::string normalized() const {
    const std::string levels = "x.to(6) / 255.0";  // 6: float32
    const Normalization& n = network_.normalization;
    if (n.kind == Normalization::Kind::scale) return levels;
    if (n.kind == Normalization::Kind::dataset) {
      return fmt::format("({} - {:.17e}) / {:.17e}", levels, n.mean, std::max<double>(n.deviation, 1e-3));
    }
    return fmt::format(
        "({0} - torch.mean({0}, [1, 2, 3], True)) / "
        "torch.clamp_min(torch.std({0}, [1, 2, 3], False, True), 0.001)",
        levels);
  }

  std::string own(const Layer& layer, const char* ending) const { return attributes_.at(layer.name + "." + ending); }
  std::string bias(const Layer& layer) const { return layer.bias ? own(layer, "bias") : "None"; }

  static std::string window(const Layer& layer) {
    return fmt::format("[{0}, {1}], [{2}, {2}], [{3}, {4}]",
                       layer.kernel_height,
                       layer.kernel_width,
                       layer.stride,
                       layer.padding.top,
                       layer.padding.left);
  }

  std::string convolution(const Layer& layer, const std::string& x) const {
    const network::Padding& p = layer.padding;
    const bool is_symmetric = p.is_symmetric();
    const std::string padded =
        is_symmetric
            ? x
            : fmt::format("torch.constant_pad_nd({}, [{}, {}, {}, {}], 0)", x, p.left, p.right, p.top, p.bottom);
    return fmt::format("torch.conv2d({0}, {1}, {2}, [{3}, {3}], [{4}, {5}], [1, 1], {6})",
                       padded,
                       own(layer, "weight"),
                       bias(layer),
                       layer.stride,
                       is_symmetric ? p.top : 0,
                       is_symmetric ? p.left : 0,
                       layer.groups);
  }

  std::string normalization(const Layer& layer, const std::string& x) const {
    const std::string gamma = own(layer, "weight");
    const std::string beta = own(layer, "bias");
    const std::string epsilon = fmt::format("{:.17e}", layer.epsilon);
    switch (layer.kind) {
      case LayerKind::batch_norm:
        return fmt::format("torch.batch_norm({}, {}, {}, {}, {}, False, 0.1, {}, False)",
                           x,
                           gamma,
                           beta,
                           own(layer, "running_mean"),
                           own(layer, "running_var"),
                           epsilon);
      case LayerKind::group_norm:
        return fmt::format("torch.group_norm({}, {}, {}, {}, {})", x, layer.groups, gamma, beta, epsilon);
      default: {
        const char* const form = layer.input_shape.is_flat
                                     ? "torch.layer_norm({}, [{}], {}, {}, {})"
                                     : "torch.permute(torch.layer_norm(torch.permute({}, [0, 2, 3, 1]), [{}], {}, {}, "
                                       "{}), [0, 3, 1, 2])";
        return fmt::format(fmt::runtime(form), x, layer.input_shape.channels, gamma, beta, epsilon);
      }
    }
  }

  std::string expression(const Layer& layer) const {
    std::vector<std::string> inputs;
    for (const int input : layer.inputs) inputs.push_back(fmt::format("v{}", input));
    const std::string& x = inputs.front();
    switch (layer.kind) {
      case LayerKind::conv:
        return convolution(layer, x);
      case LayerKind::dense:
        return fmt::format("torch.linear({}, {}, {})", x, own(layer, "weight"), bias(layer));
      case LayerKind::batch_norm:
      case LayerKind::group_norm:
      case LayerKind::layer_norm:
        return normalization(layer, x);
      case LayerKind::max_pool:
        return fmt::format("torch.max_pool2d({}, {})", x, window(layer));
      case LayerKind::avg_pool:
        return fmt::format("torch.avg_pool2d({}, {}, False, False)", x, window(layer));
      case LayerKind::global_avg_pool:
        return fmt::format("torch.mean({}, [2, 3], True)", x);
      case LayerKind::global_max_pool:
        return fmt::format("torch.amax({}, [2, 3], True)", x);
      case LayerKind::flatten:
        return fmt::format("torch.flatten({}, 1)", x);
      case LayerKind::dropout:
        return x;
      case LayerKind::add:
        return fmt::format("{} + {}", x, inputs[1]);
      case LayerKind::multiply:
        return fmt::format("{} * {}", x, inputs[1]);
      case LayerKind::concat:
        return fmt::format("torch.cat([{}], 1)", fmt::join(inputs, ", "));
      case LayerKind::leaky_relu:
        return fmt::format("torch.leaky_relu({}, {:.17e})", x, layer.negative_slope);
      case LayerKind::elu:
        return fmt::format("torch.elu({}, {:.17e})", x, layer.alpha);
      default:  // relu, silu, gelu, hardswish, softplus, sigmoid, tanh: called alike
        return fmt::format("torch.{}({})", network::to_text(layer.kind), x);
    }
  }

  const FrozenNetwork& network_;
  std::map<std::string, std::string> attributes_;
};

}  // namespace

std::string torchscript_model(const FrozenNetwork& network) {
  torch::jit::Module module("mien_network");
  const auto specs = network.graph.parameter_specs();
  for (size_t i = 0; i < specs.size(); ++i) {
    std::vector<float> values = network.values.at(specs[i].name);
    module.register_parameter(fmt::format("p{}", i),
                              at::from_blob(values.data(), specs[i].shape, at::kFloat).clone(),
                              /*is_buffer=*/!specs[i].trainable);
  }
  module.define(Script(network).text());
  module.eval();
  std::ostringstream bytes;
  module.save(bytes);
  return bytes.str();
}

}  // namespace mien::exporting
