#include "mien/evaluation/calibration.h"

#include <cmath>

#include "fixtures.h"

namespace mien::evaluation {
namespace {

TEST(ReliabilityBins, PutAConfidenceOnABoundaryIntoTheLowerBin) {
  // Five bins: 0.6 is the upper end of the third, 1 of the last.
  const Predictions predictions = make_predictions({0, 1, 0}, {{0.6, 0.4}, {0.6, 0.4}, {1, 0}});
  const std::vector<ReliabilityBin> bins = reliability_bins(predictions, 5);
  ASSERT_EQ(bins.size(), 5u);
  EXPECT_EQ(bins[2].count, 2);
  EXPECT_DOUBLE_EQ(bins[2].confidence, 0.6);
  EXPECT_DOUBLE_EQ(bins[2].accuracy, 0.5);
  EXPECT_EQ(bins[2].accuracy_interval.low, wilson_interval(1, 2).low);
  EXPECT_EQ(bins[3].count, 0);
  EXPECT_TRUE(std::isnan(bins[3].accuracy));
  EXPECT_EQ(bins[4].count, 1);
  EXPECT_NEAR(expected_calibration_error(bins), (2 * 0.1 + 0) / 3, 1e-15);
  EXPECT_NEAR(maximum_calibration_error(bins), 0.1, 1e-15);
}

TEST(ReliabilityBins, AreWrittenWithEmptyFieldsForEmptyBins) {
  const std::string text = reliability_csv(reliability_bins(make_predictions({0}, {{0.75, 0.25}}), 2));
  EXPECT_TRUE(
      text.starts_with("low,high,count,confidence,accuracy,accuracy_low,accuracy_high\n"
                       "0,0.5,0,,,,\n0.5,1,1,0.75,1,0.206"))
      << text;
}

class TemperatureOfCase : public testing::TestWithParam<const char*> {};

TEST_P(TemperatureOfCase, EqualsThatOfScipysMinimizer) {
  const Predictions predictions = read_predictions_csv(fixture_path(GetParam() + std::string(".csv")));
  const double expected = reference()["cases"][GetParam()]["temperature"];
  EXPECT_NEAR(fit_temperature(predictions) / expected, 1, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, TemperatureOfCase, testing::Values("random", "absent"), [](const auto& test) {
  return std::string(test.param);
});

TEST(Temperature, UndoesOverconfidenceAndChangesNoPrediction) {
  Predictions sure = read_predictions_csv(fixture_path("random.csv"));
  const double fitting = fit_temperature(sure);
  sure = with_temperature(sure, 1.0 / 5);
  EXPECT_NEAR(fit_temperature(sure) / (5 * fitting), 1, 1e-6);
  const Predictions calm = with_temperature(sure, fit_temperature(sure));
  EXPECT_LT(expected_calibration_error(reliability_bins(calm)), expected_calibration_error(reliability_bins(sure)));
  for (int64_t i = 0; i < sure.size(); ++i) EXPECT_EQ(calm.predicted(i), sure.predicted(i));
}

TEST(Temperature, CannotBeFittedWithoutLabels) {
  const Predictions predictions = make_predictions({-1}, {{1, 0}});
  EXPECT_EQ(message_of(ErrorCode::bad_data, [&] { fit_temperature(predictions); }),
            "cannot fit a temperature: none of the predictions has a label");
}

}  // namespace
}  // namespace mien::evaluation
