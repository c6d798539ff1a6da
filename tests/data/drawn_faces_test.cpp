#include "mien/data/synthetic/drawn_faces.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"
#include "mien/core/parallel.h"
#include "mien/core/random.h"
#include "mien/data/synthetic/face_painter.h"
#include "mien/data/synthetic/face_parameters.h"

namespace mien::data {
namespace {

constexpr int32_t kAngry = 0, kDisgust = 1, kFear = 2, kHappy = 3, kSad = 4, kSurprise = 5, kNeutral = 6;

DrawOptions few(int64_t count, double difficulty = 1) {
  DrawOptions options;
  options.count_per_class = count;
  options.difficulty = difficulty;
  return options;
}

/// Share of the pixels within a part of the picture, in fractions of its side, that are evidence.
double evidence_share(const Dataset& faces, int64_t row, double left, double top, double right, double bottom) {
  const auto side = static_cast<double>(faces.width);
  double marked = 0;
  double all = 0;
  for (auto y = static_cast<int64_t>(top * side); y < static_cast<int64_t>(bottom * side); ++y) {
    for (auto x = static_cast<int64_t>(left * side); x < static_cast<int64_t>(right * side); ++x) {
      marked += faces.evidence[static_cast<size_t>((row * faces.height + y) * faces.width + x)] == 255 ? 1 : 0;
      ++all;
    }
  }
  return marked / all;
}

// Regions of a canonical (frontal, centerd) face.
double brow_share(const Dataset& faces, int64_t row) { return evidence_share(faces, row, 0.25, 0.26, 0.75, 0.40); }
double nose_root_share(const Dataset& faces, int64_t row) { return evidence_share(faces, row, 0.42, 0.42, 0.58, 0.56); }
double mouth_share(const Dataset& faces, int64_t row) { return evidence_share(faces, row, 0.35, 0.68, 0.65, 0.82); }
double chin_share(const Dataset& faces, int64_t row) { return evidence_share(faces, row, 0.3, 0.84, 0.7, 0.98); }

/// Means over the rows of one class.
template <class Share>
double mean_over_class(const Dataset& faces, int32_t label, const Share& share) {
  double sum = 0;
  double count = 0;
  for (int64_t row = 0; row < faces.size(); ++row) {
    if (faces.labels[static_cast<size_t>(row)] != label) continue;
    sum += share(faces, row);
    ++count;
  }
  return sum / count;
}

TEST(DrawnFaces, ComeInEqualNumbersOfEachClassAndGoAroundTheClasses) {
  const Dataset faces = draw_faces(few(10));
  ASSERT_EQ(faces.size(), 70);
  std::map<int32_t, int> counts;
  std::map<int32_t, int> held_out;
  for (int64_t row = 0; row < faces.size(); ++row) {
    const auto i = static_cast<size_t>(row);
    EXPECT_EQ(faces.labels[i], row % 7);
    EXPECT_EQ(faces.ids[i], row);
    ++counts[faces.labels[i]];
    held_out[faces.labels[i]] += faces.usages[i] == Usage::public_test ? 1 : 0;
    EXPECT_TRUE(faces.usages[i] == Usage::public_test || faces.usages[i] == Usage::training);
  }
  for (int32_t label = 0; label < 7; ++label) {
    EXPECT_EQ(counts[label], 10);
    EXPECT_EQ(held_out[label], 2);
  }
}

TEST(DrawnFaces, FillADatasetThatFitsTogether) {
  DrawOptions options = few(2);
  options.side = 64;
  options.draw_seed = 5;
  const Dataset faces = draw_faces(options);
  EXPECT_EQ(faces.channels, 1);
  EXPECT_EQ(faces.height, 64);
  EXPECT_EQ(faces.width, 64);
  EXPECT_EQ(faces.pixels.size(), 14U * 64 * 64);
  EXPECT_EQ(faces.evidence.size(), 14U * 64 * 64);
  EXPECT_EQ(faces.source, "drawn:2:5");
  EXPECT_EQ(faces.checksum, checksum({reinterpret_cast<const char*>(faces.pixels.data()), faces.pixels.size()}));
  EXPECT_TRUE(std::all_of(faces.evidence.begin(), faces.evidence.end(), [](uint8_t m) { return m == 0 || m == 255; }));
}

TEST(DrawnFaces, AreTheSameWhateverTheThreadsAndTheCount) {
  set_threads(1);
  const Dataset one = draw_faces(few(3));
  set_threads(5);
  const Dataset five = draw_faces(few(3));
  const Dataset longer = draw_faces(few(4));
  set_threads(0);
  EXPECT_EQ(one.pixels, five.pixels);
  EXPECT_EQ(one.evidence, five.evidence);
  EXPECT_TRUE(std::equal(one.pixels.begin(), one.pixels.end(), longer.pixels.begin()));
}

TEST(DrawnFaces, DifferForAnotherSeed) {
  DrawOptions other = few(1);
  other.draw_seed = 1;
  EXPECT_NE(draw_faces(few(1)).checksum, draw_faces(other).checksum);
}

TEST(DrawnFaces, NoTwoAreAlikeAndAllHaveContrast) {
  const Dataset faces = draw_faces(few(30));
  std::map<std::string, int64_t> seen;
  for (int64_t row = 0; row < faces.size(); ++row) {
    const auto image = faces.image(row);
    EXPECT_TRUE(seen.emplace(checksum({reinterpret_cast<const char*>(image.data()), image.size()}), row).second) << row;
    double sum = 0;
    double squares = 0;
    for (const uint8_t level : image) {
      sum += level;
      squares += level * level;
    }
    const double mean = sum / static_cast<double>(image.size());
    EXPECT_GT(std::sqrt(squares / static_cast<double>(image.size()) - mean * mean), 10) << row;
  }
}

TEST(DrawnFaces, EveryFaceHasEvidenceThatIsAPartOfThePicture) {
  const Dataset faces = draw_faces(few(40));
  int sparse = 0;
  for (int64_t row = 0; row < faces.size(); ++row) {
    const double share = evidence_share(faces, row, 0, 0, 1, 1);
    EXPECT_GT(share, 0) << row;
    EXPECT_LT(share, 0.55) << row;
    sparse += share < 0.03 ? 1 : 0;
  }
  EXPECT_LE(sparse, faces.size() / 20);
}

TEST(DrawnFaces, EvidenceLiesWhereTheActionUnitsAct) {
  const Dataset faces = draw_faces(few(25, 0));
  for (const int32_t label : {kDisgust, kFear, kHappy, kSad, kSurprise, kNeutral}) {
    EXPECT_GT(mean_over_class(faces, label, mouth_share), 0.5) << kExpressionNames[static_cast<size_t>(label)];
  }
  for (const int32_t label : {kAngry, kFear, kSurprise, kSad, kNeutral}) {
    EXPECT_GT(mean_over_class(faces, label, brow_share), 0.35) << kExpressionNames[static_cast<size_t>(label)];
  }
  EXPECT_LT(mean_over_class(faces, kHappy, brow_share), 0.15);        // units 6 and 12 leave the brows alone
  EXPECT_GT(mean_over_class(faces, kDisgust, nose_root_share), 0.5);  // unit 9
  for (const int32_t label : {kFear, kHappy, kSurprise, kNeutral}) {
    EXPECT_LT(mean_over_class(faces, label, nose_root_share), 0.25) << kExpressionNames[static_cast<size_t>(label)];
  }
  EXPECT_GT(mean_over_class(faces, kSurprise, chin_share), 0.3);  // unit 26
  EXPECT_LT(mean_over_class(faces, kHappy, chin_share), 0.1);
  EXPECT_LT(mean_over_class(faces, kNeutral, chin_share), 0.05);
}

TEST(DrawnFaces, EvidenceIsWhereTheNeutralFaceOfTheSamePersonDiffers) {
  RandomStream random(3, "test");
  const Person person = draw_person(random);
  const Scene scene = draw_scene(0, random);
  const FacePictures happy = paint_face(person, draw_action_units(kHappy, random), scene, 48);
  const FacePictures neutral = paint_face(person, {}, scene, 48);
  EXPECT_EQ(happy.without_evidence, neutral.face);
  EXPECT_NE(happy.face, neutral.face);
  EXPECT_NE(neutral.without_evidence, neutral.face);
}

TEST(DrawnFaces, AtDifficultyZeroHaveNoNoiseAndOnePose) {
  RandomStream one(1, "test");
  RandomStream other(2, "test");
  const Scene scene = draw_scene(0, one);
  const Scene second = draw_scene(0, other);
  EXPECT_EQ(scene.noise, 0);
  EXPECT_EQ(scene.blur, 0);
  EXPECT_EQ(scene.roll, 0);
  EXPECT_EQ(scene.occluder, Occluder::none);
  EXPECT_EQ(scene.scale, second.scale);
  EXPECT_EQ(scene.light_x, second.light_x);
}

TEST(ActionUnits, AreThoseOfTheExpressionAndNoOthers) {
  RandomStream random(4, "test");
  using Units = ActionUnits;
  const std::vector<double Units::*> all{&Units::inner_brow_raiser,
                                         &Units::outer_brow_raiser,
                                         &Units::brow_lowerer,
                                         &Units::upper_lid_raiser,
                                         &Units::cheek_raiser,
                                         &Units::lid_tightener,
                                         &Units::nose_wrinkler,
                                         &Units::lip_corner_puller,
                                         &Units::lip_corner_depressor,
                                         &Units::lower_lip_depressor,
                                         &Units::lip_stretcher,
                                         &Units::lip_tightener,
                                         &Units::jaw_drop};
  const std::vector<int> numbers{1, 2, 4, 5, 6, 7, 9, 12, 15, 16, 20, 23, 26};
  const std::map<int32_t, std::vector<int>> expected{{kAngry, {4, 5, 7, 23}},
                                                     {kDisgust, {9, 15, 16}},
                                                     {kFear, {1, 2, 4, 5, 7, 20, 26}},
                                                     {kHappy, {6, 12}},
                                                     {kSad, {1, 4, 15}},
                                                     {kSurprise, {1, 2, 5, 26}},
                                                     {kNeutral, {}}};
  for (const auto& [label, units] : expected) {
    for (int repeat = 0; repeat < 20; ++repeat) {
      const ActionUnits drawn = draw_action_units(label, random);
      std::vector<int> active;
      for (size_t i = 0; i < all.size(); ++i) {
        const double intensity = drawn.*all[i];
        ASSERT_LE(intensity, 1);
        if (intensity > 0) active.push_back(numbers[i]);
      }
      ASSERT_EQ(active, units);
    }
  }
}

TEST(DrawOptions, RefuseWhatCannotBeDrawn) {
  EXPECT_THROW(draw_faces(few(0)), Error);
  EXPECT_THROW(draw_faces(few(1, -1)), Error);
  DrawOptions small = few(1);
  small.side = 8;
  EXPECT_THROW(draw_faces(small), Error);
}

}  // namespace
}  // namespace mien::data
