#include "mien/explain/perturbation/lime.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/explain/batches.h"
#include "mien/explain/methods.h"
#include "mien/explain/perturbation/perturbed_inputs.h"
#include "mien/explain/perturbation/ridge.h"

namespace mien::explain {
namespace {

Score score_kind(const std::string& text) {
  for (const Score score : {Score::logit, Score::probability, Score::sum_of_logits}) {
    if (text == to_text(score)) return score;
  }
  throw_usage(fmt::format("unknown score {} of lime-score-on", text), "one of: probability, logit, sum");
}

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t one, size_t other) { return values[one] < values[other]; });
  std::vector<double> rank(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) rank[order[i]] = static_cast<double>(begin + end - 1) / 2;
    begin = end;
  }
  return rank;
}

/// Share of the five strongest segments of one model that are among the other's.
double top_overlap(const LimeExplanation& one, const LimeExplanation& other) {
  const size_t count = std::min<size_t>({5, one.ranking.size(), other.ranking.size()});
  if (count == 0) return 1;
  const auto end = other.ranking.begin() + static_cast<std::ptrdiff_t>(count);
  const auto shared = std::count_if(
      one.ranking.begin(), one.ranking.begin() + static_cast<std::ptrdiff_t>(count), [&](int64_t segment) {
        return std::find(other.ranking.begin(), end, segment) != end;
      });
  return static_cast<double>(shared) / static_cast<double>(count);
}

/// Compares one image's repetitions; the result is the first of them with what the comparison says.
LimeExplanation compare_seeds(const std::vector<LimeExplanation>& repeated) {
  LimeExplanation result = repeated.front();
  const auto count = static_cast<double>(repeated.size());
  result.score_mean = 0;
  for (const LimeExplanation& one : repeated) result.score_mean += one.score / count;
  if (repeated.size() < 2) return result;
  double squares = 0;
  for (const LimeExplanation& one : repeated)
    squares += (one.score - result.score_mean) * (one.score - result.score_mean);
  result.score_deviation = std::sqrt(squares / (count - 1));
  const double pairs = count * (count - 1) / 2;
  result.rank_stability = result.top5_overlap = 0;
  for (size_t i = 0; i < repeated.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      result.rank_stability += rank_correlation(repeated[i].weights, repeated[j].weights) / pairs;
      result.top5_overlap += top_overlap(repeated[i], repeated[j]) / pairs;
    }
  }
  return result;
}

}  // namespace

double rank_correlation(const std::vector<double>& one, const std::vector<double>& other) {
  const std::vector<double> a = ranks(one);
  const std::vector<double> b = ranks(other);
  const double middle = (static_cast<double>(a.size()) - 1) / 2;
  double product = 0;
  double square_a = 0;
  double square_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += (a[i] - middle) * (b[i] - middle);
    square_a += (a[i] - middle) * (a[i] - middle);
    square_b += (b[i] - middle) * (b[i] - middle);
  }
  if (square_a == 0 || square_b == 0) return square_a == square_b ? 1 : 0;
  return product / std::sqrt(square_a * square_b);
}

at::Tensor lime_masks(int64_t samples, int64_t segments, int64_t seed) {
  at::Tensor masks = at::empty({samples, segments}, at::kByte);
  for (int64_t sample = 0; sample < samples; ++sample) {
    uint8_t* row = masks.data_ptr<uint8_t>() + sample * segments;
    if (sample == 0) {
      std::fill(row, row + segments, uint8_t{1});
      continue;
    }
    RandomStream random(static_cast<uint64_t>(seed), "lime", static_cast<uint64_t>(sample));
    uint64_t bits = 0;
    for (int64_t i = 0; i < segments; ++i) {
      if (i % 64 == 0) bits = random.next();
      row[i] = static_cast<uint8_t>(bits >> (i % 64) & 1);
    }
  }
  return masks;
}

namespace {

/// Samples of the linear model: masks [S,K], values [S] and weights [S].
struct Samples {
  std::vector<uint8_t> masks;
  std::vector<double> values;
  std::vector<double> weights;
  int64_t segments = 0;

