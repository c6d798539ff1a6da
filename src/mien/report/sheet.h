#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mien/report/canvas.h"
#include "mien/report/heat_table.h"
#include "mien/report/raster.h"

namespace mien::report {

/// Color of the line around a picture.
enum class TileFrame { none, right, wrong };

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

/// What the colors of maps stand for, drawn as a bar at the right.
struct ColorBar {
  bool is_signed = false;
  std::string low, middle, high;  ///< texts beside its lower end, its middle and its upper end
  std::string caption;            ///< below it, such as "each map by itself"
};

/// Pictures with everything a reader needs to read them.
struct Sheet {
  std::string title;                  ///< broken between words where it is wider than the page
  std::vector<std::string> subtitle;  ///< lines below the title
  std::optional<HeatTable> table;     ///< above the grids
  std::vector<PanelGrid> grids;       ///< one below the other
  std::optional<ColorBar> bar;
  std::vector<std::string> notes;  ///< lines below the pictures; lines too long are broken between words
};

/// The sheet laid out; write_picture (canvas.h) writes it. Throws Error(usage) for no panel and no table, and for an
/// image larger than its tile.
Canvas drawn_sheet(const Sheet& sheet);

/// Writes the sheet as png, jpg, svg or pdf by the ending of `path`. Throws as drawn_sheet and write_picture.
void write_sheet(const std::filesystem::path& path, const Sheet& sheet);

/// The sheet as a png. The same sheet gives the same bytes. Throws as write_sheet.
std::string sheet_png(const Sheet& sheet);

}  // namespace mien::report
