#include "mien/explain/units/activation_maximization.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/text.h"
#include "mien/explain/attribution.h"
#include "mien/explain/units/image_prior.h"
#include "mien/explain/units/unit_objective.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Mode;
using network::Network;
using network::Shape;

Reduction reduction_of(const std::string& objective) {
  if (objective == "sum") return Reduction::sum;
  return objective == "center" ? Reduction::center : Reduction::mean;
}

bool has_warps(const AscentOptions& options) { return options.jitter > 0 || options.scale > 0 || options.rotate > 0; }

void check(const AscentTask& task, const AscentOptions& options) {
  const Graph& graph = task.network.graph();
  if (options.fourier && options.blur > 0) {
    throw_usage("ascent-blur smooths pixels, ascent-fourier has none",
                "a larger ascent-fourier-decay gives smoother images");
  }
  if (options.start != "faces" && options.start != "mean-face") return;
  const Shape input = graph.input_shape();
  const at::Tensor& faces = task.faces;
  if (!faces.defined() || faces.dim() != 4 || faces.size(0) == 0 || faces.size(1) != input.channels ||
      faces.size(2) != input.height || faces.size(3) != input.width) {
    throw_usage(fmt::format("an ascent of {} from {} needs faces of {}, found {}",
                            graph.name,
                            options.start,
                            input.text(),
                            faces.defined() ? fmt::format("[{}]", fmt::join(faces.sizes(), ",")) : "none"));
  }
  const auto units = static_cast<int64_t>(task.units.size());
  if (options.start == "faces" && faces.size(0) != 1 && faces.size(0) != units) {
    throw_usage(fmt::format(
        "an ascent from faces needs one a unit or one for all, found {} faces for {} units", faces.size(0), units));
  }
}

/// Noise of one image: it depends on seed, layer, unit and how often the unit came before, not on its place in a batch.
void fill_noise(float* out, int64_t count, const AscentTask& task, uint64_t seed, size_t index, bool is_normal) {
  const int64_t unit = task.units[index];
  const auto end = task.units.begin() + static_cast<std::ptrdiff_t>(index);
  const auto earlier = static_cast<uint64_t>(std::count(task.units.begin(), end, unit));
  const std::string& layer = task.network.graph().layers[static_cast<size_t>(task.layer)].name;
  RandomStream random(seed, "ascent start of " + layer, static_cast<uint64_t>(unit), earlier);
  for (int64_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>(is_normal ? random.normal() : random.uniform(-0.5, 0.5));
  }
}

at::Tensor noise(const AscentTask& task, const std::vector<int64_t>& shape_of_one, uint64_t seed, bool is_normal) {
  std::vector<int64_t> shape{static_cast<int64_t>(task.units.size())};
  shape.insert(shape.end(), shape_of_one.begin(), shape_of_one.end());
  at::Tensor values = at::empty(shape, at::kFloat);
  const int64_t each = values.numel() / shape.front();
  for (size_t i = 0; i < task.units.size(); ++i) {
    fill_noise(values.data_ptr<float>() + static_cast<int64_t>(i) * each, each, task, seed, i, is_normal);
  }
  return values;
}

/// Where the ascent begins, [N,C,H,W]; with the Fourier form's noise its coefficients, [N,C,H,W/2+1,2].
at::Tensor starting_values(const AscentTask& task, const AscentOptions& options, const InputRange& range) {
  const Shape input = task.network.graph().input_shape();
  const auto count = static_cast<int64_t>(task.units.size());
  const auto seed = static_cast<uint64_t>(options.seed);
  if (options.start == "faces") return task.faces.to(at::kFloat).expand({count, -1, -1, -1}).contiguous();
  if (options.start == "mean-face") {
    return task.faces.to(at::kFloat).mean(0, /*keepdim=*/true).expand({count, -1, -1, -1}).contiguous();
  }
  if (options.start == "gray") {
    return at::full({count, input.channels, input.height, input.width}, range.gray(), at::kFloat);
  }
  if (options.fourier) {
    // @source lucid, fft_image: normal with deviation 0.01
    return noise(task, {input.channels, input.height, input.width / 2 + 1, 2}, seed, /*is_normal=*/true) * 0.01;
  }
  return noise(task, {input.channels, input.height, input.width}, seed, /*is_normal=*/false) *
             (options.noise * range.span()) +
         range.gray();
}