  std::span<const uint8_t> mask(size_t sample) const {
    return std::span(masks).subspan(sample * static_cast<size_t>(segments), static_cast<size_t>(segments));
  }
};

LinearFit fit_model(const Samples& samples, const PerturbationOptions& options) {
  const MaskRegression regression(samples.masks, samples.segments, samples.values, samples.weights);
  const int64_t wanted = options.lime_features == 0 ? samples.segments : options.lime_features;
  const bool is_few = options.lime_features > 0 && wanted <= 6;
  return regression.ridge(is_few ? regression.forward_selection(wanted) : regression.highest_weights(wanted),
                          options.lime_ridge);
}

/// The samples whose number leaves a remainder by `parts` for which `is_wanted`.
template <class Wanted>
Samples part_of(const Samples& all, size_t parts, Wanted is_wanted) {
  Samples part{.masks = {}, .values = {}, .weights = {}, .segments = all.segments};
  for (size_t sample = 0; sample < all.values.size(); ++sample) {
    if (!is_wanted(sample % parts)) continue;
    const auto mask = all.mask(sample);
    part.masks.insert(part.masks.end(), mask.begin(), mask.end());
    part.values.push_back(all.values[sample]);
    part.weights.push_back(all.weights[sample]);
  }
  return part;
}

/// Weighted R^2 of models at the samples that were held out from them, a fifth at a time; what a mean alone predicts is
/// 0 or less. 1 for a constant that is met, 0 where there are too few samples to hold any out.
double held_out_r2(const Samples& all, const PerturbationOptions& options) {
  constexpr size_t kParts = 5;
  if (all.values.size() < 2 * kParts) return 0;
  const double total = std::accumulate(all.weights.begin(), all.weights.end(), 0.0);
  const double mean = std::inner_product(all.values.begin(), all.values.end(), all.weights.begin(), 0.0) / total;
  double left_over = 0;
  double variation = 0;
  for (size_t part = 0; part < kParts; ++part) {
    const LinearFit fit = fit_model(part_of(all, kParts, [&](size_t rest) { return rest != part; }), options);
    for (size_t sample = part; sample < all.values.size(); sample += kParts) {
      const auto mask = all.mask(sample);
      double predicted = fit.intercept;
      for (size_t i = 0; i < fit.features.size(); ++i)
        predicted += mask[static_cast<size_t>(fit.features[i])] != 0 ? fit.weights[i] : 0;
      const double value = all.values[sample];
      left_over += all.weights[sample] * (value - predicted) * (value - predicted);
      variation += all.weights[sample] * (value - mean) * (value - mean);
    }
  }
  return variation > 0 ? 1 - left_over / variation : left_over > 0 ? 0 : 1;
}

/// One weight a segment, 0 for those that the model does not use.
std::vector<double> all_weights(const LinearFit& fit, int64_t segments) {
  std::vector<double> weights(static_cast<size_t>(segments), 0.0);
  for (size_t i = 0; i < fit.features.size(); ++i) weights[static_cast<size_t>(fit.features[i])] = fit.weights[i];
  return weights;
}

double split_stability(const Samples& all, const PerturbationOptions& options) {
  if (all.values.size() < 4) return 0;
  const auto half = [&](size_t wanted) {
    return all_weights(fit_model(part_of(all, 2, [&](size_t rest) { return rest == wanted; }), options), all.segments);
  };
  return rank_correlation(half(0), half(1));
}

}  // namespace

LimeExplanation fit_lime(const at::Tensor& masks, const at::Tensor& values, const PerturbationOptions& options) {
  const at::Tensor rows = masks.contiguous();
  const at::Tensor targets = values.to(at::kDouble).contiguous();
  const int64_t samples = rows.size(0);
  const int64_t segments = rows.size(1);
  const uint8_t* data = rows.data_ptr<uint8_t>();
  const double* value = targets.data_ptr<double>();
  Samples all{
      .masks = {data, data + rows.numel()}, .values = {value, value + samples}, .weights = {}, .segments = segments};
  for (int64_t sample = 0; sample < samples; ++sample) {
    const auto seen = std::accumulate(data + sample * segments, data + (sample + 1) * segments, int64_t{0});
    const double distance = 1 - std::sqrt(static_cast<double>(seen) / static_cast<double>(segments));
    all.weights.push_back(
        std::sqrt(std::exp(-distance * distance / (options.lime_kernel_width * options.lime_kernel_width))));
  }
  const LinearFit fit = fit_model(all, options);
  LimeExplanation result{
      .weights = all_weights(fit, segments), .ranking = fit.features, .intercept = fit.intercept, .score = fit.r2};
  result.local_prediction = std::accumulate(fit.weights.begin(), fit.weights.end(), fit.intercept);
  std::stable_sort(result.ranking.begin(), result.ranking.end(), [&](int64_t one, int64_t other) {
    return std::abs(result.weights[static_cast<size_t>(one)]) > std::abs(result.weights[static_cast<size_t>(other)]);
  });
  result.prediction = all.values.front();
  result.held_out_score = held_out_r2(all, options);
  result.split_stability = split_stability(all, options);
  result.rounding = kRounding * targets.abs().max().item<double>();
  result.score_mean = result.score;
  return result;
}

