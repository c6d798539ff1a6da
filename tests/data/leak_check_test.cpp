#include "mien/data/leak_check.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/data_testing.h"

#include "mien/data/label_conflicts.h"

namespace mien::data {
namespace {

constexpr int64_t kSide = 48;

/// Smooth random pictures, as unlike one another as faces are.
Dataset blobs(int64_t count, uint64_t seed = 1) {
  Dataset dataset = random_dataset(count, 1);
  dataset.height = dataset.width = kSide;
  dataset.pixels.clear();
  for (int64_t row = 0; row < count; ++row) {
    RandomStream random(seed, "blobs", static_cast<uint64_t>(row));
    std::array<std::array<double, 4>, 8> waves{};
    for (auto& wave : waves)
      wave = {random.uniform(-0.4, 0.4), random.uniform(-0.4, 0.4), random.uniform(0, 6.3), random.normal()};
    for (int64_t y = 0; y < kSide; ++y) {
      for (int64_t x = 0; x < kSide; ++x) {
        double value = 128;
        for (const auto& [fx, fy, phase, size] : waves) {
          value += 14 * size * std::sin(fx * static_cast<double>(x) + fy * static_cast<double>(y) + phase);
        }
        dataset.pixels.push_back(static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)));
      }
    }
  }
  return dataset;
}

uint8_t* image_of(Dataset& dataset, int64_t row) { return dataset.pixels.data() + row * dataset.pixels_per_image(); }

void copy_image(Dataset& dataset, int64_t from, int64_t to) {
  std::copy_n(image_of(dataset, from), dataset.pixels_per_image(), image_of(dataset, to));
}

/// Row `to` becomes row `from` with another brightness, contrast and light noise.
void copy_roughly(Dataset& dataset, int64_t from, int64_t to) {
  RandomStream random(5, "noise", static_cast<uint64_t>(to));
  for (int64_t i = 0; i < dataset.pixels_per_image(); ++i) {
    const double value = 0.8 * image_of(dataset, from)[i] + 30 + 3 * random.normal();
    image_of(dataset, to)[i] = static_cast<uint8_t>(std::clamp(value, 0.0, 255.0));
  }
}

void mirror_image(Dataset& dataset, int64_t row) {
  for (int64_t y = 0; y < kSide; ++y)
    std::reverse(image_of(dataset, row) + y * kSide, image_of(dataset, row) + (y + 1) * kSide);
}

std::vector<int64_t> range(int64_t begin, int64_t end) {
  std::vector<int64_t> rows(static_cast<size_t>(end - begin));
  std::iota(rows.begin(), rows.end(), begin);
  return rows;
}

Split split_60_20_20() { return {range(0, 60), range(60, 80), range(80, 100), "given"}; }

TEST(LeakCheck, FindsNothingWhereNothingIs) {
  const Dataset dataset = blobs(100);
  const Split split = split_60_20_20();
  const LeakReport report = check_leaks(dataset, &split);
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(report.distinct, 100);
  EXPECT_TRUE(report.copies.empty());
  EXPECT_TRUE(report.near_copies.empty());
  EXPECT_TRUE(report.constant.empty());
  EXPECT_EQ(report.line(), "");
  EXPECT_EQ(drop_leaks(split, report).training, split.training);
}

TEST(LeakCheck, SaysOfEverySplitTheSameFromCopiesThatWereFoundOnce) {
  Dataset dataset = blobs(100);
  copy_image(dataset, 3, 70);
  copy_roughly(dataset, 5, 90);
  std::fill_n(image_of(dataset, 99), dataset.pixels_per_image(), uint8_t{7});
  const ImageCopies copies = find_copies(dataset);
  const Split one = split_60_20_20();
  const Split other{range(40, 100), range(0, 20), range(20, 40), "given"};
  for (const Split* split : {&one, &other}) {
    const LeakReport report = check_leaks(dataset, split, copies);
    const LeakReport fresh = check_leaks(dataset, split);
    EXPECT_EQ(report.table(dataset), fresh.table(dataset));
    EXPECT_EQ(report.line(), fresh.line());
    EXPECT_EQ(report.near_copies, fresh.near_copies);
  }
  EXPECT_EQ(check_leaks(dataset, &one, copies).leaking_training, std::vector<int64_t>{3});
  EXPECT_EQ(check_leaks(dataset, &one, copies).near_leaking_training, std::vector<int64_t>{5});
  EXPECT_EQ(check_leaks(dataset, &other, copies).leaking_training, std::vector<int64_t>{70});
  EXPECT_EQ(check_leaks(dataset, &other, copies).near_leaking_training, std::vector<int64_t>{90});
}

