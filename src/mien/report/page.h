#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mien/report/raster.h"

namespace mien::report {

struct HeatTable;

/// A white page that grows while it is written on. Places are in units from its upper left corner, y downwards; a unit
/// is two pixels.
struct Page {
  Raster raster;
  std::string script;  ///< gnuplot commands that write the texts

  static constexpr const char* kDark = "#111827";
  static constexpr const char* kSoft = "#4b5563";

  /// `place` says what of the text is at (x, y), and its direction: "left", "right", "center", "left rotate by 90".
  void text(std::string_view words,
            double x,
            double y,
            double points,
            const char* color,
            const char* place = "left",
            bool bold = false);
};

/// Size that `table` takes on a page, in units.
struct Extent {
  int64_t width = 0;
  int64_t height = 0;
};
Extent extent_of(const HeatTable& table);
/// Draws `table` with its upper left corner at (x, y).
void draw_heat_table(Page& page, const HeatTable& table, int64_t x, int64_t y);

}  // namespace mien::report
