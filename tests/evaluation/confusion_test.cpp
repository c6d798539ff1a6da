#include "mien/evaluation/confusion.h"

#include <cmath>

#include "fixtures.h"

namespace mien::evaluation {
namespace {

const std::vector<std::string> kNames = {"happy", "sad", "surprise"};
const ConfusionCounts kCounts = {{1200, 30, 0}, {50, 100, 50}, {0, 0, 0}};

TEST(ConfusionText, AlignsCountsAndTheirSum) {
  EXPECT_EQ(confusion_text(kCounts, kNames, false),
            "true \\ predicted  happy  sad  surprise   sum\n"
            "happy              1200   30         0  1230\n"
            "sad                  50  100        50   200\n"
            "surprise              0    0         0     0\n");
}

TEST(ConfusionText, GivesSharesOfTheTrueClass) {
  EXPECT_EQ(confusion_text(kCounts, kNames, true),
            "true \\ predicted  happy   sad  surprise  faces\n"
            "happy              0.98  0.02      0.00   1230\n"
            "sad                0.25  0.50      0.25    200\n"
            "surprise              -     -         -      0\n");
}

TEST(ConfusionCsv, WritesCountsOrShares) {
  EXPECT_EQ(confusion_csv(kCounts, kNames),
            "true,happy,sad,surprise\nhappy,1200,30,0\nsad,50,100,50\nsurprise,0,0,0\n");
  EXPECT_EQ(confusion_csv({{3, 1}, {0, 0}}, std::vector<std::string>{"a,b", "c"}, true),
            "true,\"a,b\",c\n\"a,b\",0.75,0.25\nc,0,0\n");
}

TEST(MostConfused, PutsMostFacesFirstThenTheLargerShare) {
  const auto pairs = most_confused({{100, 5, 5}, {5, 0, 0}, {9, 0, 1}}, 3);
  ASSERT_EQ(pairs.size(), 3u);
  EXPECT_EQ(pairs[0].truth, 2);
  EXPECT_EQ(pairs[0].predicted, 0);
  EXPECT_EQ(pairs[0].count, 9);
  EXPECT_DOUBLE_EQ(pairs[0].share_of_truth, 0.9);
  EXPECT_EQ(pairs[0].interval.low, wilson_interval(9, 10).low);
  EXPECT_EQ(pairs[1].truth, 1);  // 5 of 5 before 5 of 110
  EXPECT_EQ(pairs[2].truth, 0);
  EXPECT_EQ(pairs[2].predicted, 1);
  EXPECT_EQ(most_confused({{7, 0}, {0, 7}}, 5).size(), 0u);
  const std::string text = most_confused_csv(most_confused(kCounts, 1), kNames);
  EXPECT_TRUE(text.starts_with("true,predicted,count,share_of_true,share_low,share_high\nsad,happy,50,0.25,0.19"))
      << text;
}

TEST(TopLosses, ListTheWorstFacesFirst) {
  Predictions predictions =
      make_predictions({0, 1, -1, 1, 0}, {{0.9, 0.1}, {0.8, 0.2}, {0.5, 0.5}, {0.99, 0.01}, {0.2, 0.8}});
  predictions.rows = {10, 11, 12, 13, 14};
  const std::vector<TopLoss> losses = top_losses(predictions, 3);
  ASSERT_EQ(losses.size(), 3u);
  EXPECT_EQ(losses[0].index, 3);
  EXPECT_EQ(losses[0].row, 13);
  EXPECT_EQ(losses[0].truth, 1);
  EXPECT_EQ(losses[0].predicted, 0);
  EXPECT_NEAR(losses[0].loss, -std::log(0.01), 1e-12);
  EXPECT_EQ(losses[0].probability_of_truth, 0.01);
  EXPECT_EQ(losses[0].probability_of_predicted, 0.99);
  EXPECT_EQ(losses[1].index, 1);  // the same loss as 4, and before it
  EXPECT_EQ(losses[2].index, 4);
  EXPECT_EQ(top_losses(predictions, 100).size(), 4u);
  EXPECT_TRUE(top_losses_csv(losses, predictions.class_names)
                  .starts_with("index,row,true,predicted,loss,probability_of_true,probability_of_predicted\n"
                               "3,13,b,a,4.605170185988"));
}

TEST(CellMembers, ComeWithTheMostConfidentFirst) {
  const Predictions predictions =
      make_predictions({1, 1, 0, 1, 1, 1}, {{0.6, 0.4}, {0.9, 0.1}, {0.9, 0.1}, {0.3, 0.7}, {0.6, 0.4}, {0.7, 0.3}});
  EXPECT_EQ(cell_members(predictions, 1, 0, 10), (std::vector<int64_t>{1, 5, 0, 4}));
  EXPECT_EQ(cell_members(predictions, 1, 0, 2), (std::vector<int64_t>{1, 5}));
  EXPECT_EQ(cell_members(predictions, 1, 1, 2), (std::vector<int64_t>{3}));
  EXPECT_TRUE(cell_members(predictions, 0, 1, 2).empty());
}

}  // namespace
}  // namespace mien::evaluation