TEST(LeakCheck, FindsExactCopiesTheirConflictsAndTheirLeaks) {
  Dataset dataset = blobs(100);
  copy_image(dataset, 3, 10);  // within training
  copy_image(dataset, 3, 85);  // test
  copy_image(dataset, 20, 70);
  copy_image(dataset, 62, 90);  // validation and test: no leak into training
  const Split split = split_60_20_20();
  const LeakReport report = check_leaks(dataset, &split);
  EXPECT_EQ(report.distinct, 96);
  EXPECT_EQ(report.copies, (std::vector<std::vector<int64_t>>{{3, 10, 85}, {20, 70}, {62, 90}}));
  EXPECT_EQ(report.conflicting, (std::vector<int64_t>{0, 1}));  // labels are 3 3 1, 6 0 and 6 6
  EXPECT_EQ(report.leaking_training, (std::vector<int64_t>{3, 10, 20}));
  EXPECT_EQ(report.validation_in_training, std::vector<int64_t>{70});
  EXPECT_EQ(report.test_in_training, std::vector<int64_t>{85});
  EXPECT_TRUE(report.near_leaking_training.empty());
  EXPECT_EQ(report.line(),
            "1 of 20 validation rows have an exact copy in training; 1 of 20 test rows have an exact copy in training "
            "(3 training rows concerned)");
  const Split dropped = drop_leaks(split, report);
  EXPECT_EQ(dropped.training.size(), 57U);
  EXPECT_EQ(dropped.validation, split.validation);
  EXPECT_EQ(dropped.test, split.test);
  EXPECT_TRUE(check_leaks(dataset, &dropped).clean());
}

TEST(LeakCheck, IgnoresMissingLabelsWhenItLooksForConflicts) {
  Dataset dataset = blobs(10);
  copy_image(dataset, 0, 7);  // labels 0 and 0
  copy_image(dataset, 1, 3);  // labels 1 and 3
  copy_image(dataset, 2, 4);
  dataset.labels[4] = kUnlabeled;
  const LeakReport report = check_leaks(dataset);
  EXPECT_EQ(report.copies.size(), 3U);
  EXPECT_EQ(report.conflicting, std::vector<int64_t>{1});
}

TEST(LeakCheck, FindsNearCopiesOfOtherBrightnessContrastAndNoise) {
  Dataset dataset = blobs(100);
  copy_roughly(dataset, 5, 95);
  copy_roughly(dataset, 6, 66);
  copy_image(dataset, 5, 7);  // row 7 leaks with its copy
  const Split split = split_60_20_20();
  const LeakReport report = check_leaks(dataset, &split);
  ASSERT_EQ(report.near_copies.size(), 2U);
  EXPECT_EQ(report.near_copies[0].first, 5);
  EXPECT_EQ(report.near_copies[0].second, 95);
  EXPECT_GT(report.near_copies[0].correlation, 0.95);
  EXPECT_FALSE(report.near_copies[0].mirrored);
  EXPECT_TRUE(report.leaking_training.empty());
  EXPECT_EQ(report.near_leaking_training, (std::vector<int64_t>{5, 6, 7}));
  EXPECT_EQ(report.near_validation_in_training, std::vector<int64_t>{66});
  EXPECT_EQ(report.near_test_in_training, std::vector<int64_t>{95});
  EXPECT_FALSE(report.clean());
  EXPECT_EQ(drop_leaks(split, report).training.size(), 60U);
  EXPECT_EQ(drop_leaks(split, report, true).training.size(), 57U);
}

