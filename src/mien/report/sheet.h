#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mien/report/gallery.h"
#include "mien/report/raster.h"

namespace mien::report {

/// One picture of a sheet.
struct Panel {
  Raster image;         ///< enlarged by a whole number to fill the tile; none: the place stays empty
  std::string caption;  ///< lines separated by '\n'; cut with an ellipsis where wider than the tile
  TileFrame frame = TileFrame::none;
};

/// Panels in rows under a heading.
struct PanelGrid {
  std::string heading;
  std::vector<std::string> column_headings;  ///< none, or one a column
  int64_t columns = 1;
  int64_t tile = 144;  ///< side of a panel's square, in units; a unit is two pixels
  int64_t gap = 14;    ///< between panels, in units
  std::vector<Panel> panels;
};

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

/// What the colors of maps stand for, drawn as a bar at the right.
struct ColorBar {
  bool is_signed = false;
  std::string low, middle, high;  ///< texts beside its lower end, its middle and its upper end
  std::string caption;            ///< below it, such as "each map by itself"
};

/// Pictures with everything a reader needs to read them.
struct Sheet {
  std::string title;
  std::vector<std::string> subtitle;  ///< lines below the title
  std::optional<HeatTable> table;     ///< above the grids
  std::vector<PanelGrid> grids;       ///< one below the other
  std::optional<ColorBar> bar;
  std::vector<std::string> notes;  ///< lines below the pictures; lines too long are broken between words
};

/// The sheet as a png. The same sheet gives the same bytes. Throws Error(usage) for no panel and no table, an image
/// larger than its tile or a page of more than 100 million pixels, and as run_gnuplot.
std::string sheet_png(const Sheet& sheet);

}  // namespace mien::report
