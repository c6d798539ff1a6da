#include "mien/evaluation/intervals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "fixtures.h"

#include "mien/core/parallel.h"
#include "mien/core/random.h"

namespace mien::evaluation {
namespace {

TEST(WilsonInterval, EqualsScipys) {
  for (const auto& row : reference()["statistics"]["wilson"]) {
    const Interval interval = wilson_interval(row[0], row[1], row[2]);
    EXPECT_NEAR(interval.low, row[3].get<double>(), 1e-12) << row;
    EXPECT_NEAR(interval.high, row[4].get<double>(), 1e-12) << row;
  }
}

TEST(WilsonInterval, IsAllOfTheRangeWithoutTrialsAndEndsAtTheRateAtItsEnds) {
  EXPECT_EQ(wilson_interval(0, 0).low, 0);
  EXPECT_EQ(wilson_interval(0, 0).high, 1);
  EXPECT_EQ(wilson_interval(0, 7).low, 0);
  EXPECT_EQ(wilson_interval(7, 7).high, 1);
}

TEST(WilsonInterval, RefusesCountsThatCannotBe) {
  EXPECT_THROW(wilson_interval(3, 2), std::invalid_argument);
  EXPECT_THROW(wilson_interval(-1, 2), std::invalid_argument);
  EXPECT_THROW(wilson_interval(1, 2, 1.0), std::invalid_argument);
}

TEST(WilsonInterval, HoldsTheTrueRateAsOftenAsPromised) {
  RandomStream random(3, "coverage");
  int held = 0;
  constexpr int kSamples = 2000;
  for (int sample = 0; sample < kSamples; ++sample) {
    int64_t successes = 0;
    for (int trial = 0; trial < 200; ++trial) successes += random.uniform() < 0.7;
    const Interval interval = wilson_interval(successes, 200);
    held += interval.low <= 0.7 && 0.7 <= interval.high;
  }
  EXPECT_NEAR(static_cast<double>(held) / kSamples, 0.95, 0.015);
}

TEST(NormalQuantile, EqualsScipys) {
  for (const auto& row : reference()["statistics"]["normal_quantile"]) {
    const double expected = row[1];
    EXPECT_NEAR(normal_quantile(row[0]), expected, 1e-12 * std::max(1.0, std::abs(expected))) << row;
  }
}

TEST(Quantile, IsLinearBetweenNeighbors) {
  const std::vector<double> values = {40, 10, 30, 20};
  EXPECT_DOUBLE_EQ(quantile(values, 0), 10);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 25);
  EXPECT_DOUBLE_EQ(quantile(values, 0.9), 37);  // numpy.quantile([10, 20, 30, 40], 0.9)
  EXPECT_DOUBLE_EQ(quantile(values, 1), 40);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(PercentileInterval, LeavesOutWhatIsNotFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Interval interval = percentile_interval(std::vector<double>{nan, 1, 2, 3, nan}, 0.5);
  EXPECT_DOUBLE_EQ(interval.low, 1.5);
  EXPECT_DOUBLE_EQ(interval.high, 2.5);
  EXPECT_TRUE(std::isnan(percentile_interval(std::vector<double>{nan}).low));
}

TEST(BootstrapInterval, OfAMeanEqualsTheNormalApproximation) {
  RandomStream random(1, "sample");
  std::vector<double> sample(2000);
  for (double& value : sample) value = random.normal();
  const auto mean = [&](std::span<const int64_t> indices) {
    double sum = 0;
    for (const int64_t i : indices) sum += sample[static_cast<size_t>(i)];
    return sum / static_cast<double>(indices.size());
  };
  const double center = std::accumulate(sample.begin(), sample.end(), 0.0) / 2000;
  const Interval interval = bootstrap_interval(2000, mean, 0.95, 2000, 5);
  EXPECT_NEAR(interval.low, center - 1.96 / std::sqrt(2000), 0.005);
  EXPECT_NEAR(interval.high, center + 1.96 / std::sqrt(2000), 0.005);
}

TEST(Bootstrap, DependsOnTheSeedAndNotOnThreads) {
  const auto first_index = [](std::span<const int64_t> indices) { return static_cast<double>(indices[0]); };
  set_threads(1);
  const std::vector<double> alone = bootstrap(1000, first_index, 50, 7);
  set_threads(4);
  const std::vector<double> together = bootstrap(1000, first_index, 50, 7);
  set_threads(0);
  EXPECT_EQ(alone, together);
  EXPECT_NE(alone, bootstrap(1000, first_index, 50, 8));
}

}  // namespace
}  // namespace mien::evaluation