TEST(LeakCheck, FindsMirrorImagesOnRequestOnly) {
  Dataset dataset = blobs(50);
  copy_roughly(dataset, 1, 41);
  mirror_image(dataset, 41);
  EXPECT_TRUE(check_leaks(dataset).near_copies.empty());
  const LeakReport report = check_leaks(dataset, nullptr, {.mirrored_copies = true});
  ASSERT_EQ(report.near_copies.size(), 1U);
  EXPECT_EQ(report.near_copies[0].first, 1);
  EXPECT_EQ(report.near_copies[0].second, 41);
  EXPECT_TRUE(report.near_copies[0].mirrored);
}

TEST(LeakCheck, TakesSidesFromUsageWithoutASplit) {
  Dataset dataset = blobs(10);
  copy_image(dataset, 0, 9);
  dataset.usages[9] = Usage::private_test;
  const LeakReport report = check_leaks(dataset);
  EXPECT_EQ(report.test_rows, 1);
  EXPECT_EQ(report.training_rows, 9);
  EXPECT_EQ(report.test_in_training, std::vector<int64_t>{9});
}

TEST(LeakCheck, ReportsConstantImages) {
  Dataset dataset = blobs(10);
  std::fill_n(image_of(dataset, 2), dataset.pixels_per_image(), uint8_t{0});
  std::fill_n(image_of(dataset, 4), dataset.pixels_per_image(), uint8_t{77});
  std::fill_n(image_of(dataset, 8), dataset.pixels_per_image(), uint8_t{0});
  const LeakReport report = check_leaks(dataset);
  EXPECT_EQ(report.constant, (std::vector<int64_t>{2, 4, 8}));
  EXPECT_TRUE(report.near_copies.empty());
  EXPECT_NE(report.table(dataset).find("constant images                                      3  rows 2 4 8"),
            std::string::npos)
      << report.table(dataset);
}

TEST(LeakCheck, NamesRowsOfTheUsersFileAndFilesOfAFolder) {
  Dataset dataset = blobs(10);
  std::fill_n(image_of(dataset, 8), dataset.pixels_per_image(), uint8_t{0});
  const Dataset part = dataset.subset(std::vector<int64_t>{3, 8, 9});
  EXPECT_NE(check_leaks(part).table(part).find("1  rows 8\n"), std::string::npos);
  dataset.files.assign(10, "sad/a.png");
  EXPECT_NE(check_leaks(dataset).table(dataset).find("1  sad/a.png\n"), std::string::npos);
}

TEST(LeakCheck, FindsEveryPairThatComparingAllPairsFinds) {
  Dataset dataset = blobs(150);
  for (int64_t row = 0; row < 50; ++row) {
    copy_roughly(dataset, row, row + 100);
    if (row % 3 == 0) mirror_image(dataset, row + 100);
  }
  // Pearson's correlation of the means of block x block pixels
  const auto correlate = [&](int64_t a, int64_t b, bool mirrored, int64_t block) {
    const auto mean = [&](int64_t row, int64_t y, int64_t x) {
      double sum = 0;
      for (int64_t i = 0; i < block * block; ++i)
        sum += image_of(dataset, row)[(y + i / block) * kSide + x + i % block];
      return sum / static_cast<double>(block * block);
    };
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, n = 0;
    for (int64_t y = 0; y < kSide; y += block) {
      for (int64_t x = 0; x < kSide; x += block) {
        const double va = mean(a, y, x);
        const double vb = mean(b, y, mirrored ? kSide - block - x : x);
        sa += va, sb += vb, saa += va * va, sbb += vb * vb, sab += va * vb, ++n;
      }
    }
    return (sab - sa * sb / n) / std::sqrt((saa - sa * sa / n) * (sbb - sb * sb / n));
  };
  const auto is_near = [&](int64_t a, int64_t b, bool mirrored, double least) {
    return correlate(a, b, mirrored, 1) >= least && correlate(a, b, mirrored, kSide / 8) >= least;
  };
  // 0.6 makes wide cubes and pairs that are no copies, 0.97 narrow ones.
  for (const double least : {0.6, 0.9, 0.97}) {
    std::vector<NearCopy> expected;
    for (int64_t a = 0; a < 150; ++a) {
      for (int64_t b = a + 1; b < 150; ++b) {
        if (is_near(a, b, false, least)) {
          expected.push_back({a, b, correlate(a, b, false, 1), false});
        } else if (is_near(a, b, true, least)) {
          expected.push_back({a, b, correlate(a, b, true, 1), true});
        }
      }
    }
    for (const int count : {1, 2, 5}) {
      const ThreadCount use(count);
      const auto found = find_near_copies(dataset, range(0, 150), least, true).pairs;
      ASSERT_EQ(found.size(), expected.size()) << least;
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].first, expected[i].first);
        EXPECT_EQ(found[i].second, expected[i].second);
        EXPECT_EQ(found[i].mirrored, expected[i].mirrored);
        EXPECT_NEAR(found[i].correlation, expected[i].correlation, 1e-9);
      }
    }
    EXPECT_GE(expected.size(), 40U) << least;
  }
}

