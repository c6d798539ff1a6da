#include "mien/report/sheet.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/report/gnuplot.h"
#include "mien/report/page.h"
#include "mien/report/text_width.h"

namespace mien::report {
namespace {

constexpr int64_t kMargin = 18;  // units; a unit is two pixels
constexpr int64_t kBarWidth = 16;
constexpr int64_t kBarSpace = 110;  // bar, its texts and the gap before it
constexpr double kTitlePoints = 12;
constexpr double kTextPoints = 9;
constexpr double kLargestPage = 1e8;
constexpr double kBold = 1.13;  // width of bold letters

double caption_points(const PanelGrid& grid) { return grid.tile >= 90 ? 8.5 : 7; }
int64_t line_height(double points) { return std::lround(points * 4 / 3 * 1.35); }

int64_t caption_lines(const PanelGrid& grid) {
  int64_t lines = 0;
  for (const Panel& panel : grid.panels) {
    if (!panel.caption.empty())
      lines = std::max<int64_t>(lines, 1 + std::count(panel.caption.begin(), panel.caption.end(), '\n'));
  }
  return lines;
}

int64_t cell_height(const PanelGrid& grid) {
  const int64_t lines = caption_lines(grid);
  return grid.tile + (lines > 0 ? 5 + lines * line_height(caption_points(grid)) : 0) + grid.gap;
}
int64_t grid_rows(const PanelGrid& grid) {
  return (static_cast<int64_t>(grid.panels.size()) + grid.columns - 1) / grid.columns;
}
int64_t grid_width(const PanelGrid& grid) { return grid.columns * (grid.tile + grid.gap) - grid.gap; }

/// `text` in lines no wider than `width`, broken between words.
std::vector<std::string> wrapped(const std::string& text, double points, double width) {
  std::vector<std::string> lines;
  for (const std::string& word : split(text, ' ')) {
    const std::string longer = lines.empty() ? word : lines.back() + " " + word;
    if (lines.empty() || text_width(longer, points) > width) {
      lines.push_back(word);
    } else {
      lines.back() = longer;
    }
  }
  return lines;
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

void draw_panel(Page& page, const Panel& panel, const PanelGrid& grid, int64_t x, int64_t y) {
  const int64_t side = 2 * grid.tile;
  if (panel.image.height > 0) {
    const int64_t factor = side / std::max(panel.image.height, panel.image.width);
    const int64_t height = panel.image.height * factor;
    const int64_t width = panel.image.width * factor;
    const int64_t top = 2 * y + (side - height) / 2;
    const int64_t left = 2 * x + (side - width) / 2;
    const int64_t thickness = panel.frame == TileFrame::none ? 1 : 5;
    page.raster.paste(Raster::filled(height + 2 * thickness, width + 2 * thickness, frame_color(panel.frame)),
                      top - thickness,
                      left - thickness);
    page.raster.paste(enlarged(panel.image, factor), top, left);
  }
  if (panel.caption.empty()) return;
  const double points = caption_points(grid);
  const std::vector<std::string> lines = split(panel.caption, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    page.text(fit_text(lines[i], points, static_cast<double>(grid.tile + grid.gap - 4)),
              static_cast<double>(x),
              static_cast<double>(y + grid.tile + 5) +
                  (static_cast<double>(i) + 0.5) * static_cast<double>(line_height(points)),
              points,
              i == 0 ? Page::kDark : Page::kSoft);
  }
}

void draw_bar(Page& page, const ColorBar& bar, int64_t x, int64_t y, int64_t height) {
  Raster colors = Raster::filled(2 * height, 2 * kBarWidth, {});
  for (int64_t row = 0; row < colors.height; ++row) {
    const double part = 1 - (static_cast<double>(row) + 0.5) / static_cast<double>(colors.height);
    const Color color = bar.is_signed ? signed_color(2 * part - 1) : heat_color(part);
    for (int64_t column = 0; column < colors.width; ++column) colors.set(row, column, color);
  }
  page.raster.paste(colors, 2 * y, 2 * x);
  const auto text_x = static_cast<double>(x + kBarWidth + 6);
  const double room = kBarSpace - kBarWidth - 6 - 24 + kMargin;
  const auto label = [&](const std::string& words, double at) {
    if (!words.empty()) page.text(fit_text(words, kTextPoints, room), text_x, at, kTextPoints, Page::kDark);
  };
  label(bar.high, static_cast<double>(y + 5));
  label(bar.middle, static_cast<double>(y) + static_cast<double>(height) / 2);
  label(bar.low, static_cast<double>(y + height - 5));
  double at = static_cast<double>(y + height) + 14;
  if (bar.caption.empty()) return;
  for (const std::string& line : wrapped(bar.caption, 8, kBarSpace - 24)) {
    page.text(line, static_cast<double>(x), at, 8, Page::kSoft);
    at += static_cast<double>(line_height(8));
  }
}

}  // namespace

void Page::text(
    std::string_view words, double x, double y, double points, const char* color, const char* place, bool bold) {
  if (words.empty()) return;
  script += fmt::format("set label {} at {},{} {} front font 'DejaVu Sans{},{}' textcolor rgb '{}'\n",
                        gnuplot_string(words),
                        x,
                        y,
                        place,
                        bold ? ":Bold" : "",
                        points,
                        color);
}

std::string sheet_png(const Sheet& sheet) {
  int64_t width = 0;
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
    width = std::max(width, grid_width(grid));
  }
  const bool has_table = sheet.table && !sheet.table->rows.empty();
  if (has_table) width = std::max(width, extent_of(*sheet.table).width);
  if (sheet.grids.empty() && !has_table) throw_usage("cannot draw a sheet without pictures");
  const int64_t content = std::max<int64_t>(width, 300);
  const int64_t page_width = 2 * kMargin + content + (sheet.bar ? kBarSpace : 0);
  const auto text_room = static_cast<double>(page_width - 2 * kMargin);

