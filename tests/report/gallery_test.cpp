#include "mien/report/gallery.h"

#include <algorithm>
#include <vector>

#include "report/picture_reader.h"
#include "report/tools.h"

#include "mien/core/error.h"

namespace mien::report {
namespace {

/// Light where (x, y) lies in the upper left quarter of a face, else dark.
std::vector<uint8_t> quartered_face() {
  std::vector<uint8_t> face(48 * 48, 20);
  for (size_t y = 0; y < 24; ++y) std::fill_n(face.begin() + static_cast<std::ptrdiff_t>(48 * y), 24, uint8_t{220});
  return face;
}

Raster drawn(const std::vector<Tile>& tiles, int64_t columns, int64_t height = 48, int64_t width = 48) {
  const TemporaryFolder folder;
  write_gallery(folder / "x.png", tiles, columns, "", height, width);
  return test::read_png(folder / "x.png");
}

TEST(Gallery, ShowsAFaceUprightEnlargedAndInItsPlace) {
  const std::vector<uint8_t> face = quartered_face();
  const Raster picture = drawn({{face, ""}}, 1);
  // A tile of 144 units behind a margin of 18, two pixels a unit.
  EXPECT_EQ(picture.at(10, 10).red, 255) << "margin";
  EXPECT_EQ(picture.at(36 + 70, 36 + 70).red, 220);
  EXPECT_EQ(picture.at(36 + 70, 36 + 218).red, 20);
  EXPECT_EQ(picture.at(36 + 218, 36 + 70).red, 20);
  EXPECT_EQ(picture.at(36 + 218, 36 + 218).red, 20);
  EXPECT_EQ(picture.at(36, 36).red, 220);
  EXPECT_EQ(picture.at(36 + 287, 36 + 287).red, 20) << "the face's last pixel";
}

TEST(Gallery, ShowsColor) {
  std::vector<uint8_t> face(48 * 48 * 3);
  for (size_t i = 0; i < face.size(); i += 3) face[i] = 200, face[i + 2] = 60;
  EXPECT_EQ(test::pixels_of(drawn({{face, ""}}, 1), {200, 0, 60}), 288 * 288);
}

TEST(Gallery, KeepsAnEvenShadeEven) {
  const std::vector<uint8_t> face(48 * 48, 137);
  EXPECT_EQ(test::pixels_of(drawn({{face, ""}}, 1), {137, 137, 137}), 288 * 288);
}

TEST(Gallery, TakesFacesThatAreWideOrLarge) {
  const std::vector<uint8_t> wide{0, 200};
  const Raster picture = drawn({{wide, ""}}, 1, 1, 2);
  EXPECT_EQ(picture.at(36 + 144, 36 + 1).red, 0);
  EXPECT_EQ(picture.at(36 + 144, 36 + 286).red, 200);
  const std::vector<uint8_t> large(400 * 400, 50);
  EXPECT_EQ(test::pixels_of(drawn({{large, ""}}, 1, 400, 400), {50, 50, 50}), 400 * 400);
}

TEST(Gallery, FramesRightAndWrongInDifferentColors) {
  const std::vector<uint8_t> face(48 * 48, 90);
  const Raster picture = drawn({{face, "", TileFrame::right}, {face, "", TileFrame::wrong}}, 2);
  EXPECT_EQ(picture.at(180, 36 - 3).hex(), "#009e73");
  EXPECT_EQ(picture.at(180, 36 + 316 - 3).hex(), "#d55e00");
}

TEST(Gallery, ShowsItsWholeTitle) {
  const TemporaryFolder folder;
  const std::vector<uint8_t> face(48 * 48);
  const std::string title = "The first validation faces with predictions of a network whose name is as long as this";
  write_gallery(folder / "x.svg", std::vector<Tile>{{face, "it's <b>"}}, 6, title);
  const test::Shown page = test::read_svg(folder / "x.svg");
  test::expect_readable(page, "gallery");
  std::string all;
  for (const std::string& words : page.words()) all += words + " ";
  EXPECT_TRUE(all.starts_with(title)) << all;
  EXPECT_TRUE(page.says("it's <b>"));
}

TEST(Gallery, RefusesWhatItCannotLayOut) {
  const std::vector<uint8_t> face(48 * 48);
  const std::vector<Tile> one{{face, ""}};
  EXPECT_THROW(write_gallery("x.png", {}, 3, ""), Error);
  EXPECT_THROW(write_gallery("x.png", one, 0, ""), Error);
  EXPECT_THROW(write_gallery("x.png", one, 3, "", 48, 47), Error);
  EXPECT_THROW(write_gallery("x.png", std::vector<Tile>(401, one[0]), 3, ""), Error);
}

}  // namespace
}  // namespace mien::report
