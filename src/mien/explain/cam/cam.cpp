#include "mien/explain/cam/cam.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "mien/core/work_steps.h"
#include "mien/explain/batches.h"
#include "mien/explain/layer_gradient.h"
#include "mien/explain/layers.h"
#include "mien/explain/methods.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Layer;
using network::LayerKind;
using network::Mode;

constexpr int64_t kAblationGroup = 32;     // pytorch-grad-cam's AblationCAM: channels of one pass
constexpr double kAblationDistance = 1e7;  // its AblationLayer: how far below the least value

const Layer& layer_of(const Graph& graph, int index) { return graph.layers[static_cast<size_t>(index)]; }

std::string obstacle_without_positions(const Graph& graph) {
  for (const Layer& layer : graph.layers) {
    const network::Shape& shape = layer.output_shape;
    if (layer.kind != LayerKind::input && !shape.is_flat && shape.height * shape.width > 1) return {};
  }
  return fmt::format("needs a layer with height and width, and {} has none", graph.name);
}

/// [N,h,w] -> [N,H,W] of the request's images, bilinear, corners not aligned. As two products of matrices, which take
/// a third of the time of libtorch's own function for thousands of small maps.
at::Tensor resized(const at::Tensor& maps, const AttributionRequest& request) {
  const auto shares = [](int64_t from, int64_t to) {  // [from, to]
    return at::upsample_linear1d(at::eye(from).unsqueeze(0), {to}, /*align_corners=*/false).squeeze(0);
  };
  const at::Tensor wide = at::matmul(maps.to(at::kCPU), shares(maps.size(2), request.images.size(3)));
  return at::matmul(shares(maps.size(1), request.images.size(2)).t(), wide).to(maps.device());
}

/// `map_of` of every batch of images, put together.
at::Tensor maps_in_batches(const AttributionRequest& request,
                           const MethodOptions& options,
                           const std::function<at::Tensor(const AttributionRequest&)>& map_of) {
  std::vector<at::Tensor> parts;
  const int64_t count = request.images.size(0);
  for (int64_t begin = 0; begin < count; begin += options.batch_size) {
    parts.push_back(map_of(slice(request, begin, std::min(count, begin + options.batch_size))));
  }
  return at::cat(parts);
}

Attributions positive_maps(const at::Tensor& at_layer, int layer, const AttributionRequest& request) {
  const at::Tensor positive = at_layer.clamp_min(0);
  return {
      .values = resized(positive, request), .channels = {}, .at_layer = positive, .layer = layer, .diagnostics = {}};
}

// ---- Attributions from activations [N,C,h,w] and their gradients alone: [N,h,w].

using Combine = at::Tensor (*)(const at::Tensor& activation, const at::Tensor& gradient);

at::Tensor weighted(const at::Tensor& weights, const at::Tensor& activation) {
  return (weights.unsqueeze(-1).unsqueeze(-1) * activation).sum(1);
}

at::Tensor grad_cam(const at::Tensor& activation, const at::Tensor& gradient) {
  return weighted(gradient.mean({2, 3}), activation);
}

at::Tensor grad_cam_plus_plus(const at::Tensor& activation, const at::Tensor& gradient) {
  const at::Tensor square = gradient * gradient;
  const at::Tensor sums = activation.sum({2, 3}, /*keepdim=*/true);
  // 1e-6: pytorch-grad-cam. Where a gradient is 0 its share is 0 anyway, as it is a factor of the weight.
  const at::Tensor share = square / (2 * square + sums * (square * gradient) + 1e-6);
  return weighted((gradient.clamp_min(0) * share).sum({2, 3}), activation);
}

at::Tensor grad_cam_elementwise(const at::Tensor& activation, const at::Tensor& gradient) {
  return (gradient * activation).clamp_min(0).sum(1);
}

at::Tensor xgrad_cam(const at::Tensor& activation, const at::Tensor& gradient) {
  const at::Tensor sums = activation.sum({2, 3}) + 1e-7;  // 1e-7: pytorch-grad-cam
  return weighted((gradient * activation).sum({2, 3}) / sums, activation);
}

at::Tensor hires_cam(const at::Tensor& activation, const at::Tensor& gradient) {
  return (gradient * activation).sum(1);
}

at::Tensor layer_cam(const at::Tensor& activation, const at::Tensor& gradient) {
  return (gradient.clamp_min(0) * activation).sum(1);
}

