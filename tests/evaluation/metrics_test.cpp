#include "mien/evaluation/metrics.h"

#include <cmath>

#include "fixtures.h"

namespace mien::evaluation {
namespace {

/// null stands for what is undefined.
void expect_equal(double value, const nlohmann::json& expected, const std::string& what) {
  if (expected.is_null()) {
    EXPECT_TRUE(std::isnan(value)) << what << " is " << value;
  } else {
    EXPECT_NEAR(value, expected.get<double>(), 1e-9) << what;
  }
}

class MetricsOfCase : public testing::TestWithParam<const char*> {};

TEST_P(MetricsOfCase, EqualScikitLearns) {
  const nlohmann::json& expected = reference()["cases"][GetParam()];
  const Metrics metrics = compute_metrics(read_predictions_csv(fixture_path(GetParam() + std::string(".csv"))), 0);
  EXPECT_EQ(metrics.count, expected["count"].get<int64_t>());
  expect_equal(metrics.accuracy, expected["accuracy"], "accuracy");
  expect_equal(metrics.balanced_accuracy, expected["balanced_accuracy"], "balanced accuracy");
  expect_equal(metrics.top2_accuracy, expected["top2_accuracy"], "top-2 accuracy");
  expect_equal(metrics.macro_precision, expected["macro_precision"], "macro precision");
  expect_equal(metrics.macro_recall, expected["macro_recall"], "macro recall");
  expect_equal(metrics.macro_f1, expected["macro_f1"], "macro F1");
  expect_equal(metrics.weighted_f1, expected["weighted_f1"], "weighted F1");
  expect_equal(metrics.kappa, expected["kappa"], "kappa");
  expect_equal(metrics.matthews, expected["matthews"], "matthews");
  expect_equal(metrics.log_loss, expected["log_loss"], "log loss");
  expect_equal(metrics.brier, expected["brier"], "brier");
  expect_equal(metrics.expected_calibration_error, expected["expected_calibration_error"], "calibration error");
  expect_equal(metrics.macro_auc, expected["macro_auc"], "macro auc");
  EXPECT_EQ(nlohmann::json(metrics.confusion), expected["confusion"]);
  ASSERT_EQ(metrics.classes.size(), expected["support"].size());
  for (size_t k = 0; k < metrics.classes.size(); ++k) {
    const ClassMetrics& one = metrics.classes[k];
    EXPECT_EQ(one.support, expected["support"][k].get<int64_t>()) << one.name;
    expect_equal(one.precision, expected["precision"][k], "precision of " + one.name);
    expect_equal(one.recall, expected["recall"][k], "recall of " + one.name);
    expect_equal(one.f1, expected["f1"][k], "F1 of " + one.name);
    expect_equal(one.auc, expected["auc"][k], "auc of " + one.name);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         MetricsOfCase,
                         testing::Values("random", "ties", "absent", "perfect", "one_class", "three_classes"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Metrics, LeaveOutRowsWithoutALabelAndThrowIfNoneIsLeft) {
  Predictions predictions = make_predictions({0, -1}, {{0.9, 0.1}, {0.9, 0.1}});
  EXPECT_EQ(compute_metrics(predictions).count, 1);
  EXPECT_EQ(compute_metrics(predictions).accuracy, 1);
  predictions.labels = {-1, -1};
  EXPECT_EQ(message_of(ErrorCode::bad_data, [&] { compute_metrics(predictions); }),
            "cannot compute metrics: none of 2 predictions has a label");
}

TEST(Metrics, GiveIntervalsOfWilsonAndIntervalsThatHoldTheirRate) {
  const Metrics metrics = compute_metrics(read_predictions_csv(fixture_path("random.csv")));
  const Interval wilson = wilson_interval(47, 111);  // 0.4234 of 111
  EXPECT_EQ(metrics.accuracy_interval.low, wilson.low);
  EXPECT_EQ(metrics.accuracy_interval.high, wilson.high);
  EXPECT_EQ(metrics.classes[0].recall_interval.low, wilson_interval(7, 20).low);
  EXPECT_EQ(metrics.classes[0].precision_interval.high, wilson_interval(7, 14).high);
  for (const auto& [rate, interval] : {std::pair(metrics.macro_f1, metrics.macro_f1_interval),
                                       std::pair(metrics.balanced_accuracy, metrics.balanced_accuracy_interval)}) {
    EXPECT_LT(interval.low, rate);
    EXPECT_GT(interval.high, rate);
    // The deviation of an accuracy of 0.42 over 111 faces is 0.047, so an interval is about 0.18 wide.
    EXPECT_NEAR(interval.high - interval.low, 0.18, 0.04);
  }
}

TEST(Metrics, CountTheLabelAmongTheTopTwoWithTheLowerIndexFirst) {
  const std::vector<double> tied = {0.4, 0.2, 0.2, 0.2};
  EXPECT_EQ(compute_metrics(make_predictions({1}, {tied})).top2_accuracy, 1);
  EXPECT_EQ(compute_metrics(make_predictions({2}, {tied})).top2_accuracy, 0);
}

TEST(Metrics, WriteTheSameJsonEachTimeWithNullForTheUndefined) {
  const Predictions predictions = read_predictions_csv(fixture_path("one_class.csv"));
  const std::string text = metrics_json(compute_metrics(predictions));
  EXPECT_EQ(text, metrics_json(compute_metrics(predictions)));
  EXPECT_TRUE(text.starts_with("{\n  \"count\": 30,\n  \"accuracy\": 1.0,\n  \"accuracy_interval\": [\n"));
  const auto json = nlohmann::json::parse(text);
  EXPECT_TRUE(json["kappa"].is_null());
  EXPECT_TRUE(json["macro_auc"].is_null());
  EXPECT_EQ(json["classes"][3]["name"], "happy");
  EXPECT_EQ(json["classes"][3]["support"], 30);
  EXPECT_EQ(json["confusion"][3][3], 30);
  EXPECT_EQ(json["reliability"].size(), 15u);
}

TEST(Metrics, PrintATableWithAnIntervalBesideEachRate) {
  const std::string text = metrics_text(compute_metrics(read_predictions_csv(fixture_path("absent.csv"))));
  EXPECT_NE(text.find("faces               120\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\naccuracy            0.4500 [0.3639, 0.5392]\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nangry          17  0.4118 [0.2161, 0.6399]  0.3684 [0.1915, 0.5896]  0.3889  0.7162\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("\ndisgust         0  -                        -                             -       -\n"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace mien::evaluation
