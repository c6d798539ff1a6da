#include "mien/data/augmentation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/core/parallel.h"
#include "mien/core/random.h"
#include "mien/data/preprocess.h"

namespace mien::data {
namespace {

using network::Normalization;

constexpr int64_t kSide = 48;
const Normalization kScale{};
const Normalization kPerImage{Normalization::Kind::per_image, 0, 1};

std::vector<uint8_t> random_image(uint64_t seed, int64_t size = kSide * kSide) {
  RandomStream random(seed, "test");
  std::vector<uint8_t> bytes(static_cast<size_t>(size));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.below(256));
  return bytes;
}

std::vector<uint8_t> dot_image(int64_t x, int64_t y) {
  std::vector<uint8_t> image(kSide * kSide, 0);
  image[static_cast<size_t>(y * kSide + x)] = 255;
  return image;
}

std::vector<float> applied(const std::vector<uint8_t>& image,
                           const Augmentation& augmentation,
                           const Normalization& normalization = kScale,
                           const AugmentOptions& options = {}) {
  std::vector<float> out(image.size(), -1);
  Augmenter(options, kSide, kSide).apply(image, augmentation, normalization, out.data());
  return out;
}

struct Center {
  double x = 0, y = 0;
};

/// Where the light of a picture is on average.
Center center_of_light(const std::vector<float>& picture) {
  Center center;
  double total = 0;
  for (int64_t i = 0; i < kSide * kSide; ++i) {
    const double level = picture[static_cast<size_t>(i)];
    center.x += level * static_cast<double>(i % kSide);
    center.y += level * static_cast<double>(i / kSide);
    total += level;
  }
  return {center.x / total, center.y / total};
}

AugmentOptions everything() {
  AugmentOptions options;
  options.flip = options.erase = 0.5;
  options.rotate = 15;
  options.shift = options.zoom = options.brightness = options.contrast = 0.1;
  options.shear = 10;
  return options;
}

TEST(Augmenter, DoesNothingByDefault) {
  const AugmentOptions options;
  EXPECT_FALSE(options.any());
  const std::vector<uint8_t> image = random_image(1);
  for (const Normalization& normalization : {kScale, kPerImage}) {
    std::vector<float> expected(image.size());
    normalize_image(image, normalization, expected.data());
    std::vector<float> out(image.size());
    Augmenter(options, kSide, kSide).apply(image, 1, 2, 3, normalization, out.data());
    EXPECT_EQ(out, expected);  // to the bit
  }
}

TEST(Augmenter, AFlipIsTheExactMirrorImage) {
  const std::vector<uint8_t> image = random_image(2, 3 * kSide * kSide);
  std::vector<uint8_t> mirrored(image.size());
  for (int64_t line = 0; line < 3 * kSide; ++line) {
    std::reverse_copy(&image[line * kSide], &image[line * kSide] + kSide, &mirrored[line * kSide]);
  }
  for (const Normalization& normalization : {kScale, kPerImage}) {
    std::vector<float> expected(image.size());
    normalize_image(mirrored, normalization, expected.data());
    EXPECT_EQ(applied(image, {.flip = true}, normalization), expected);
  }
}

TEST(Augmenter, AFlipThroughTheSamplerIsTheMirrorImageToo) {
  const AffineMap map = Augmentation{.flip = true}.map(kSide, kSide);
  EXPECT_EQ(map, (AffineMap{-1, 0, kSide - 1, 0, 1, 0}));
}

TEST(Augmenter, TheMapOfNoChangeIsTheIdentity) {
  EXPECT_EQ(Augmentation{}.map(kSide, kSide), AffineMap{});
  EXPECT_EQ(Augmentation{}.map(33, 64), AffineMap{});
}

TEST(Augmenter, AShiftByWholePixelsIsExact) {
  const std::vector<uint8_t> image = random_image(3);
  for (const bool repeats : {true, false}) {
    AugmentOptions options;
    options.border = repeats ? "edge" : "black";
    const std::vector<float> out = applied(image, {.shift_x = 5, .shift_y = -3}, kScale, options);
    for (int64_t y = 0; y < kSide; ++y) {
      for (int64_t x = 0; x < kSide; ++x) {
        const int64_t from_x = x - 5;
        const int64_t from_y = y + 3;
        const bool outside = from_x < 0 || from_y >= kSide;
        const int64_t near = std::min<int64_t>(from_y, kSide - 1) * kSide + std::max<int64_t>(from_x, 0);
        const float expected = outside && !repeats ? 0 : static_cast<float>(image[static_cast<size_t>(near)]) / 255;
        ASSERT_EQ(out[static_cast<size_t>(y * kSide + x)], expected) << x << ' ' << y << ' ' << options.border;
      }
    }
  }
}

TEST(Augmenter, AShiftByHalfAPixelIsTheMeanOfNeighbors) {
  const std::vector<uint8_t> image = random_image(4);
  const std::vector<float> out = applied(image, {.shift_x = 0.5});
  for (size_t x = 1; x < kSide; ++x) {
    EXPECT_NEAR(out[7 * kSide + x], (image[7 * kSide + x - 1] + image[7 * kSide + x]) / 510.0, 1e-6);
  }
}

TEST(Augmenter, ATurnMovesADotWhereGeometrySays) {
  for (const double degrees : {-30.0, -7.0, 12.0, 45.0, 90.0}) {
    const Center found = center_of_light(applied(dot_image(36, 20), {.angle_degrees = degrees}));
    const double angle = degrees * 3.14159265358979 / 180;
    const double dx = 36 - 23.5;
    const double dy = 20 - 23.5;
    // Clockwise as seen, with y downwards.
    EXPECT_NEAR(found.x, 23.5 + std::cos(angle) * dx - std::sin(angle) * dy, 0.3) << degrees;
    EXPECT_NEAR(found.y, 23.5 + std::sin(angle) * dx + std::cos(angle) * dy, 0.3) << degrees;
  }
}

TEST(Augmenter, AQuarterTurnClockwiseBringsTheTopToTheRight) {
  const Center found = center_of_light(applied(dot_image(23, 4), {.angle_degrees = 90}));
  EXPECT_NEAR(found.x, 43, 0.05);
  EXPECT_NEAR(found.y, 23, 0.05);
}

TEST(Augmenter, ZoomGrowsDistancesFromTheCenter) {
  const Center found = center_of_light(applied(dot_image(33, 13), {.zoom = 1.5}));
  EXPECT_NEAR(found.x, 23.5 + 1.5 * 9.5, 0.3);
  EXPECT_NEAR(found.y, 23.5 - 1.5 * 10.5, 0.3);
}

TEST(Augmenter, ShearMovesTheLowerHalfToTheRight) {
  const Center found = center_of_light(applied(dot_image(24, 40), {.shear_degrees = 20}));
  EXPECT_NEAR(found.x, 24 + std::tan(20 * 3.14159265 / 180) * (40 - 23.5), 0.3);
  EXPECT_NEAR(found.y, 40, 0.1);
}

TEST(Augmenter, AllMovesTogetherAreDoneInTheStatedOrder) {
  // mirror, shear, turn, zoom about the center, then shift
  const Augmentation all{
      .flip = true, .angle_degrees = 20, .shift_x = 2, .shift_y = -1, .zoom = 0.9, .shear_degrees = 8};
  const double angle = 20 * 3.14159265358979 / 180;
  double x = -(33 - 23.5);
  const double y = 18 - 23.5;
  x += std::tan(8 * 3.14159265358979 / 180) * y;
  const Center found = center_of_light(applied(dot_image(33, 18), all));
  EXPECT_NEAR(found.x, 23.5 + 2 + 0.9 * (std::cos(angle) * x - std::sin(angle) * y), 0.3);
  EXPECT_NEAR(found.y, 23.5 - 1 + 0.9 * (std::sin(angle) * x + std::cos(angle) * y), 0.3);
}

TEST(Augmenter, AnEvenImageStaysEvenWhereEdgesRepeat) {
  const std::vector<uint8_t> even(kSide * kSide, 90);
  for (const float value : applied(even, {.angle_degrees = 33, .shift_x = 20.3, .zoom = 0.4})) {
    ASSERT_FLOAT_EQ(value, 90 / 255.0F);
  }
}

TEST(Augmenter, BrightnessAndContrastFollowTheirFormulaAndClamp) {
  std::vector<uint8_t> image(kSide * kSide, 100);
  std::fill(image.begin(), image.begin() + kSide * kSide / 2, uint8_t{200});  // mean 150
  const std::vector<float> out = applied(image, {.brightness = 10, .contrast = 0.5});
  EXPECT_NEAR(out.front(), (150 + 0.5 * 50 + 10) / 255, 1e-6);
  EXPECT_NEAR(out.back(), (150 - 0.5 * 50 + 10) / 255, 1e-6);
  EXPECT_EQ(applied(image, {.brightness = 200}).front(), 1);
  EXPECT_EQ(applied(image, {.brightness = -200}).back(), 0);
}

TEST(Augmenter, ErasingFillsExactlyItsRectangleWithTheMean) {
  const std::vector<uint8_t> image = random_image(5);
  const double mean = std::accumulate(image.begin(), image.end(), 0.0) / (255.0 * kSide * kSide);
  const std::vector<float> out =
      applied(image, {.erase_left = 40, .erase_top = 3, .erase_width = 8, .erase_height = 5});
  for (int64_t y = 0; y < kSide; ++y) {
    for (int64_t x = 0; x < kSide; ++x) {
      const auto i = static_cast<size_t>(y * kSide + x);
      const bool inside = x >= 40 && y >= 3 && y < 8;
      ASSERT_NEAR(out[i], inside ? mean : image[i] / 255.0, 1e-6) << x << ' ' << y;
    }
  }
}

TEST(Augmenter, ABlackImageGivesNoNanWhateverIsDone) {
  const std::vector<uint8_t> black(kSide * kSide, 0);
  const Augmenter augmenter(everything(), kSide, kSide);
  std::vector<float> out(black.size());
  for (int64_t row = 0; row < 50; ++row) {
    augmenter.apply(black, 1, 1, row, kPerImage, out.data());
    ASSERT_TRUE(std::all_of(out.begin(), out.end(), [](float value) { return std::isfinite(value); })) << row;
  }
}

TEST(Augmenter, AnAugmentedImageIsNormalizedAfterwards) {
  const std::vector<uint8_t> image = random_image(6);
  std::vector<float> out(image.size());
  for (int64_t row = 0; row < 20; ++row) {
    Augmenter(everything(), kSide, kSide).apply(image, 1, 1, row, kPerImage, out.data());
    EXPECT_NEAR(std::accumulate(out.begin(), out.end(), 0.0) / (kSide * kSide), 0, 1e-5);
    EXPECT_NEAR(std::inner_product(out.begin(), out.end(), out.begin(), 0.0) / (kSide * kSide), 1, 1e-4);
  }
}

TEST(Augmenter, RefusesAnImageOfAnotherSize) {
  const std::vector<uint8_t> image(100);
  std::vector<float> out(100);
  EXPECT_THROW(Augmenter({}, kSide, kSide).apply(image, 1, 1, 1, kScale, out.data()), Error);
}

TEST(AugmentationDraws, FillTheirRangesAndNothingBeyond) {
  AugmentOptions options = everything();
  options.erase_size = 0.2;
  const Augmenter augmenter(options, kSide, kSide);
  constexpr int kCount = 20000;
  int flips = 0;
  int erased = 0;
  double largest_angle = 0;
  double sum_of_angles = 0;
  double sum_of_squares = 0;
  double largest_area = 0;
  for (int64_t row = 0; row < kCount; ++row) {
    const Augmentation drawn = augmenter.draw(7, 0, row);
    flips += drawn.flip ? 1 : 0;
    ASSERT_LE(std::abs(drawn.angle_degrees), 15);
    ASSERT_LE(std::abs(drawn.shift_x), 4.8);
    ASSERT_LE(std::abs(drawn.shift_y), 4.8);
    ASSERT_LE(std::abs(drawn.zoom - 1), 0.1 + 1e-12);
    ASSERT_LE(std::abs(drawn.shear_degrees), 10);
    ASSERT_LE(std::abs(drawn.brightness), 25.5);
    ASSERT_LE(std::abs(drawn.contrast - 1), 0.1 + 1e-12);
    largest_angle = std::max(largest_angle, std::abs(drawn.angle_degrees));
    sum_of_angles += drawn.angle_degrees;
    sum_of_squares += drawn.angle_degrees * drawn.angle_degrees;
    if (drawn.erase_width > 0) {
      ++erased;
      ASSERT_GE(drawn.erase_left, 0);
      ASSERT_GE(drawn.erase_top, 0);
      ASSERT_LE(drawn.erase_left + drawn.erase_width, kSide);
      ASSERT_LE(drawn.erase_top + drawn.erase_height, kSide);
      const double area = static_cast<double>(drawn.erase_width * drawn.erase_height) / (kSide * kSide);
      ASSERT_LE(area, 0.2);
      largest_area = std::max(largest_area, area);
    }
  }
  EXPECT_NEAR(flips, kCount / 2, 350);  // five deviations
  EXPECT_NEAR(erased, kCount / 2, 350);
  EXPECT_GT(largest_angle, 14.9);
  EXPECT_GT(largest_area, 0.18);
  EXPECT_NEAR(sum_of_angles / kCount, 0, 0.31);
  EXPECT_NEAR(sum_of_squares / kCount, 15.0 * 15 / 3, 2.5);  // variance of a uniform number
}

TEST(AugmentationDraws, DependOnSeedEpochAndRowAlone) {
  const Augmenter augmenter(everything(), kSide, kSide);
  const std::vector<uint8_t> image = random_image(8);
  const auto outcome = [&](uint64_t seed, int64_t epoch, int64_t row) {
    std::vector<float> out(image.size());
    augmenter.apply(image, seed, epoch, row, kScale, out.data());
    return out;
  };
  EXPECT_EQ(outcome(1, 2, 3), outcome(1, 2, 3));
  const std::set<std::vector<float>> different{
      outcome(1, 2, 3), outcome(2, 2, 3), outcome(1, 3, 3), outcome(1, 2, 4), outcome(1, 3, 2)};
  EXPECT_EQ(different.size(), 5U);
}

TEST(AugmentationDraws, OneOptionDoesNotChangeWhatOthersDraw) {
  AugmentOptions turned;
  turned.rotate = 10;
  AugmentOptions both = turned;
  both.flip = both.erase = 0.5;
  for (int64_t row = 0; row < 100; ++row) {
    EXPECT_EQ(Augmenter(turned, kSide, kSide).draw(1, 1, row).angle_degrees,
              Augmenter(both, kSide, kSide).draw(1, 1, row).angle_degrees);
  }
}

TEST(AugmentationDraws, DoNotDependOnThreads) {
  const Augmenter augmenter(everything(), kSide, kSide);
  const std::vector<uint8_t> image = random_image(9);
  const auto batch = [&](int count) {
    set_threads(count);
    std::vector<float> out(64 * image.size());
    parallel_for(64, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        augmenter.apply(image, 5, 1, row, kPerImage, out.data() + row * kSide * kSide);
      }
    });
    set_threads(0);
    return out;
  };
  EXPECT_EQ(batch(1), batch(4));
}

