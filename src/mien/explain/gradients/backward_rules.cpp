#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/explain/batches.h"
#include "mien/explain/gradients/backward_walk.h"
#include "mien/explain/gradients/gradient_family.h"
#include "mien/explain/layer_gradient.h"
#include "mien/explain/layers.h"
#include "mien/explain/methods.h"
#include "mien/network/channel_affine.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Layer;
using network::LayerKind;

/// The gradient, with `at_relu(walk, layer, signal)` in the place of every ReLU's.
at::Tensor gradient_with_relu(
    const AttributionRequest& request,
    const std::function<at::Tensor(const BackwardWalk&, int layer, const at::Tensor& signal)>& at_relu) {
  const BackwardWalk walk(request.network, request.images);
  return walk.run(score_gradient(walk.logits(), request.targets, request.score),
                  [&](int layer, const at::Tensor& signal) -> std::vector<at::Tensor> {
                    if (walk.layer(layer).kind == LayerKind::relu) return {at_relu(walk, layer, signal)};
                    return walk.gradient(layer, signal);
                  });
}

at::Tensor guided_gradient(const AttributionRequest& request) {
  return gradient_with_relu(request, [](const BackwardWalk& walk, int layer, const at::Tensor& signal) {
    return signal.clamp_min(0) * (walk.input(layer) > 0);
  });
}

/// f(x) - f'(x) x, as written.
at::Tensor beyond_jacobian(const BackwardWalk& walk, int index) {
  std::vector<at::Tensor> inputs;
  for (size_t i = 0; i < walk.layer(index).inputs.size(); ++i) inputs.push_back(walk.input(index, i));
  return walk.output(index) - walk.directional_derivative(index, inputs);
}

/// What a layer's output holds beyond its Jacobian times its input, of the output's size or broadcast over it;
/// undefined where that is nothing. With f(x) = f'(x) x + b(x) at every layer, the score is input x gradient plus all
/// b x gradient. @source Srinivas and Fleuret 2019, section 3.2 and (implicit biases) section 3.3
at::Tensor bias_of(const BackwardWalk& walk, const network::Network& network, int index) {
  const Layer& layer = walk.layer(index);
  const auto over_positions = [&](const at::Tensor& values) {
    return layer.output_shape.is_flat ? values.view({1, -1}) : values.view({1, -1, 1, 1});
  };
  const network::LayerTraits& facts = network::traits(layer);
  if (facts.is_weighted) return layer.bias ? over_positions(network.tensor(layer.name + ".bias")) : at::Tensor();
  if (layer.kind == LayerKind::batch_norm) return over_positions(network::channel_affine(network, layer).shift);
  if (facts.is_normalization) return beyond_jacobian(walk, index);
  if (layer.kind == LayerKind::multiply) return -walk.output(index);  // each factor's share is the whole product
  if (!facts.is_activation || layer.kind == LayerKind::relu || layer.kind == LayerKind::leaky_relu) return {};
  return walk.output(index) - walk.input(index) * walk.gradient(index, at::ones_like(walk.output(index))).front();
}

/// Absolute values moved and scaled to [0,1] for each image, at the images' size, channels added up: [N,H,W].
/// @source Srinivas and Fleuret 2019, section 4, equation 6; corners aligned as in the authors' program
at::Tensor post_process(const at::Tensor& values, const at::Tensor& images) {
  const at::Tensor size = values.abs();
  const std::vector<int64_t> all{1, 2, 3};
  const at::Tensor least = size.amin(all, /*keepdim=*/true);
  const at::Tensor range = size.amax(all, /*keepdim=*/true) - least;
  // scaling and enlarging are linear, so that adding channels up first enlarges one map instead of many
  const at::Tensor map = ((size - least) / (range + 1e-6)).sum(1, /*keepdim=*/true);
  const std::vector<int64_t> target{images.size(2), images.size(3)};
  return at::upsample_bilinear2d(map, target, /*align_corners=*/true).squeeze(1);
}

bool has_positions(const Layer& layer) {
  return !layer.output_shape.is_flat && layer.output_shape.height * layer.output_shape.width > 1;
}

}  // namespace

Attributions guided_backprop(const AttributionRequest& request, const MethodOptions& options) {
  return in_batches(request, options.batch_size, [](const AttributionRequest& part) {
    const at::Tensor channels = guided_gradient(part);
    return Attributions{.values = sum_channels(channels), .channels = channels};
  });
}