/// Each image's gradient brought to a common length.
at::Tensor normalized(const at::Tensor& gradient, const std::string& how) {
  if (how == "none") return gradient;
  std::vector<int64_t> ones(static_cast<size_t>(gradient.dim()), 1);
  ones.front() = gradient.size(0);
  const at::Tensor squares = gradient.square().flatten(1);
  if (how == "rms") return gradient / (squares.mean(1).sqrt() + 1e-5).view(ones);
  return gradient / squares.sum(1).sqrt().clamp_min(1e-12).view(ones);
}

/// Update rules that optimization.
class Optimizer {
 public:
  Optimizer(const AscentOptions& options, const at::Tensor& parameters) : options_(options) {
    if (options.optimizer != "plain") second_ = at::zeros_like(parameters);
    if (options.optimizer == "adam") first_ = at::zeros_like(parameters);
  }

  void step(at::Tensor& parameters, const at::Tensor& gradient) {
    const double rate = options_.rate * std::pow(options_.decay, static_cast<double>(steps_));
    ++steps_;
    if (options_.optimizer == "plain") {
      parameters.add_(gradient, rate);
    } else if (options_.optimizer == "rmsprop") {
      // @source keras-vis, optimizer.py: decay 0.95
      second_.mul_(0.95).addcmul_(gradient, gradient, 0.05);
      parameters.addcdiv_(gradient, (second_ + 1e-7).sqrt(), rate);
    } else {
      // @source Kingma and Ba 2015, algorithm 1, with its defaults
      first_.mul_(0.9).add_(gradient, 0.1);
      second_.mul_(0.999).addcmul_(gradient, gradient, 0.001);
      const double first_share = 1 - std::pow(0.9, static_cast<double>(steps_));
      const double second_share = 1 - std::pow(0.999, static_cast<double>(steps_));
      parameters.addcdiv_(first_ / first_share, (second_ / second_share).sqrt() + 1e-8, rate);
    }
  }

 private:
  const AscentOptions& options_;
  at::Tensor first_, second_;
  int64_t steps_ = 0;
};

/// The warp of one step, the same for all units.
Warp warp_of(const AscentOptions& options, int64_t step) {
  RandomStream random(static_cast<uint64_t>(options.seed), "ascent warp", static_cast<uint64_t>(step));
  Warp how;
  if (options.jitter > 0) {
    const auto choices = static_cast<uint64_t>(2 * options.jitter + 1);
    how.shift_y = static_cast<double>(random.below(choices)) - static_cast<double>(options.jitter);
    how.shift_x = static_cast<double>(random.below(choices)) - static_cast<double>(options.jitter);
  }
  if (options.scale > 0) how.scale = random.uniform(1 - options.scale, 1 + options.scale);
  if (options.rotate > 0) how.degrees = random.uniform(-options.rotate, options.rotate);
  return how;
}

/// The gradient of the penalties, weighted; undefined where there are none.
at::Tensor penalty_gradient(const AscentOptions& options, const at::Tensor& from_gray) {
  at::Tensor total;
  const auto add = [&](double weight, const Penalty& penalty) {
    total = total.defined() ? total.add(penalty.gradient, weight) : penalty.gradient * weight;
  };
  if (options.l2 > 0) add(options.l2, l2_penalty(from_gray));
  if (options.lp > 0) add(options.lp, lp_penalty(from_gray, options.lp_power));
  if (options.total_variation > 0) add(options.total_variation, total_variation(from_gray, options.tv_power));
  return total;
}

/// What climbs: pixels, or coefficients of the Fourier form.
struct Optimization {
  const AscentOptions& options;
  const InputRange range;
  const FourierForm form;
  at::Tensor parameters;

  Optimization(const Shape& input, const AscentOptions& with, const InputRange& in, const at::Tensor& starts)
      : options(with),
        range(in),
        form(input.height, input.width, in.black, in.white, with.fourier_decay),
        parameters(options.fourier && starts.dim() == 4 ? form.coefficients(starts) : starts.clone()) {}

  at::Tensor images() const { return options.fourier ? form.images(parameters) : parameters; }
};

struct Step {
  at::Tensor values;    // [N] objective, as warped
  at::Tensor gradient;  // of objective minus penalties, with respect to the parameters
  at::Tensor is_zero;   // [N] bool: the objective's gradient is 0 everywhere
};