TEST(AugmentOptions, EveryFieldThatDoesSomethingCountsAsAny) {
  for (double AugmentOptions::*field : {&AugmentOptions::flip,
                                        &AugmentOptions::rotate,
                                        &AugmentOptions::shift,
                                        &AugmentOptions::zoom,
                                        &AugmentOptions::shear,
                                        &AugmentOptions::brightness,
                                        &AugmentOptions::contrast,
                                        &AugmentOptions::erase,
                                        &AugmentOptions::mixup,
                                        &AugmentOptions::cutmix}) {
    AugmentOptions options;
    options.*field = 0.1;
    EXPECT_TRUE(options.any());
  }
}

TEST(AugmentOptions, BindDeclaresEveryFieldOnce) {
  AugmentOptions options;
  OptionSet set;
  options.bind(set);
  set.set("rotate", "15", Origin::command_line, "--rotate 15");
  set.set("border", "black", Origin::command_line, "--border black");
  EXPECT_EQ(options.rotate, 15);
  EXPECT_EQ(options.border, "black");
  EXPECT_THROW(set.set("flip", "1.5", Origin::command_line, "--flip 1.5"), Error);
  EXPECT_THROW(set.set("border", "gray", Origin::command_line, "--border gray"), Error);
}

/// Images whose every pixel is the row's number, and one-hot targets.
struct Batch {
  static constexpr int64_t kCount = 14, kClasses = 7;
  std::vector<float> images = std::vector<float>(kCount * kSide * kSide);
  std::vector<float> targets = std::vector<float>(kCount * kClasses, 0);
  Batch() {
    for (int64_t row = 0; row < kCount; ++row) {
      std::fill_n(images.begin() + row * kSide * kSide, kSide * kSide, static_cast<float>(row));
      targets[static_cast<size_t>(row * kClasses + row % kClasses)] = 1;
    }
  }
  BatchMix mix(const AugmentOptions& options, int64_t step) {
    return mix_batch(images.data(), targets.data(), kCount, 1, kSide, kSide, kClasses, options, 1, 1, step);
  }
  float target_sum(int64_t row) const {
    return std::accumulate(targets.begin() + row * kClasses, targets.begin() + (row + 1) * kClasses, 0.0F);
  }
};