/// Positions as samples, channels as variables: projection of the centered samples onto the first principal component.
at::Tensor first_component(const at::Tensor& values) {
  const int64_t count = values.size(0);
  const at::Tensor samples = values.contiguous().reshape({count, values.size(1), -1}).transpose(1, 2);
  const at::Tensor centered = samples - samples.mean(1, /*keepdim=*/true);
  const at::Tensor spread = centered.abs().amax({1, 2}, /*keepdim=*/true);
  // a channel's mean is rounded
  const at::Tensor is_flat = spread <= kRounding * samples.abs().amax({1, 2}, /*keepdim=*/true);
  const at::Tensor varied = centered.to(at::kDouble).masked_fill(is_flat, 0);
  // In float64, because the component's sign is LAPACK's, and sgesdd's differs from the dgesdd that numpy calls.
  const at::Tensor right = std::get<2>(at::linalg_svd(varied, /*full_matrices=*/false));
  const at::Tensor component = right.select(1, 0).unsqueeze(2);
  return at::matmul(centered.to(at::kDouble), component)
      .reshape({count, values.size(2), values.size(3)})
      .to(at::kFloat);
}

at::Tensor eigen_cam(const at::Tensor& activation, const at::Tensor&) { return first_component(activation); }

at::Tensor eigengrad_cam(const at::Tensor& activation, const at::Tensor& gradient) {
  return first_component(gradient * activation);
}

Attributions explain_by_gradient(Combine combine, const AttributionRequest& request, const MethodOptions& options) {
  const int layer = choose_layer(request.network.graph(), options.layer);
  const auto map_of = [&](const AttributionRequest& part) {
    const LayerGradient found = layer_gradient(part, layer);
    return combine(found.activation, found.gradient);
  };
  return positive_maps(maps_in_batches(request, options, map_of), layer, request);
}

// ---- Methods that ask the network about every channel.

/// `score(images, channels)` of all pairs (image, channel), no more than a batch of them at once: [N,C].
at::Tensor channel_scores(int64_t images,
                          int64_t channels,
                          const MethodOptions& options,
                          const std::function<at::Tensor(const at::Tensor& image, const at::Tensor& channel)>& score) {
  std::vector<at::Tensor> parts;
  const int64_t count = images * channels;
  for (int64_t begin = 0; begin < count; begin += options.batch_size) {
    tell_step("channels", begin, count);
    const at::Tensor pair = at::arange(begin, std::min(count, begin + options.batch_size), at::kLong);
    const at::Tensor image = at::div(pair, channels, "trunc");
    parts.push_back(score(image, pair - image * channels));
  }
  return at::cat(parts).reshape({images, channels});
}

at::Tensor score_cam(const AttributionRequest& request, int layer, const MethodOptions& options) {
  const at::Tensor activation = outputs_until(request.network, request.images, layer)[static_cast<size_t>(layer)];
  const auto score = [&](const at::Tensor& image, const at::Tensor& channel) {
    const at::Tensor maps = activation.index({image, channel}).unsqueeze(1);
    // Aligned corners, as torch.nn.UpsamplingBilinear2d, which pytorch-grad-cam uses here.
    const at::Tensor large = at::upsample_bilinear2d(maps, {request.images.size(2), request.images.size(3)}, true);
    const at::Tensor least = large.amin({2, 3}, true);
    const at::Tensor mask = (large - least) / (large.amax({2, 3}, true) - least + 1e-8);  // 1e-8: pytorch-grad-cam
    const at::Tensor masked = request.images.index_select(0, image) * mask;
    const at::Tensor logits =
        request.network.forward(masked.contiguous(at::MemoryFormat::ChannelsLast), Mode::evaluation);
    return score_of(logits, request.targets.index_select(0, image), request.score);
  };
  const at::Tensor scores = channel_scores(activation.size(0), activation.size(1), options, score);
  return weighted(at::softmax(scores, 1), activation);
}

/// [N,C]: the value that takes the place of each channel.
at::Tensor ablation_values(const at::Tensor& activation, const std::string& kind) {
  const int64_t images = activation.size(0);
  const int64_t channels = activation.size(1);
  at::Tensor values = at::zeros({images, channels}, at::kFloat);
  if (kind == "zero") return values;
  const at::Tensor least = activation.amin({1, 2, 3});
  for (int64_t image = 0; image < images; ++image) {
    const auto start = least[image].item<float>();
    if (start == 0) continue;
    float value = start;
    float* row = values.data_ptr<float>() + image * channels;
    for (int64_t channel = 0; channel < channels; ++channel) {
      // The package looks for the least value again after each channel of a pass, and finds what it wrote last.
      value = (channel % kAblationGroup == 0 ? start : value) - static_cast<float>(kAblationDistance);
      row[channel] = value;
    }
  }
  return values;
}

