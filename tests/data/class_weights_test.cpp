#include "mien/data/class_weights.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "data/data_testing.h"

namespace mien::data {
namespace {

TEST(ClassWeights, BalancedIsRowsOverClassesTimesCount) {
  // FER2013's training rows, as scikit-learn's compute_class_weight("balanced", ...) weighs them
  const std::vector<int64_t> counts{3995, 436, 4097, 7215, 4830, 3171, 4965};
  const std::vector<double> expected{
      1.02660468, 9.40661861, 1.00104606, 0.56843877, 0.84912748, 1.29337298, 0.82603942};
  const auto weights = class_weights(counts, "balanced");
  for (size_t i = 0; i < 7; ++i) EXPECT_NEAR(weights[i], expected[i], 1e-8);
}

TEST(ClassWeights, EffectiveFollowsCuiAndAveragesOne) {
  const std::vector<int64_t> counts{10, 100, 10'000};
  const double beta = 0.999;
  const auto weights = class_weights(counts, "effective", beta);
  EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), 3, 1e-12);
  const auto raw = [&](double n) { return (1 - beta) / (1 - std::pow(beta, n)); };
  EXPECT_NEAR(weights[0] / weights[2], raw(10) / raw(10'000), 1e-9);
  EXPECT_NEAR(weights[1] / weights[2], raw(100) / raw(10'000), 1e-9);
}

TEST(ClassWeights, EffectiveIsUniformForBetaZeroAndInverseCountNearOne) {
  const std::vector<int64_t> counts{5, 50};
  EXPECT_NEAR(class_weights(counts, "effective", 0)[0], 1, 1e-12);
  const auto weights = class_weights(counts, "effective", 0.9999999);
  EXPECT_NEAR(weights[0] / weights[1], 10, 1e-4);
}

TEST(ClassWeights, ClassesWithoutRowsWeighNothingAndDoNotDistortTheRest) {
  for (const char* const kind : {"none", "balanced", "effective"}) {
    const auto with = class_weights(std::vector<int64_t>{3, 0, 9}, kind);
    const auto without = class_weights(std::vector<int64_t>{3, 9}, kind);
    EXPECT_EQ(with, (std::vector<double>{without[0], 0, without[1]})) << kind;
  }
}

TEST(ClassWeights, RefusesUnknownKindsAndBetas) {
  const std::vector<int64_t> counts{1, 2};
  EXPECT_EQ(error_of([&] { class_weights(counts, "balance"); }).hint(), "did you mean 'balanced'?");
  EXPECT_EQ(error_of([&] { class_weights(counts, "effective", 1); }).code(), ErrorCode::usage);
  EXPECT_EQ(error_of([&] { class_weights(counts, "effective", NAN); }).code(), ErrorCode::usage);
}

TEST(EpochOrder, IsAPermutationThatDependsOnSeedAndEpoch) {
  const std::vector<int64_t> rows{3, 5, 8, 13, 21, 34, 55, 89};
  auto order = epoch_order(rows, 1, 2);
  EXPECT_EQ(order, epoch_order(rows, 1, 2));
  EXPECT_NE(order, epoch_order(rows, 1, 3));
  EXPECT_NE(order, epoch_order(rows, 2, 2));
  std::sort(order.begin(), order.end());
  EXPECT_EQ(order, rows);
}

TEST(EpochOrder, BalancedShowsClassesAndTheirRowsEquallyOften) {
  Dataset dataset = random_dataset(100, 1);
  for (size_t row = 0; row < 100; ++row) dataset.labels[row] = row < 3 ? 1 : row < 99 ? 4 : kUnlabeled;
  std::vector<int64_t> rows(100);
  std::iota(rows.begin(), rows.end(), int64_t{0});
  const auto order = balanced_epoch_order(dataset, rows, 1, 0);
  EXPECT_EQ(order, balanced_epoch_order(dataset, rows, 1, 0));
  EXPECT_NE(order, balanced_epoch_order(dataset, rows, 1, 1));
  ASSERT_EQ(order.size(), 100U);
  std::map<int64_t, int> times;
  for (const int64_t row : order) ++times[row];
  EXPECT_EQ(times.count(99), 0U);
  int rare = 0;
  for (int64_t row = 0; row < 3; ++row) {
    rare += times[row];
    EXPECT_TRUE(times[row] == 16 || times[row] == 17);
  }
  EXPECT_EQ(rare, 50);
  for (const auto& [row, count] : times) {
    EXPECT_TRUE(row < 3 || count == 1) << row;
  }
  dataset.labels.assign(100, kUnlabeled);
  EXPECT_EQ(error_of([&] { balanced_epoch_order(dataset, rows, 1, 0); }).code(), ErrorCode::bad_data);
}

}  // namespace
}  // namespace mien::data
