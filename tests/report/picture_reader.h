#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <cairo.h>
#include <gtest/gtest.h>

#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/report/canvas.h"

namespace mien::report::test {

/// Pixels of a png file.
inline Raster read_png(const std::filesystem::path& path) {
  cairo_surface_t* const surface = cairo_image_surface_create_from_png(path.c_str());
  EXPECT_EQ(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS) << path;
  const int width = cairo_image_surface_get_width(surface);
  const int height = cairo_image_surface_get_height(surface);
  Raster raster = Raster::filled(height, width, {});
  for (int y = 0; y < height; ++y) {
    const auto* const row = reinterpret_cast<const uint32_t*>(cairo_image_surface_get_data(surface) +
                                                              y * cairo_image_surface_get_stride(surface));
    for (int x = 0; x < width; ++x) {
      raster.set(
          y, x, {static_cast<uint8_t>(row[x] >> 16), static_cast<uint8_t>(row[x] >> 8), static_cast<uint8_t>(row[x])});
    }
  }
  cairo_surface_destroy(surface);
  return raster;
}

/// The smallest box around what is not white, in pixels; empty for a white picture.
inline Box ink_box(const Raster& raster) {
  int64_t left = raster.width, right = -1, top = raster.height, bottom = -1;
  for (int64_t y = 0; y < raster.height; ++y) {
    for (int64_t x = 0; x < raster.width; ++x) {
      if (raster.at(y, x).luminance() > 0.99) continue;
      left = std::min(left, x), right = std::max(right, x), top = std::min(top, y), bottom = std::max(bottom, y);
    }
  }
  if (right < 0) return {};
  return {static_cast<double>(left),
          static_cast<double>(top),
          static_cast<double>(right - left + 1),
          static_cast<double>(bottom - top + 1)};
}

inline int64_t pixels_of(const Raster& raster, const Color& color) {
  int64_t count = 0;
  for (size_t i = 0; i < raster.rgb.size(); i += 3) {
    count += raster.rgb[i] == color.red && raster.rgb[i + 1] == color.green && raster.rgb[i + 2] == color.blue;
  }
  return count;
}

/// What an svg of this program shows.
struct ShownText {
  std::string words;
  Box box;
};
struct ShownShape {
  std::vector<Point> points;
  std::string fill, stroke;
  bool is_dashed = false;
  std::optional<Box> clip = {};  ///< nothing outside it shows
  Box box() const {
    double left = 1e9, right = -1e9, top = 1e9, bottom = -1e9;
    for (const Point& point : points) {
      left = std::min(left, point.x), right = std::max(right, point.x);
      top = std::min(top, point.y), bottom = std::max(bottom, point.y);
    }
    return {left, top, right - left, bottom - top};
  }
};
struct Shown {
  double width = 0, height = 0;
  std::vector<ShownText> texts;
  std::vector<ShownShape> lines, areas;
  std::vector<std::pair<Box, std::string>> circles;  ///< with their fill