at::Tensor ablation_cam(const AttributionRequest& request, int layer, const MethodOptions& options) {
  const auto index = static_cast<size_t>(layer);
  const std::vector<at::Tensor> outputs = outputs_until(request.network, request.images, layer);
  const at::Tensor& activation = outputs[index];
  const at::Tensor whole = score_of(run_rest(request.network, outputs, layer), request.targets, request.score);
  const at::Tensor values = ablation_values(activation, options.cam.ablation_value);
  const auto score = [&](const at::Tensor& image, const at::Tensor& channel) {
    std::vector<at::Tensor> changed(outputs.size());
    for (size_t node = 0; node < outputs.size(); ++node) {
      if (outputs[node].defined()) changed[node] = outputs[node].index_select(0, image);
    }
    const at::Tensor value = values.index({image, channel});
    for (int64_t row = 0; row < image.size(0); ++row) {
      changed[index].select(0, row).select(0, channel[row].item<int64_t>()).fill_(value[row]);
    }
    const at::Tensor logits = run_rest(request.network, std::move(changed), layer);
    return score_of(logits, request.targets.index_select(0, image), request.score);
  };
  const at::Tensor scores = channel_scores(activation.size(0), activation.size(1), options, score);
  const at::Tensor column = whole.unsqueeze(1);
  const at::Tensor drops = column - scores;
  const at::Tensor is_noise = drops.abs().amax(1, /*keepdim=*/true) <= kRounding * column.abs();
  return weighted((drops / column).masked_fill(is_noise, 0), activation);
}

using MapOfBatch = at::Tensor (*)(const AttributionRequest& request, int layer, const MethodOptions& options);

Attributions explain_by_channels(MapOfBatch map_of_batch,
                                 const AttributionRequest& request,
                                 const MethodOptions& options) {
  const at::NoGradGuard no_gradient;
  const int layer = choose_layer(request.network.graph(), options.layer);
  const auto map_of = [&](const AttributionRequest& part) { return map_of_batch(part, layer, options); };
  return positive_maps(maps_in_batches(request, options, map_of), layer, request);
}

// ---- The original.

/// The global average pool that feeds the last dense layer directly, or -1.
int pool_before_dense(const Graph& graph) {
  auto index = static_cast<int>(graph.layers.size()) - 1;
  if (layer_of(graph, index).kind != LayerKind::dense) return -1;
  do {
    index = layer_of(graph, index).inputs.front();
  } while (layer_of(graph, index).kind == LayerKind::flatten || layer_of(graph, index).kind == LayerKind::dropout);
  return layer_of(graph, index).kind == LayerKind::global_avg_pool ? index : -1;
}

std::string cam_obstacle(const Graph& graph) {
  if (pool_before_dense(graph) >= 0) return {};
  return fmt::format("needs a network that ends in global_avg_pool and one dense layer, and {} does not", graph.name);
}

Attributions explain_by_cam(const AttributionRequest& request, const MethodOptions& options) {
  const at::NoGradGuard no_gradient;
  const Graph& graph = request.network.graph();
  const int layer = layer_of(graph, pool_before_dense(graph)).inputs.front();
  const at::Tensor weights = request.network.tensor(graph.layers.back().name + ".weight");
  const auto map_of = [&](const AttributionRequest& part) {
    const at::Tensor activation = outputs_until(part.network, part.images, layer)[static_cast<size_t>(layer)];
    const at::Tensor chosen = part.score == Score::sum_of_logits ? weights.sum(0, true).expand({activation.size(0), -1})
                                                                 : weights.index_select(0, part.targets);
    return weighted(chosen, activation);
  };
  const at::Tensor maps = maps_in_batches(request, options, map_of);
  return {.values = resized(maps, request), .channels = {}, .at_layer = maps, .layer = layer, .diagnostics = {}};
}

// ---- keras-vis.

std::string keras_vis_obstacle(const Graph& graph) {
  if (keras_vis_layer(graph) >= 0) return {};
  return fmt::format("needs a convolution or pooling before the last two layers, and {} has none", graph.name);
}