Attributions deconvnet(const AttributionRequest& request, const MethodOptions& options) {
  return in_batches(request, options.batch_size, [](const AttributionRequest& part) {
    const at::Tensor channels = gradient_with_relu(
        part, [](const BackwardWalk&, int, const at::Tensor& signal) { return signal.clamp_min(0); });
    return Attributions{.values = sum_channels(channels), .channels = channels};
  });
}

Attributions guided_grad_cam(const AttributionRequest& request, const MethodOptions& options) {
  const int layer = choose_layer(request.network.graph(), options.layer);
  return in_batches(request, options.batch_size, [&](const AttributionRequest& part) {
    const LayerGradient at_layer = layer_gradient(part, layer);
    const at::Tensor weights = at_layer.gradient.mean({2, 3}, /*keepdim=*/true);
    const at::Tensor cam = (at_layer.activation * weights).sum(1, /*keepdim=*/true).clamp_min(0);
    const std::vector<int64_t> size{part.images.size(2), part.images.size(3)};
    const at::Tensor large = options.gradient.guided_resize == "nearest" ? at::upsample_nearest2d(cam, size)
                                                                         : at::upsample_bilinear2d(cam, size, false);
    const at::Tensor channels = guided_gradient(part) * large;
    return Attributions{.values = sum_channels(channels),
                        .channels = channels,
                        .at_layer = cam.squeeze(1).contiguous(),
                        .layer = layer};
  });
}

std::string obstacle_of_guided(const Graph& graph) {
  for (const Layer& layer : graph.layers) {
    // A sigmoid is a gate as a rule; its gradient is taken as it is.
    const network::LayerTraits& facts = network::traits(layer);
    if (facts.is_activation && layer.kind != LayerKind::relu && layer.kind != LayerKind::sigmoid) {
      return fmt::format(
          "{} of {} is {}, and the method says what to do at ReLU only", layer.name, graph.name, facts.title);
    }
  }
  return {};
}

std::string obstacle_of_guided_grad_cam(const Graph& graph) {
  if (std::none_of(graph.layers.begin() + 1, graph.layers.end(), has_positions)) {
    return fmt::format("{} has no layer with height and width, so no class activation", graph.name);
  }
  return obstacle_of_guided(graph);
}

Attributions fullgrad(const AttributionRequest& request, const MethodOptions& options) {
  return in_batches(request, options.batch_size, [](const AttributionRequest& part) {
    const BackwardWalk walk(part.network, part.images);
    at::Tensor bias_map = at::zeros({part.images.size(0), part.images.size(2), part.images.size(3)}, at::kFloat);
    at::Tensor explained = at::zeros({part.images.size(0)}, at::kDouble);
    at::Tensor sizes = at::zeros_like(explained);  // the maps are scaled, so that their values say nothing of it
    const at::Tensor start = score_gradient(walk.logits(), part.targets, part.score);
    const at::Tensor gradient = walk.run(start, [&](int layer, const at::Tensor& signal) {
      if (const at::Tensor bias = bias_of(walk, part.network, layer); bias.defined()) {
        const at::Tensor bias_gradient = signal * bias;
        explained += bias_gradient.flatten(1).sum(1, /*keepdim=*/false, at::kDouble);
        sizes += bias_gradient.abs().flatten(1).sum(1, /*keepdim=*/false, at::kDouble);
        if (has_positions(walk.layer(layer))) bias_map += post_process(bias_gradient, part.images);
      }
      return walk.gradient(layer, signal);
    });
    const at::Tensor product = gradient * part.images;
    explained += product.flatten(1).sum(1, /*keepdim=*/false, at::kDouble);
    sizes += product.abs().flatten(1).sum(1, /*keepdim=*/false, at::kDouble);
    const at::Tensor is_noise = sizes <= score_rounding(walk.logits(), part.targets, part.score);
    // of the logits' part that `start` weighs: for a probability its linearisation at the logits
    const at::Tensor errors = explained - (walk.logits() * start).sum(1, /*keepdim=*/false, at::kDouble);
    Attributions maps{.values = post_process(product, part.images) + bias_map};
    for (int64_t i = 0; i < errors.size(0); ++i)
      maps.diagnostics.push_back(
          {{"completeness_error", errors[i].item<double>()}, {"rounding", is_noise[i].item<bool>() ? HUGE_VAL : 0}});
    return maps;
  });
}

std::string obstacle_of_fullgrad(const Graph& graph) {
  if (std::any_of(graph.layers.begin() + 1, graph.layers.end(), has_positions)) return {};
  return fmt::format("{} has no layer with height and width, so its biases belong to no place in the image",
                     graph.name);
}

}  // namespace mien::explain
