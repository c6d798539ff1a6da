#include "mien/evaluation/intervals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>

#include "mien/core/parallel.h"
#include "mien/core/random.h"

namespace mien::evaluation {
namespace {

/// P(X <= x) for a standard normal X, accurate in both tails.
double normal_probability(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

/// `probability` quantile of sorted values.
double quantile_of_sorted(std::span<const double> sorted, double probability) {
  if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double position = probability * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], position - static_cast<double>(below));
}

}  // namespace

double normal_quantile(double probability) {
  if (!(probability > 0 && probability < 1)) throw std::invalid_argument("normal_quantile: probability not in (0, 1)");
  if (probability > 0.5) return -normal_quantile(1 - probability);
  if (probability == 0.5) return 0;
  // Newton on the concave logarithm of the distribution function: from the left of the root it never overshoots.
  double x = -std::sqrt(-2 * std::log(probability));
  for (int step = 0; step < 100; ++step) {
    const double below = normal_probability(x);
    const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
    const double change = (std::log(probability) - std::log(below)) * below / density;
    x += change;
    if (std::abs(change) <= 1e-15 * std::abs(x)) break;
  }
  return x;
}

Interval wilson_interval_of_rate(double rate, int64_t count, double confidence) {
  if (!(confidence > 0 && confidence < 1) || count < 0 || !(rate >= 0 && rate <= 1)) {
    throw std::invalid_argument("wilson_interval: expected a rate in [0, 1], a count >= 0 and a confidence in (0, 1)");
  }
  if (count == 0) return {0, 1};
  const auto n = static_cast<double>(count);
  const double z = normal_quantile(0.5 + confidence / 2);
  const double center = (rate + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(rate * (1 - rate) / n + z * z / (4 * n * n));
  // At the ends of the range the interval's end is the rate itself; rounding would leave 1e-17 there.
  return {rate == 0 ? 0 : std::max(0.0, center - half), rate == 1 ? 1 : std::min(1.0, center + half)};
}

Interval wilson_interval(int64_t successes, int64_t count, double confidence) {
  if (successes < 0 || successes > count) {
    throw std::invalid_argument("wilson_interval: expected 0 <= successes <= count");
  }
  const double rate = count == 0 ? 0 : static_cast<double>(successes) / static_cast<double>(count);
  return wilson_interval_of_rate(rate, count, confidence);
}

double quantile(std::span<const double> values, double probability) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return quantile_of_sorted(sorted, probability);
}

Interval percentile_interval(std::span<const double> values, double confidence) {
  if (!(confidence > 0 && confidence < 1)) throw std::invalid_argument("percentile_interval: confidence not in (0, 1)");
  std::vector<double> sorted;
  std::copy_if(values.begin(), values.end(), std::back_inserter(sorted), [](double v) { return std::isfinite(v); });
  std::sort(sorted.begin(), sorted.end());
  return {quantile_of_sorted(sorted, (1 - confidence) / 2), quantile_of_sorted(sorted, (1 + confidence) / 2)};
}

std::vector<double> bootstrap(int64_t count,
                              const std::function<double(std::span<const int64_t> indices)>& statistic,
                              int64_t resamples,
                              uint64_t seed) {
  if (count <= 0 || resamples <= 0) throw std::invalid_argument("bootstrap: expected count > 0 and resamples > 0");
  std::vector<double> values(static_cast<size_t>(resamples));
  parallel_for(resamples, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> indices(static_cast<size_t>(count));
    for (int64_t r = begin; r < end; ++r) {
      RandomStream random(seed, "bootstrap", static_cast<uint64_t>(r));
      for (int64_t& index : indices) index = static_cast<int64_t>(random.below(static_cast<uint64_t>(count)));
      values[static_cast<size_t>(r)] = statistic(indices);
    }
  });
  return values;
}

Interval bootstrap_interval(int64_t count,
                            const std::function<double(std::span<const int64_t> indices)>& statistic,
                            double confidence,
                            int64_t resamples,
                            uint64_t seed) {
  return percentile_interval(bootstrap(count, statistic, resamples, seed), confidence);
}

}  // namespace mien::evaluation