Attributions explain_as_keras_vis(const AttributionRequest& request, const MethodOptions& options) {
  constexpr double kEpsilon = 1e-7;  // Keras' epsilon, in both quotients
  const Graph& graph = request.network.graph();
  const int layer = options.layer.empty() ? keras_vis_layer(graph) : choose_layer(graph, options.layer);
  const auto map_of = [&](const AttributionRequest& part) {
    const LayerGradient found = layer_gradient(part, layer);
    const at::Tensor scaled = found.gradient / (found.gradient.amax({1, 2, 3}, true) + kEpsilon);
    const at::Tensor total = (found.gradient * found.activation).abs().flatten(1).sum(1, false, at::kDouble);
    const at::Tensor is_noise = total <= score_rounding(found.logits, part.targets, part.score);
    return weighted(scaled.mean({2, 3}), found.activation).clamp_min(0).masked_fill(is_noise.view({-1, 1, 1}), 0);
  };
  const at::Tensor at_layer = maps_in_batches(request, options, map_of);
  const at::Tensor rows = cubic_zoom_matrix(request.images.size(2), at_layer.size(1));
  const at::Tensor columns = cubic_zoom_matrix(request.images.size(3), at_layer.size(2));
  const at::Tensor large = at::matmul(at::matmul(rows, at_layer.to(at::kDouble)), columns.t());
  const at::Tensor least = large.amin({1, 2}, true);
  const at::Tensor values = (large - least) / (large.amax({1, 2}, true) - least + kEpsilon);
  return {.values = values.to(at::kFloat), .channels = {}, .at_layer = at_layer, .layer = layer, .diagnostics = {}};
}

MethodSpec gradient_method(
    std::string name, std::string summary, std::string cost, std::string source, Combine combine) {
  return {.name = std::move(name),
          .family = Family::class_activation,
          .summary = std::move(summary),
          .cost = std::move(cost),
          .source = std::move(source),
          .is_signed = false,
          .reads_layer = true,
          .is_random = false,
          .unit = combine == eigen_cam ? MapUnit::other : MapUnit::score,
          .unsupported_reason = obstacle_without_positions,
          .explain = [combine](const AttributionRequest& request, const MethodOptions& options) {
            return explain_by_gradient(combine, request, options);
          }};
}

MethodSpec channel_method(
    std::string name, std::string summary, std::string cost, std::string source, MapOfBatch map_of_batch) {
  return {.name = std::move(name),
          .family = Family::class_activation,
          .summary = std::move(summary),
          .cost = std::move(cost),
          .source = std::move(source),
          .is_signed = false,
          .reads_layer = true,
          .is_random = false,
          .unsupported_reason = obstacle_without_positions,
          .explain = [map_of_batch](const AttributionRequest& request, const MethodOptions& options) {
            return explain_by_channels(map_of_batch, request, options);
          }};
}

}  // namespace

void CamOptions::bind(OptionSet& options) {
  options.group("explain");
  options.add(
      &ablation_value,
      {.name = "ablation-value",
       .help = "what ablation-cam writes over a channel: package (pytorch-grad-cam: 0 after ReLU, elsewhere far below "
               "the least value) or zero (the paper)",
       .choices = {"package", "zero"},
       .source = "pytorch-grad-cam, ablation_layer.py; Desai, Ramaswamy 2020"});
}

int keras_vis_layer(const Graph& graph) {
  for (auto layer = static_cast<int>(graph.layers.size()) - 3; layer > 0; --layer) {
    if (network::traits(layer_of(graph, layer)).is_window) return layer;
  }
  return -1;
}

at::Tensor cubic_zoom_matrix(int64_t out, int64_t in) {
  if (in == 1) return at::ones({out, 1}, at::kDouble);
  const auto mirrored = [in](int64_t index) {
    const int64_t period = 2 * (in - 1);
    const int64_t place = ((index % period) + period) % period;
    return place < in ? place : period - place;
  };
  // Values at the knots of a cubic B-spline, as a matrix of its coefficients.
  at::Tensor knots = at::zeros({in, in}, at::kDouble);
  auto knot = knots.accessor<double, 2>();
  for (int64_t row = 0; row < in; ++row) {
    knot[row][row] += 4.0 / 6.0;
    knot[row][mirrored(row - 1)] += 1.0 / 6.0;
    knot[row][mirrored(row + 1)] += 1.0 / 6.0;
  }
  at::Tensor places = at::zeros({out, in}, at::kDouble);
  auto place = places.accessor<double, 2>();
  for (int64_t row = 0; row < out; ++row) {
    const double x = out == 1 ? 0.0 : static_cast<double>(row * (in - 1)) / static_cast<double>(out - 1);
    const auto left = std::min(static_cast<int64_t>(std::floor(x)), in - 1);
    const double t = x - static_cast<double>(left);
    const std::array<double, 4> weights{(1 - t) * (1 - t) * (1 - t) / 6,
                                        (3 * t * t * t - 6 * t * t + 4) / 6,
                                        (-3 * t * t * t + 3 * t * t + 3 * t + 1) / 6,
                                        t * t * t / 6};
    for (int64_t i = 0; i < 4; ++i) place[row][mirrored(left - 1 + i)] += weights[static_cast<size_t>(i)];
  }
  return at::matmul(places, at::linalg_inv(knots));
}

