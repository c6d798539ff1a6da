#include <limits>
#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>
#include <fmt/format.h>

#include "mien/explain/batches.h"
#include "mien/explain/gradients/backward_walk.h"
#include "mien/explain/gradients/gradient_family.h"
#include "mien/explain/methods.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::explain {
namespace {

using network::Layer;
using network::LayerKind;

/// Below this a difference of inputs is taken for none, and the gradient for the multiplier. @source Captum
constexpr double kLeastDifference = 1e-10;
/// What rounding may make of equal numbers, as a share of an image's largest value at the layer: eight steps of
/// float32.
constexpr double kTie = 1e-6;

/// Slope between two points of a function of one variable, `slope_at` where the points are one.
at::Tensor rescale(const at::Tensor& out_difference, const at::Tensor& in_difference, const at::Tensor& slope_at) {
  return at::where(in_difference.abs() < kLeastDifference, slope_at, out_difference / in_difference);
}

/// Hands each value of a max pool's output to the winner of its window in `input`: the first pixel, row by row, that is
/// the largest but for rounding, `tie` times the image's largest value. A baseline is flat: without such a rule
/// rounding would choose in all its windows.
at::Tensor to_winner(const Layer& layer, const at::Tensor& values, const at::Tensor& input, double tie) {
  const std::vector<int64_t> kernel{layer.kernel_height, layer.kernel_width};
  const std::vector<int64_t> stride{layer.stride, layer.stride};
  const std::vector<int64_t> one{1, 1};
  const int64_t places = layer.kernel_height * layer.kernel_width;
  const auto top = layer.padding.top;
  const auto left = layer.padding.left;
  const at::Tensor padded = at::constant_pad_nd(input, {left, left, top, top}, -std::numeric_limits<float>::infinity());
  const at::Tensor windows = at::im2col(padded, kernel, one, {0, 0}, stride)
                                 .view({input.size(0), input.size(1), places, values.size(2) * values.size(3)});
  const at::Tensor rounding = input.abs().flatten(1).amax(1).mul(tie).view({-1, 1, 1, 1});
  const at::Tensor is_winner = windows >= windows.amax(2, true) - rounding;
  const at::Tensor winner = is_winner.to(at::kFloat).mul(at::arange(places, 0, -1, at::kFloat).view({-1, 1})).argmax(2);
  const at::Tensor window = at::arange(winner.size(2), at::kLong);
  const at::Tensor y = at::div(window, values.size(3), "trunc") * layer.stride + at::div(winner, kernel[1], "trunc");
  const at::Tensor x = at::remainder(window, values.size(3)) * layer.stride + at::remainder(winner, kernel[1]);
  const at::Tensor place = (y - top) * input.size(3) + (x - left);
  return at::zeros_like(input, at::MemoryFormat::Contiguous)
      .flatten(2)
      .scatter_add(2, place, values.contiguous().flatten(2))
      .view(input.sizes());
}

/// Multipliers of the logits for the score. A probability is exp(logit - log(sum of exp)): the rescale rule at each of
/// the three functions, so that the score's difference is conserved.
at::Tensor start_multipliers(const at::Tensor& logits,
                             const at::Tensor& baseline_logits,
                             const at::Tensor& targets,
                             Score score) {
  if (score != Score::probability) return score_gradient(logits, targets, score);
  const at::Tensor target = targets.unsqueeze(1);
  // softmax does not see a shift; this one keeps every exponential finite and one of them from vanishing
  const at::Tensor shift = at::maximum(logits.amax(1, true), baseline_logits.amax(1, true));
  const at::Tensor z = (logits - shift).to(at::kDouble);
  const at::Tensor z0 = (baseline_logits - shift).to(at::kDouble);
  const at::Tensor exponentials = z.exp();
  const at::Tensor sum = exponentials.sum(1, true);
  const at::Tensor sum0 = z0.exp().sum(1, true);
  const at::Tensor log_p = z.gather(1, target) - sum.log();
  const at::Tensor log_p0 = z0.gather(1, target) - sum0.log();
  const at::Tensor of_exp = rescale(log_p.exp() - log_p0.exp(), log_p - log_p0, log_p.exp());
  const at::Tensor of_log = rescale(sum.log() - sum0.log(), sum - sum0, 1 / sum);
  const at::Tensor of_exponentials = rescale(exponentials - z0.exp(), z - z0, exponentials);
  const at::Tensor chosen = at::zeros_like(z).scatter_(1, target, 1.0);
  return (of_exp * (chosen - of_log * of_exponentials)).to(at::kFloat);
}

/// Each output's difference goes to the winner of the image's window and to the winner of the baseline's, split at the
/// larger of the two outputs. @source Lundberg's SHAP and Captum; Shrikumar et al. leave it open
at::Tensor at_max_pool(const BackwardWalk& walk, const BackwardWalk& baseline, int index, const at::Tensor& signal) {
  const Layer& layer = walk.layer(index);
  const at::Tensor& x = walk.input(index);
  const at::Tensor& x0 = baseline.input(index);
  const at::Tensor larger = at::maximum(walk.output(index), baseline.output(index));
  const at::Tensor contributions = to_winner(layer, signal * (larger - baseline.output(index)), x, 0) +
                                   to_winner(layer, signal * (walk.output(index) - larger), x0, kTie);
  return rescale(contributions, x - x0, walk.gradient(index, signal).front());
}

std::vector<at::Tensor> multipliers(const BackwardWalk& walk,
                                    const BackwardWalk& baseline,
                                    int index,
                                    const at::Tensor& signal) {
  if (network::traits(walk.layer(index)).is_activation) {
    const at::Tensor out_difference = walk.output(index) - baseline.output(index);
    // the signal may be zero or many times larger than one; the slope at a point is asked for with ones
    const at::Tensor slope = walk.gradient(index, at::ones_like(signal)).front();
    return {signal * rescale(out_difference, walk.input(index) - baseline.input(index), slope)};
  }
  switch (walk.layer(index).kind) {
    case LayerKind::max_pool:
    case LayerKind::global_max_pool:
      return {at_max_pool(walk, baseline, index, signal)};
    case LayerKind::multiply: {
      const at::Tensor first = signal * (walk.input(index, 1) + baseline.input(index, 1)) / 2;
      const at::Tensor second = signal * (walk.input(index, 0) + baseline.input(index, 0)) / 2;
      return {first, at::sum_to(second, walk.input(index, 1).sizes())};
    }
    default:
      return walk.gradient(index, signal);  // linear: the same at every point
  }
}

/// Two signals, of the images and of their baselines, on their way back side by side.
struct Pair {
  at::Tensor image;
  at::Tensor baseline;

