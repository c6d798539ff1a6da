// What is known of FER2013 itself. Set MIEN_FER2013 to the folder with fer2013.csv, icml_face_data.csv, train.csv,
// test.csv, and MIEN_FERPLUS to fer2013new.csv.
#include <algorithm>
#include <numeric>

#include "data/data_testing.h"

#include "mien/data/class_weights.h"
#include "mien/data/leak_check.h"
#include "mien/data/readers/csv_reader.h"
#include "mien/data/readers/ferplus.h"

namespace mien::data {
namespace {

class Fer2013 : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fer2013_folder()) GTEST_SKIP() << "MIEN_FER2013 names no folder with FER2013";
  }
  static Dataset read(const char* name) { return read_csv(*fer2013_folder() / name, {}, silent_listener()); }
};

std::vector<int64_t> rows_of(const Dataset& dataset, Usage usage) {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    if (dataset.usages[static_cast<size_t>(row)] == usage) rows.push_back(row);
  }
  return rows;
}

TEST_F(Fer2013, HasTheKnownClassCountsInAllItsForms) {
  const Dataset whole = read("fer2013.csv");
  const std::vector<int64_t> training{3995, 436, 4097, 7215, 4830, 3171, 4965};
  EXPECT_EQ(class_counts(whole, rows_of(whole, Usage::training)), training);
  EXPECT_EQ(class_counts(whole, rows_of(whole, Usage::public_test)),
            (std::vector<int64_t>{467, 56, 496, 895, 653, 415, 607}));
  expect_same(read("icml_face_data.csv"), whole);
  const Dataset train = read("train.csv");
  EXPECT_EQ(class_counts(train), training);
  EXPECT_TRUE(train.pixels == whole.subset(rows_of(whole, Usage::training)).pixels);
  EXPECT_TRUE(read("course_train.csv").pixels == train.pixels);
  const Dataset test = read("test.csv");
  EXPECT_EQ(test.size(), 7178);
  const Dataset course_test = read("course_test.csv");
  EXPECT_TRUE(course_test.pixels == test.pixels);
  EXPECT_EQ(course_test.ids, test.ids);
}

TEST_F(Fer2013, HasTheKnownCopiesAndLeaks) {
  Dataset train = read("train.csv");
  Dataset test = read("test.csv");
  train.usages.assign(train.labels.size(), Usage::training);
  for (size_t row = 0; row < test.usages.size(); ++row)
    test.usages[row] = row < 3589 ? Usage::public_test : Usage::private_test;
  const Dataset all = concatenate(train, test);
  const LeakReport report = check_leaks(all);
  EXPECT_EQ(report.images, 35'887);
  EXPECT_EQ(report.distinct, 34'034);
  EXPECT_EQ(report.copies.size(), 1'516U);
  EXPECT_EQ(report.constant,
            (std::vector<int64_t>{6458, 7629, 10423, 11286, 13148, 13402, 13988, 15894, 22198, 22927, 28601, 30002}));
  const auto is_public = [](int64_t row) { return row < 28'709 + 3'589; };
  EXPECT_EQ(std::count_if(report.test_in_training.begin(), report.test_in_training.end(), is_public), 280);
  EXPECT_EQ(report.test_in_training.size(), 568U);
  // Pairs that correlate this much show the same photograph, so their labels agree far more often than chance (19 %).
  int64_t agreeing = 0;
  int64_t labeled = 0;
  for (const NearCopy& pair : report.near_copies) {
    const int32_t a = all.labels[static_cast<size_t>(pair.first)];
    const int32_t b = all.labels[static_cast<size_t>(pair.second)];
    if (a == kUnlabeled || b == kUnlabeled) continue;
    ++labeled;
    agreeing += a == b ? 1 : 0;
  }
  EXPECT_GT(labeled, 500);
  EXPECT_GT(agreeing, labeled * 7 / 10);
}

TEST_F(Fer2013, JoinsItsFerPlusVotesByRow) {
  const char* const votes = std::getenv("MIEN_FERPLUS");
  if (votes == nullptr || *votes == '\0') GTEST_SKIP() << "MIEN_FERPLUS names no fer2013new.csv";
  const Dataset before = read("fer2013.csv");
  Dataset whole = before;
  RecordingListener listener;
  apply_ferplus(whole, votes, FerPlusMode::distribution, listener);
  EXPECT_TRUE(listener.warnings.empty()) << listener.warnings.at(0);
  int64_t agreeing = 0;
  for (size_t row = 0; row < whole.labels.size(); ++row) {
    agreeing += whole.labels[row] == before.labels[static_cast<size_t>(whole.ids[row])] ? 1 : 0;
    const auto shares = whole.label_distribution.begin() + static_cast<int64_t>(row) * 7;
    ASSERT_NEAR(std::accumulate(shares, shares + 7, 0.0F), 1.0F, 1e-5F);
  }
  const double agreement = static_cast<double>(agreeing) / static_cast<double>(whole.size());
  EXPECT_GT(agreement, 0.6);
  EXPECT_LT(agreement, 0.75);
  Dataset train = read("train.csv");
  apply_ferplus(train, votes, FerPlusMode::majority, silent_listener());
  const auto training = rows_of(whole, Usage::training);
  EXPECT_EQ(train.labels, whole.subset(training).labels);
  ASSERT_EQ(listener.lines.size(), 1U);
  EXPECT_EQ(listener.lines[0],
            "FER+ votes: 10,882 labels changed, 545 rows removed (contempt, unknown or no face), 31,753 rows left");
}

}  // namespace
}  // namespace mien::data