Step look(const Optimization& optimization, const UnitObjective& objective, int64_t step) {
  const AscentOptions& options = optimization.options;
  const auto is_zero = [](const at::Tensor& gradient) { return gradient.flatten(1).eq(0).all(1); };
  const double gray = optimization.range.gray();
  if (!options.fourier && !has_warps(options)) {
    UnitObjective::Value found = objective.evaluate(optimization.parameters, /*with_gradient=*/true);
    const at::Tensor penalty = penalty_gradient(options, optimization.parameters - gray);
    const at::Tensor gradient = penalty.defined() ? found.gradient - penalty : found.gradient;
    return {.values = found.values, .gradient = gradient, .is_zero = is_zero(found.gradient)};
  }
  const at::AutoGradMode with_gradient(true);
  const at::Tensor parameters = optimization.parameters.detach().set_requires_grad(true);
  const at::Tensor images = options.fourier ? optimization.form.images(parameters) : parameters;
  const at::Tensor warped = warp(images - gray, warp_of(options, step)) + gray;
  const UnitObjective::Value found = objective.evaluate(warped, /*with_gradient=*/true);
  const at::Tensor penalty = penalty_gradient(options, images.detach() - gray);
  std::vector<at::Tensor> outputs{warped};
  std::vector<at::Tensor> seeds{found.gradient};
  if (penalty.defined()) {
    outputs.push_back(images);
    seeds.push_back(-penalty);
  }
  const at::Tensor gradient = torch::autograd::grad(outputs, {parameters}, seeds).front();
  return {.values = found.values, .gradient = gradient, .is_zero = is_zero(found.gradient)};
}

/// Keeps, of each image, the one with the highest objective.
struct Best {
  at::Tensor values, images;
  void see(const at::Tensor& new_values, const at::Tensor& new_images) {
    if (!values.defined()) {
      values = new_values.clone();
      images = new_images.clone();
      return;
    }
    const at::Tensor is_better = new_values > values;
    values = at::where(is_better, new_values, values);
    images = at::where(is_better.view({-1, 1, 1, 1}), new_images, images);
  }
};

/// One batch of units from its starting images.
AscentResult climb_batch(const AscentTask& task,
                         const AscentOptions& options,
                         const at::Tensor& starts,
                         const ProgressListener& listener,
                         const std::function<void(int64_t)>& after_step) {
  const at::NoGradGuard no_grad;
  const InputRange range = input_range(task.normalization);
  const UnitObjective objective(task.network, task.layer, task.units, reduction_of(options.objective));
  Optimization optimization(task.network.graph().input_shape(), options, range, starts);
  Optimizer climber(options, optimization.parameters);
  AscentResult result{.starts = optimization.images().clone(), .range = range};
  result.zero_gradient_steps = at::zeros({starts.size(0)}, at::kLong);
  std::vector<at::Tensor> curve;
  std::vector<at::Tensor> snapshots;
  Best best;
  for (int64_t step = 0; step < options.steps; ++step) {
    if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while climbing");
    const Step found = look(optimization, objective, step);
    curve.push_back(found.values);
    result.zero_gradient_steps += found.is_zero;
    if (options.keep_best) best.see(found.values, optimization.images());
    climber.step(optimization.parameters, normalized(found.gradient, options.normalize));
    if (options.blur > 0 && (step + 1) % options.blur_every == 0) {
      optimization.parameters = blur(optimization.parameters, options.blur);
    }
    if (options.clamp && !options.fourier) optimization.parameters.clamp_(range.black, range.white);
    if (options.snapshot_every > 0 && (step + 1) % options.snapshot_every == 0) {
      snapshots.push_back(optimization.images().clone());
    }
    after_step(step + 1);
  }
  result.images = optimization.images();
  at::Tensor last = objective.evaluate(result.images, /*with_gradient=*/false).values;
  if (options.keep_best) {
    best.see(last, result.images);
    result.images = best.images;
    last = objective.evaluate(result.images, /*with_gradient=*/false).values;
  }
  curve.push_back(last);
  result.objective = at::stack(curve, 1);
  if (!snapshots.empty()) result.snapshots = at::stack(snapshots, 0);
  return result;
}

}  // namespace

InputRange input_range(const network::Normalization& normalization) {
  using Kind = network::Normalization::Kind;
  switch (normalization.kind) {
    case Kind::scale:
      return {.black = 0, .white = 1};
    case Kind::per_image:
      return {.black = (0 - 0.507) / 0.255, .white = (1 - 0.507) / 0.255};
    case Kind::dataset:
      return {.black = (0 - normalization.mean) / normalization.deviation,
              .white = (1 - normalization.mean) / normalization.deviation};
  }
  throw std::logic_error("normalization");
}

at::Tensor to_levels(const at::Tensor& images, const InputRange& range) {
  return ((images - range.black) * (255 / range.span())).round().clamp(0, 255).to(at::kByte);
}

