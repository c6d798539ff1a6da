#include <cmath>

#include <fmt/format.h>

#include "mien/core/text.h"
#include "mien/report/base64.h"
#include "mien/report/canvas.h"

namespace mien::report {
namespace {

/// A length with as many digits as a screen can show.
std::string number(double value) { return fmt::format("{:.6g}", std::abs(value) < 5e-4 ? 0.0 : value); }

std::string paint(const std::optional<Color>& fill, const std::optional<Stroke>& stroke) {
  std::string text = fill ? fmt::format(" fill=\"{}\"", fill->hex()) : " fill=\"none\"";
  if (stroke) {
    text += fmt::format(" stroke=\"{}\" stroke-width=\"{}\"", stroke->color.hex(), number(stroke->width));
    if (stroke->is_dashed) text += " stroke-dasharray=\"6 4\"";
  }
  return text;
}

std::string element(const Canvas::Shape& shape) {
  std::string points;
  for (const Point& point : shape.points)
    points += fmt::format("{}{},{}", points.empty() ? "" : " ", number(point.x), number(point.y));
  return fmt::format(
      "<{} points=\"{}\"{}/>\n", shape.is_closed ? "polygon" : "polyline", points, paint(shape.fill, shape.stroke));
}

std::string element(const Canvas::Circle& circle) {
  return fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{}/>\n",
                     number(circle.center.x),
                     number(circle.center.y),
                     number(circle.radius),
                     paint(circle.fill, circle.stroke));
}

}  // namespace

std::string svg_text(const Canvas& canvas, std::string (*png)(const Raster&), double (*width)(const Canvas::Text&)) {
  std::string svg = fmt::format(
      "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" "
      "height=\"{1}\" viewBox=\"0 0 {0} {1}\" font-family=\"DejaVu Sans, Verdana, sans-serif\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      number(canvas.width()),
      number(canvas.height()));
  const auto picture = [&](const Canvas::Picture& item) {
    return fmt::format(
        "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" "
        "style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>\n",
        number(item.box.x),
        number(item.box.y),
        number(item.box.width),
        number(item.box.height),
        base64(png(item.raster)));
  };
  const auto text = [&](const Canvas::Text& item) {
    const double size = item.style.points * 4 / 3;
    const char* const anchor = item.style.align == Align::left     ? "start"
                               : item.style.align == Align::center ? "middle"
                                                                   : "end";
    const std::string turned = item.style.degrees == 0 ? ""
                                                       : fmt::format(" transform=\"rotate({} {} {})\"",
                                                                     number(-item.style.degrees),
                                                                     number(item.place.x),
                                                                     number(item.place.y));
    // The baseline lies 0.36 of the font's size below the middle of DejaVu's line.
    return fmt::format(
        "<text x=\"{}\" y=\"{}\" dy=\"{}\" font-size=\"{}\" text-anchor=\"{}\" fill=\"{}\" textLength=\"{}\"{}{} "
        "xml:space=\"preserve\">{}</text>\n",
        number(item.place.x),
        number(item.place.y),
        number(0.36 * size),
        number(size),
        anchor,
        item.style.color.hex(),
        number(width(item)),
        item.style.is_bold ? " font-weight=\"bold\"" : "",
        turned,
        escape_html(item.words));
  };
  int clips = 0;
  for (const Canvas::Item& item : canvas.items()) {
    if (item.clip) {
      ++clips;
      svg += fmt::format(
          "<clipPath id=\"clip{0}\"><rect x=\"{1}\" y=\"{2}\" width=\"{3}\" height=\"{4}\"/></clipPath>\n"
          "<g clip-path=\"url(#clip{0})\">\n",
          clips,
          number(item.clip->x),
          number(item.clip->y),
          number(item.clip->width),
          number(item.clip->height));
    }
    if (const auto* shape = std::get_if<Canvas::Shape>(&item.what)) svg += element(*shape);
    if (const auto* circle = std::get_if<Canvas::Circle>(&item.what)) svg += element(*circle);
    if (const auto* image = std::get_if<Canvas::Picture>(&item.what)) svg += picture(*image);
    if (const auto* words = std::get_if<Canvas::Text>(&item.what)) svg += text(*words);
    if (item.clip) svg += "</g>\n";
  }
  return svg + "</svg>\n";
}

}  // namespace mien::report