  explicit Pair(const at::Tensor& both) : image(both.chunk(2).at(0)), baseline(both.chunk(2).at(1)) {}
};

at::Tensor twice(const at::Tensor& half) { return at::cat({half, half}); }

/// Multipliers as Captum 0.8 hands them down, for a walk of images and, behind them, baselines: each goes back by its
/// own gradient. A max pool's rule takes the baselines' signal for the baselines' share; that of a pool that reads an
/// activation is lost, because the activation's hook has seen the gradient before.
std::vector<at::Tensor> captum_multipliers(const BackwardWalk& both, int index, const at::Tensor& signal) {
  const Layer& layer = both.layer(index);
  const auto difference = [](const at::Tensor& of) { return twice(Pair(of).image - Pair(of).baseline); };
  if (network::traits(layer).is_activation) {
    const at::Tensor slope = both.gradient(index, at::ones_like(signal)).front();
    return {signal * rescale(difference(both.output(index)), difference(both.input(index)), slope)};
  }
  if (layer.kind != LayerKind::max_pool && layer.kind != LayerKind::global_max_pool)
    return both.gradient(index, signal);
  const Pair input(both.input(index));
  const Pair output(both.output(index));
  const Pair signals(signal);
  // the baseline's windows are ties: its gradient goes by the rule that breaks them, not by rounding
  const at::Tensor gradient = at::cat(
      {Pair(both.gradient(index, signal).front()).image, to_winner(layer, signals.baseline, input.baseline, kTie)});
  if (network::traits(both.layer(layer.inputs.front())).is_activation) return {gradient};
  const at::Tensor larger = at::maximum(output.image, output.baseline);
  const at::Tensor contributions = to_winner(layer, signals.image * (larger - output.baseline), input.image, 0) +
                                   to_winner(layer, signals.baseline * (output.image - larger), input.baseline, kTie);
  return {rescale(twice(contributions), twice(input.image - input.baseline), gradient)};
}

}  // namespace

std::string obstacle_of_deep_lift(const network::Graph& graph) {
  for (const Layer& layer : graph.layers) {
    const network::LayerTraits& facts = network::traits(layer);
    if (!facts.is_normalization || facts.is_affine) continue;
    return fmt::format("{} of {} is {}, for which the method has no rule", layer.name, graph.name, facts.title);
  }
  return {};
}

Attributions deep_lift(const AttributionRequest& request, const MethodOptions& options) {
  return in_batches(request, options.batch_size, [&](const AttributionRequest& part) {
    const at::Tensor start = baseline_images(part, options.gradient.baseline);
    const bool as_captum = options.gradient.deeplift_max_pool == "captum";
    const BackwardWalk walk(part.network, part.images);
    const BackwardWalk baseline(part.network, start);
    const at::Tensor first = start_multipliers(walk.logits(), baseline.logits(), part.targets, part.score);
    at::Tensor multiplier;
    if (as_captum) {
      const BackwardWalk both(part.network, at::cat({part.images, start}));
      multiplier = Pair(both.run(twice(first), [&](int layer, const at::Tensor& signal) {
                     return captum_multipliers(both, layer, signal);
                   })).image;
    } else {
      multiplier = walk.run(
          first, [&](int layer, const at::Tensor& signal) { return multipliers(walk, baseline, layer, signal); });
    }
    const at::Tensor channels = multiplier * (part.images - start);
    const at::Tensor difference =
        score_of(walk.logits(), part.targets, part.score) - score_of(baseline.logits(), part.targets, part.score);
    return Attributions{.values = sum_channels(channels),
                        .channels = channels,
                        .diagnostics = convergence_errors(channels, difference)};
  });
}

}  // namespace mien::explain