  std::vector<std::string> words() const {
    std::vector<std::string> all;
    for (const ShownText& text : texts) all.push_back(text.words);
    return all;
  }
  bool says(const std::string& words) const {
    return std::any_of(texts.begin(), texts.end(), [&](const ShownText& text) { return text.words == words; });
  }
  const ShownText& text(const std::string& words) const {
    const auto found =
        std::find_if(texts.begin(), texts.end(), [&](const ShownText& text) { return text.words == words; });
    if (found == texts.end()) {
      std::string all;
      for (const ShownText& text : texts) all += "'" + text.words + "' ";
      ADD_FAILURE() << "no text '" << words << "' among " << all;
      return texts.front();
    }
    return *found;
  }
  /// Lines (and outlines) of a color.
  std::vector<ShownShape> lines_of(const std::string& stroke, bool is_dashed) const {
    std::vector<ShownShape> found;
    for (const ShownShape& line : lines)
      if (line.stroke == stroke && line.is_dashed == is_dashed) found.push_back(line);
    return found;
  }
};

inline std::string attribute(const std::string& element, const std::string& name) {
  const size_t at = element.find(" " + name + "=\"");
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size() + 3;
  return element.substr(begin, element.find('"', begin) - begin);
}

inline std::vector<Point> points_of(const std::string& text) {
  std::vector<Point> points;
  for (const std::string& pair : split(text, ' ')) {
    const size_t comma = pair.find(',');
    points.push_back({std::stod(pair.substr(0, comma)), std::stod(pair.substr(comma + 1))});
  }
  return points;
}

inline std::string unescaped(std::string text) {
  const std::pair<std::string, std::string> entities[] = {
      {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#39;", "'"}, {"&amp;", "&"}};
  for (const auto& [entity, character] : entities) {
    for (size_t at = text.find(entity); at != std::string::npos; at = text.find(entity, at + 1))
      text.replace(at, entity.size(), character);
  }
  return text;
}

/// Box of a text element: as wide as it says, as high as its font, turned where it is.
inline ShownText shown_text(const std::string& line) {
  const double size = std::stod(attribute(line, "font-size"));
  const double width = std::stod(attribute(line, "textLength"));
  const Point place{std::stod(attribute(line, "x")), std::stod(attribute(line, "y"))};
  const std::string anchor = attribute(line, "text-anchor");
  const double before = anchor == "start" ? 0 : anchor == "middle" ? width / 2 : width;
  const std::string turned = attribute(line, "transform");
  const double degrees = turned.empty() ? 0 : std::stod(turned.substr(turned.find('(') + 1));
  const double cosine = std::cos(degrees * M_PI / 180), sine = std::sin(degrees * M_PI / 180);
  ShownShape corners;
  for (const double along : {-before, width - before}) {
    for (const double across : {-size / 2, size / 2})
      corners.points.push_back({place.x + along * cosine - across * sine, place.y + along * sine + across * cosine});
  }
  const size_t begin = line.find('>') + 1;
  return {unescaped(line.substr(begin, line.rfind("</text>") - begin)), corners.box()};
}

inline Shown read_svg(const std::filesystem::path& path) {
  Shown shown;
  std::istringstream lines(read_text(path));
  std::optional<Box> clip;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("<clipPath"))
      clip = Box{std::stod(attribute(line, "x")),
                 std::stod(attribute(line, "y")),
                 std::stod(attribute(line, "width")),
                 std::stod(attribute(line, "height"))};
    if (line == "</g>") clip.reset();
    if (line.starts_with("<svg")) {
      shown.width = std::stod(attribute(line, "width"));
      shown.height = std::stod(attribute(line, "height"));
    } else if (line.starts_with("<text")) {
      shown.texts.push_back(shown_text(line));
    } else if (line.starts_with("<polyline") || line.starts_with("<polygon")) {
      ShownShape shape{points_of(attribute(line, "points")),
                       attribute(line, "fill"),
                       attribute(line, "stroke"),
                       !attribute(line, "stroke-dasharray").empty(),
                       clip};
      if (shape.fill != "none") shown.areas.push_back(shape);
      if (!shape.stroke.empty()) shown.lines.push_back(std::move(shape));
    } else if (line.starts_with("<circle")) {
      const double radius = std::stod(attribute(line, "r"));
      shown.circles.push_back({{std::stod(attribute(line, "cx")) - radius,
                                std::stod(attribute(line, "cy")) - radius,
                                2 * radius,
                                2 * radius},
                               attribute(line, "fill")});
    }
  }
  return shown;
}

inline bool overlap(const Box& a, const Box& b, double least = 0.5) {
  return std::min(a.right(), b.right()) - std::max(a.x, b.x) > least &&
         std::min(a.bottom(), b.bottom()) - std::max(a.y, b.y) > least;
}

/// Whether what shows of `line` runs through `box`.
inline bool crosses(const ShownShape& line, const Box& box) {
  const auto is_in = [](Point point, const Box& in) {
    return point.x > in.x && point.x < in.right() && point.y > in.y && point.y < in.bottom();
  };
  for (size_t i = 1; i < line.points.size(); ++i) {
    const Point a = line.points[i - 1], b = line.points[i];
    for (int step = 0; step <= 200; ++step) {
      const Point point{a.x + (b.x - a.x) * step / 200, a.y + (b.y - a.y) * step / 200};
      if (is_in(point, box) && (!line.clip || is_in(point, *line.clip))) return true;
    }
  }
  return false;
}

/// Every text stands on the page and no two of them in the same place.
inline void expect_readable(const Shown& shown, const std::string& what) {
  for (size_t i = 0; i < shown.texts.size(); ++i) {
    const ShownText& text = shown.texts[i];
    EXPECT_GE(text.box.x, 0) << what << ": " << text.words;
    EXPECT_GE(text.box.y, 0) << what << ": " << text.words;
    EXPECT_LE(text.box.right(), shown.width) << what << ": " << text.words;
    EXPECT_LE(text.box.bottom(), shown.height) << what << ": " << text.words;
    for (size_t k = 0; k < i; ++k)
      EXPECT_FALSE(overlap(text.box, shown.texts[k].box, 1))
          << what << ": '" << text.words << "' over '" << shown.texts[k].words << "'";
  }
}

}  // namespace mien::report::test
