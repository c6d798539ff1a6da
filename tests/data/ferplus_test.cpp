#include "mien/data/readers/ferplus.h"

#include "data/data_testing.h"

namespace mien::data {
namespace {

constexpr const char* kHeader =
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n";

/// Four training rows labeled 0, 1, 2, 3 and two of PublicTest labeled 4, 5.
Dataset six_rows() {
  Dataset dataset = random_dataset(6, 2);
  for (size_t row = 0; row < 6; ++row) dataset.usages[row] = row < 4 ? Usage::training : Usage::public_test;
  return dataset;
}

const std::string kVotes = std::string(kHeader) +
                           "Training,a.png,1,0,0,0,8,1,0,0,0,0\n"    // anger
                           "Training,,0,0,0,0,0,0,0,0,0,10\n"        // no face
                           "Training,b.png,4,0,0,0,0,0,4,2,0,0\n"    // neutral and fear alike; FER2013 said fear
                           "Training,b.png,0,0,3,0,2,0,0,1,4,0\n"    // unknown is the most frequent
                           "PublicTest,c.png,3,3,0,0,0,0,0,3,0,1\n"  // three alike, FER2013 said sad: the lowest class
                           "PublicTest,d.png,0,0,0,6,0,0,0,4,0,0\n";

TEST(FerPlus, MajorityReplacesLabelsAndRemovesRowsThatAreNoExpression) {
  const TemporaryFolder folder;
  Dataset dataset = six_rows();
  RecordingListener listener;
  apply_ferplus(dataset, folder.write("votes.csv", kVotes), FerPlusMode::majority, listener);
  EXPECT_EQ(dataset.ids, (std::vector<int64_t>{0, 2, 4, 5}));
  EXPECT_EQ(dataset.labels, (std::vector<int32_t>{0, 2, 3, 4}));
  EXPECT_TRUE(dataset.label_distribution.empty());
  ASSERT_EQ(listener.lines.size(), 1U);
  EXPECT_NE(listener.lines[0].find("2 labels changed, 2 rows removed"), std::string::npos) << listener.lines[0];
  EXPECT_TRUE(listener.warnings.empty());
}

TEST(FerPlus, DistributionIsTheShareOfVotesForTheSevenExpressions) {
  const TemporaryFolder folder;
  Dataset dataset = six_rows();
  apply_ferplus(dataset, folder.write("votes.csv", kVotes), FerPlusMode::distribution, silent_listener());
  ASSERT_EQ(dataset.label_distribution.size(), 4U * 7);
  const std::vector<float> expected{0.8F, 0.1F, 0,    0,    0, 0, 0.1F,  //
                                    0,    0,    0.5F, 0,    0, 0, 0.5F,  //
                                    0,    0,    0,    0.5F, 0, 0, 0.5F,  //
                                    0,    0,    0,    0,    1, 0, 0};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_FLOAT_EQ(dataset.label_distribution[i], expected[i]) << i;
}

TEST(FerPlus, JoinsTrainingRowsWithoutUsageAndLeavesPrivateTestAlone) {
  const TemporaryFolder folder;
  const auto votes = folder.write("votes.csv", kVotes);
  Dataset training = random_dataset(4, 2);
  apply_ferplus(training, votes, FerPlusMode::majority, silent_listener());
  EXPECT_EQ(training.ids, (std::vector<int64_t>{0, 2}));
  Dataset with_private = concatenate(six_rows(), random_dataset(1, 2));
  with_private.usages[6] = Usage::private_test;
  with_private.labels[6] = kUnlabeled;
  apply_ferplus(with_private, votes, FerPlusMode::distribution, silent_listener());
  EXPECT_EQ(with_private.labels, (std::vector<int32_t>{0, 2, 3, 4, kUnlabeled}));
  EXPECT_FLOAT_EQ(with_private.label_distribution[4 * 7], 1.0F / 7);
}

TEST(FerPlus, JoinsByTheRowOfTheFileWhereBadRowsWereSkipped) {
  const TemporaryFolder folder;
  const auto votes = folder.write("votes.csv", kVotes);
  const Dataset whole = six_rows();
  Dataset all = whole;
  apply_ferplus(all, votes, FerPlusMode::majority, silent_listener(), 6);
  for (int64_t bad = 0; bad < 6; ++bad) {  // also the first, the last, and those at the border of two usages
    std::vector<int64_t> kept;
    for (int64_t row = 0; row < 6; ++row) {
      if (row != bad) kept.push_back(row);
    }
    Dataset dataset = whole.subset(kept);
    apply_ferplus(dataset, votes, FerPlusMode::majority, silent_listener(), 6);
    for (int64_t i = 0; i < dataset.size(); ++i) {
      const auto same = all.index_of(dataset.row_of(i));
      ASSERT_TRUE(same) << "bad row " << bad;
      EXPECT_EQ(dataset.labels[static_cast<size_t>(i)], all.labels[static_cast<size_t>(*same)]) << "bad row " << bad;
    }
  }
  Dataset training = random_dataset(4, 2).subset(std::vector<int64_t>{0, 2});
  apply_ferplus(training, votes, FerPlusMode::majority, silent_listener(), 4);
  EXPECT_EQ(training.labels, (std::vector<int32_t>{0, 2}));
}

TEST(FerPlus, ReadsQuotedCells) {
  const TemporaryFolder folder;
  Dataset dataset = six_rows();
  std::string votes = kVotes;
  for (const auto& [plain, quoted] :
       std::vector<std::pair<std::string, std::string>>{{"Training,a.png,1", "\"Training\",\"a,\"\"1\"\".png\",\"1\""},
                                                        {"Usage,Image name", "\"Usage\",\"Image name\""}})
    votes.replace(votes.find(plain), plain.size(), quoted);
  apply_ferplus(dataset, folder.write("votes.csv", votes), FerPlusMode::majority, silent_listener());
  EXPECT_EQ(dataset.labels, (std::vector<int32_t>{0, 2, 3, 4}));
}

TEST(FerPlus, RefusesRowsThatDoNotMatch) {
  const TemporaryFolder folder;
  const auto votes = folder.write("votes.csv", kVotes);
  const auto error = [&](Dataset dataset) {
    return error_of([&] { apply_ferplus(dataset, votes, FerPlusMode::majority, silent_listener()); });
  };
  Dataset lacks_one = six_rows().subset(std::vector<int64_t>{0, 1, 2, 4, 5});
  lacks_one.source_rows.clear();  // the file itself lacks the row: nothing was skipped
  const Error short_usage = error(lacks_one);
  EXPECT_EQ(short_usage.code(), ErrorCode::bad_data);
  EXPECT_NE(std::string(short_usage.what()).find("3 rows of usage Training, expected 4"), std::string::npos);
  EXPECT_NE(std::string(error(random_dataset(5, 2)).what()).find("expected 6 (all) or 4 (Training)"),
            std::string::npos);
  Dataset other_classes = six_rows();
  other_classes.class_names = {"a", "b", "c", "d", "e", "f", "g"};
  EXPECT_EQ(error(other_classes).code(), ErrorCode::bad_data);
  Dataset only_private = random_dataset(3, 2);
  only_private.usages.assign(3, Usage::private_test);
  EXPECT_EQ(error(only_private).code(), ErrorCode::bad_data);
}

TEST(FerPlus, ReportsBadVoteFiles) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& content) {
    Dataset dataset = six_rows();
    return error_of([&] {
             apply_ferplus(dataset, folder.write("votes.csv", content), FerPlusMode::majority, silent_listener());
           })
        .line();
  };
  EXPECT_NE(error("").find("no rows"), std::string::npos);
  EXPECT_NE(error(kHeader).find("no rows"), std::string::npos);
  EXPECT_NE(error("emotion,pixels\n1,2\n").find("expected the columns Usage, neutral"), std::string::npos);
  EXPECT_NE(error(std::string(kHeader) + "Training,a,1,2\n").find("line 2 has 4 cells, expected 12"),
            std::string::npos);
  EXPECT_NE(error(std::string(kHeader) + "Training,a,1,2,x,0,0,0,0,0,0,0\n").find("line 2 has 'x' votes"),
            std::string::npos);
  EXPECT_NE(error(std::string(kHeader) + "Train,a,1,2,0,0,0,0,0,0,0,0\n").find("line 2 has the Usage 'Train'"),
            std::string::npos);
  EXPECT_EQ(error_of([] { ferplus_mode("major"); }).code(), ErrorCode::usage);
}

TEST(FerPlus, WarnsWhenVotesAndLabelsHardlyEverAgree) {
  const TemporaryFolder folder;
  std::string votes = kHeader;
  for (int row = 0; row < 210; ++row) votes += "Training,a,0,10,0,0,0,0,0,0,0,0\n";  // all happy
  Dataset dataset = random_dataset(210, 2);
  RecordingListener listener;
  apply_ferplus(dataset, folder.write("votes.csv", votes), FerPlusMode::majority, listener);
  ASSERT_EQ(listener.warnings.size(), 1U);
  EXPECT_NE(listener.warnings[0].find("14 %"), std::string::npos) << listener.warnings[0];
}

}  // namespace
}  // namespace mien::data