TEST(LeakCheck, DropRefusesToLeaveNoTrainingRow) {
  Dataset dataset = blobs(2);
  copy_image(dataset, 0, 1);
  const Split split{{0}, {1}, {}, ""};
  const LeakReport report = check_leaks(dataset, &split);
  EXPECT_EQ(error_of([&] { drop_leaks(split, report); }).code(), ErrorCode::bad_data);
}

/// Frames of a film: more near copies of one another than are listed.
Dataset film(int64_t frames) {
  Dataset dataset;
  RandomStream random(5, "frames of a video");
  std::vector<uint8_t> scene;
  for (int i = 0; i < 48 * 48; ++i) scene.push_back(static_cast<uint8_t>(20 + random.below(200)));
  for (int64_t frame = 0; frame < frames; ++frame) {
    for (const uint8_t value : scene) dataset.pixels.push_back(static_cast<uint8_t>(value + random.below(5)));
    dataset.labels.push_back(0);
    dataset.usages.push_back(frame == frames - 1 ? Usage::public_test : Usage::training);
    dataset.ids.push_back(frame);
  }
  return dataset;
}

TEST(LeakCheck, StaysBoundedWhereThousandsOfFacesResembleEachOther) {
  constexpr int64_t kFaces = 2000;
  const Dataset dataset = film(kFaces);
  const LeakReport report = check_leaks(dataset);
  EXPECT_LE(static_cast<int64_t>(report.near_copies.size()), kFaces * kMostNearCopies);
  EXPECT_GT(report.crowded, 1000);
  EXPECT_EQ(report.near_leaking_training.size(), static_cast<size_t>(kFaces - 1)) << "no leak may be missed";
  EXPECT_NE(report.table(dataset).find("more near copies than are listed"), std::string::npos);
}

TEST(FacesWithAnotherLabel, HaveAnExactOrNearCopyThatIsLabeledOtherwise) {
  Dataset dataset = blobs(8);
  copy_image(dataset, 0, 1);
  copy_roughly(dataset, 2, 3);
  copy_roughly(dataset, 4, 5);
  copy_image(dataset, 6, 7);
  dataset.labels = {0, 1, 2, 3, 4, 4, 5, kUnlabeled};
  EXPECT_EQ(faces_with_another_label(dataset, find_copies(dataset)), (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST(FacesWithAnotherLabel, AreAllFramesOfAFilmOfWhichOneIsLabeledOtherwise) {
  constexpr int64_t kFrames = 300;  // each lists 64 of its 299 near copies
  Dataset dataset = film(kFrames);
  dataset.labels.back() = 3;
  const ImageCopies copies = find_copies(dataset);
  ASSERT_FALSE(copies.crowded.empty());
  EXPECT_EQ(faces_with_another_label(dataset, copies), range(0, kFrames));
}

}  // namespace
}  // namespace mien::data
