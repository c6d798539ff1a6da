#include "mien/explain/faithfulness/map_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <ATen/ATen.h>

#include "mien/core/parallel.h"
#include "mien/core/random.h"

namespace mien::explain {
namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

/// [N,H,W] -> [N,H*W] float64 in row-major order.
at::Tensor rows_of(const at::Tensor& maps) {
  return maps.detach().to(at::kDouble).contiguous().reshape({maps.size(0), -1});
}

/// Ranks of `count` values from 1; equal values have the mean of theirs.
std::vector<double> ranks_of(const double* values, int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [values](int64_t a, int64_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(order.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i)
      ranks[static_cast<size_t>(order[i])] = (static_cast<double>(begin + end) + 1) / 2;
    begin = end;
  }
  return ranks;
}

double correlation(const std::vector<double>& first, const std::vector<double>& second) {
  const auto count = static_cast<double>(first.size());
  const double first_mean = std::accumulate(first.begin(), first.end(), 0.0) / count;
  const double second_mean = std::accumulate(second.begin(), second.end(), 0.0) / count;
  double product = 0;
  double first_square = 0;
  double second_square = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    product += (first[i] - first_mean) * (second[i] - second_mean);
    first_square += (first[i] - first_mean) * (first[i] - first_mean);
    second_square += (second[i] - second_mean) * (second[i] - second_mean);
  }
  const double scale = std::sqrt(first_square * second_square);
  return scale > 0 ? product / scale : kNotANumber;
}

/// Each map scaled to [0, 1], as [N,1,H,W] float64; a constant map becomes 0.
at::Tensor scaled(const at::Tensor& maps) {
  const at::Tensor values = maps.detach().to(at::kDouble).unsqueeze(1);
  const at::Tensor above = values - values.amin({2, 3}, true);
  const at::Tensor largest = above.amax({2, 3}, true);
  return above / at::where(largest > 0, largest, at::ones_like(largest));
}

}  // namespace

std::string map_problem(const at::Tensor& map) {
  if (!at::isfinite(map).all().item<bool>()) return "holds numbers that are not finite";
  const double least = map.min().item<double>();
  const double largest = map.max().item<double>();
  if (least == 0 && largest == 0) return "is zero everywhere";
  return least == largest ? "has one value everywhere" : "";
}

at::Tensor pixel_order(const at::Tensor& maps, int64_t seed) {
  const at::Tensor rows = rows_of(maps);
  const int64_t pixels = rows.size(1);
  at::Tensor orders = at::empty({rows.size(0), pixels}, at::kLong);
  const double* values = rows.data_ptr<double>();
  int64_t* out = orders.data_ptr<int64_t>();
  parallel_for(rows.size(0), [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; ++image) {
      std::vector<int64_t> order(static_cast<size_t>(pixels));
      std::iota(order.begin(), order.end(), 0);
      RandomStream random(static_cast<uint64_t>(seed), "pixel order", static_cast<uint64_t>(image));
      random.shuffle(order);
      const double* row = values + image * pixels;
      std::stable_sort(order.begin(), order.end(), [row](int64_t a, int64_t b) { return row[a] > row[b]; });
      std::copy(order.begin(), order.end(), out + image * pixels);
    }
  });
  return orders;
}

at::Tensor gini_index(const at::Tensor& maps) {
  const at::Tensor sizes = std::get<0>(rows_of(maps).abs().sort(1));
  const auto count = static_cast<double>(sizes.size(1));
  // 1 - 2 * sum_k (v_k / |v|_1) * (n - k + 1/2) / n, with v in rising order. @source Hurley, Rickard 2009, table 1
  const at::Tensor weights = (count + 0.5 - at::arange(1, sizes.size(1) + 1, at::kDouble)) / count;
  const at::Tensor sums = sizes.sum(1);
  const at::Tensor index = 1 - 2 * (sizes * weights).sum(1) / sums;
  return at::where(sums > 0, index, at::zeros_like(index));
}

at::Tensor rank_correlation(const at::Tensor& first, const at::Tensor& second) {
  const at::Tensor first_rows = rows_of(first);
  const at::Tensor second_rows = rows_of(second);
  const int64_t pixels = first_rows.size(1);
  at::Tensor found = at::empty({first_rows.size(0)}, at::kDouble);
  double* out = found.data_ptr<double>();
  parallel_for(first_rows.size(0), [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; ++image) {
      out[image] = correlation(ranks_of(first_rows.data_ptr<double>() + image * pixels, pixels),
                               ranks_of(second_rows.data_ptr<double>() + image * pixels, pixels));
    }
  });
  return found;
}

at::Tensor structural_similarity(const at::Tensor& first, const at::Tensor& second) {
  constexpr double kFirst = 0.01 * 0.01;  // (K1 L)^2 and (K2 L)^2 for values in [0, 1]
  constexpr double kSecond = 0.03 * 0.03;
  const at::Tensor a = scaled(first);
  const at::Tensor b = scaled(second);
  const auto mean = [](const at::Tensor& values) { return at::avg_pool2d(values, {7, 7}, {1, 1}); };
  const at::Tensor a_mean = mean(a);
  const at::Tensor b_mean = mean(b);
  const at::Tensor a_variance = mean(a * a) - a_mean * a_mean;
  const at::Tensor b_variance = mean(b * b) - b_mean * b_mean;
  const at::Tensor covariance = mean(a * b) - a_mean * b_mean;
  const at::Tensor light = (2 * a_mean * b_mean + kFirst) / (a_mean * a_mean + b_mean * b_mean + kFirst);
  return (light * (2 * covariance + kSecond) / (a_variance + b_variance + kSecond)).mean({1, 2, 3});
}

EvidenceAgreement evidence_agreement(const at::Tensor& maps, const at::Tensor& evidence, const at::Tensor& order) {
  const at::Tensor inside = rows_of(evidence.ne(0));
  const at::Tensor positive = rows_of(maps).clamp_min(0);
  const auto pixels = static_cast<double>(inside.size(1));
  const at::Tensor count = inside.sum(1);
  const at::Tensor exists = count > 0;
  const at::Tensor nothing = at::full_like(count, kNotANumber);
  const at::Tensor chance = at::where(exists, count / pixels, nothing);
  const at::Tensor total = positive.sum(1);
  const at::Tensor mass = at::where(total > 0, (positive * inside).sum(1) / total, count / pixels);
  const at::Tensor in_order = inside.gather(1, order);
  const at::Tensor is_first = at::arange(inside.size(1), at::kDouble).unsqueeze(0) < count.unsqueeze(1);
  const at::Tensor rank = (in_order * is_first).sum(1) / count;
  return {.mass_accuracy = at::where(exists, mass, nothing),
          .rank_accuracy = at::where(exists, rank, nothing),
          .pointing_game = at::where(exists, in_order.select(1, 0), nothing),
          .chance = chance};
}

}  // namespace mien::explain
