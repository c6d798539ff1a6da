#include "mien/report/gallery.h"

#include <algorithm>
#include <sstream>
#include <vector>

#include "report/tools.h"

#include "mien/core/error.h"

namespace mien::report {
namespace {

using test::contains;
using test::ScriptCatcher;

/// A png's pixels [height, width, 3] as gnuplot reads them back, from the upper left corner.
struct Pixels {
  int64_t width = 0;
  std::vector<int> values;

  explicit Pixels(const std::filesystem::path& path) {
    const auto [columns, rows] = test::png_size(path);
    width = columns;
    values.resize(static_cast<size_t>(3 * columns * rows));
    // One line a pixel: x, y counted upwards from the lowest row, red, green, blue.
    std::istringstream table(run_gnuplot("set table\nplot " + gnuplot_string(path.string()) +
                                         " binary filetype=png using 1:2:3 with table\n"));
    int64_t x = 0, y = 0;
    int color[3];
    while (table >> x >> y >> color[0] >> color[1] >> color[2]) {
      std::copy_n(color, 3, values.begin() + static_cast<std::ptrdiff_t>(3 * ((rows - 1 - y) * columns + x)));
    }
  }
  int red(int64_t x, int64_t y) const { return values.at(static_cast<size_t>(3 * (y * width + x))); }
  int blue(int64_t x, int64_t y) const { return values.at(static_cast<size_t>(3 * (y * width + x) + 2)); }
};

TEST(Gallery, ShowsAFaceUprightEnlargedAndInItsPlace) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  std::vector<uint8_t> face(48 * 48, 20);  // dark, with a light upper left quarter
  for (size_t y = 0; y < 24; ++y) std::fill_n(face.begin() + static_cast<std::ptrdiff_t>(48 * y), 24, uint8_t{220});
  write_gallery(folder / "x.png", std::vector<Tile>{{face, ""}}, 1, "");
  const Pixels picture(folder / "x.png");
  // One tile of 144 units with margins of 16, two pixels a unit.
  ASSERT_EQ(test::png_size(folder / "x.png"), (std::pair<int64_t, int64_t>{352, 352}));
  EXPECT_EQ(picture.red(10, 10), 255) << "margin";
  EXPECT_EQ(picture.red(32 + 70, 32 + 70), 220);
  EXPECT_EQ(picture.red(32 + 218, 32 + 70), 20);
  EXPECT_EQ(picture.red(32 + 70, 32 + 218), 20);
  EXPECT_EQ(picture.red(32 + 218, 32 + 218), 20);
}

TEST(Gallery, ShowsColor) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  std::vector<uint8_t> face(48 * 48 * 3);
  for (size_t i = 0; i < face.size(); i += 3) face[i] = 200, face[i + 2] = 60;
  write_gallery(folder / "x.png", std::vector<Tile>{{face, ""}}, 1, "");
  const Pixels picture(folder / "x.png");
  EXPECT_EQ(picture.red(176, 176), 200);
  EXPECT_EQ(picture.blue(176, 176), 60);
}

TEST(Gallery, PassesOverNoPixelWhenItEnlarges) {
  const ScriptCatcher gnuplot;
  std::vector<uint8_t> face{0, 200};
  write_gallery(gnuplot.picture(), std::vector<Tile>{{face, ""}}, 1, "", 1, 2);
  const std::string script = gnuplot.script();
  // 2 pixels become 300: the enlarged face's bytes are the script's last line before `unset output`.
  EXPECT_TRUE(contains(script, "binary array=(300,150)"));
  const size_t end = script.rfind("\nunset output");
  const std::string bytes = script.substr(end - 300 * 150, 300 * 150);
  EXPECT_EQ(static_cast<uint8_t>(bytes.front()), 0);
  EXPECT_NEAR(static_cast<uint8_t>(bytes[299]), 200, 25) << "Lanczos overshoots at an edge, a little";
  EXPECT_NEAR(static_cast<uint8_t>(bytes[149]) + static_cast<uint8_t>(bytes[150]), 200, 1) << "symmetric at the middle";
}

TEST(Gallery, KeepsAnEvenShadeEven) {
  const ScriptCatcher gnuplot;
  const std::vector<uint8_t> face(48 * 48, 137);
  write_gallery(gnuplot.picture(), std::vector<Tile>{{face, ""}}, 1, "");
  EXPECT_TRUE(
      contains(gnuplot.script(), "rgbimage\n" + std::string(288 * 288, static_cast<char>(137)) + "\nunset output"));
}

TEST(Gallery, FramesRightAndWrongInDifferentColors) {
  const ScriptCatcher gnuplot;
  const std::vector<uint8_t> face(48 * 48);
  write_gallery(
      gnuplot.picture(), std::vector<Tile>{{face, "", TileFrame::right}, {face, "", TileFrame::wrong}}, 2, "");
  EXPECT_TRUE(contains(gnuplot.script(),
                       "set object rectangle from 16,16 to 160,160 front fillstyle empty border rgb '#009e73'"));
  EXPECT_TRUE(contains(gnuplot.script(),
                       "set object rectangle from 176,16 to 320,160 front fillstyle empty border rgb '#d55e00'"));
}

TEST(Gallery, CutsACaptionThatIsWiderThanItsFace) {
  const ScriptCatcher gnuplot;
  const std::vector<uint8_t> face(48 * 48);
  write_gallery(
      gnuplot.picture(), std::vector<Tile>{{face, "row 7\nsurprise 0.93, happy 0.81, neutral 0.2"}}, 6, "it's");
  EXPECT_TRUE(contains(gnuplot.script(), "set label 'row 7' at 16,"));
  EXPECT_TRUE(contains(gnuplot.script(), "set label 'surprise 0.93, happy 0.\u2026' at 16,"));
  EXPECT_TRUE(contains(gnuplot.script(), "set label 'it''s' at 16,"));
}

TEST(Gallery, TakesNoOrdersFromCaptionsAndTitles) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  const std::string file = (folder / "made").string();
  // Pixels may spell anything, too.
  std::string pixels = "\n'-'\ne\nEOD\nsystem('touch " + file + "')\n";
  pixels.resize(48 * 48, '\n');
  const std::vector<uint8_t> face(pixels.begin(), pixels.end());
  const std::string evil = "'\nsystem('touch " + file + "')\n`touch " + file + "`";
  write_gallery(folder / "x.svg", std::vector<Tile>{{face, evil}, {face, "<b>"}}, 2, evil);
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_FALSE(contains(read_text(folder / "x.svg"), "<b>"));
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
