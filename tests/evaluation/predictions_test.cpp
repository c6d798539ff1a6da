#include "mien/evaluation/predictions.h"

#include <cmath>
#include <limits>

#include "fixtures.h"

namespace mien::evaluation {
namespace {

TEST(Predictions, PredictTheLowestOfTiedClasses) {
  const Predictions predictions = make_predictions({0, 0}, {{0.2, 0.4, 0.4}, {0.1, 0.2, 0.7}});
  EXPECT_EQ(predictions.predicted(0), 1);
  EXPECT_EQ(predictions.predicted(1), 2);
}

TEST(Predictions, HaveAFiniteLossWhereTheLabelHasProbabilityZero) {
  const Predictions predictions = make_predictions({1, 0}, {{1, 0}, {1, 0}});
  EXPECT_NEAR(predictions.loss(0), 52 * std::log(2), 1e-12);
  EXPECT_NEAR(predictions.loss(1), 0, 1e-12);
}

TEST(SoftmaxRows, TakesScoresThatWouldOverflow) {
  std::vector<double> values = {1000, 1000, -1000, 0, std::log(2), 0};
  softmax_rows(values, 3, values);
  EXPECT_EQ(values, (std::vector<double>{0.5, 0.5, 0, 0.25, 0.5, 0.25}));
}

TEST(SharedFaces, AreMatchedByRowAndJudgedByOneSetOfLabels) {
  Predictions first = make_predictions({0, 1, 0}, {{1, 0}, {0.5, 0.5}, {0.25, 0.75}});
  Predictions second = make_predictions({0, 1}, {{0, 1}, {0.75, 0.25}});
  first.rows = {3, 8, 9};
  second.rows = {9, 3};
  const SharedFaces shared = shared_faces(first, second, false, "a", "b");
  EXPECT_EQ(shared.first.rows, (std::vector<int64_t>{3, 9}));
  EXPECT_EQ(shared.second.rows, shared.first.rows);
  EXPECT_EQ(shared.second.probabilities, (std::vector<double>{0.75, 0.25, 0, 1}));
  EXPECT_EQ(shared.relabeled, 1);
  EXPECT_EQ(shared.second.labels, (std::vector<int32_t>{0, 0}));
  EXPECT_EQ(shared_faces(first, second, true, "a", "b").first.labels, (std::vector<int32_t>{1, 0}));
  second.rows = {1, 2};
  EXPECT_NE(message_of(ErrorCode::bad_data, [&] { shared_faces(first, second, false, "a", "b"); }).find("no face"),
            std::string::npos);
}

TEST(CheckPredictions, NamesWhatIsWrong) {
  const Predictions good = make_predictions({0, 1}, {{1, 0}, {0.5, 0.5}});
  EXPECT_NO_THROW(check_predictions(good, "x"));
  const auto problem = [&](auto change) {
    Predictions bad = good;
    change(bad);
    return message_of(ErrorCode::bad_data, [&] { check_predictions(bad, "x"); });
  };
  EXPECT_EQ(problem([](Predictions& p) { p.class_names.clear(); }), "x: no class names");
  EXPECT_EQ(problem([](Predictions& p) { p.labels.pop_back(); }), "x: 1 labels for 2 rows of 2 classes, expected 2");
  EXPECT_EQ(problem([](Predictions& p) { p.logits.pop_back(); }), "x: 3 logits for 2 rows of 2 classes, expected 4");
  EXPECT_EQ(problem([](Predictions& p) { p.probabilities.push_back(0); }),
            "x: 5 probabilities for 2 rows of 2 classes, expected 4");
  EXPECT_EQ(problem([](Predictions& p) { p.labels[1] = 2; }), "x: row 1 has label 2, expected -1 (unknown) to 1");
  EXPECT_EQ(problem([](Predictions& p) { p.probabilities[2] = -0.5; }),
            "x: row 1 has probability -0.5 for a, expected 0 to 1");
  EXPECT_EQ(problem([](Predictions& p) { p.probabilities[3] = NAN; }),
            "x: row 1 has probability nan for b, expected 0 to 1");
  EXPECT_EQ(problem([](Predictions& p) { p.logits[1] = std::numeric_limits<double>::infinity(); }),
            "x: row 0 has logit inf for b, expected a finite number");
  EXPECT_EQ(problem([](Predictions& p) { p.probabilities[2] = 0.25; }),
            "x: the probabilities of row 1 sum to 0.75, expected 1");
}

}  // namespace
}  // namespace mien::evaluation
