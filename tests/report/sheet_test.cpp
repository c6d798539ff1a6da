#include "mien/report/sheet.h"

#include <cmath>

#include "core/expect_error.h"
#include "report/tools.h"

#include "mien/core/files.h"
#include "mien/report/page.h"

namespace mien::report {
namespace {

Sheet one_panel(const std::string& title) {
  Sheet sheet;
  sheet.title = title;
  sheet.grids.push_back({.columns = 1, .tile = 40, .panels = {{Raster::filled(8, 8, {200, 30, 60}), "a caption"}}});
  sheet.bar = ColorBar{.is_signed = true, .low = "-1", .middle = "0", .high = "1"};
  return sheet;
}

TEST(Sheet, HasTheSameBytesTwice) {
  SKIP_WITHOUT_GNUPLOT();
  EXPECT_TRUE(sheet_png(one_panel("saliency")) == sheet_png(one_panel("saliency")));
}

TEST(Sheet, IsWideEnoughForItsTitleAndSaysEverything) {
  const test::ScriptCatcher gnuplot;
  Sheet sheet = one_panel("A title of so many words that it cannot stand on one line of a page with one small picture");
  sheet.notes = {"a note"};
  sheet.subtitle = {"read at conv4"};
  sheet_png(sheet);
  const std::string script = gnuplot.script();
  for (const char* text :
       {"A title of so many", "small picture", "read at conv4", "a caption", "a note", "'-1'", "'0'", "'1'"}) {
    EXPECT_TRUE(test::contains(script, text)) << text;
  }
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
  const HeatTable table = two_rows();
  const Extent extent = extent_of(table);
  Page page{.raster = Raster::filled(2 * extent.height + 20, 2 * extent.width + 20, {255, 255, 255}), .script = {}};
  draw_heat_table(page, table, 5, 3);
  const auto pixels_of = [&](const Color& color) {
    int64_t count = 0;
    for (int64_t y = 0; y < page.raster.height; ++y) {
      for (int64_t x = 0; x < page.raster.width; ++x) count += page.raster.at(y, x).hex() == color.hex() ? 1 : 0;
    }
    return count;
  };
  const int64_t cell = pixels_of(signed_color(-1));
  EXPECT_GT(cell, 500);
  EXPECT_EQ(pixels_of(signed_color(0.5)), cell);
  EXPECT_EQ(pixels_of(signed_color(0)), cell);
  EXPECT_EQ(pixels_of(signed_color(1)), 0);
  for (const char* text : {"'17'", "'3'", "'0.71'", "'dead'", "'angry, 3 faces'", "'happy, 9 faces'", "'selectivity'"})
    EXPECT_TRUE(test::contains(page.script, text)) << text;
}

TEST(HeatTable, PutsManyRowsInBlocksSideBySide) {
  HeatTable table = two_rows();
  table.rows.resize(1);
  const Extent one = extent_of(table);
  table.rows.assign(64, table.rows.front());
  const Extent block = extent_of(table);
  table.rows.assign(256, table.rows.front());
  const Extent four = extent_of(table);
  EXPECT_GT(block.height, 10 * one.height / 2);
  EXPECT_EQ(four.height, block.height);
  EXPECT_GE(four.width, 4 * block.width);
  table.rows.assign(1000, table.rows.front());
  EXPECT_LT(extent_of(table).width, 7 * block.width) << "no page is endlessly wide";
}

TEST(HeatTable, MakesASheetByItself) {
  SKIP_WITHOUT_GNUPLOT();
  EXPECT_TRUE(sheet_png({.title = "units", .table = two_rows()}).starts_with("\x89PNG"));
}

TEST(Sheet, RefusesToDrawNothing) {
  EXPECT_TRUE(
      test::contains(error_line(ErrorCode::usage, [] { sheet_png({.table = HeatTable{}}); }), "without pictures"));
  EXPECT_TRUE(test::contains(error_line(ErrorCode::usage, [] { sheet_png({}); }), "without pictures"));
  EXPECT_TRUE(test::contains(error_line(ErrorCode::usage, [] { sheet_png({.grids = {PanelGrid{}}}); }), "empty grid"));
}

TEST(Sheet, RefusesAPictureThatWouldCoverItsNeighbors) {
  Sheet sheet = one_panel("x");
  sheet.grids[0].panels[0].image = Raster::filled(10, 81, {});
  EXPECT_TRUE(test::contains(error_line(ErrorCode::usage, [&] { sheet_png(sheet); }),
                             "81 x 10 pixels does not fit its tile of 40 units"));
}

TEST(Sheet, RefusesAPageBeyondMemory) {
  Sheet sheet;
  sheet.grids.push_back({.columns = 1, .tile = 4000, .panels = std::vector<Panel>(10)});
  EXPECT_TRUE(test::contains(error_line(ErrorCode::usage, [&] { sheet_png(sheet); }), "100 million"));
}

}  // namespace
}  // namespace mien::report