at::Tensor to_stretched_levels(const at::Tensor& images) {
  const at::Tensor flat = images.flatten(1).to(at::kDouble);
  const at::Tensor deviation = flat.std(1, /*unbiased=*/false, /*keepdim=*/true) + 1e-5;
  const at::Tensor share = (flat - flat.mean(1, /*keepdim=*/true)) / deviation * 0.1 + 0.5;
  return (share * 255).round().clamp(0, 255).to(at::kByte).view(images.sizes());
}

AscentResult maximize(const AscentTask& task, const AscentOptions& options, ProgressListener& listener) {
  check(task, options);
  const Network network = frozen_copy(task.network);
  const at::Tensor starts = starting_values(task, options, input_range(task.normalization));
  const auto count = static_cast<int64_t>(task.units.size());
  const std::string& layer = task.network.graph().layers.at(static_cast<size_t>(task.layer)).name;
  std::vector<AscentResult> parts;
  for (int64_t begin = 0; begin < count; begin += options.batch_size) {
    const int64_t end = std::min(count, begin + options.batch_size);
    const AscentTask part{.network = network,
                          .normalization = task.normalization,
                          .layer = task.layer,
                          .units = {task.units.begin() + begin, task.units.begin() + end}};
    parts.push_back(climb_batch(part, options, starts.slice(0, begin, end), listener, [&](int64_t step) {
      listener.progress("ascent of " + layer, begin * options.steps + (end - begin) * step, count * options.steps, "");
    }));
  }
  const auto join = [&](auto member, int64_t dimension) {
    std::vector<at::Tensor> tensors;
    for (AscentResult& part : parts) {
      if ((part.*member).defined()) tensors.push_back(part.*member);
    }
    return tensors.empty() ? at::Tensor() : at::cat(tensors, dimension).contiguous();
  };
  return {.images = join(&AscentResult::images, 0),
          .starts = join(&AscentResult::starts, 0),
          .objective = join(&AscentResult::objective, 0),
          .snapshots = join(&AscentResult::snapshots, 1),
          .zero_gradient_steps = join(&AscentResult::zero_gradient_steps, 0),
          .range = input_range(task.normalization)};
}

AscentResult maximize_one_by_one(const AscentTask& task, const AscentOptions& options) {
  const AscentOptions plain;
  if (options.optimizer != plain.optimizer || options.normalize != plain.normalize || options.l2 > 0 ||
      options.lp > 0 || options.total_variation > 0 || options.blur > 0 || has_warps(options) || options.fourier ||
      options.keep_best || options.snapshot_every > 0) {
    throw_usage("the yardstick of ascent takes plain steps only");
  }
  check(task, options);
  const Network network = frozen_copy(task.network);
  const InputRange range = input_range(task.normalization);
  AscentResult result{.starts = starting_values(task, options, range), .range = range};
  result.zero_gradient_steps = at::zeros({result.starts.size(0)}, at::kLong);
  std::vector<at::Tensor> images;
  std::vector<at::Tensor> curves;
  for (size_t i = 0; i < task.units.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    at::Tensor image = result.starts.slice(0, row, row + 1).clone();
    std::vector<at::Tensor> curve;
    for (int64_t step = 0; step <= options.steps; ++step) {
      const at::AutoGradMode with_gradient(true);
      image = image.detach().set_requires_grad(true);
      at::Tensor output;
      network.forward_visit(image, Mode::evaluation, [&](int layer, const at::Tensor& values) {
        if (layer == task.layer) output = values;
      });
      at::Tensor map = output.select(1, task.units[i]);  // [1,h,w], or [1] of a flat layer
      if (map.dim() == 1) map = map.view({1, 1, 1});
      const at::Tensor value = options.objective == "mean"  ? map.mean()
                               : options.objective == "sum" ? map.sum()
                                                            : map[0][map.size(1) / 2][map.size(2) / 2];
      curve.push_back(value.detach().view({1}));
      if (step == options.steps) break;
      const at::Tensor gradient = torch::autograd::grad({value}, {image}).front();
      result.zero_gradient_steps[row] += gradient.eq(0).all();
      const at::NoGradGuard no_grad;
      image = image + gradient * (options.rate * std::pow(options.decay, static_cast<double>(step)));
      if (options.clamp) image = image.clamp(range.black, range.white);
    }
    images.push_back(image.detach());
    curves.push_back(at::cat(curve));
  }
  result.images = at::cat(images);
  result.objective = at::stack(curves);
  return result;
}

}  // namespace mien::explain
