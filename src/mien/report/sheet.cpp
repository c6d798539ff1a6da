#include "mien/report/sheet.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::report {
namespace {

constexpr double kMargin = 18;
constexpr double kBarWidth = 16;
constexpr double kBarGap = 24;      // between the panels and the bar
constexpr double kBarCaption = 86;  // room for the bar's texts, its own width included
constexpr double kTitlePoints = 12;
constexpr double kHeadingPoints = 10;
constexpr double kTextPoints = 9;
constexpr double kNarrowest = 300;  // room for titles above a single small panel

double caption_points(const PanelGrid& grid) { return grid.tile >= 90 ? 8.5 : 7; }

int64_t caption_lines(const PanelGrid& grid) {
  int64_t lines = 0;
  for (const Panel& panel : grid.panels) {
    if (!panel.caption.empty())
      lines = std::max<int64_t>(lines, 1 + std::count(panel.caption.begin(), panel.caption.end(), '\n'));
  }
  return lines;
}

double cell_height(const PanelGrid& grid) {
  const auto lines = static_cast<double>(caption_lines(grid));
  return static_cast<double>(grid.tile + grid.gap) + (lines > 0 ? 5 + lines * line_height(caption_points(grid)) : 0);
}

int64_t grid_rows(const PanelGrid& grid) {
  return (static_cast<int64_t>(grid.panels.size()) + grid.columns - 1) / grid.columns;
}

double grid_width(const PanelGrid& grid) {
  return static_cast<double>(grid.columns * (grid.tile + grid.gap) - grid.gap);
}

Color frame_color(TileFrame frame) {
  switch (frame) {
    case TileFrame::none:
      return {209, 213, 219};
    case TileFrame::right:
      return {0, 158, 115};
    case TileFrame::wrong:
      return {213, 94, 0};
  }
  return {};
}

void check(const Sheet& sheet) {
  for (const PanelGrid& grid : sheet.grids) {
    if (grid.panels.empty() || grid.columns < 1 || grid.tile < 8)
      throw_usage("cannot draw a sheet with an empty grid, expected panels, columns and a tile of 8 units or more");
    for (const Panel& panel : grid.panels) {
      if (std::max(panel.image.height, panel.image.width) <= 2 * grid.tile) continue;
      throw_usage(
          fmt::format("cannot draw a sheet: a picture of {} x {} pixels does not fit its tile of {} units ({} pixels)",
                      panel.image.width,
                      panel.image.height,
                      grid.tile,
                      2 * grid.tile));
    }
  }
}

/// Draws the parts of a sheet from top to bottom.
class SheetPainter {
 public:
  SheetPainter(const Sheet& sheet, double content) : sheet_(sheet), content_(content) {
    if (sheet.bar) {
      bar_room_ = kBarCaption;
      for (const std::string& words : {sheet.bar->low, sheet.bar->middle, sheet.bar->high})
        bar_room_ = std::max(bar_room_, kBarWidth + 6 + std::ceil(text_width(words, kTextPoints)));
    }
    width_ = 2 * kMargin + content + (sheet.bar ? kBarGap + bar_room_ : 0);
  }

  Canvas paint() {
    paragraph(sheet_.title, {.points = kTitlePoints, .is_bold = true});
    for (const std::string& line : sheet_.subtitle) paragraph(line, {.points = kTextPoints, .color = kSoftText});
    if (y_ > kMargin) y_ += 10;
    pictures_top_ = y_;
    if (sheet_.table && !sheet_.table->rows.empty()) {
      const Box extent = extent_of(*sheet_.table);
      draw_heat_table(canvas_, *sheet_.table, kMargin, y_);
      bar_height_ = extent.height;
      y_ += extent.height + 14;
    }
    for (const PanelGrid& grid : sheet_.grids) draw(grid);
    if (sheet_.bar) y_ = std::max(y_, draw(*sheet_.bar));
    if (!sheet_.notes.empty()) y_ += 4;
    for (const std::string& line : sheet_.notes) paragraph(line, {.points = kTextPoints, .color = kSoftText});
    canvas_.resize(width_, y_ + kMargin - 8);
    return std::move(canvas_);
  }

 private:
  /// `text` in as many lines as it needs.
  void paragraph(const std::string& text, const TextStyle& style) {
    if (text.empty()) return;
    for (const std::string& line : wrapped_text(text, style.points, width_ - 2 * kMargin, style.is_bold)) {
      canvas_.text(line, kMargin, y_ + line_height(style.points) / 2, style);
      y_ += line_height(style.points);
    }
  }

