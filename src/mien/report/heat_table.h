#pragma once

#include <string>
#include <vector>

#include "mien/report/canvas.h"

namespace mien::report {

/// Numbers by row and column as colors. Many rows stand in blocks side by side.
struct HeatTable {
  struct Row {
    std::string name;            ///< left of its cells
    std::vector<double> values;  ///< one a column; one that is not finite is hatched
    std::string note;            ///< right of them
    bool begins_group = false;   ///< stands a little apart from the row above
  };
  std::vector<std::string> columns;  ///< headings, written upwards
  std::string note_heading;
  std::vector<Row> rows;
  bool is_signed = false;  ///< signed_color around 0 instead of heat_color from 0
  double shown = 1;        ///< magnitude that gets the last color, as do all larger ones
};

/// Place that `table` takes with its upper left corner at the page's.
Box extent_of(const HeatTable& table);
/// Draws `table` with its upper left corner at (x, y).
void draw_heat_table(Canvas& canvas, const HeatTable& table, double x, double y);

}  // namespace mien::report
