#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/report/history_csv.h"

namespace mien::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const std::string kHeader =
    "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,learning_rate,seconds\n";

std::string message_of(const std::string& text) {
  try {
    parse_history_csv(text, "results.csv");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_data);
    return error.what();
  }
  return "no error";
}

TEST(HistoryCsv, IsWhatItsDocumentationSays) {
  const std::vector<EpochRow> rows{{1, 1.75, 0.25, 1.5, 0.5, 0.001, 10.85}, {2, 1.5, 0.375, kNaN, kNaN, 0.0005, 11}};
  EXPECT_EQ(history_csv(rows), kHeader + "1,1.75,0.25,1.5,0.5,0.001,10.85\n2,1.5,0.375,,,0.0005,11\n");
}

TEST(HistoryCsv, ReadsBackToTheSameBits) {
  const std::vector<EpochRow> rows{{1, 1.0 / 3, 0.1, 1e-300, 2.0 / 7, 1e-05, 1e9 / 7},
                                   {5, 0.1 + 0.2, 1, 0, 0, 3e-4, 0}};
  const std::vector<EpochRow> read = parse_history_csv(history_csv(rows), "results.csv");
  ASSERT_EQ(read.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(read[i].epoch, rows[i].epoch);
    EXPECT_EQ(read[i].train_loss, rows[i].train_loss);
    EXPECT_EQ(read[i].train_accuracy, rows[i].train_accuracy);
    EXPECT_EQ(read[i].validation_loss, rows[i].validation_loss);
    EXPECT_EQ(read[i].validation_accuracy, rows[i].validation_accuracy);
    EXPECT_EQ(read[i].learning_rate, rows[i].learning_rate);
    EXPECT_EQ(read[i].seconds, rows[i].seconds);
  }
}

TEST(HistoryCsv, ReadsAnEmptyFieldAsNaN) {
  const auto rows = parse_history_csv(kHeader + "1,1.75,0.25,,,0.001,10.85\r\n", "results.csv");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_TRUE(std::isnan(rows[0].validation_loss));
  EXPECT_TRUE(std::isnan(rows[0].validation_accuracy));
  EXPECT_EQ(rows[0].seconds, 10.85);
}

TEST(HistoryCsv, SaysWhichLineIsWrong) {
  EXPECT_EQ(message_of(""), "results.csv: it is empty, expected a header and one line an epoch");
  EXPECT_EQ(message_of("epoch,loss\n"),
            "results.csv:1: the header is 'epoch,loss', expected '" + kHeader.substr(0, kHeader.size() - 1) + "'");
  EXPECT_EQ(message_of(kHeader + "1,1,1,1,1,1,1\n2,1\n"), "results.csv:3: 2 fields, expected 7");
  EXPECT_EQ(message_of(kHeader + "1,1,good,1,1,1,1\n"),
            "results.csv:2: train_accuracy is 'good', expected a number or nothing");
  EXPECT_EQ(message_of(kHeader + "1.5,1,1,1,1,1,1\n"), "results.csv:2: epoch is '1.5', expected a whole number");
  EXPECT_EQ(message_of(kHeader + "2,1,1,1,1,1,1\n2,1,1,1,1,1,1\n"),
            "results.csv:3: epoch 2 follows epoch 2, expected a larger one");
}

TEST(BestEpoch, IsTheEarliestOfEquals) {
  EXPECT_EQ(best_epoch(std::vector<EpochRow>{{1, 0, 0, 0, 0.5}, {2, 0, 0, 0, 0.7}, {3, 0, 0, 0, 0.7}}), 1u);
}

TEST(BestEpoch, PassesOverEpochsWithoutValidation) {
  EXPECT_EQ(best_epoch(std::vector<EpochRow>{{1, 0, 0, 0, kNaN}, {2, 0, 0, 0, 0.1}}), 1u);
  EXPECT_EQ(best_epoch(std::vector<EpochRow>{{1, 0, 0, 0, kNaN}}), std::nullopt);
  EXPECT_EQ(best_epoch({}), std::nullopt);
}

}  // namespace
}  // namespace mien::report
