#include "mien/data/preprocess.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/core/random.h"

namespace mien::data {
namespace {

using network::Normalization;

std::vector<uint8_t> random_bytes(size_t count, uint64_t seed) {
  RandomStream random(seed, "test");
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.below(256));
  return bytes;
}

std::vector<float> normalized(const std::vector<uint8_t>& image, const Normalization& normalization) {
  std::vector<float> out(image.size());
  normalize_image(image, normalization, out.data());
  return out;
}

Dataset tiny_dataset(std::vector<uint8_t> pixels) {
  Dataset dataset;
  dataset.height = dataset.width = 2;
  dataset.pixels = std::move(pixels);
  const size_t count = dataset.pixels.size() / 4;
  dataset.labels.assign(count, 0);
  dataset.usages.assign(count, Usage::training);
  dataset.source = "tiny";
  return dataset;
}

TEST(NormalizeImage, ScaleDividesBy255) {
  const std::vector<uint8_t> image{0, 1, 127, 255};
  EXPECT_EQ(normalized(image, {}), (std::vector<float>{0, 1 / 255.0F, 127 / 255.0F, 1}));
}

TEST(NormalizeImage, PerImageHasMeanZeroAndDeviationOne) {
  for (const size_t size : {2304U, 2304U * 3, 97U}) {
    const std::vector<float> out = normalized(random_bytes(size, size), {Normalization::Kind::per_image, 0, 1});
    double sum = 0;
    double squares = 0;
    for (const float value : out) {
      sum += value;
      squares += static_cast<double>(value) * value;
    }
    EXPECT_NEAR(sum / static_cast<double>(size), 0, 1e-6);
    EXPECT_NEAR(squares / static_cast<double>(size), 1, 1e-5);
  }
}

TEST(NormalizeImage, PerImageMatchesTheFormulaWorkedByHand) {
  // Levels 0, 51, 102, 255: mean 102, population deviation sqrt(9103.5) levels.
  const std::vector<float> out = normalized({0, 51, 102, 255}, {Normalization::Kind::per_image, 0, 1});
  const double deviation = std::sqrt((102.0 * 102 + 51 * 51 + 0 + 153 * 153) / 4);
  EXPECT_NEAR(out[0], -102 / deviation, 1e-6);
  EXPECT_NEAR(out[1], -51 / deviation, 1e-6);
  EXPECT_EQ(out[2], 0);
  EXPECT_NEAR(out[3], 153 / deviation, 1e-6);
}

TEST(NormalizeImage, ABlackOrEvenImageGivesZerosAndNoNan) {
  for (const uint8_t level : {0, 77, 255}) {
    for (const float value : normalized(std::vector<uint8_t>(2304, level), {Normalization::Kind::per_image, 0, 1})) {
      ASSERT_EQ(value, 0);
    }
  }
}

TEST(NormalizeImage, OneBrightPixelOnBlackIsLimitedByTheLeastDeviation) {
  std::vector<uint8_t> image(100 * 100 * 100, 0);
  image[5] = 1;  // deviation 1/255/1000 is below 1e-3
  const std::vector<float> out = normalized(image, {Normalization::Kind::per_image, 0, 1});
  EXPECT_NEAR(out[5], 1 / 255.0 / 1e-3, 1e-3);
}

TEST(NormalizeImage, DatasetUsesTheGivenMeanAndDeviation) {
  const std::vector<float> out = normalized({0, 255}, {Normalization::Kind::dataset, 0.5, 0.25});
  EXPECT_NEAR(out[0], -2, 1e-6);
  EXPECT_NEAR(out[1], 2, 1e-6);
}

TEST(NormalizeLevels, AgreesWithNormalizeImageOnWholeLevels) {
  const std::vector<uint8_t> image = random_bytes(2304, 3);
  for (const auto kind : {Normalization::Kind::scale, Normalization::Kind::per_image, Normalization::Kind::dataset}) {
    const Normalization normalization{kind, 0.4, 0.2};
    std::vector<float> levels(image.begin(), image.end());
    normalize_levels(levels, normalization);
    const std::vector<float> expected = normalized(image, normalization);
    for (size_t i = 0; i < levels.size(); ++i) ASSERT_NEAR(levels[i], expected[i], 1e-6) << i;
  }
}

TEST(FitNormalization, MeasuresTheTrainingRowsAlone) {
  const Dataset dataset = tiny_dataset({0, 0, 0, 0, 255, 255, 255, 255, 100, 100, 100, 100});
  const std::vector<int64_t> rows{0, 1};
  const Normalization fitted = fit_normalization(Normalization::Kind::dataset, dataset, rows);
  EXPECT_EQ(fitted.kind, Normalization::Kind::dataset);
  EXPECT_NEAR(fitted.mean, 0.5, 1e-12);
  EXPECT_NEAR(fitted.deviation, 0.5, 1e-12);
}

TEST(FitNormalization, LeavesOtherKindsAlone) {
  const Dataset dataset = tiny_dataset({});
  EXPECT_EQ(fit_normalization(Normalization::Kind::scale, dataset, {}).kind, Normalization::Kind::scale);
  EXPECT_EQ(fit_normalization(Normalization::Kind::per_image, dataset, {}).kind, Normalization::Kind::per_image);
}

TEST(FitNormalization, RefusesNoRowsAndRowsThatAreNotThere) {
  const Dataset dataset = tiny_dataset({1, 2, 3, 4});
  const std::vector<int64_t> beyond{1};
  EXPECT_THROW(fit_normalization(Normalization::Kind::dataset, dataset, {}), Error);
  EXPECT_THROW(fit_normalization(Normalization::Kind::dataset, dataset, beyond), Error);
}

}  // namespace
}  // namespace mien::data
