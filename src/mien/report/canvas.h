#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mien/report/colors.h"
#include "mien/report/raster.h"

namespace mien::report {

/// Places and lengths are in units from the page's upper left corner, y downwards. A unit is a pixel of a web page,
/// 1/96 inch on paper and two pixels of a png.
struct Point {
  double x = 0;
  double y = 0;
};

struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;

  double right() const { return x + width; }
  double bottom() const { return y + height; }
};

struct Stroke {
  Color color;
  double width = 1;
  bool is_dashed = false;
};

enum class Align { left, center, right };

inline constexpr Color kDarkText{17, 24, 39};
inline constexpr Color kSoftText{75, 85, 99};

struct TextStyle {
  double points = 11;
  Color color = kDarkText;
  bool is_bold = false;
  Align align = Align::left;  ///< which end of the words stands at the given place
  double degrees = 0;         ///< rotation against the clock around that place
};

/// A white page and what is drawn on it, in order. Everything is kept as shapes and words until it is written, so that
/// one drawing becomes a png, a jpg, an svg or a pdf.
class Canvas {
 public:
  struct Shape {
    std::vector<Point> points;
    bool is_closed = false;
    std::optional<Color> fill;
    std::optional<Stroke> stroke;
  };
  struct Circle {
    Point center;
    double radius = 0;
    std::optional<Color> fill;
    std::optional<Stroke> stroke;
  };
  struct Picture {
    Raster raster;
    Box box;
  };
  struct Text {
    std::string words;  ///< valid UTF-8 without control characters
    Point place;        ///< height: the middle of the line
    TextStyle style;
  };
  struct Item {
    std::variant<Shape, Circle, Picture, Text> what;
    std::optional<Box> clip;  ///< nothing outside it shows
  };

  explicit Canvas(double width = 0, double height = 0) : width_(width), height_(height) {}

  double width() const { return width_; }
  double height() const { return height_; }
  void resize(double width, double height);
  const std::vector<Item>& items() const { return items_; }

  /// What is drawn from now on shows inside `box` only; without a box, everywhere.
  void clip(std::optional<Box> box) { clip_ = box; }

  void rectangle(const Box& box, std::optional<Color> fill, std::optional<Stroke> stroke = {});
  void line(std::vector<Point> points, const Stroke& stroke);
  void polygon(std::vector<Point> points, const Color& fill);
  void circle(Point center, double radius, std::optional<Color> fill, std::optional<Stroke> stroke = {});
  /// `raster` stretched over `box`, every pixel a rectangle.
  void picture(Raster raster, const Box& box);
  /// Bytes that are not UTF-8 become question marks, control characters spaces.
  void text(std::string_view words, double x, double y, const TextStyle& style = {});

 private:
  void add(std::variant<Shape, Circle, Picture, Text> what);

  double width_;
  double height_;
  std::optional<Box> clip_;
  std::vector<Item> items_;
};

/// False where the environment says MIEN_PICTURES=off, and in a build without MIEN_WITH_VISION; in such a build, what
/// needs to measure text or to write a picture throws Error(usage).
bool can_draw();
/// Whether the environment says MIEN_PICTURES=off: scripts that need numbers only save the time.
bool pictures_are_off();
/// Why can_draw() is false, and what to do about it; "" where it is true.
std::string why_no_pictures();

/// How wide `text` is in the font of all pictures (DejaVu Sans where it is installed), in units.
double text_width(std::string_view text, double points, bool is_bold = false);
/// Height of a line of text and the space to the next, in units.
double line_height(double points);
/// `text`, or as much of its beginning as fits into `width` together with an ellipsis.
std::string fit_text(std::string_view text, double points, double width, bool is_bold = false);
/// `text` in lines no wider than `width`, broken between words; a longer word is broken inside.
std::vector<std::string> wrapped_text(std::string_view text, double points, double width, bool is_bold = false);

/// The file's bytes by ending: ".png", ".svg" or ".pdf". The same drawing gives the same bytes on one machine.
std::string encoded_picture(const Canvas& canvas, std::string_view ending);

/// Writes the drawing to `path`, whole or not at all: .png and .jpg with two pixels a unit, .svg or .pdf. Throws
/// Error(usage) for another ending, and for more than 100 million pixels or 32,767 in a row; Error(failed) if the file
/// cannot be written.
void write_picture(const std::filesystem::path& path, const Canvas& canvas);

/// The drawing as an svg whose words are text: each states its measured length, so that another font keeps the layout.
/// `png` encodes the pictures inside.
std::string svg_text(const Canvas& canvas, std::string (*png)(const Raster&), double (*width)(const Canvas::Text&));

}  // namespace mien::report
