#include "mien/photo/annotate.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "mien/core/text.h"
#include "mien/report/colors.h"

namespace mien::photo {
namespace {

using report::Box;
using report::Canvas;
using report::Color;
using report::TextStyle;

constexpr double kPixelsPerUnit = 2;
constexpr int64_t kLongest = 2400;  // pixels of the photograph on the page
constexpr int64_t kShortest = 900;  // to which its longer side is enlarged
constexpr double kMargin = 12;      // units
constexpr double kCardWidth = 330;
constexpr double kFacePart = 112;
constexpr double kBarHeight = 15;
constexpr size_t kMostCards = 40;
constexpr Color kGray{107, 114, 128};
constexpr Color kWhite{255, 255, 255};
constexpr Color kPale{229, 231, 235};

report::Raster raster_of(const data::RgbImage& image) { return {image.height, image.width, image.pixels}; }

/// The photograph at the size of the page.
data::RgbImage shown(const data::RgbImage& picture, double& scale) {
  const auto longer = static_cast<double>(std::max(picture.height, picture.width));
  scale = longer > kLongest ? kLongest / longer : longer < kShortest ? kShortest / longer : 1;
  if (scale == 1) return picture;
  return data::resize_rgb(picture,
                          std::max<int64_t>(1, std::llround(static_cast<double>(picture.height) * scale)),
                          std::max<int64_t>(1, std::llround(static_cast<double>(picture.width) * scale)));
}

std::string frame_words(const ReadFace& face, size_t number, const std::vector<std::string>& names) {
  if (!face.quality.is_reliable()) return fmt::format("{} not reliable", number);
  return fmt::format("{} {} {:.0f} %", number, names[static_cast<size_t>(face.predicted)], 100 * face.confidence());
}

/// A frame, and its words on a plate above it or, where there is no room, below or inside.
void draw_frame(
    Canvas& canvas, const Box& photo, const Box& face, const std::string& words, const Color& color, bool dashed) {
  canvas.rectangle(face, {}, report::Stroke{.color = kWhite, .width = 4});
  canvas.rectangle(face, {}, report::Stroke{.color = color, .width = 2, .is_dashed = dashed});
  constexpr double kPoints = 10.5;
  const double height = report::line_height(kPoints) + 4;
  const double width = report::text_width(words, kPoints, true) + 10;
  double y = face.y - height - 1;
  if (y < photo.y) y = face.bottom() + height + 1 <= photo.bottom() ? face.bottom() + 1 : std::max(photo.y, face.y);
  const double x = std::clamp(face.x - 1, photo.x, std::max(photo.x, photo.right() - width));
  canvas.rectangle({x, y, width, height}, color);
  canvas.text(
      words, x + 5, y + height / 2, {.points = kPoints, .color = report::text_color_on(color), .is_bold = true});
}

struct Card {
  std::string heading;
  std::vector<std::string> remarks;
  double height = 0;
};

Card card_of(const ReadFace& face, size_t number, size_t classes) {
  Card card;
  card.heading = fmt::format("Face {}: {:.0f} pixels", number, face.square.side());
  if (face.quality.eye_line) card.heading += fmt::format(", eyes {:+.0f}\u00b0", *face.quality.eye_line);
  if (!face.quality.is_reliable())
    card.remarks = report::wrapped_text("not reliable: " + join(face.quality.problems, ", "), 9.5, kCardWidth);
  const double bars = static_cast<double>(classes) * kBarHeight;
  card.height =
      22 + std::max(kFacePart, bars) + static_cast<double>(card.remarks.size()) * report::line_height(9.5) + 6;
  return card;
}

void draw_bars(
    Canvas& canvas, const ReadFace& face, const std::vector<std::string>& names, double x, double y, double width) {
  double words = 0;
  for (const std::string& name : names) words = std::max(words, report::text_width(name, 9.5));
  words = std::min(words, width * 0.4);
  const double from = x + words + 6;
  const double most = width - words - 6 - 42;
  for (size_t c = 0; c < names.size(); ++c) {
    const double middle = y + (static_cast<double>(c) + 0.5) * kBarHeight;
    const bool is_best = static_cast<int64_t>(c) == face.predicted;
    canvas.text(report::fit_text(names[c], 9.5, words),
                from - 6,
                middle,
                {.points = 9.5, .is_bold = is_best, .align = report::Align::right});
    canvas.rectangle({from, middle - 5, most, 10}, kPale);
    const double length = most * face.probabilities[c];
    if (length > 0.3)
      canvas.rectangle({from, middle - 5, length, 10}, class_color(static_cast<int64_t>(c), names.size()));
    canvas.text(fmt::format("{:.0f} %", 100 * face.probabilities[c]),
                from + most + 40,
                middle,
                {.points = 9.5, .is_bold = is_best, .align = report::Align::right});
  }
}

void draw_card(Canvas& canvas,
               const data::RgbImage& picture,
               const ReadFace& face,
               const Card& card,
               const std::vector<std::string>& names,
               double x,
               double y) {
  constexpr int64_t kSeen = 48;  // pixels of the crop on the card
  canvas.text(card.heading, x, y + 10, {.points = 10.5, .is_bold = true});
  y += 22;
  canvas.picture(raster_of(data::crop_rgb(picture, face.square, kSeen)), {x, y, kFacePart, kFacePart});
  draw_bars(canvas, face, names, x + kFacePart + 8, y, kCardWidth - kFacePart - 8);
  y += std::max(kFacePart, static_cast<double>(names.size()) * kBarHeight) + report::line_height(9.5) / 2;
  for (const std::string& remark : card.remarks) {
    canvas.text(remark, x, y, {.points = 9.5, .color = {153, 27, 27}});
    y += report::line_height(9.5);
  }
}

}  // namespace

Color class_color(int64_t label, size_t classes) { return report::series_color(static_cast<size_t>(label), classes); }

Canvas annotated(const data::RgbImage& picture,
                 const std::vector<ReadFace>& faces,
                 const std::vector<std::string>& class_names,
                 const std::string& title,
                 const std::string& note) {
  double scale = 1;
  const data::RgbImage page_picture = shown(picture, scale);
  const double photo_width = static_cast<double>(page_picture.width) / kPixelsPerUnit;
  const double photo_height = static_cast<double>(page_picture.height) / kPixelsPerUnit;
  const double width = std::max(photo_width, kCardWidth) + 2 * kMargin;
  const auto columns = std::max<size_t>(1, static_cast<size_t>((width - kMargin) / (kCardWidth + kMargin)));
  std::vector<Card> cards;
  for (size_t i = 0; i < std::min(faces.size(), kMostCards); ++i)
    cards.push_back(card_of(faces[i], i + 1, class_names.size()));
  const auto heading = report::wrapped_text(title, 11, width - 2 * kMargin, true);
  std::string below = note;
  if (faces.size() > kMostCards)
    below += fmt::format(
        "{}cards of the {} largest faces; the csv has all {}", below.empty() ? "" : "; ", kMostCards, faces.size());
  const auto notes = report::wrapped_text(below, 9.5, width - 2 * kMargin);
  const double top = kMargin + static_cast<double>(heading.size()) * report::line_height(11) + 6;
  std::vector<double> row_heights;
  for (size_t i = 0; i < cards.size(); ++i) {
    if (i % columns == 0) row_heights.push_back(0);
    row_heights.back() = std::max(row_heights.back(), cards[i].height);
  }
  double height = top + photo_height + kMargin;
  for (const double row : row_heights) height += row + kMargin;
  if (!below.empty()) height += static_cast<double>(notes.size()) * report::line_height(9.5) + kMargin;

  Canvas canvas(width, height);
  double y = kMargin + report::line_height(11) / 2;
  for (const std::string& line : heading) {
    canvas.text(line, kMargin, y, {.points = 11, .is_bold = true});
    y += report::line_height(11);
  }
  const Box photo{(width - photo_width) / 2, top, photo_width, photo_height};
  canvas.picture(raster_of(page_picture), photo);
  canvas.clip(photo);
  const double unit = scale / kPixelsPerUnit;
  for (size_t i = faces.size(); i-- > 0;) {
    const ReadFace& face = faces[i];
    const bool is_reliable = face.quality.is_reliable();
    draw_frame(canvas,
               photo,
               {photo.x + face.square.x * unit,
                photo.y + face.square.y * unit,
                face.square.width * unit,
                face.square.height * unit},
               frame_words(face, i + 1, class_names),
               is_reliable ? class_color(face.predicted, class_names.size()) : kGray,
               !is_reliable);
  }
  canvas.clip({});
  y = photo.bottom() + kMargin;
  for (size_t i = 0; i < cards.size(); ++i) {
    const size_t column = i % columns;
    if (i > 0 && column == 0) y += row_heights[i / columns - 1] + kMargin;
    draw_card(canvas,
              picture,
              faces[i],
              cards[i],
              class_names,
              kMargin + static_cast<double>(column) * (kCardWidth + kMargin),
              y);
  }
  if (!row_heights.empty()) y += row_heights.back() + kMargin;
  y += report::line_height(9.5) / 2;
  if (below.empty()) return canvas;
  for (const std::string& line : notes) {
    canvas.text(line, kMargin, y, {.points = 9.5, .color = report::kSoftText});
    y += report::line_height(9.5);
  }
  return canvas;
}

void lay_over(data::RgbImage& picture,
              const data::FaceBox& square,
              const std::vector<float>& values,
              int64_t side,
              const report::MapRange& range,
              bool is_signed) {
  if (range.state != report::MapState::usable || range.shown <= 0) return;
  constexpr double kMostOpaque = 0.75;
  const auto value = [&](int64_t row, int64_t column) {
    return static_cast<double>(values[static_cast<size_t>(std::clamp<int64_t>(row, 0, side - 1) * side +
                                                          std::clamp<int64_t>(column, 0, side - 1))]);
  };
  const auto first_y = std::max<int64_t>(0, std::llround(square.y));
  const auto first_x = std::max<int64_t>(0, std::llround(square.x));
  const auto last_y = std::min(picture.height, static_cast<int64_t>(std::llround(square.y + square.height)));
  const auto last_x = std::min(picture.width, static_cast<int64_t>(std::llround(square.x + square.width)));
  for (int64_t y = first_y; y < last_y; ++y) {
    const double v = (static_cast<double>(y) + 0.5 - square.y) / square.height * static_cast<double>(side) - 0.5;
    const auto top = static_cast<int64_t>(std::floor(v));
    for (int64_t x = first_x; x < last_x; ++x) {
      const double u = (static_cast<double>(x) + 0.5 - square.x) / square.width * static_cast<double>(side) - 0.5;
      const auto left = static_cast<int64_t>(std::floor(u));
      const double a = u - static_cast<double>(left);
      const double b = v - static_cast<double>(top);
      const double level = ((1 - a) * value(top, left) + a * value(top, left + 1)) * (1 - b) +
                           ((1 - a) * value(top + 1, left) + a * value(top + 1, left + 1)) * b;
      const double position = std::clamp(level / range.shown, is_signed ? -1.0 : 0.0, 1.0);
      const Color color = is_signed ? report::signed_color(position) : report::heat_color(position);
      const double opaque = kMostOpaque * std::abs(position);
      uint8_t* const pixel = picture.pixels.data() + 3 * (y * picture.width + x);
      const uint8_t mixed[3] = {color.red, color.green, color.blue};
      for (int c = 0; c < 3; ++c)
        pixel[c] = static_cast<uint8_t>(std::lround(opaque * mixed[c] + (1 - opaque) * pixel[c]));
    }
  }
}

}  // namespace mien::photo
