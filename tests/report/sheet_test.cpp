#include "mien/report/sheet.h"

#include "core/expect_error.h"
#include "report/tools.h"

#include "mien/core/files.h"

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

TEST(Sheet, RefusesToDrawNothing) {
  EXPECT_TRUE(test::contains(error_line(ErrorCode::usage, [] { sheet_png({}); }), "without pictures"));
  EXPECT_TRUE(test::contains(error_line(ErrorCode::usage, [] { sheet_png({.grids = {PanelGrid{}}}); }), "empty grid"));
}

TEST(Sheet, RefusesAPictureThatWouldCoverItsNeighbours) {
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