TEST(MixBatch, MixupBlendsImagesAndTargetsAlike) {
  AugmentOptions options;
  options.mixup = 0.4;
  for (int64_t step = 0; step < 50; ++step) {
    Batch batch;
    const BatchMix mix = batch.mix(options, step);
    ASSERT_EQ(mix.kind, BatchMix::Kind::mixup);
    ASSERT_GE(mix.lambda, 0);
    ASSERT_LE(mix.lambda, 1);
    const std::set<int64_t> partners(mix.partner.begin(), mix.partner.end());
    ASSERT_EQ(partners.size(), static_cast<size_t>(Batch::kCount));  // a permutation
    for (int64_t row = 0; row < Batch::kCount; ++row) {
      const int64_t partner = mix.partner[static_cast<size_t>(row)];
      const double pixel = mix.lambda * static_cast<double>(row) + (1 - mix.lambda) * static_cast<double>(partner);
      ASSERT_NEAR(batch.images[static_cast<size_t>(row * kSide * kSide + 1000)], pixel, 1e-5);
      ASSERT_NEAR(batch.target_sum(row), 1, 1e-6);
      const float own = batch.targets[static_cast<size_t>(row * Batch::kClasses + row % Batch::kClasses)];
      ASSERT_NEAR(own, partner % Batch::kClasses == row % Batch::kClasses ? 1 : mix.lambda, 1e-6);
    }
  }
}

