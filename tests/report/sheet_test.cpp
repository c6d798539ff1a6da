#include "mien/report/sheet.h"

#include <cmath>

#include "core/expect_error.h"
#include "report/picture_reader.h"
#include "report/tools.h"

namespace mien::report {
namespace {

using test::contains;

Sheet one_panel(const std::string& title) {
  Sheet sheet;
  sheet.title = title;
  sheet.grids.push_back({.columns = 1, .tile = 40, .panels = {{Raster::filled(8, 8, {200, 30, 60}), "a caption"}}});
  sheet.bar = ColorBar{.is_signed = true, .low = "-1", .middle = "0", .high = "1"};
  return sheet;
}

test::Shown shown(const Sheet& sheet) {
  const TemporaryFolder folder;
  write_sheet(folder / "x.svg", sheet);
  return test::read_svg(folder / "x.svg");
}

TEST(Sheet, HasTheSameBytesTwice) { EXPECT_TRUE(sheet_png(one_panel("saliency")) == sheet_png(one_panel("saliency"))); }

TEST(Sheet, KeepsEveryTextOnThePageAndApart) {
  Sheet sheet = one_panel("A title of so many words that it cannot stand on one line of a page with one small picture");
  sheet.notes = {"a note that goes on and on, " + std::string(300, 'w') + " and further"};
  sheet.subtitle = {"read at conv4",
                    "another line of words that is longer than a page of a single small picture is wide"};
  sheet.bar->low = "\u2264 -0.000123456";
  sheet.bar->caption = "each map by itself, from its own largest magnitude";
  sheet.grids[0].heading = "A heading that is much longer than the picture below it is wide, and goes on";
  const test::Shown page = shown(sheet);
  test::expect_readable(page, "sheet");
  std::string all;
  for (const std::string& words : page.words()) all += words + " ";
  for (const char* text :
       {"A title of so many", "small picture", "read at conv4", "a caption", "and further", "-0.000123456"})
    EXPECT_TRUE(contains(all, text)) << text;
}

TEST(Sheet, IsAsWideAsItsContents) {
  const TemporaryFolder folder;
  Sheet sheet = one_panel("x");
  sheet.bar.reset();
  sheet.grids[0].columns = 12;
  sheet.grids[0].panels.assign(12, sheet.grids[0].panels[0]);
  write_sheet(folder / "x.png", sheet);
  const Raster picture = test::read_png(folder / "x.png");
  EXPECT_EQ(picture.width, 2 * (12 * 54 - 14 + 36));
  const Box ink = test::ink_box(picture);
  EXPECT_NEAR(ink.x, 36, 6) << "the left margin";
  EXPECT_NEAR(static_cast<double>(picture.width) - ink.right(), 36, 6) << "the right margin";
  EXPECT_EQ(test::pixels_of(picture, {200, 30, 60}), 12 * 80 * 80) << "every panel, enlarged to its tile";
}

TEST(Sheet, CutsACaptionThatIsWiderThanItsPlace) {
  Sheet sheet = one_panel("x");
  sheet.grids[0].panels[0].caption = "row 7\nsurprise 0.93, happy 0.81, neutral 0.2";
  const test::Shown page = shown(sheet);
  EXPECT_TRUE(page.says("row 7"));
  for (const test::ShownText& text : page.texts) {
    if (!text.words.starts_with("surprise")) continue;
    EXPECT_TRUE(text.words.ends_with("\u2026"));
    EXPECT_LE(text.box.width, 50);
  }
}

TEST(Sheet, PutsTheBarsEndsBesideItsEnds) {
  const test::Shown page = shown(one_panel("x"));
  EXPECT_LT(page.text("1").box.y, page.text("0").box.y);
  EXPECT_LT(page.text("0").box.y, page.text("-1").box.y);
}

HeatTable two_rows() {
  return {.columns = {"angry, 3 faces", "happy, 9 faces"},
          .note_heading = "selectivity",
          .rows = {{.name = "17", .values = {-4, 2}, .note = "0.71"},
                   {.name = "3", .values = {0, NAN}, .note = "dead", .begins_group = true}},
          .is_signed = true,
          .shown = 4};
}

TEST(HeatTable, HasTheColorOfEachValueAndHatchesWhatIsNone) {
  const TemporaryFolder folder;
  const Sheet sheet{.table = two_rows()};
  write_sheet(folder / "x.png", sheet);
  const Raster picture = test::read_png(folder / "x.png");
  const int64_t cell = test::pixels_of(picture, signed_color(-1));
  EXPECT_GT(cell, 500);
  EXPECT_EQ(test::pixels_of(picture, signed_color(0.5)), cell);
  EXPECT_EQ(test::pixels_of(picture, signed_color(0)), cell);
  EXPECT_EQ(test::pixels_of(picture, signed_color(1)), 0);
  const test::Shown page = shown(sheet);
  test::expect_readable(page, "heat table");
  for (const char* text : {"17", "3", "0.71", "dead", "angry, 3 faces", "happy, 9 faces", "selectivity"})
    EXPECT_TRUE(page.says(text)) << text;
}

TEST(HeatTable, PutsManyRowsInBlocksSideBySide) {
  HeatTable table = two_rows();
  table.rows.resize(1);
  const Box one = extent_of(table);
  table.rows.assign(64, table.rows.front());
  const Box block = extent_of(table);
  table.rows.assign(256, table.rows.front());
  const Box four = extent_of(table);
  EXPECT_GT(block.height, 5 * one.height);
  EXPECT_EQ(four.height, block.height);
  EXPECT_GE(four.width, 4 * block.width);
  table.rows.assign(1000, table.rows.front());
  EXPECT_LT(extent_of(table).width, 7 * block.width) << "no page is endlessly wide";
}

TEST(HeatTable, MakesASheetByItself) {
  EXPECT_TRUE(sheet_png({.title = "units", .table = two_rows()}).starts_with("\x89PNG"));
}

TEST(Sheet, RefusesToDrawNothing) {
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [] { sheet_png({.table = HeatTable{}}); }), "without pictures"));
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [] { sheet_png({}); }), "without pictures"));
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [] { sheet_png({.grids = {PanelGrid{}}}); }), "empty grid"));
}

TEST(Sheet, RefusesAPictureThatWouldCoverItsNeighbors) {
  Sheet sheet = one_panel("x");
  sheet.grids[0].panels[0].image = Raster::filled(10, 81, {});
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { sheet_png(sheet); }),
                       "81 x 10 pixels does not fit its tile of 40 units"));
}

TEST(Sheet, RefusesAPageBeyondMemory) {
  Sheet sheet = one_panel("x");
  sheet.grids[0].columns = 100;
  sheet.grids[0].panels.resize(60000);
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { sheet_png(sheet); }), "100 million"));
}

}  // namespace
}  // namespace mien::report
