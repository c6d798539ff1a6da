#include "mien/report/raster.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace mien::report {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// CIE lightness L* (0 black to 100 white): what a gray print shows of a color. @source CIE 15:2004
double lightness(const Color& color) {
  const double y = color.luminance();
  return y > 216.0 / 24389 ? 116 * std::cbrt(y) - 16 : y * 24389 / 27;
}

TEST(HeatColors, GetLighterInEvenStepsAlsoInGray) {
  double before = lightness(heat_color(0));
  EXPECT_LT(before, 5);
  for (int i = 1; i <= 20; ++i) {
    const double now = lightness(heat_color(i / 20.0));
    EXPECT_GT(now - before, 2) << i;
    EXPECT_LT(now - before, 9) << i;
    before = now;
  }
  EXPECT_GT(before, 92);
}

TEST(SignedColors, TellSignsApartInGrayAndAreGrayAtZero) {
  double before = lightness(signed_color(-1));
  for (int i = -9; i <= 10; ++i) {
    const double now = lightness(signed_color(i / 10.0));
    EXPECT_GT(now, before) << i;
    before = now;
  }
  const Color zero = signed_color(0);
  EXPECT_NEAR(zero.red, zero.green, 1);
  EXPECT_NEAR(zero.green, zero.blue, 1);
  EXPECT_GT(signed_color(-1).blue, signed_color(-1).red + 80) << "negative is blue";
  EXPECT_GT(signed_color(1).red, signed_color(1).blue + 80) << "positive is yellow";
}

TEST(MeasureMap, GivesTheRangeBeforeScaling) {
  const MapRange range = measure_map(std::vector<float>{-2, 0, 1, 0.5F});
  EXPECT_EQ(range.state, MapState::usable);
  EXPECT_EQ(range.minimum, -2);
  EXPECT_EQ(range.maximum, 1);
  EXPECT_EQ(range.shown, 2);
  EXPECT_EQ(range.problem(), "");
}

TEST(MeasureMap, ClipsTheLargestMagnitudesOnly) {
  std::vector<float> values(100, 1);
  for (size_t i = 0; i < 50; ++i) values[i] = 0.5F;
  values[99] = 1000;
  EXPECT_EQ(measure_map(values, 99).shown, 1);
  EXPECT_EQ(measure_map(values, 100).shown, 1000);
  std::vector<float> sparse(1000, 0);
  sparse[7] = 3;
  EXPECT_EQ(measure_map(sparse, 99).shown, 3) << "a map of one pixel keeps it";
}

TEST(MeasureMap, NamesMapsThatShowNothing) {
  EXPECT_EQ(measure_map(std::vector<float>{0, 0, 0}).problem(), "all zero");
  EXPECT_EQ(measure_map(std::vector<float>{0.25F, 0.25F}).problem(), "constant (0.25)");
  EXPECT_EQ(measure_map(std::vector<float>{1, 1 + 1e-7F}).state, MapState::constant) << "rounding is no contrast";
  const MapRange range = measure_map(std::vector<float>{1, kNan, 2});
  EXPECT_EQ(range.problem(), "1 value is not finite");
  EXPECT_EQ(range.minimum, 1);
  EXPECT_EQ(range.maximum, 2);
}

TEST(MapRaster, ColorsNoMapThatShowsNothing) {
  const std::vector<float> values{1, kNan, 2, 3};
  const MapRange range = measure_map(values);
  EXPECT_EQ(map_raster(values, 2, 2, range, false, 8).rgb, hatched(16, 16).rgb);
  const std::vector<uint8_t> face{10, 20, 30, 40};
  EXPECT_EQ(overlay_raster(face, values, 2, 2, range, false, 8).rgb, gray_raster(face, 2, 2, 8).rgb);
}

TEST(MapRaster, PutsEveryValueAtItsPlaceInItsColor) {
  const std::vector<float> values{0, 1, 2, 4};
  const Raster raster = map_raster(values, 2, 2, measure_map(values), false, 3);
  ASSERT_EQ(raster.height, 6);
  EXPECT_EQ(raster.at(0, 0).hex(), heat_color(0).hex());
  EXPECT_EQ(raster.at(2, 5).hex(), heat_color(0.25).hex());
  EXPECT_EQ(raster.at(5, 0).hex(), heat_color(0.5).hex());
  EXPECT_EQ(raster.at(3, 3).hex(), heat_color(1).hex());
}

TEST(MapRaster, CentersSignedMapsAtZeroWhateverTheirRange) {
  const std::vector<float> values{-1, 0, 0, 4};
  const Raster raster = map_raster(values, 2, 2, measure_map(values), true);
  EXPECT_EQ(raster.at(0, 1).hex(), signed_color(0).hex());
  EXPECT_EQ(raster.at(0, 0).hex(), signed_color(-0.25).hex());
}

TEST(OverlayRaster, LeavesTheFaceWhereTheMapIsZero) {
  const std::vector<float> values{0, 1, 0, 0};
  const std::vector<uint8_t> face{100, 100, 100, 100};
  const Raster raster = overlay_raster(face, values, 2, 2, measure_map(values), false, 2, Enlarging::squares);
  EXPECT_EQ(raster.at(3, 0).hex(), "#646464");
  EXPECT_NE(raster.at(0, 3).hex(), "#646464");
}

TEST(Enlarged, SmoothIsBilinearAndSquaresAreSquares) {
  const std::vector<float> values{0, 4};
  EXPECT_EQ(enlarged(values, 1, 2, 2, Enlarging::smooth), (std::vector<float>{0, 1, 3, 4, 0, 1, 3, 4}));
  EXPECT_EQ(enlarged(values, 1, 2, 2, Enlarging::squares), (std::vector<float>{0, 0, 4, 4, 0, 0, 4, 4}));
}

TEST(DrawBorders, StandBetweenRegionsOnly) {
  const std::vector<float> values{1, 1, 2, 2};
  Raster raster = Raster::filled(4, 4, {});
  draw_borders(raster, values, 2, 2, 2, {255, 255, 255});
  EXPECT_EQ(raster.at(1, 0).red, 255);
  EXPECT_EQ(raster.at(1, 3).red, 255);
  EXPECT_EQ(raster.at(0, 1).red, 0) << "no border inside a region";
  EXPECT_EQ(raster.at(2, 2).red, 0);
}

TEST(Paste, CutsOffWhatLiesOutside) {
  Raster page = Raster::filled(2, 2, {});
  page.paste(Raster::filled(3, 3, {9, 9, 9}), -2, 1);
  EXPECT_EQ(page.at(0, 1).red, 9);
  EXPECT_EQ(page.at(0, 0).red, 0);
  EXPECT_EQ(page.at(1, 1).red, 0);
}

}  // namespace
}  // namespace mien::report