TEST(MixBatch, CutMixPastesTheShareThatItsTargetsSay) {
  AugmentOptions options;
  options.cutmix = 1;
  double mean_lambda = 0;
  for (int64_t step = 0; step < 200; ++step) {
    Batch batch;
    const BatchMix mix = batch.mix(options, step);
    ASSERT_EQ(mix.kind, BatchMix::Kind::cutmix);
    mean_lambda += mix.lambda / 200;
    for (int64_t row = 0; row < Batch::kCount; ++row) {
      const int64_t partner = mix.partner[static_cast<size_t>(row)];
      int64_t own = 0;
      for (int64_t i = 0; i < kSide * kSide; ++i) {
        const float pixel = batch.images[static_cast<size_t>(row * kSide * kSide + i)];
        const bool in_box =
            i % kSide >= mix.left && i % kSide < mix.right && i / kSide >= mix.top && i / kSide < mix.bottom;
        ASSERT_EQ(pixel, static_cast<float>(in_box ? partner : row));
        own += in_box ? 0 : 1;
      }
      ASSERT_NEAR(mix.lambda, static_cast<double>(own) / (kSide * kSide), 1e-9);
      ASSERT_NEAR(batch.target_sum(row), 1, 1e-6);
    }
  }
  EXPECT_GT(mean_lambda, 0.5);  // Beta(1,1) has mean 0.5 and boxes lose what hangs over the border
  EXPECT_LT(mean_lambda, 0.8);
}

