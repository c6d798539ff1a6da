#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/work_steps.h"
#include "mien/explain/batches.h"
#include "mien/explain/gradients/gradient_family.h"
#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

/// Points in one pass, if batch_size allows as many: more do not fill the cores better, and their activations leave the
/// caches: on leaky4 128 points at a time took longer in every round.
constexpr int64_t kPoints = 32;

/// Sample `sample` of image `image`, for each row of a pass.
struct Rows {
  at::Tensor image;  // [B] int64
  std::vector<int64_t> image_of;
  std::vector<int64_t> sample_of;
};

/// Gradients at `samples` points for every image, in passes of at most `batch_size` points, whichever images they
/// belong to. `points(rows)` gives the points [B,C,H,W], `take(rows, gradients)` reads the gradients there.
void sample_gradients(const AttributionRequest& request,
                      int64_t samples,
                      int64_t batch_size,
                      const std::function<at::Tensor(const Rows&)>& points,
                      const std::function<void(const Rows&, const at::Tensor&)>& take) {
  const int64_t all = request.images.size(0) * samples;
  const int64_t pass = std::min(batch_size, kPoints);
  for (int64_t begin = 0; begin < all; begin += pass) {
    tell_step("gradients", begin, all);
    Rows rows;
    for (int64_t row = begin; row < std::min(all, begin + pass); ++row) {
      rows.image_of.push_back(row / samples);
      rows.sample_of.push_back(row % samples);
    }
    rows.image = at::tensor(rows.image_of, at::kLong);
    const AttributionRequest part{.network = request.network,
                                  .images = points(rows),
                                  .targets = request.targets.index_select(0, rows.image),
                                  .score = request.score};
    const bool is_alone = rows.image_of.size() == 1;
    take(rows, is_alone ? input_gradient(twice(part)).gradient.slice(0, 0, 1) : input_gradient(part).gradient);
  }
}

/// values[i] as a factor of row i of [B,C,H,W].
at::Tensor row_factors(const std::vector<float>& values) { return at::tensor(values, at::kFloat).view({-1, 1, 1, 1}); }

/// Mean of the gradients and of their squares at noisy copies of each image, [N,C,H,W] float64.
struct Moments {
  at::Tensor mean;
  at::Tensor mean_square;
};

Moments noisy_moments(const AttributionRequest& request, const MethodOptions& options) {
  const int64_t samples = options.gradient.smooth_samples;
  const int64_t pixels = request.images[0].numel();
  const at::Tensor images = request.images.contiguous();
  const at::Tensor flat = images.flatten(1);
  const at::Tensor deviations = ((flat.amax(1) - flat.amin(1)) * options.gradient.smooth_noise).contiguous();
  const std::vector<uint64_t> keys = face_keys(images);
  // float64: the variance is a difference of two sums of squares
  Moments moments{.mean = at::zeros(images.sizes(), at::kDouble),
                  .mean_square = at::zeros(images.sizes(), at::kDouble)};
  const auto points = [&](const Rows& rows) {
    at::Tensor noisy = images.index_select(0, rows.image);
    auto* const out = noisy.data_ptr<float>();
    const auto* const deviation = deviations.data_ptr<float>();
    at::parallel_for(0, noisy.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const auto index = static_cast<size_t>(row);
        const int64_t image = rows.image_of[index];
        RandomStream random(static_cast<uint64_t>(options.seed),
                            "gradient noise",
                            keys[static_cast<size_t>(image)],
                            static_cast<uint64_t>(rows.sample_of[index]));
        for (int64_t i = row * pixels; i < (row + 1) * pixels; ++i) {
          out[i] += static_cast<float>(deviation[image] * random.normal());
        }
      }
    });
    return noisy;
  };
  sample_gradients(request, samples, options.batch_size, points, [&](const Rows& rows, const at::Tensor& gradients) {
    const at::Tensor exact = gradients.to(at::kDouble);
    moments.mean.index_add_(0, rows.image, exact);
    moments.mean_square.index_add_(0, rows.image, exact.square());
  });
  moments.mean.div_(samples);
  moments.mean_square.div_(samples);
  return moments;
}

Attributions unsigned_maps(const at::Tensor& channels) {
  return {.values = strongest_channel(channels), .channels = channels};
}

/// Nodes and weights of the Gauss-Legendre rule on [0,1]; the weights sum to 1. Newton's method on the Legendre
/// polynomial from Chebyshev-like guesses. @source Abramowitz and Stegun 1964, 25.4.30; Press et al., gauleg
struct Quadrature {
  std::vector<double> nodes;
  std::vector<double> weights;
};