std::vector<MethodSpec> cam_methods() {
  const std::string one = "1 forward, 1 backward down to the layer";
  std::vector<MethodSpec> methods;
  methods.push_back(
      {.name = "cam",
       .family = Family::class_activation,
       .summary = "activations before the global average pool, weighted by the dense layer's row of the target",
       .cost = "1 forward",
       .source = "Zhou et al. 2016, \"Learning deep features for discriminative localization\", equation 2",
       .is_signed = true,
       .reads_layer = false,
       .is_random = false,
       .unsupported_reason = cam_obstacle,
       .explain = explain_by_cam});
  methods.push_back(gradient_method("grad-cam",
                                    "activations weighted by the mean gradient of each channel",
                                    one,
                                    "Selvaraju et al. 2017, \"Grad-CAM\", equations 1 and 2",
                                    grad_cam));
  methods.push_back(gradient_method("grad-cam++",
                                    "activations weighted by positive gradients, each with its own share",
                                    one,
                                    "Chattopadhay et al. 2018, \"Grad-CAM++\", equation 19",
                                    grad_cam_plus_plus));
  methods.push_back(gradient_method("grad-cam-elementwise",
                                    "positive products of activation and gradient, summed over channels",
                                    one,
                                    "pytorch-grad-cam, grad_cam_elementwise.py",
                                    grad_cam_elementwise));
  methods.push_back(gradient_method("xgrad-cam",
                                    "activations weighted by gradients averaged in proportion to activation",
                                    one,
                                    "Fu et al. 2020, \"Axiom-based Grad-CAM\", equation 8",
                                    xgrad_cam));
  methods.push_back(gradient_method("hires-cam",
                                    "products of activation and gradient, summed over channels",
                                    one,
                                    "Draelos, Carin 2020, \"Use HiResCAM instead of Grad-CAM\", equation 5",
                                    hires_cam));
  methods.push_back(gradient_method("layer-cam",
                                    "activations weighted by the positive gradient at each position",
                                    one,
                                    "Jiang et al. 2021, \"LayerCAM\", equations 6 to 8",
                                    layer_cam));
  methods.push_back(gradient_method("eigen-cam",
                                    "first principal component of the activations; the target does not matter",
                                    one,
                                    "Muhammad, Yeasin 2020, \"Eigen-CAM\"",
                                    eigen_cam));
  methods.push_back(gradient_method("eigengrad-cam",
                                    "first principal component of activation times gradient",
                                    one,
                                    "pytorch-grad-cam, eigen_grad_cam.py",
                                    eigengrad_cam));
  methods.push_back(channel_method("score-cam",
                                   "activations weighted by the score of the image seen through each of them",
                                   "1 forward for each channel of the layer",
                                   "Wang et al. 2020, \"Score-CAM\", equations 2 to 6",
                                   score_cam));
  methods.push_back(channel_method("ablation-cam",
                                   "activations weighted by the share of the score that is lost without them",
                                   "1 forward of the later layers for each channel of the layer",
                                   "Desai, Ramaswamy 2020, \"Ablation-CAM\", equation 2",
                                   ablation_cam));
  methods.push_back(
      {.name = "grad-cam-keras-vis",
       .family = Family::class_activation,
       .summary = "Grad-CAM as keras-vis computes it: at the last convolution or pooling, cubic zoom, scaled to 0..1",
       .cost = one,
       .source = "keras-vis 0.4, visualization/saliency.py, visualize_cam_with_losses",
       .is_signed = false,
       .reads_layer = true,
       .is_random = false,
       .unsupported_reason = keras_vis_obstacle,
       .explain = explain_as_keras_vis});
  return methods;
}

}  // namespace mien::explain