  std::vector<std::string> titles;
  if (!sheet.title.empty()) titles = wrapped(sheet.title, kTitlePoints * kBold, text_room);
  std::vector<std::string> subtitles;
  for (const std::string& line : sheet.subtitle) {
    for (std::string& part : wrapped(line, kTextPoints, text_room)) subtitles.push_back(std::move(part));
  }
  std::vector<std::string> notes;
  for (const std::string& line : sheet.notes) {
    for (std::string& part : wrapped(line, kTextPoints, text_room)) notes.push_back(std::move(part));
  }
  const int64_t title_line = line_height(kTitlePoints);
  const int64_t text_line = line_height(kTextPoints);
  const auto lines = [](const std::vector<std::string>& texts) { return static_cast<int64_t>(texts.size()); };
  const int64_t grids_top = kMargin + lines(titles) * title_line + lines(subtitles) * text_line +
                            (titles.empty() && subtitles.empty() ? 0 : 10);
  const int64_t table_height = has_table ? extent_of(*sheet.table).height : 0;
  int64_t height = grids_top + (has_table ? table_height + 14 : 0);
  for (const PanelGrid& grid : sheet.grids) {
    height += (grid.heading.empty() ? 0 : title_line + 4) + (grid.column_headings.empty() ? 0 : text_line + 4) +
              grid_rows(grid) * cell_height(grid);
  }
  const int64_t grids_bottom = height;
  if (!notes.empty()) height += 4 + lines(notes) * text_line;
  height += kMargin - 8;
  if (4.0 * static_cast<double>(page_width) * static_cast<double>(height) > kLargestPage) {
    throw_usage(
        fmt::format(
            "cannot draw a sheet of {} x {} pixels, expected 100 million pixels at most", 2 * page_width, 2 * height),
        "choose fewer pictures");
  }