Quadrature gauss_legendre(int64_t count) {
  Quadrature rule;
  for (int64_t i = 1; i <= count; ++i) {
    double x = std::cos(std::numbers::pi * (static_cast<double>(i) - 0.25) / (static_cast<double>(count) + 0.5));
    double slope = 0;
    for (int iteration = 0; iteration < 100; ++iteration) {
      double previous = 1;
      double value = x;
      for (int64_t degree = 2; degree <= count; ++degree) {
        const auto k = static_cast<double>(degree);
        const double next = ((2 * k - 1) * x * value - (k - 1) * previous) / k;
        previous = value;
        value = next;
      }
      slope = count == 1 ? 1 : static_cast<double>(count) * (x * value - previous) / (x * x - 1);
      const double step = value / slope;
      x -= step;
      if (std::abs(step) < 1e-15) break;
    }
    rule.nodes.push_back((1 - x) / 2);
    rule.weights.push_back(1 / ((1 - x * x) * slope * slope));
  }
  return rule;
}

at::Tensor scores(const AttributionRequest& request, const at::Tensor& images, int64_t batch_size) {
  return score_of(logits_of(request.network, images, batch_size), request.targets, request.score);
}

}  // namespace

std::vector<std::map<std::string, double>> convergence_errors(const at::Tensor& channels,
                                                              const at::Tensor& difference) {
  const at::Tensor errors = channels.to(at::kDouble).flatten(1).sum(1) - difference.to(at::kDouble);
  std::vector<std::map<std::string, double>> facts;
  for (int64_t i = 0; i < errors.size(0); ++i) facts.push_back({{"convergence_error", errors[i].item<double>()}});
  return facts;
}

at::Tensor baseline_images(const AttributionRequest& request, const std::string& kind) {
  const at::Tensor& images = request.images;
  if (kind == "zero") return at::zeros_like(images);
  if (kind == "black") return black_of(request).view({-1, 1, 1, 1}).expand_as(images).contiguous();
  if (kind == "mean") {
    const at::Tensor mean = images.mean({2, 3}, /*keepdim=*/true);
    // a mean is rounded, and a face without contrast would differ from its own by that
    const at::Tensor is_flat = (images - mean).abs().amax({2, 3}, true) <= kRounding * mean.abs();
    return at::where(is_flat, images, mean.expand_as(images)).contiguous();
  }
  const int64_t channels = images.size(1);
  const double sigma = 20.0 / 299.0 * static_cast<double>(images.size(2));
  // reflection needs fewer pixels than the image has
  const int64_t radius = std::min({static_cast<int64_t>(std::ceil(3 * sigma)), images.size(2) - 1, images.size(3) - 1});
  at::Tensor window = at::arange(-radius, radius + 1, at::kFloat).div(sigma).square().mul(-0.5).exp();
  window = window / window.sum();
  const at::Tensor padded = at::reflection_pad2d(images, {radius, radius, radius, radius});
  const at::Tensor column = window.view({1, 1, -1, 1}).repeat({channels, 1, 1, 1});
  const at::Tensor row = window.view({1, 1, 1, -1}).repeat({channels, 1, 1, 1});
  const std::vector<int64_t> none{0, 0};
  const std::vector<int64_t> one{1, 1};
  const at::Tensor tall = at::conv2d(padded, column, at::Tensor(), one, none, one, channels);
  const at::Tensor blurred = at::conv2d(tall, row, at::Tensor(), one, none, one, channels);
  const at::Tensor is_flat =
      (images - blurred).abs().amax({2, 3}, true) <= kRounding * blurred.abs().amax({2, 3}, true);
  return at::where(is_flat, images, blurred);
}

Attributions smoothgrad(const AttributionRequest& request, const MethodOptions& options) {
  return unsigned_maps(noisy_moments(request, options).mean.to(at::kFloat));
}

Attributions squaregrad(const AttributionRequest& request, const MethodOptions& options) {
  return unsigned_maps(noisy_moments(request, options).mean_square.to(at::kFloat));
}

Attributions vargrad(const AttributionRequest& request, const MethodOptions& options) {
  const Moments moments = noisy_moments(request, options);
  Attributions maps = unsigned_maps((moments.mean_square - moments.mean.square()).clamp_min(0).to(at::kFloat));
  // A gradient is right to kRounding of its size; a variance below that squared is none.
  const at::Tensor noise = moments.mean_square.flatten(1).amax(1) * (kRounding * kRounding);
  for (int64_t i = 0; i < noise.size(0); ++i) maps.diagnostics.push_back({{"rounding", noise[i].item<double>()}});
  return maps;
}

