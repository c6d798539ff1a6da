#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace mien::evaluation {

struct Interval {
  double low = 0;
  double high = 1;
};

/// Wilson's score interval for the rate `successes` / `count`, inside [0, 1]; [0, 1] where count is 0.
/// Throws std::invalid_argument unless 0 <= successes <= count and 0 < confidence < 1.
/// @source Wilson 1927, "Probable inference, the law of succession, and statistical inference", without continuity
/// correction.
Interval wilson_interval(int64_t successes, int64_t count, double confidence = 0.95);

/// The same for an observed rate in [0, 1] over `count` trials, such as an accuracy averaged over several networks.
Interval wilson_interval_of_rate(double rate, int64_t count, double confidence = 0.95);

/// x with P(X <= x) = probability for a standard normal X, for 1e-300 <= probability < 1, to 1e-12 relative.
double normal_quantile(double probability);

/// The `probability` quantile of `values`, linear between neighbors as numpy.quantile; NaN for no values.
double quantile(std::span<const double> values, double probability);

/// The interval that holds the central `confidence` share of `values` (the percentile method); values that are not
/// finite are left out, and both ends are NaN if none remain.
/// @source Efron 1979, "Bootstrap methods: another look at the jackknife"
Interval percentile_interval(std::span<const double> values, double confidence = 0.95);

/// `resamples` values of `statistic`, each on `count` indices drawn from 0..count-1 with replacement. Resample r
/// depends on `seed` and r alone, so the result does not depend on threads; `statistic` is called from several threads.
std::vector<double> bootstrap(int64_t count,
                              const std::function<double(std::span<const int64_t> indices)>& statistic,
                              int64_t resamples = 1000,
                              uint64_t seed = 0);

/// Percentile interval of `statistic` over bootstrap resamples of the indices 0..count-1.
Interval bootstrap_interval(int64_t count,
                            const std::function<double(std::span<const int64_t> indices)>& statistic,
                            double confidence = 0.95,
                            int64_t resamples = 1000,
                            uint64_t seed = 0);

}  // namespace mien::evaluation
