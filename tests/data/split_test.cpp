#include "mien/data/split.h"

#include <algorithm>
#include <set>

#include "data/data_testing.h"

#include "mien/data/class_weights.h"

namespace mien::data {
namespace {

/// 700 rows with a rare class: labels 0-6 in turn, but of class 1 only every tenth.
Dataset unbalanced() {
  Dataset dataset = random_dataset(700, 1);
  for (size_t row = 0; row < 700; ++row) {
    if (dataset.labels[row] == 1 && row / 7 % 10 != 0) dataset.labels[row] = 3;
  }
  return dataset;
}

void expect_partition(const Split& split, size_t rows) {
  std::set<int64_t> all;
  for (const auto* part : {&split.training, &split.validation, &split.test}) {
    EXPECT_TRUE(std::is_sorted(part->begin(), part->end()));
    all.insert(part->begin(), part->end());
  }
  EXPECT_EQ(all.size(), rows);
  EXPECT_EQ(split.training.size() + split.validation.size() + split.test.size(), rows);
}

TEST(Split, FractionTakesThatPartOfEveryClass) {
  const Dataset dataset = unbalanced();
  const Split split = make_split(dataset, {.validation = "fraction:0.2"});
  expect_partition(split, 700);
  EXPECT_EQ(split.validation.size(), 140U);
  EXPECT_EQ(class_counts(dataset, split.validation), (std::vector<int64_t>{20, 2, 20, 38, 20, 20, 20}));
  EXPECT_EQ(split.description, "fraction:0.2, stratified, seed 0: 560 training, 140 validation, 0 test rows");
}

TEST(Split, FractionRoundsToTheWholeEvenWhereNoClassDoes) {
  const Split split = make_split(random_dataset(49, 1), {.validation = "fraction:0.1"});
  EXPECT_EQ(split.validation.size(), 5U);
}

TEST(Split, SeedChoosesTheRowsAndNothingElse) {
  const Dataset dataset = unbalanced();
  const Split a = make_split(dataset, {.validation = "fraction:0.2", .split_seed = 5});
  EXPECT_EQ(a.validation, make_split(dataset, {.validation = "fraction:0.2", .split_seed = 5}).validation);
  const Split b = make_split(dataset, {.validation = "fraction:0.2", .split_seed = 6});
  EXPECT_NE(a.validation, b.validation);
  EXPECT_EQ(class_counts(dataset, a.validation), class_counts(dataset, b.validation));
}

TEST(Split, WithoutStrataTheClassesVary) {
  const Dataset dataset = unbalanced();
  std::set<std::vector<int64_t>> seen;
  for (int64_t seed = 0; seed < 5; ++seed) {
    const Split split = make_split(dataset, {.validation = "fraction:0.2", .stratified = false, .split_seed = seed});
    expect_partition(split, 700);
    EXPECT_EQ(split.validation.size(), 140U);
    seen.insert(class_counts(dataset, split.validation));
  }
  EXPECT_GT(seen.size(), 1U);
}

TEST(Split, FoldsCoverEveryRowOnce) {
  const Dataset dataset = unbalanced();
  for (const bool stratified : {true, false}) {
    std::vector<int64_t> all;
    for (int fold = 0; fold < 3; ++fold) {
      const Split split = make_split(
          dataset, {.validation = "kfold:3:" + std::to_string(fold), .stratified = stratified, .split_seed = 1});
      expect_partition(split, 700);
      EXPECT_TRUE(split.validation.size() == 233 || split.validation.size() == 234);
      const int64_t rare = class_counts(dataset, split.validation)[1];
      EXPECT_TRUE(!stratified || rare == 3 || rare == 4) << rare;
      all.insert(all.end(), split.validation.begin(), split.validation.end());
    }
    std::sort(all.begin(), all.end());
    EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
    EXPECT_EQ(all.size(), 700U);
  }
}

TEST(Split, LastTakesTheLastRowsThatMayTrain) {
  Dataset dataset = random_dataset(10, 1);
  dataset.usages[9] = Usage::public_test;
  dataset.labels[8] = kUnlabeled;
  const Split split = make_split(dataset, {.validation = "last:3"});
  EXPECT_EQ(split.validation, (std::vector<int64_t>{5, 6, 7}));
  EXPECT_EQ(split.training, (std::vector<int64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(split.test, std::vector<int64_t>{9});
}

TEST(Split, PublicTestTestsAndPrivateTestIsNeverUsed) {
  Dataset dataset = random_dataset(9, 1);
  for (size_t row = 0; row < 9; ++row) {
    dataset.usages[row] = row < 5 ? Usage::training : row < 7 ? Usage::public_test : Usage::private_test;
  }
  const Split none = make_split(dataset, {.validation = "none"});
  EXPECT_EQ(none.training, (std::vector<int64_t>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(none.validation.empty());
  EXPECT_EQ(none.test, (std::vector<int64_t>{5, 6}));
  const Split usage = make_split(dataset, {.validation = "usage"});
  EXPECT_EQ(usage.training, (std::vector<int64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(usage.validation, (std::vector<int64_t>{5, 6}));
  EXPECT_TRUE(usage.test.empty());
}

TEST(Split, RefusesSpecificationsItDoesNotUnderstand) {
  for (const char* const bad : {"",
                                "half",
                                "last",
                                "last:",
                                "last:0",
                                "last:-1",
                                "last:x",
                                "fraction:0",
                                "fraction:1",
                                "fraction:nan",
                                "fraction:x",
                                "kfold:5",
                                "kfold:1:0",
                                "kfold:5:5",
                                "kfold:5:-1",
                                "none:1",
                                "usage:1",
                                "last:2:3"}) {
    const Error error = error_of([&] { make_split(random_dataset(10, 1), {.validation = bad}); });
    EXPECT_EQ(error.code(), ErrorCode::usage) << bad;
    EXPECT_NE(error.hint().find("kfold:FOLDS:INDEX"), std::string::npos);
  }
}

TEST(Split, RefusesToLeaveASideEmpty) {
  const auto code = [](const Dataset& dataset, const char* validation) {
    return error_of([&] { make_split(dataset, {.validation = validation}); }).code();
  };
  EXPECT_EQ(code(random_dataset(10, 1), "last:10"), ErrorCode::bad_data);
  EXPECT_EQ(code(random_dataset(10, 1), "usage"), ErrorCode::bad_data);
  EXPECT_EQ(code(random_dataset(3, 1), "fraction:0.01"), ErrorCode::bad_data);
  EXPECT_EQ(code(random_dataset(1, 1), "fraction:0.9"), ErrorCode::bad_data);
  EXPECT_EQ(code(random_dataset(2, 1), "kfold:5:4"), ErrorCode::bad_data);
  Dataset unlabeled = random_dataset(5, 1);
  unlabeled.labels.assign(5, kUnlabeled);
  EXPECT_EQ(code(unlabeled, "none"), ErrorCode::bad_data);
}

}  // namespace
}  // namespace mien::data
