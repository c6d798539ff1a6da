#include "mien/photo/tracker.h"

#include <cmath>

#include <gtest/gtest.h>

namespace mien::photo {
namespace {

ReadFace face_at(double x, std::vector<double> probabilities = {0.2, 0.8}, bool is_reliable = true) {
  ReadFace face{.found = {.box = {x, 50, 100, 100}}, .probabilities = std::move(probabilities)};
  if (!is_reliable) face.quality.problems = {"blurred"};
  return face;
}

TEST(Tracker, KeepsANumberWhileTheBoxesOverlap) {
  Tracker tracker({.sightings = 1});
  for (int i = 0; i < 50; ++i) {
    const auto seen = tracker.update(i * 0.04, {face_at(10.0 * i), face_at(2000 - 10.0 * i)});
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_EQ(seen[0].number, 1);
    EXPECT_DOUBLE_EQ(seen[0].face.found.box.x, 10.0 * i);
  }
}

TEST(Tracker, GivesANewNumberAfterItsPatience) {
  Tracker tracker({.patience = 0.5, .sightings = 1});
  EXPECT_EQ(tracker.update(0, {face_at(0)}).at(0).number, 1);
  EXPECT_TRUE(tracker.update(0.2, {}).empty());
  EXPECT_EQ(tracker.update(0.4, {face_at(5)}).at(0).number, 1) << "a face that is lost for a moment is the same face";
  EXPECT_TRUE(tracker.update(0.8, {}).empty());
  EXPECT_EQ(tracker.update(1.0, {face_at(5)}).at(0).number, 2);
}

TEST(Tracker, GivesNoNumberToAFaceThatFlashesUp) {
  Tracker tracker({.sightings = 3});
  EXPECT_TRUE(tracker.update(0.00, {face_at(0), face_at(500)}).empty());
  EXPECT_TRUE(tracker.update(0.04, {face_at(0)}).empty());
  EXPECT_EQ(tracker.update(0.08, {face_at(0), face_at(800)}).size(), 1U);
}

TEST(Tracker, SmoothsWithItsTimeConstantWhateverTheFrameRate) {
  for (const double step : {0.01, 0.05}) {
    Tracker tracker({.smoothing = 0.5, .sightings = 1});
    double last = 0;
    for (int i = 0; i * step <= 1 + 1e-9; ++i) {
      const bool is_first = i == 0;
      last = tracker.update(i * step, {face_at(0, is_first ? std::vector<double>{1, 0} : std::vector<double>{0, 1})})
                 .at(0)
                 .probabilities[0];
    }
    EXPECT_NEAR(last, std::exp(-2.0), 1e-6);
  }
}

TEST(Tracker, AFaceThatIsNotReliableDoesNotChangeWhatIsSaid) {
  Tracker tracker({.sightings = 1});
  tracker.update(0, {face_at(0, {0, 1})});
  const auto seen = tracker.update(0.3, {face_at(0, {1, 0}, false)});
  EXPECT_EQ(seen.at(0).predicted(), 1);
  EXPECT_EQ(seen.at(0).probabilities[0], 0);
}

}  // namespace
}  // namespace mien::photo
