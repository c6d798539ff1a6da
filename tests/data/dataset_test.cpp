#include "mien/data/dataset.h"

#include <algorithm>
#include <stdexcept>

#include "data/data_testing.h"

#include "mien/data/typical_face.h"

namespace mien::data {
namespace {

TEST(Dataset, SubsetTakesRowsInTheGivenOrderWithAllThatBelongsToThem) {
  Dataset dataset = random_dataset(5, 8);
  dataset.evidence.assign(5 * 64, 0);
  for (size_t row = 0; row < 5; ++row) {
    dataset.evidence[row * 64] = static_cast<uint8_t>(row);
    for (int k = 0; k < 7; ++k) dataset.label_distribution.push_back(static_cast<float>(row));
  }
  dataset.usages[4] = Usage::training;
  const Dataset part = dataset.subset(std::vector<int64_t>{4, 1, 4});
  EXPECT_EQ(part.ids, (std::vector<int64_t>{4, 1, 4}));
  EXPECT_EQ(part.labels, (std::vector<int32_t>{4, 1, 4}));
  EXPECT_TRUE(part.usages == (std::vector{Usage::training, Usage::unknown, Usage::training}));
  EXPECT_EQ(part.evidence[0], 4);
  EXPECT_EQ(part.evidence[64], 1);
  EXPECT_EQ(part.label_distribution[7], 1.0F);
  EXPECT_TRUE(std::equal(part.image(1).begin(), part.image(1).end(), dataset.image(1).begin()));
  EXPECT_THROW(dataset.subset(std::vector<int64_t>{5}), std::out_of_range);
  EXPECT_THROW(dataset.subset(std::vector<int64_t>{-1}), std::out_of_range);
}

TEST(Dataset, ConcatenateKeepsBothPartsAndFillsInWhatOneLacks) {
  Dataset first = random_dataset(3);
  Dataset second = random_dataset(2, 8, 9);
  second.labels[1] = kUnlabeled;
  first.label_distribution.assign(3 * 7, 1.0F / 7);
  second.evidence.assign(2 * 64, 255);
  const Dataset both = concatenate(first, second);
  ASSERT_EQ(both.size(), 5);
  EXPECT_TRUE(std::equal(both.image(3).begin(), both.image(3).end(), second.image(0).begin()));
  EXPECT_EQ(both.label_distribution[3 * 7 + 0], 1.0F);  // one-hot of label 0
  EXPECT_EQ(both.label_distribution[3 * 7 + 1], 0.0F);
  EXPECT_FLOAT_EQ(both.label_distribution[4 * 7 + 2], 1.0F / 7);  // nobody knows
  ASSERT_EQ(both.evidence.size(), 5U * 64);
  EXPECT_EQ(both.evidence[2 * 64 + 63], 0);
  EXPECT_EQ(both.evidence[3 * 64], 255);
}

TEST(Dataset, ConcatenateRefusesPartsThatDoNotFit) {
  EXPECT_EQ(error_of([] { concatenate(random_dataset(1, 8), random_dataset(1, 9)); }).code(), ErrorCode::bad_data);
  Dataset other = random_dataset(1);
  other.class_names[0] = "furious";
  EXPECT_EQ(error_of([&] { concatenate(random_dataset(1), other); }).code(), ErrorCode::bad_data);
}

TEST(Dataset, ClassTableCountsEveryClassOfEveryUsage) {
  Dataset dataset = random_dataset(14);
  for (size_t row = 0; row < 14; ++row) dataset.usages[row] = row < 7 ? Usage::training : Usage::public_test;
  dataset.labels[0] = 3;
  dataset.labels[13] = kUnlabeled;
  EXPECT_EQ(class_table(dataset),
            "class          Training    share    PublicTest    share\n"
            "angry                 0    0.0 %             1   14.3 %\n"
            "disgust               1   14.3 %             1   14.3 %\n"
            "fear                  1   14.3 %             1   14.3 %\n"
            "happy                 2   28.6 %             1   14.3 %\n"
            "sad                   1   14.3 %             1   14.3 %\n"
            "surprise              1   14.3 %             1   14.3 %\n"
            "neutral               1   14.3 %             0    0.0 %\n"
            "unlabeled             0    0.0 %             1   14.3 %\n"
            "all                   7  100.0 %             7  100.0 %\n");
}

TEST(TypicalFace, IsNoBlackPictureAndNoOutlier) {
  Dataset dataset = random_dataset(9);
  dataset.labels.assign(9, 3);
  const auto fill = [&](int64_t face, auto change) {
    for (int64_t k = 0; k < dataset.pixels_per_image(); ++k) {
      uint8_t& pixel = dataset.pixels[static_cast<size_t>(face * dataset.pixels_per_image() + k)];
      pixel = static_cast<uint8_t>(change(pixel));
    }
  };
  fill(0, [](int) { return 0; });
  fill(1, [](int pixel) { return 200 + pixel / 8; });
  const auto typical = typical_face(dataset, 3);
  ASSERT_TRUE(typical);
  EXPECT_GE(*typical, 2);
  EXPECT_FALSE(typical_face(dataset, 4));
  fill(2, [](int) { return 9; });
  dataset.labels[2] = 5;
  EXPECT_FALSE(typical_face(dataset, 5)) << "a constant picture shows nothing";
}

}  // namespace
}  // namespace mien::data