TEST(MixBatch, BothOptionsShareTheBatchesEvenly) {
  AugmentOptions options;
  options.mixup = options.cutmix = 1;
  int cut = 0;
  for (int64_t step = 0; step < 1000; ++step) {
    cut += draw_batch_mix(options, 8, kSide, kSide, 1, 1, step).kind == BatchMix::Kind::cutmix ? 1 : 0;
  }
  EXPECT_NEAR(cut, 500, 80);
}

TEST(MixBatch, LeavesBatchesAloneWhenOff) {
  Batch batch;
  EXPECT_EQ(batch.mix({}, 0).kind, BatchMix::Kind::none);
  EXPECT_EQ(batch.images, Batch().images);
  EXPECT_EQ(batch.targets, Batch().targets);
}

TEST(MixBatch, RepeatsForTheSameStepAndDiffersForAnother) {
  AugmentOptions options;
  options.mixup = 1;
  const auto lambda = [&](uint64_t seed, int64_t epoch, int64_t step) {
    return draw_batch_mix(options, 8, kSide, kSide, seed, epoch, step).lambda;
  };
  EXPECT_EQ(lambda(1, 2, 3), lambda(1, 2, 3));
  EXPECT_EQ((std::set{lambda(1, 2, 3), lambda(2, 2, 3), lambda(1, 3, 3), lambda(1, 2, 4)}).size(), 4U);
}

}  // namespace
}  // namespace mien::data