  Page page{.raster = Raster::filled(2 * height, 2 * page_width, {255, 255, 255}), .script = {}};
  int64_t y = kMargin;
  for (const std::string& line : titles) {
    page.text(line,
              kMargin,
              static_cast<double>(y) + static_cast<double>(title_line) / 2,
              kTitlePoints,
              Page::kDark,
              "left",
              true);
    y += title_line;
  }
  for (const std::string& line : subtitles) {
    page.text(line, kMargin, static_cast<double>(y) + static_cast<double>(text_line) / 2, kTextPoints, Page::kSoft);
    y += text_line;
  }
  y = grids_top;
  int64_t first_tiles = 0;
  if (has_table) {
    draw_heat_table(page, *sheet.table, kMargin, y);
    first_tiles = y;
    y += table_height + 14;
  }
  for (const PanelGrid& grid : sheet.grids) {
    if (!grid.heading.empty()) {
      page.text(fit_text(grid.heading, 10 * kBold, static_cast<double>(content)),
                kMargin,
                static_cast<double>(y) + static_cast<double>(title_line) / 2,
                10,
                Page::kDark,
                "left",
                true);
      y += title_line + 4;
    }
    if (!grid.column_headings.empty()) {
      for (int64_t column = 0; column < grid.columns && column < lines(grid.column_headings); ++column) {
        page.text(fit_text(grid.column_headings[static_cast<size_t>(column)],
                           kTextPoints,
                           static_cast<double>(grid.tile + grid.gap - 4)),
                  static_cast<double>(kMargin + column * (grid.tile + grid.gap)),
                  static_cast<double>(y) + static_cast<double>(text_line) / 2,
                  kTextPoints,
                  Page::kSoft);
      }
      y += text_line + 4;
    }
    if (first_tiles == 0) first_tiles = y;
    for (size_t i = 0; i < grid.panels.size(); ++i) {
      const auto place = static_cast<int64_t>(i);
      draw_panel(page,
                 grid.panels[i],
                 grid,
                 kMargin + place % grid.columns * (grid.tile + grid.gap),
                 y + place / grid.columns * cell_height(grid));
    }
    y += grid_rows(grid) * cell_height(grid);
  }
  if (sheet.bar)
    draw_bar(page,
             *sheet.bar,
             kMargin + content + 24,
             first_tiles,
             std::min<int64_t>(has_table ? table_height : sheet.grids.front().tile, 200));
  y = grids_bottom + 4;
  for (const std::string& line : notes) {
    page.text(line, kMargin, static_cast<double>(y) + static_cast<double>(text_line) / 2, kTextPoints, Page::kSoft);
    y += text_line;
  }

  // The page's coordinates are units from its upper left corner; the raster covers it pixel for pixel.
  std::string script =
      "set encoding utf8\n" +
      fmt::format(
          "set terminal pngcairo noenhanced size {},{} font 'DejaVu Sans,11' fontscale 2 background '#ffffff'\n",
          2 * page_width,
          2 * height) +
      "set lmargin at screen 0\nset rmargin at screen 1\nset bmargin at screen 0\nset tmargin at screen 1\n"
      "unset border\nunset tics\nunset key\n" +
      fmt::format("set xrange [0:{}]\nset yrange [{}:0]\n", page_width, height) + page.script +
      fmt::format(
          "plot '-' binary array=({},{}) format='%uchar' dx=0.5 dy=0.5 origin=(0.25,0.25) using 1:2:3 with rgbimage\n",
          page.raster.width,
          page.raster.height);
  script.append(reinterpret_cast<const char*>(page.raster.rgb.data()), page.raster.rgb.size());
  std::string picture = run_gnuplot(script + "\nunset output\n");
  if (!picture.starts_with("\x89PNG") || picture.find("IEND") == std::string::npos)
    throw_failed("cannot draw a sheet: gnuplot ended without a picture");
  return picture;
}

}  // namespace mien::report