Attributions integrated_gradients(const AttributionRequest& request, const MethodOptions& options) {
  const Quadrature rule = gauss_legendre(options.gradient.ig_steps);
  const at::Tensor start = baseline_images(request, options.gradient.baseline);
  const at::Tensor way = request.images - start;
  at::Tensor mean = at::zeros_like(way);
  const auto factors = [](const Rows& rows, const std::vector<double>& values) {
    std::vector<float> chosen;
    for (const int64_t sample : rows.sample_of)
      chosen.push_back(static_cast<float>(values[static_cast<size_t>(sample)]));
    return row_factors(chosen);
  };
  sample_gradients(
      request,
      options.gradient.ig_steps,
      options.batch_size,
      [&](const Rows& rows) {
        return start.index_select(0, rows.image) + way.index_select(0, rows.image) * factors(rows, rule.nodes);
      },
      [&](const Rows& rows, const at::Tensor& gradients) {
        mean.index_add_(0, rows.image, gradients * factors(rows, rule.weights));
      });
  const at::Tensor channels = way * mean;
  const at::Tensor difference =
      scores(request, request.images, options.batch_size) - scores(request, start, options.batch_size);
  return {
      .values = sum_channels(channels), .channels = channels, .diagnostics = convergence_errors(channels, difference)};
}

Attributions expected_gradients(const AttributionRequest& request, const MethodOptions& options) {
  const at::Tensor given = options.gradient.background ? *options.gradient.background : at::Tensor();
  if (given.defined() && (given.dim() != 4 || given.size(0) == 0 || given[0].sizes() != request.images[0].sizes())) {
    throw_usage(fmt::format("expected-gradients got background images of shape [{}], expected [B,{}]",
                            fmt::join(given.sizes(), ","),
                            fmt::join(request.images[0].sizes(), ",")));
  }
  if (!given.defined() && request.images.size(0) < 2) {
    throw_usage("expected-gradients compares with other faces, but has only the one that it explains",
                "give background faces, or explain several at once");
  }
  const at::Tensor background = given.defined() ? given : request.images;
  const int64_t samples = options.gradient.expected_samples;
  const int64_t count = request.images.size(0);
  const auto classes = request.network.graph().classes();

  std::vector<int64_t> face_of;    // of the background, for each image and sample
  std::vector<float> position_of;  // on the way from it to the image
  const std::vector<uint64_t> keys = face_keys(request.images);
  for (int64_t row = 0; row < count * samples; ++row) {
    RandomStream random(static_cast<uint64_t>(options.seed),
                        "expected gradients",
                        keys[static_cast<size_t>(row / samples)],
                        static_cast<uint64_t>(row % samples));
    face_of.push_back(static_cast<int64_t>(random.below(static_cast<uint64_t>(background.size(0)))));
    // one position in each of `samples` equal parts: still uniform, with less scatter
    position_of.push_back(
        static_cast<float>((static_cast<double>(row % samples) + random.uniform()) / static_cast<double>(samples)));
  }
  const auto start_of = [&](const Rows& rows) {
    std::vector<int64_t> faces;
    for (size_t i = 0; i < rows.image_of.size(); ++i) {
      faces.push_back(face_of[static_cast<size_t>(rows.image_of[i] * samples + rows.sample_of[i])]);
    }
    return background.index_select(0, at::tensor(faces, at::kLong));
  };
  at::Tensor total = at::zeros_like(request.images);
  sample_gradients(
      request,
      samples,
      options.batch_size,
      [&](const Rows& rows) {
        std::vector<float> positions;
        for (size_t i = 0; i < rows.image_of.size(); ++i) {
          positions.push_back(position_of[static_cast<size_t>(rows.image_of[i] * samples + rows.sample_of[i])]);
        }
        return at::lerp(start_of(rows), request.images.index_select(0, rows.image), row_factors(positions));
      },
      [&](const Rows& rows, const at::Tensor& gradients) {
        total.index_add_(0, rows.image, gradients * (request.images.index_select(0, rows.image) - start_of(rows)));
      });
  const at::Tensor channels = total / samples;

  const at::Tensor drawn = logits_of(request.network, background, options.batch_size)
                               .index_select(0, at::tensor(face_of, at::kLong))
                               .view({count * samples, classes});
  const at::Tensor start_scores =
      score_of(drawn, request.targets.repeat_interleave(samples), request.score).view({count, samples}).mean(1);
  const at::Tensor difference = scores(request, request.images, options.batch_size) - start_scores;
  return {
      .values = sum_channels(channels), .channels = channels, .diagnostics = convergence_errors(channels, difference)};
}

}  // namespace mien::explain
