#include "mien/training/learning_rate_finder.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/data/preprocess.h"
#include "mien/evaluation/evaluator.h"
#include "mien/training/loss.h"
#include "mien/training/optimizer.h"

namespace mien::training {
namespace {

/// Rate at the middle of the steepest fall of the loss over a window of a tenth of the curve. The first tenth is left
/// out, as fastai leaves out ten points: there the average is of few batches and falls and rises by chance.
double steepest_descent(const LearningRateCurve& curve) {
  const size_t count = curve.rates.size();
  const size_t window = std::max<size_t>(2, count / 10);
  double steepest = 0;
  double rate = 0;
  for (size_t i = window; i + window < count; ++i) {
    const double fall = curve.losses[i] - curve.losses[i + window];
    if (fall > steepest) {
      steepest = fall;
      rate = curve.rates[i + window / 2];
    }
  }
  return rate;
}

}  // namespace

LearningRateCurve find_learning_rate(const network::Network& network,
                                     const TrainingInput& input,
                                     double lowest,
                                     double highest,
                                     int64_t steps,
                                     ProgressListener& listener) {
  constexpr double kSmoothing = 0.98;
  evaluation::check_fits(network.graph(), *input.dataset);
  network::Network copy = network.clone();
  for (at::Tensor parameter : copy.trainable()) parameter.requires_grad_(true);
  const auto& options = input.options;
  copy.set_fused(options.loop.fuse);
  const network::PrecisionScope scope(resolve_precision(options.loop));
  const auto seed = static_cast<uint64_t>(options.loop.seed);
  const auto normalization =
      data::fit_normalization(normalization_kind(options.loop.normalize), *input.dataset, input.training_rows);
  const BatchBuilder batches(*input.dataset, normalization, input.augment, options.loss.label_smoothing, seed);
  const at::Tensor class_weights = loss_weights(input);
  Optimizer optimizer(options.optimizer, copy.trainable(), copy.trainable_names());
  seed_dropout("cpu", seed);

  LearningRateCurve curve;
  std::vector<int64_t> order;
  int64_t epoch = 0;
  double average = 0;
  double best = 0;
  const int64_t batch_size =
      std::min<int64_t>(options.loop.batch_size, static_cast<int64_t>(input.training_rows.size()));
  for (int64_t step = 0; step < steps; ++step) {
    if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while looking for a learning rate");
    if (static_cast<int64_t>(order.size()) < batch_size) {
      order = training_order(input, ++epoch);
    }
    const std::vector<int64_t> rows(order.end() - batch_size, order.end());
    order.resize(order.size() - static_cast<size_t>(batch_size));
    const Batch batch = batches.make(rows, epoch, static_cast<int64_t>(order.size()), step);
    const double rate =
        lowest *
        std::pow(highest / lowest, static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, steps - 1)));
    const at::Tensor loss =
        cross_entropy(copy.forward(batch.images, network::Mode::training), batch.targets, class_weights);
    const double value = loss.item<double>();
    if (!std::isfinite(value)) break;
    average = kSmoothing * average + (1 - kSmoothing) * value;
    const double smoothed = average / (1 - std::pow(kSmoothing, static_cast<double>(step + 1)));
    if (step == 0 || smoothed < best) best = smoothed;
    if (smoothed > 4 * best) break;
    curve.rates.push_back(rate);
    curve.losses.push_back(smoothed);
    loss.backward();
    optimizer.step(rate);
    optimizer.zero_grad();
    listener.progress("learning rate", step + 1, steps, fmt::format("lr {:.2e}  loss {:.4f}", rate, smoothed));
  }
  curve.suggestion = steepest_descent(curve);
  return curve;
}

}  // namespace mien::training
