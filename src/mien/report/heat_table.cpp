#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mien/report/colors.h"
#include "mien/report/gnuplot.h"
#include "mien/report/page.h"
#include "mien/report/sheet.h"
#include "mien/report/text_width.h"

namespace mien::report {
namespace {

constexpr int64_t kRowsOfBlock = 64;  // more make another block beside the first,
constexpr int64_t kMostBlocks = 5;    // up to this many
constexpr int64_t kCellWidth = 24;
constexpr int64_t kGroupGap = 3;
constexpr int64_t kTextGap = 6;
constexpr int64_t kBlockGap = 26;
constexpr double kHeadingPoints = 8;
constexpr double kWidestHeading = 150;

/// Where everything of a table stands, in units.
struct Layout {
  int64_t row_height = 0;
  double points = 0;  // of names and notes
  int64_t name_width = 0, note_width = 0, heading_height = 0;
  int64_t block_width = 0;
  std::vector<int64_t> left, top;  // of each row's block and of the row, from the table's corner
  int64_t width = 0, height = 0;
};

Layout lay_out(const HeatTable& table) {
  Layout layout;
  const auto rows = static_cast<int64_t>(table.rows.size());
  const bool is_small = rows <= 32;
  layout.row_height = is_small ? 17 : 11;
  layout.points = is_small ? 8.5 : 7;
  double name = 0;
  double note = text_width(table.note_heading, kHeadingPoints) > 0 ? 10 : 0;
  for (const HeatTable::Row& row : table.rows) {
    name = std::max(name, text_width(row.name, layout.points));
    note = std::max(note, text_width(row.note, layout.points));
  }
  double heading = text_width(table.note_heading, kHeadingPoints);
  for (const std::string& column : table.columns) heading = std::max(heading, text_width(column, kHeadingPoints));
  layout.name_width = std::lround(std::ceil(name)) + kTextGap;
  layout.note_width = note > 0 ? std::lround(std::ceil(note)) + kTextGap : 0;
  layout.heading_height = std::lround(std::ceil(std::min(heading, kWidestHeading))) + 8;
  const auto columns = static_cast<int64_t>(table.columns.size());
  layout.block_width = layout.name_width + columns * kCellWidth + layout.note_width;
  const int64_t blocks = std::clamp<int64_t>((rows + kRowsOfBlock - 1) / kRowsOfBlock, 1, kMostBlocks);
  const int64_t rows_of_block = (rows + blocks - 1) / blocks;
  int64_t y = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t block = i / rows_of_block;
    if (i % rows_of_block == 0) {
      y = layout.heading_height;
    } else if (table.rows[static_cast<size_t>(i)].begins_group) {
      y += kGroupGap;
    }
    layout.left.push_back(block * (layout.block_width + kBlockGap));
    layout.top.push_back(y);
    y += layout.row_height;
    layout.height = std::max(layout.height, y);
    layout.width = layout.left.back() + layout.block_width;
  }
  return layout;
}

}  // namespace

Extent extent_of(const HeatTable& table) {
  const Layout layout = lay_out(table);
  return {.width = layout.width, .height = layout.height};
}

void draw_heat_table(Page& page, const HeatTable& table, int64_t x, int64_t y) {
  const Layout layout = lay_out(table);
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const HeatTable::Row& row = table.rows[i];
    const int64_t left = x + layout.left[i];
    const int64_t top = y + layout.top[i];
    const int64_t cells = left + layout.name_width;
    const double middle = static_cast<double>(top) + static_cast<double>(layout.row_height) / 2;
    const auto cells_end = cells + static_cast<int64_t>(table.columns.size()) * kCellWidth;
    if (i == 0 || layout.left[i] != layout.left[i - 1]) {
      const auto foot = static_cast<double>(top - 4);
      for (size_t column = 0; column < table.columns.size(); ++column) {
        page.text(fit_text(table.columns[column], kHeadingPoints, kWidestHeading),
                  static_cast<double>(cells) + (static_cast<double>(column) + 0.5) * static_cast<double>(kCellWidth),
                  foot,
                  kHeadingPoints,
                  Page::kDark,
                  "left rotate by 90");
      }
      if (!table.note_heading.empty()) {
        page.text(table.note_heading,
                  static_cast<double>(cells_end + kTextGap + (layout.note_width - kTextGap) / 2),
                  foot,
                  kHeadingPoints,
                  Page::kSoft,
                  "left rotate by 90");
      }
    }
    page.text(row.name, static_cast<double>(cells - 4), middle, layout.points, Page::kDark, "right");
    page.text(row.note, static_cast<double>(cells_end + kTextGap), middle, layout.points, Page::kSoft);
    for (size_t column = 0; column < table.columns.size(); ++column) {
      // A pixel is left white between cells.
      const int64_t height = 2 * layout.row_height - 1;
      const int64_t width = 2 * kCellWidth - 1;
      const double value = column < row.values.size() ? row.values[column] : NAN;
      const double part = std::clamp(value / (table.shown > 0 ? table.shown : 1), -1.0, 1.0);
      page.raster.paste(std::isfinite(value)
                            ? Raster::filled(height, width, table.is_signed ? signed_color(part) : heat_color(part))
                            : hatched(height, width),
                        2 * top,
                        2 * (cells + static_cast<int64_t>(column) * kCellWidth));
    }
  }
}

}  // namespace mien::report
