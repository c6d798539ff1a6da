#include "mien/evaluation/compare.h"

#include <cmath>

#include "fixtures.h"

#include "mien/core/parallel.h"
#include "mien/evaluation/metrics.h"

namespace mien::evaluation {
namespace {

/// Two sets of predictions of class 0 of two: `both` faces both get right, then those only one does, then neither.
std::pair<Predictions, Predictions> pair_of(int both, int only_first, int only_second, int neither) {
  std::vector<std::vector<double>> first;
  std::vector<std::vector<double>> second;
  const std::vector<double> right = {0.8, 0.2};
  const std::vector<double> wrong = {0.3, 0.7};
  const auto add = [&](int count, const std::vector<double>& a, const std::vector<double>& b) {
    first.insert(first.end(), static_cast<size_t>(count), a);
    second.insert(second.end(), static_cast<size_t>(count), b);
  };
  add(both, right, right);
  add(only_first, right, wrong);
  add(only_second, wrong, right);
  add(neither, wrong, wrong);
  const std::vector<int32_t> labels(first.size(), 0);
  return {make_predictions(labels, first), make_predictions(labels, second)};
}

TEST(McNemar, EqualsScipyExactBelow25AndChiSquaredFromThere) {
  for (const auto& row : reference()["statistics"]["mcnemar"]) {
    EXPECT_NEAR(mcnemar_p_value(row[0], row[1]), row[2].get<double>(), 1e-12) << row;
    EXPECT_EQ(mcnemar_p_value(row[0], row[1]), mcnemar_p_value(row[1], row[0])) << row;
  }
}

TEST(McNemar, EqualsValuesComputedByHand) {
  EXPECT_EQ(mcnemar_p_value(0, 0), 1);
  EXPECT_DOUBLE_EQ(mcnemar_p_value(0, 3), 2 * 0.125);
  EXPECT_DOUBLE_EQ(mcnemar_p_value(1, 4), 2 * (1 + 5) / 32.0);
}

TEST(Compare, CountsFacesByWhoIsRight) {
  const auto [first, second] = pair_of(50, 10, 30, 5);
  const Comparison comparison = compare(first, second);
  EXPECT_EQ(comparison.count, 95);
  EXPECT_EQ(comparison.both_correct, 50);
  EXPECT_EQ(comparison.only_first_correct, 10);
  EXPECT_EQ(comparison.only_second_correct, 30);
  EXPECT_EQ(comparison.both_wrong, 5);
  EXPECT_DOUBLE_EQ(comparison.agreement, 55.0 / 95);
  EXPECT_EQ(comparison.first_accuracy_interval.low, wilson_interval(60, 95).low);
  EXPECT_EQ(comparison.second_accuracy_interval.low, wilson_interval(80, 95).low);
  EXPECT_FALSE(comparison.mcnemar_exact);
  EXPECT_DOUBLE_EQ(comparison.mcnemar_statistic, 19.0 * 19 / 40);
  EXPECT_DOUBLE_EQ(comparison.mcnemar_p_value, mcnemar_p_value(10, 30));
  EXPECT_DOUBLE_EQ(comparison.accuracy.difference, 20.0 / 95);
  EXPECT_EQ(comparison.macro_f1.first, compute_metrics(first, 0).macro_f1);
  EXPECT_EQ(comparison.macro_f1.second, compute_metrics(second, 0).macro_f1);
  const auto [one, other] = pair_of(10, 1, 2, 0);
  EXPECT_TRUE(compare(one, other).mcnemar_exact);
  EXPECT_TRUE(std::isnan(compare(one, other).mcnemar_statistic));
}

TEST(Compare, BootstrapsIntervalsAndPValuesNearTheNormalApproximation) {
  const auto [first, second] = pair_of(600, 100, 140, 160);
  const Comparison comparison = compare(first, second);
  const double deviation =
      std::sqrt((0.24 - 0.04 * 0.04) / 1000);  // of a mean of -1, 0, 1 with shares 0.10, 0.76, 0.14
  EXPECT_NEAR(comparison.accuracy.interval.low, 0.04 - 1.96 * deviation, 0.1 * deviation + 0.001);
  EXPECT_NEAR(comparison.accuracy.interval.high, 0.04 + 1.96 * deviation, 0.1 * deviation + 0.001);
  EXPECT_NEAR(comparison.accuracy.p_value, std::erfc(0.04 / deviation / std::sqrt(2)), 0.006);
}

TEST(Compare, FindsNoDifferenceBetweenANetworkAndItself) {
  const Predictions predictions = read_predictions_csv(fixture_path("random.csv"));
  const Comparison comparison = compare(predictions, predictions);
  EXPECT_EQ(comparison.count, 111);
  EXPECT_EQ(comparison.agreement, 1);
  EXPECT_EQ(comparison.mcnemar_p_value, 1);
  EXPECT_EQ(comparison.accuracy.p_value, 1);
  EXPECT_EQ(comparison.accuracy.interval.low, 0);
  EXPECT_EQ(comparison.accuracy.interval.high, 0);
  EXPECT_EQ(comparison.macro_f1.p_value, 1);
}

TEST(Compare, IsSureOfALargeDifferenceAsFarAsResamplesAllow) {
  const auto [first, second] = pair_of(100, 0, 100, 0);
  CompareOptions options;
  options.resamples = 999;
  EXPECT_DOUBLE_EQ(compare(first, second, options).accuracy.p_value, 0.002);
}

TEST(Compare, DependsOnTheSeedAndNotOnThreads) {
  const auto [first, second] = pair_of(60, 10, 14, 16);
  set_threads(1);
  const std::string alone = comparison_json(compare(first, second));
  set_threads(3);
  const std::string together = comparison_json(compare(first, second));
  set_threads(0);
  EXPECT_EQ(alone, together);
  CompareOptions other;
  other.seed = 1;
  EXPECT_NE(alone, comparison_json(compare(first, second, other)));
}

TEST(Compare, NamesTheFirstRowThatDiffers) {
  const Predictions first = make_predictions({0, 1, -1}, {{1, 0}, {0, 1}, {1, 0}});
  CompareOptions options;
  options.first_name = "runs/a";
  options.second_name = "runs/b";
  const auto refused = [&](const Predictions& second) {
    return message_of(ErrorCode::bad_data, [&] { compare(first, second, options); });
  };
  Predictions second = first;
  second.rows = {0, 5, 6};
  EXPECT_EQ(refused(second),
            "cannot compare runs/a with runs/b: prediction 2 is of row 1 in the first and of row 5 in the second");
  second = first;
  second.labels[2] = 1;
  EXPECT_EQ(refused(second),
            "cannot compare runs/a with runs/b: row 2 is labeled unknown in the first and b in the second");
  second = make_predictions({0, 1}, {{1, 0}, {0, 1}});
  EXPECT_EQ(refused(second), "cannot compare runs/a with runs/b: 3 predictions against 2; row 2 is only in the first");
  second = first;
  second.class_names = {"a", "c"};
  EXPECT_EQ(refused(second), "cannot compare runs/a with runs/b: their classes differ (a, b against a, c)");
  second = first;
  second.probabilities[0] = 0.5;
  EXPECT_EQ(refused(second), "cannot compare runs/b: the probabilities of row 0 sum to 0.5, expected 1");
}

TEST(Compare, NeedsALabel) {
  const Predictions unlabeled = make_predictions({-1}, {{1, 0}});
  EXPECT_EQ(message_of(ErrorCode::bad_data, [&] { compare(unlabeled, unlabeled); }),
            "cannot compare first with second: none of 1 rows has a label");
}

TEST(ComparisonText, SaysWhichIsBetterOnlyBeyondChance) {
  CompareOptions options;
  options.first_name = "box3";
  options.second_name = "leaky4";
  const auto text_of = [&](std::pair<Predictions, Predictions> pair) {
    return comparison_text(compare(pair.first, pair.second, options));
  };
  const std::string better = text_of(pair_of(50, 10, 30, 10));
  EXPECT_NE(better.find("leaky4 is more accurate than box3, beyond chance at the 5 % level.\n"), std::string::npos)
      << better;
  EXPECT_NE(text_of(pair_of(50, 30, 10, 10)).find("\nbox3 is more accurate than leaky4"), std::string::npos);
  EXPECT_NE(text_of(pair_of(50, 10, 12, 10)).find("within chance"), std::string::npos);
  EXPECT_NE(better.find("difference in accuracy   +0.2000 [+0."), std::string::npos) << better;
}

TEST(ComparisonJson, HoldsEveryNumber) {
  const auto [first, second] = pair_of(50, 10, 30, 5);
  const Comparison comparison = compare(first, second);
  const auto json = nlohmann::json::parse(comparison_json(comparison));
  EXPECT_EQ(json["only_second_correct"], 30);
  EXPECT_EQ(json["accuracy"]["difference"], comparison.accuracy.difference);
  EXPECT_EQ(json["accuracy"]["interval"][1], comparison.accuracy.interval.high);
  EXPECT_EQ(json["mcnemar_p_value"], comparison.mcnemar_p_value);
}

}  // namespace
}  // namespace mien::evaluation
