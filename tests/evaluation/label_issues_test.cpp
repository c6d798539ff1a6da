#include "mien/evaluation/label_issues.h"

#include <cmath>

#include "core/expect_error.h"
#include <gtest/gtest.h>

namespace mien::evaluation {
namespace {

/// Three classes; thresholds follow from the means of each label's own probability.
Predictions six_faces() {
  Predictions faces{.class_names = {"a", "b", "c"},
                    .rows = {0, 1, 2, 3, 4, 5},
                    .labels = {0, 0, 1, 1, 2, 2},
                    .logits = std::vector<double>(18, 0),
                    .probabilities = {0.9,
                                      0.05,
                                      0.05,  //
                                      0.1,
                                      0.8,
                                      0.1,  // labeled a, is b
                                      0.1,
                                      0.7,
                                      0.2,  //
                                      0.2,
                                      0.5,
                                      0.3,  //
                                      0.1,
                                      0.2,
                                      0.7,  //
                                      0.3,
                                      0.35,
                                      0.35}};  // unsure
  return faces;
}

TEST(LabelIssues, CountAFaceAsAnotherClassOnlyAboveThatClassesOwnMean) {
  const LabelIssues issues = find_label_issues(six_faces());
  ASSERT_EQ(issues.thresholds.size(), 3U);
  EXPECT_NEAR(issues.thresholds[0], 0.5, 1e-12);
  EXPECT_NEAR(issues.thresholds[1], 0.6, 1e-12);
  EXPECT_NEAR(issues.thresholds[2], 0.525, 1e-12);
  EXPECT_EQ(issues.is_issue, (std::vector<bool>{false, true, false, false, false, false}));
  EXPECT_EQ(issues.confident_joint, (std::vector<std::vector<int64_t>>{{1, 1, 0}, {0, 1, 0}, {0, 0, 1}}));
}

TEST(LabelIssues, RankTheWronglyLabeledFaceFirstByEveryDetector) {
  const LabelIssues issues = find_label_issues(six_faces());
  ASSERT_EQ(issues.detectors.size(), 4U);
  for (const Detector& detector : issues.detectors) EXPECT_EQ(ranked(detector.doubt).front(), 1) << detector.name;
  EXPECT_NEAR(issues.detectors[1].doubt[1], 0.9, 1e-12);
  EXPECT_NEAR(issues.detectors[2].doubt[1], (1 + 0.8 - 0.1) / 2, 1e-12);
}

TEST(LabelIssues, RefuseAFaceWithoutALabel) {
  Predictions faces = six_faces();
  faces.labels[3] = -1;
  EXPECT_THROW(find_label_issues(faces), Error);
}

TEST(RankingQuality, IsScikitLearnsAveragePrecision) {
  // average_precision_score([1, 0, 1, 0, 1], [5, 4, 3, 2, 1]) = (1/1 + 2/3 + 3/5) / 3
  const std::vector<double> doubt{5, 4, 3, 2, 1};
  const std::vector<int64_t> counts{1, 2, 4, 100};
  const RankingQuality quality = ranking_quality(doubt, {true, false, true, false, true}, counts);
  EXPECT_NEAR(quality.average_precision, (1 + 2.0 / 3 + 3.0 / 5) / 3, 1e-12);
  EXPECT_EQ(quality.precision_at, (std::vector<double>{1, 0.5, 0.5, 0.6}));
  EXPECT_EQ(ranking_quality(doubt, std::vector<bool>(5, false), counts).average_precision, 0);
}

}  // namespace
}  // namespace mien::evaluation
