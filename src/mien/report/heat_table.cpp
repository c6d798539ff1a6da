#include "mien/report/heat_table.h"

#include <algorithm>
#include <cmath>

namespace mien::report {
namespace {

constexpr int64_t kRowsOfBlock = 64;  // more make another block beside the first,
constexpr int64_t kMostBlocks = 5;    // up to this many
constexpr double kCellWidth = 24;
constexpr double kGroupGap = 3;
constexpr double kTextGap = 6;
constexpr double kBlockGap = 26;
constexpr double kHeadingPoints = 8;
constexpr double kWidestHeading = 150;

/// Where everything of a table stands, in units.
struct Layout {
  double row_height = 0;
  double points = 0;  // of names and notes
  double name_width = 0, note_width = 0, heading_height = 0;
  double block_width = 0;
  std::vector<double> left, top;  // of each row's block and of the row, from the table's corner
  double width = 0, height = 0;
};

Layout lay_out(const HeatTable& table) {
  Layout layout;
  const auto rows = static_cast<int64_t>(table.rows.size());
  const bool is_small = rows <= 32;
  layout.row_height = is_small ? 17 : 11;
  layout.points = is_small ? 8.5 : 7;
  double name = 0;
  double note = table.note_heading.empty() ? 0 : 10;
  for (const HeatTable::Row& row : table.rows) {
    name = std::max(name, text_width(row.name, layout.points));
    note = std::max(note, text_width(row.note, layout.points));
  }
  double heading = text_width(table.note_heading, kHeadingPoints);
  for (const std::string& column : table.columns) heading = std::max(heading, text_width(column, kHeadingPoints));
  layout.name_width = std::ceil(name) + kTextGap;
  layout.note_width = note > 0 ? std::ceil(note) + kTextGap : 0;
  layout.heading_height = std::ceil(std::min(heading, kWidestHeading)) + 8;
  layout.block_width = layout.name_width + static_cast<double>(table.columns.size()) * kCellWidth + layout.note_width;
  const int64_t blocks = std::clamp<int64_t>((rows + kRowsOfBlock - 1) / kRowsOfBlock, 1, kMostBlocks);
  const int64_t rows_of_block = (rows + blocks - 1) / blocks;
  double y = 0;
  for (int64_t i = 0; i < rows; ++i) {
    if (i % rows_of_block == 0) {
      y = layout.heading_height;
    } else if (table.rows[static_cast<size_t>(i)].begins_group) {
      y += kGroupGap;
    }
    layout.left.push_back(static_cast<double>(i / rows_of_block) * (layout.block_width + kBlockGap));
    layout.top.push_back(y);
    y += layout.row_height;
    layout.height = std::max(layout.height, y);
    layout.width = layout.left.back() + layout.block_width;
  }
  return layout;
}

/// The columns' headings, written upwards from `foot`; the first cell begins at `cells`.
void draw_headings(Canvas& canvas, const HeatTable& table, const Layout& layout, double cells, double foot) {
  for (size_t column = 0; column < table.columns.size(); ++column) {
    canvas.text(fit_text(table.columns[column], kHeadingPoints, kWidestHeading),
                cells + (static_cast<double>(column) + 0.5) * kCellWidth,
                foot,
                {.points = kHeadingPoints, .degrees = 90});
  }
  canvas.text(fit_text(table.note_heading, kHeadingPoints, kWidestHeading),
              cells + static_cast<double>(table.columns.size()) * kCellWidth + (kTextGap + layout.note_width) / 2,
              foot,
              {.points = kHeadingPoints, .color = kSoftText, .degrees = 90});
}

void draw_cell(Canvas& canvas, const HeatTable& table, double value, const Box& box) {
  if (!std::isfinite(value)) {
    canvas.picture(hatched(std::lround(2 * box.height), std::lround(2 * box.width)), box);
    return;
  }
  const double part = std::clamp(value / (table.shown > 0 ? table.shown : 1), -1.0, 1.0);
  canvas.rectangle(box, table.is_signed ? signed_color(part) : heat_color(part));
}

}  // namespace

Box extent_of(const HeatTable& table) {
  const Layout layout = lay_out(table);
  return {.width = layout.width, .height = layout.height};
}

void draw_heat_table(Canvas& canvas, const HeatTable& table, double x, double y) {
  const Layout layout = lay_out(table);
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const HeatTable::Row& row = table.rows[i];
    const double top = y + layout.top[i];
    const double cells = x + layout.left[i] + layout.name_width;
    const double middle = top + layout.row_height / 2;
    const double cells_end = cells + static_cast<double>(table.columns.size()) * kCellWidth;
    if (i == 0 || layout.left[i] != layout.left[i - 1]) draw_headings(canvas, table, layout, cells, top - 4);
    canvas.text(row.name, cells - 4, middle, {.points = layout.points, .align = Align::right});
    canvas.text(row.note, cells_end + kTextGap, middle, {.points = layout.points, .color = kSoftText});
    for (size_t column = 0; column < table.columns.size(); ++column) {
      draw_cell(canvas,
                table,
                column < row.values.size() ? row.values[column] : NAN,
                {cells + static_cast<double>(column) * kCellWidth, top, kCellWidth - 0.5, layout.row_height - 0.5});
    }
  }
}

}  // namespace mien::report
