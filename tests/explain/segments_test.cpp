#include "mien/explain/segmentation/segments.h"

#include <set>

#include "explain_testing.h"

#include "mien/explain/segmentation/segmenters.h"

namespace mien::explain {
namespace {

/// Agreement of two partitions: 1 the same, about 0 by chance. @source Hubert and Arabie 1985, equation 5
double adjusted_rand_index(const at::Tensor& one, const at::Tensor& other) {
  const int64_t columns = other.max().item<int64_t>() + 1;
  const at::Tensor table =
      at::bincount((one * columns + other).reshape({-1}), {}, (one.max().item<int64_t>() + 1) * columns)
          .reshape({-1, columns})
          .to(at::kDouble);
  const auto pairs = [](const at::Tensor& counts) { return (counts * (counts - 1) / 2).sum().item<double>(); };
  const double total = pairs(at::full({1}, static_cast<double>(one.numel()), at::kDouble));
  const double expected = pairs(table.sum(0)) * pairs(table.sum(1)) / total;
  return (pairs(table) - expected) / ((pairs(table.sum(0)) + pairs(table.sum(1))) / 2 - expected);
}

at::Tensor segments_of(const at::Tensor& image, const std::string& kind) {
  SegmentOptions options;
  options.segments = kind;
  return segment(image, options);
}

TEST(AdjustedRandIndex, IsOneForRenamedPartsAndNegativeForCrossedOnes) {
  const at::Tensor one = at::tensor({0, 0, 1, 1}, at::kLong);
  EXPECT_DOUBLE_EQ(adjusted_rand_index(one, at::tensor({1, 1, 0, 0}, at::kLong)), 1);
  EXPECT_DOUBLE_EQ(adjusted_rand_index(one, at::tensor({0, 1, 0, 1}, at::kLong)), -0.5);
}

TEST(Segments, AgreeWithScikitImage) {
  const std::map<std::string, std::string> names = {
      {"slic", "slic_n50_c10"}, {"quickshift", "quickshift_k2_d6_r0.5"}, {"felzenszwalb", "felzenszwalb_s50_m10"}};
  const Reference reference("leaky4");
  for (const auto& [kind, name] : names) {
    for (int face = 0; face < 2; ++face) {
      const at::Tensor expected = reference[fmt::format("skimage.{}.{}", name, face)];
      const double agreement = adjusted_rand_index(segments_of(reference["input"][face], kind), expected);
      RecordProperty(fmt::format("{}{}", kind, face), fmt::format("{:.6f}", agreement));
      EXPECT_GE(agreement, 0.99) << kind << " of face " << face;
    }
  }
}

TEST(Segments, OfAGridAreTheReferencesCells) {
  const Reference reference("leaky4");
  EXPECT_TRUE(segments_of(reference["input"][0], "grid").equal(reference["grid_segments"]));
}

TEST(Segments, AreNumberedFromZeroWithoutGapsForEveryKindAndAnyImage) {
  const Reference reference("leaky4");
  const at::Tensor face = reference["input"][0];
  const std::vector<std::pair<std::string, at::Tensor>> images = {
      {"face", face},
      {"normalized face", (face - face.mean()) / face.std()},
      {"color", at::cat({face, face.flip({2}), face * 0.5F})},
      {"two channels", at::cat({face, face})},
      {"flat", at::full({1, 48, 48}, 0.5F)},
      {"wide", face.slice(1, 0, 9)},
      {"one pixel", face.slice(1, 0, 1).slice(2, 0, 1)},
      {"one row", face.slice(1, 0, 1)}};
  for (const std::string kind : {"grid", "slic", "quickshift", "felzenszwalb"}) {
    for (const auto& [name, image] : images) {
      const at::Tensor segments = segments_of(image, kind);
      ASSERT_EQ(segments.sizes(), image.sizes().slice(1)) << kind << " of " << name;
      const int64_t* labels = segments.data_ptr<int64_t>();
      const std::set<int64_t> used(labels, labels + segments.numel());
      EXPECT_EQ(*used.begin(), 0) << kind << " of " << name;
      EXPECT_EQ(*used.rbegin() + 1, static_cast<int64_t>(used.size())) << kind << " of " << name;
      EXPECT_EQ(segment_total(segments), static_cast<int64_t>(used.size()));
    }
  }
}

TEST(Segments, OfANormalizedFaceAreThoseOfTheFace) {
  const Reference reference("leaky4");
  at::Tensor face = reference["input"][0];
  face = (face - face.min()) / (face.max() - face.min());
  for (const std::string kind : {"slic", "quickshift", "felzenszwalb"}) {
    EXPECT_GE(adjusted_rand_index(segments_of((face - 0.5) / 0.25, kind), segments_of(face, kind)), 0.95) << kind;
  }
}

TEST(Segments, OfTheDefaultsAreMoreThanTenAndFewerThanASampleCanTellApart) {
  const Reference reference("leaky4");
  for (const std::string kind : {"grid", "slic", "quickshift", "felzenszwalb"}) {
    for (int face = 0; face < 3; ++face) {
      const int64_t count = segment_total(segments_of(reference["input"][face], kind));
      EXPECT_GE(count, 10) << kind;
      EXPECT_LE(count, 80) << kind;
    }
  }
}

TEST(Quickshift, MakesOneSegmentOfAFaceWithLimesDefaults) {
  const Reference reference("leaky4");
  SegmentOptions options;
  options.segments = "quickshift";
  options.quickshift_kernel = 4;
  options.quickshift_distance = 200;
  options.quickshift_ratio = 0.2;
  EXPECT_EQ(segment_total(segment(reference["input"][0], options)), 1);
}

TEST(Segments, SayWhatIsWrong) {
  EXPECT_EQ(
      network::error_of([] {
        segments_of(at::zeros({1, 4, 4}), "slick");
      }),
      "usage: unknown segments 'slick', expected grid, slic, quickshift or felzenszwalb. hint: did you mean 'slic'?");
  at::Tensor broken = at::zeros({1, 4, 4});
  broken[0][1][1] = std::nan("");
  EXPECT_EQ(network::error_of([&] { segments_of(broken, "slic"); }),
            "bad data: cannot cut an image into segments: it holds values that are not finite");
}

TEST(SegmentBorders, LieWhereTheNextPixelIsOfAnotherSegment) {
  const at::Tensor segments = at::tensor({0, 0, 1, 0, 2, 1}, at::kLong).reshape({2, 3});
  EXPECT_TRUE(segment_borders(segments).equal(at::tensor({0, 1, 0, 1, 1, 0}, at::kByte).reshape({2, 3})));
}

TEST(Lab, OfTheCornersOfRgbAreTheirPublishedValues) {
  // Bruce Lindbloom's calculator, sRGB under D65; scikit-image rounds the matrix differently in the fourth digit.
  const PixelGrid rgb{.height = 1, .width = 4, .channels = 3, .values = {1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0}};
  const std::vector<double> expected = {100, 0, 0, 53.24, 80.09, 67.20, 32.30, 79.19, -107.86, 0, 0, 0};
  const PixelGrid lab = to_lab(rgb);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(lab.values[i], expected[i], 0.02) << i;
}

TEST(Smoothing, KeepsTheSumAndGivesTheGaussian) {
  PixelGrid image{.height = 15, .width = 15, .channels = 1, .values = std::vector<double>(225, 0.0)};
  image.values[7 * 15 + 7] = 1;
  const PixelGrid smoothed = smooth(image, 1);
  double sum = 0;
  for (const double value : smoothed.values) sum += value;
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_NEAR(smoothed.values[7 * 15 + 8] / smoothed.values[7 * 15 + 7], std::exp(-0.5), 1e-12);
}

}  // namespace
}  // namespace mien::explain