std::vector<LimeExplanation> lime(const AttributionRequest& request, const MethodOptions& options) {
  const PerturbationOptions& how = options.perturbation;
  const SegmentedImages images(request, how.segment, hidden_kind(how.hide, MaskFill::segment_mean));
  const Score score = score_kind(how.lime_score_on);
  if (how.lime_samples < 2 * images.most()) {
    throw_usage(fmt::format("lime-samples {} is too few for {} segments, expected at least {}",
                            how.lime_samples,
                            images.most(),
                            2 * images.most()),
                "fewer segments or more samples");
  }
  std::vector<std::vector<LimeExplanation>> repeated(static_cast<size_t>(images.count()));
  for (int64_t repetition = 0; repetition < how.lime_seeds; ++repetition) {
    // A row of an image with fewer regions is the beginning of the longer row.
    const at::Tensor masks = lime_masks(how.lime_samples, images.most(), options.seed + repetition);
    const uint8_t* rows = masks.data_ptr<uint8_t>();
    const at::Tensor values = score_perturbed(
        request, score, how.lime_samples, options.batch_size, [&](const PerturbedInput& variant, float* pixels) {
          images.write(variant.image,
                       std::span<const uint8_t>(rows + variant.index * images.most(),
                                                static_cast<size_t>(images.total(variant.image))),
                       pixels);
        });
    for (int64_t image = 0; image < images.count(); ++image) {
      repeated[static_cast<size_t>(image)].push_back(
          fit_lime(masks.slice(1, 0, images.total(image)), values[image], how));
    }
  }
  std::vector<LimeExplanation> explanations;
  for (int64_t image = 0; image < images.count(); ++image) {
    explanations.push_back(compare_seeds(repeated[static_cast<size_t>(image)]));
    explanations.back().segments = images.segments(image);
  }
  return explanations;
}

Attributions explain_lime(const AttributionRequest& request, const MethodOptions& options) {
  Attributions maps;
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> regions;
  for (const LimeExplanation& one : lime(request, options)) {
    const at::Tensor weights =
        at::from_blob(const_cast<double*>(one.weights.data()), {static_cast<int64_t>(one.weights.size())}, at::kDouble);
    values.push_back(weights.to(at::kFloat).index_select(0, one.segments.reshape({-1})).reshape(one.segments.sizes()));
    regions.push_back(one.segments);
    std::map<std::string, double> facts = {{"r2", one.score},
                                           {"r2_held_out", one.held_out_score},
                                           {"split_stability", one.split_stability},
                                           {"rounding", one.rounding},
                                           {"intercept", one.intercept},
                                           {"local_prediction", one.local_prediction},
                                           {"prediction", one.prediction},
                                           {"samples", static_cast<double>(options.perturbation.lime_samples)},
                                           {"segments", static_cast<double>(one.weights.size())}};
    if (options.perturbation.lime_seeds > 1) {
      facts["r2_mean_over_seeds"] = one.score_mean;
      facts["r2_spread_over_seeds"] = one.score_deviation;
      facts["rank_stability"] = one.rank_stability;
      facts["top5_overlap"] = one.top5_overlap;
    }
    maps.diagnostics.push_back(std::move(facts));
  }
  maps.values = at::stack(values);
  maps.regions = at::stack(regions);
  return maps;
}

}  // namespace mien::explain
