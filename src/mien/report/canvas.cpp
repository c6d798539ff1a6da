#include "mien/report/canvas.h"

#include <algorithm>
#include <cstdlib>

#include "mien/core/text.h"

namespace mien::report {
namespace {

/// Length in bytes of the UTF-8 character that `text` begins with; 0 where none does.
size_t character_length(std::string_view text) {
  if (static_cast<unsigned char>(text[0]) < 0x80) return 1;
  for (size_t length = 2; length <= std::min<size_t>(4, text.size()); ++length) {
    if (is_utf8(text.substr(0, length))) return length;
  }
  return 0;
}

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = character_length(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += '?';
    } else if (byte < 0x20 || byte == 0x7f) {
      out += ' ';
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

constexpr std::string_view kUnwanted = "unwanted";  ///< set by --no-pictures

}  // namespace

bool pictures_are_off() {
  const char* const wish = std::getenv("MIEN_PICTURES");
  return wish != nullptr && (std::string_view(wish) == "off" || std::string_view(wish) == kUnwanted);
}

std::string why_no_pictures() {
  const char* const wish = std::getenv("MIEN_PICTURES");
  if (can_draw() || (wish != nullptr && std::string_view(wish) == kUnwanted)) return "";
  return pictures_are_off() ? "no pictures, because MIEN_PICTURES=off stands in the environment"
                            : "no pictures: this build of mien draws none (build with -DMIEN_WITH_VISION=ON)";
}

void Canvas::resize(double width, double height) {
  width_ = width;
  height_ = height;
}

void Canvas::add(std::variant<Shape, Circle, Picture, Text> what) { items_.push_back({std::move(what), clip_}); }

void Canvas::rectangle(const Box& box, std::optional<Color> fill, std::optional<Stroke> stroke) {
  add(Shape{.points = {{box.x, box.y}, {box.right(), box.y}, {box.right(), box.bottom()}, {box.x, box.bottom()}},
            .is_closed = true,
            .fill = fill,
            .stroke = stroke});
}

void Canvas::line(std::vector<Point> points, const Stroke& stroke) {
  if (points.size() >= 2) add(Shape{.points = std::move(points), .stroke = stroke});
}

void Canvas::polygon(std::vector<Point> points, const Color& fill) {
  add(Shape{.points = std::move(points), .is_closed = true, .fill = fill});
}

void Canvas::circle(Point center, double radius, std::optional<Color> fill, std::optional<Stroke> stroke) {
  add(Circle{center, radius, fill, stroke});
}

void Canvas::picture(Raster raster, const Box& box) {
  if (raster.height > 0 && raster.width > 0) add(Picture{std::move(raster), box});
}

void Canvas::text(std::string_view words, double x, double y, const TextStyle& style) {
  if (!words.empty()) add(Text{printable(words), {x, y}, style});
}

std::string fit_text(std::string_view text, double points, double width, bool is_bold) {
  if (text_width(text, points, is_bold) <= width) return std::string(text);
  const auto cut = [&](size_t end) {
    while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;  // not inside a character
    while (end > 0 && text[end - 1] == ' ') --end;
    return std::string(text.substr(0, end)) + "\u2026";
  };
  size_t fits = 0;
  for (size_t too_long = text.size(); too_long - fits > 1;) {
    const size_t middle = (fits + too_long) / 2;
    (text_width(cut(middle), points, is_bold) <= width ? fits : too_long) = middle;
  }
  return cut(fits);
}

std::vector<std::string> wrapped_text(std::string_view text, double points, double width, bool is_bold) {
  std::vector<std::string> lines;
  for (std::string word : split(text, ' ')) {
    const std::string longer = lines.empty() ? word : lines.back() + " " + word;
    if (!lines.empty() && text_width(longer, points, is_bold) <= width) {
      lines.back() = longer;
      continue;
    }
    while (text_width(word, points, is_bold) > width) {
      size_t end = 1;  // of what fits, at least one character
      for (size_t next = 1; next < word.size(); ++next) {
        if ((static_cast<uint8_t>(word[next]) & 0xc0) == 0x80) continue;
        if (text_width(std::string_view(word).substr(0, next), points, is_bold) > width) break;
        end = next;
      }
      while (end < word.size() && (static_cast<uint8_t>(word[end]) & 0xc0) == 0x80) ++end;
      if (end >= word.size()) break;
      lines.push_back(word.substr(0, end));
      word.erase(0, end);
    }
    lines.push_back(std::move(word));
  }
  return lines;
}

}  // namespace mien::report