  void draw(const PanelGrid& grid) {
    if (!grid.heading.empty()) {
      for (const std::string& line : wrapped_text(grid.heading, kHeadingPoints, content_, true)) {
        canvas_.text(line, kMargin, y_ + line_height(kTitlePoints) / 2, {.points = kHeadingPoints, .is_bold = true});
        y_ += line_height(kTitlePoints);
      }
      y_ += 4;
    }
    const auto step = static_cast<double>(grid.tile + grid.gap);
    if (!grid.column_headings.empty()) {
      const size_t columns = std::min(grid.column_headings.size(), static_cast<size_t>(grid.columns));
      for (size_t column = 0; column < columns; ++column) {
        canvas_.text(fit_text(grid.column_headings[column], kTextPoints, step - 4),
                     kMargin + static_cast<double>(column) * step,
                     y_ + line_height(kTextPoints) / 2,
                     {.points = kTextPoints, .color = kSoftText});
      }
      y_ += line_height(kTextPoints) + 4;
    }
    if (bar_height_ == 0) {
      pictures_top_ = y_;
      bar_height_ = static_cast<double>(grid.tile);
    }
    for (size_t i = 0; i < grid.panels.size(); ++i) {
      const auto place = static_cast<int64_t>(i);
      draw(grid.panels[i],
           grid,
           kMargin + static_cast<double>(place % grid.columns) * step,
           y_ + static_cast<double>(place / grid.columns) * cell_height(grid));
    }
    y_ += static_cast<double>(grid_rows(grid)) * cell_height(grid);
  }

  void draw(const Panel& panel, const PanelGrid& grid, double x, double y) {
    const auto tile = static_cast<double>(grid.tile);
    if (panel.image.height > 0) {
      const int64_t factor = std::max<int64_t>(1, 2 * grid.tile / std::max(panel.image.height, panel.image.width));
      // A unit is two pixels: whole pixels stay whole.
      const int64_t height = panel.image.height * factor;
      const int64_t width = panel.image.width * factor;
      const Box box{x + static_cast<double>((2 * grid.tile - width) / 2) / 2,
                    y + static_cast<double>((2 * grid.tile - height) / 2) / 2,
                    static_cast<double>(width) / 2,
                    static_cast<double>(height) / 2};
      const double line = panel.frame == TileFrame::none ? 0.5 : 2.5;
      canvas_.rectangle({box.x - line, box.y - line, box.width + 2 * line, box.height + 2 * line},
                        frame_color(panel.frame));
      canvas_.picture(panel.image, box);
    }
    if (panel.caption.empty()) return;
    const double points = caption_points(grid);
    double middle = y + tile + 5 + line_height(points) / 2;
    bool is_first = true;
    for (const std::string& line : split(panel.caption, '\n')) {
      canvas_.text(fit_text(line, points, tile + static_cast<double>(grid.gap) - 4),
                   x,
                   middle,
                   {.points = points, .color = is_first ? kDarkText : kSoftText});
      middle += line_height(points);
      is_first = false;
    }
  }

  /// Draws the bar and returns where it ends, its caption included.
  double draw(const ColorBar& bar) {
    const double x = kMargin + content_ + kBarGap;
    const double height = std::min(bar_height_, 200.0);
    Raster colors = Raster::filled(std::lround(2 * height), 1, {});
    for (int64_t row = 0; row < colors.height; ++row) {
      const double part = 1 - (static_cast<double>(row) + 0.5) / static_cast<double>(colors.height);
      colors.set(row, 0, bar.is_signed ? signed_color(2 * part - 1) : heat_color(part));
    }
    canvas_.picture(std::move(colors), {x, pictures_top_, kBarWidth, height});
    const TextStyle style{.points = kTextPoints};
    canvas_.text(bar.high, x + kBarWidth + 6, pictures_top_ + 6, style);
    canvas_.text(bar.middle, x + kBarWidth + 6, pictures_top_ + height / 2, style);
    canvas_.text(bar.low, x + kBarWidth + 6, pictures_top_ + height - 6, style);
    double y = pictures_top_ + height + 14;
    if (bar.caption.empty()) return y;
    for (const std::string& line : wrapped_text(bar.caption, 8, bar_room_)) {
      canvas_.text(line, x, y, {.points = 8, .color = kSoftText});
      y += line_height(8);
    }
    return y;
  }

  const Sheet& sheet_;
  Canvas canvas_;
  double content_;       // width of tables and grids
  double width_ = 0;     // of the page
  double bar_room_ = 0;  // for the bar and its texts
  double y_ = kMargin;   // what is drawn next begins here
  double pictures_top_ = 0;
  double bar_height_ = 0;  // of the first picture or the table, beside which the bar stands
};

}  // namespace

Canvas drawn_sheet(const Sheet& sheet) {
  check(sheet);
  const bool has_table = sheet.table && !sheet.table->rows.empty();
  if (sheet.grids.empty() && !has_table) throw_usage("cannot draw a sheet without pictures");
  double content = kNarrowest;
  for (const PanelGrid& grid : sheet.grids) content = std::max(content, grid_width(grid));
  if (has_table) content = std::max(content, std::ceil(extent_of(*sheet.table).width));
  return SheetPainter(sheet, content).paint();
}

void write_sheet(const std::filesystem::path& path, const Sheet& sheet) { write_picture(path, drawn_sheet(sheet)); }

std::string sheet_png(const Sheet& sheet) { return encoded_picture(drawn_sheet(sheet), ".png"); }

}  // namespace mien::report
