#include "mien/report/chart.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "mien/core/text.h"

namespace mien::report {
namespace {

constexpr double kTickPoints = 10;
constexpr double kLabelPoints = 11;
constexpr double kTickLength = 4;
constexpr double kTickGap = 4;  // between a tick and its label
constexpr double kMargin = 8;   // between texts and the page's edge
constexpr Color kGridLine{229, 231, 235};
constexpr Color kTickText{55, 65, 81};

/// 1, 2 or 5 times a power of ten: the smallest such step that makes at most `most` of `span`.
double nice_step(double span, int most) {
  const double least = span / most;
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

/// Tick labels of an axis of names that are wider than their place are written aslant.
bool is_slanted(const Axis& x, double area_width) {
  const double place = area_width / std::max(1e-9, std::abs(x.high - x.low));
  for (size_t i = 0; i < x.ticks.size(); ++i) {
    const double step = i + 1 < x.ticks.size() ? x.ticks[i + 1].value - x.ticks[i].value : 0;
    if (!x.is_logarithmic && step == 1 && text_width(x.ticks[i].label, kTickPoints) > place - 6) return true;
  }
  return false;
}

double widest_tick(const Axis& axis) {
  double widest = 0;
  for (const Tick& tick : axis.ticks) widest = std::max(widest, text_width(tick.label, kTickPoints));
  return widest;
}

double mark_width(LegendEntry::Mark mark) { return mark == LegendEntry::dot || mark == LegendEntry::ring ? 18 : 36; }
constexpr double kEntryGap = 26;
constexpr double kLegendLine = 21;

void draw_mark(Canvas& canvas, const LegendEntry& entry, double x, double y) {
  switch (entry.mark) {
    case LegendEntry::solid:
    case LegendEntry::dashed:
      canvas.line({{x, y}, {x + 28, y}}, {entry.color, 2, entry.mark == LegendEntry::dashed});
      break;
    case LegendEntry::dot:
      canvas.circle({x + 6, y}, 4, entry.color);
      break;
    case LegendEntry::ring:
      canvas.circle({x + 6, y}, 4, std::nullopt, Stroke{entry.color, 1.5});
      break;
    case LegendEntry::area:
      canvas.rectangle({x, y - 6, 28, 12}, entry.color);
      break;
    case LegendEntry::whisker:
      canvas.line({{x + 14, y - 7}, {x + 14, y + 7}}, {entry.color, 1.5});
      for (const double end : {y - 7, y + 7}) canvas.line({{x + 10, end}, {x + 18, end}}, {entry.color, 1.5});
      break;
  }
}

}  // namespace

std::vector<Tick> even_ticks(double low, double high, int most) {
  std::vector<Tick> ticks;
  if (!(high > low)) return {{low, fmt::format("{:g}", low)}};
  const double step = nice_step(high - low, most);
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  for (double value = std::ceil(low / step - 1e-9) * step; value <= high + 1e-9 * step; value += step) {
    const double shown = std::abs(value) < step / 2 ? 0 : value;
    ticks.push_back({shown,
                     decimals == 0 && std::abs(shown) < 1e15 ? with_commas(std::llround(shown))
                                                             : fmt::format("{:.{}f}", shown, decimals)});
  }
  return ticks;
}

Axis axis_around(std::string label, std::span<const double> values, Limits limits) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > high) low = high = 0;
  const double room = high > low ? 0.06 * (high - low) : std::max(0.05 * std::abs(high), 1e-3);
  Axis axis{.label = std::move(label),
            .low = std::max(limits.lowest, low - room),
            .high = std::min(limits.highest, high + room)};
  if (!(axis.high > axis.low)) axis.high = axis.low + 1;
  axis.ticks = even_ticks(axis.low, axis.high, 6);
  return axis;
}

Axis axis_from_zero(std::string label, double most, double room) {
  Axis axis{.label = std::move(label), .low = 0, .high = most > 0 ? (1 + room) * most : 1};
  axis.ticks = even_ticks(0, axis.high, 5);
  return axis;
}

Axis axis_of_whole(std::string label, int64_t first, int64_t last) {
  Axis axis{.label = std::move(label), .low = static_cast<double>(first), .high = static_cast<double>(last)};
  const auto step = static_cast<int64_t>(std::max(1.0, nice_step(std::max(1.0, axis.high - axis.low), 12)));
  for (int64_t value = (first + step - 1) / step * step; value <= last; value += step)
    axis.ticks.push_back({static_cast<double>(value), std::to_string(value)});
  if (first == last) axis.low -= 0.5, axis.high += 0.5;
  return axis;
}

Axis axis_of_names(std::string label, std::span<const std::string> names) {
  Axis axis{.label = std::move(label), .low = -0.5, .high = static_cast<double>(names.size()) - 0.5, .has_grid = false};
  for (size_t i = 0; i < names.size(); ++i) axis.ticks.push_back({static_cast<double>(i), fit_text(names[i], 10, 260)});
  return axis;
}

Axis axis_of_powers(std::string label, double low, double high) {
  constexpr const char* kSuperscripts[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  Axis axis{.label = std::move(label), .low = low, .high = high, .is_logarithmic = true};
  const bool is_wide = std::log10(high / low) >= 2;
  for (auto power = static_cast<int>(std::floor(std::log10(low))); power <= std::ceil(std::log10(high)); ++power) {
    for (const int digit : {1, 2, 5}) {
      const double value = digit * std::pow(10.0, power);
      if (value < low * (1 - 1e-9) || value > high * (1 + 1e-9) || (is_wide && digit > 1)) continue;
      std::string name = fmt::format("{:g}", value);
      if (is_wide) {
        name = power < 0 ? "10⁻" : "10";
        for (const char number : std::to_string(std::abs(power))) name += kSuperscripts[number - '0'];
      }
      axis.ticks.push_back({value, name});
    }
  }
  return axis;
}

double room_left_of(const Axis& y) {
  return kMargin + (y.label.empty() ? 0 : line_height(kLabelPoints)) + widest_tick(y) + kTickGap + kTickLength;
}

double room_below(const Axis& x, double area_width) {
  const double ticks =
      is_slanted(x, area_width) ? 0.71 * (widest_tick(x) + line_height(kTickPoints)) + 2 : line_height(kTickPoints);
  return kTickLength + kTickGap + ticks + (x.label.empty() ? 0 : line_height(kLabelPoints) + 2);
}

double left_overhang(const Axis& x, double area_width) {
  if (!is_slanted(x, area_width)) return 0;
  return kMargin + 0.71 * (widest_tick(x) + line_height(kTickPoints)) - area_width / (x.high - x.low) / 2;
}

double right_overhang(const Axis& x) { return kMargin + (x.ticks.empty() ? 0 : widest_tick(x) / 2); }

double draw_title(Canvas& canvas, const std::string& title, double width) {
  if (title.empty()) return 14;
  double y = 10;
  for (const std::string& line : wrapped_text(title, 12, width - 4 * kMargin, true)) {
    canvas.text(line, width / 2, y + line_height(12) / 2, {.points = 12, .is_bold = true, .align = Align::center});
    y += line_height(12);
  }
  return y + 8;
}

double draw_legend(Canvas& canvas, const std::vector<LegendEntry>& entries, double width, double y) {
  const double room = width - 2 * kMargin;
  std::vector<std::vector<LegendEntry>> rows;
  std::vector<double> widths;
  for (LegendEntry entry : entries) {
    entry.text = fit_text(entry.text, kLabelPoints, room - mark_width(entry.mark));
    const double needed = mark_width(entry.mark) + text_width(entry.text, kLabelPoints);
    if (rows.empty() || widths.back() + kEntryGap + needed > room) {
      rows.emplace_back();
      widths.push_back(-kEntryGap);
    }
    widths.back() += kEntryGap + needed;
    rows.back().push_back(std::move(entry));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    double x = (width - widths[i]) / 2;
    for (const LegendEntry& entry : rows[i]) {
      draw_mark(canvas, entry, x, y + kLegendLine / 2);
      canvas.text(
          entry.text, x + mark_width(entry.mark), y + kLegendLine / 2, {.points = kLabelPoints, .color = {31, 41, 55}});
      x += mark_width(entry.mark) + text_width(entry.text, kLabelPoints) + kEntryGap;
    }
    y += kLegendLine;
  }
  return y + kMargin;
}

Chart::Chart(Canvas& canvas, const Box& area, Axis x, Axis y)
    : canvas_(canvas), area_(area), x_(std::move(x)), y_(std::move(y)) {
  draw_axes();
}

Point Chart::at(double x, double y) const {
  const auto share = [](const Axis& axis, double value) {
    const double part = axis.is_logarithmic ? std::log(value / axis.low) / std::log(axis.high / axis.low)
                                            : (value - axis.low) / (axis.high - axis.low);
    return axis.is_reversed ? 1 - part : part;
  };
  return {area_.x + share(x_, x) * area_.width, area_.bottom() - share(y_, y) * area_.height};
}

void Chart::draw_axes() {
  const Stroke axis{kGrayLine, 1};
  const bool slanted = is_slanted(x_, area_.width);
  for (const Tick& tick : x_.ticks) {
    const double x = at(tick.value, y_.low).x;
    if (x_.has_grid) {
      canvas_.line({{x, area_.y}, {x, area_.bottom()}}, {kGridLine, 1});
      canvas_.line({{x, area_.bottom()}, {x, area_.bottom() + kTickLength}}, axis);
    }
    const double y = area_.bottom() + kTickLength + kTickGap;
    canvas_.text(tick.label,
                 x,
                 y + line_height(kTickPoints) / 2 - (slanted ? 4 : 0),
                 {.points = kTickPoints,
                  .color = kTickText,
                  .align = slanted ? Align::right : Align::center,
                  .degrees = slanted ? 45.0 : 0.0});
  }
  for (const Tick& tick : y_.ticks) {
    const double y = at(x_.low, tick.value).y;
    if (y_.has_grid) {
      canvas_.line({{area_.x, y}, {area_.right(), y}}, {kGridLine, 1});
      canvas_.line({{area_.x - kTickLength, y}, {area_.x, y}}, axis);
    }
    canvas_.text(tick.label,
                 area_.x - kTickLength - kTickGap,
                 y,
                 {.points = kTickPoints, .color = kTickText, .align = Align::right});
  }
  if (x_.has_grid || y_.has_grid)
    canvas_.line({{area_.x, area_.y}, {area_.x, area_.bottom()}, {area_.right(), area_.bottom()}}, axis);
  canvas_.text(fit_text(x_.label, kLabelPoints, area_.width),
               area_.x + area_.width / 2,
               area_.bottom() + room_below(x_, area_.width) - line_height(kLabelPoints) / 2,
               {.points = kLabelPoints, .align = Align::center});
  canvas_.text(fit_text(y_.label, kLabelPoints, area_.height),
               area_.x - room_left_of(y_) + kMargin + line_height(kLabelPoints) / 2 - 2,
               area_.y + area_.height / 2,
               {.points = kLabelPoints, .align = Align::center, .degrees = 90});
}

void Chart::curve(std::span<const Point> points, const Stroke& stroke) {
  canvas_.clip(Box{area_.x - 1, area_.y - 1, area_.width + 2, area_.height + 2});
  std::vector<Point> piece;
  for (const Point& point : points) {
    if (std::isfinite(point.x) && std::isfinite(point.y)) {
      piece.push_back(at(point.x, point.y));
    } else {
      canvas_.line(std::exchange(piece, {}), stroke);
    }
  }
  canvas_.line(std::move(piece), stroke);
  canvas_.clip({});
}

void Chart::dots(std::span<const Point> points, double radius, const Color& color) {
  for (const Point& point : points) {
    if (std::isfinite(point.x) && std::isfinite(point.y)) canvas_.circle(at(point.x, point.y), radius, color);
  }
}

void Chart::ring(Point point, const Color& color) {
  canvas_.circle(at(point.x, point.y), 4, std::nullopt, Stroke{color, 1.5});
}

void Chart::mark(Point point, const Color& color) {
  canvas_.circle(at(point.x, point.y), 4.5, color, Stroke{{255, 255, 255}, 1.5});
}

void Chart::band(std::span<const Point> low, std::span<const Point> high, const Color& color) {
  std::vector<Point> around;
  for (const Point& point : high) around.push_back(at(point.x, point.y));
  for (size_t i = low.size(); i-- > 0;) around.push_back(at(low[i].x, low[i].y));
  canvas_.polygon(std::move(around), color);
}

void Chart::bar(Point corner, Point opposite, const Color& color) {
  const Point a = at(corner.x, corner.y);
  const Point b = at(opposite.x, opposite.y);
  canvas_.rectangle({std::min(a.x, b.x), std::min(a.y, b.y), std::abs(a.x - b.x), std::abs(a.y - b.y)}, color);
}

void Chart::whisker(double x, double low, double high, const Stroke& stroke) {
  if (!std::isfinite(low) || !std::isfinite(high)) return;
  const Point bottom = at(x, low);
  const Point top = at(x, high);
  canvas_.line({bottom, top}, stroke);
  for (const Point& end : {bottom, top}) canvas_.line({{end.x - 4, end.y}, {end.x + 4, end.y}}, stroke);
}

void Chart::line_at(double x, const Stroke& stroke) {
  const double place = at(x, y_.low).x;
  canvas_.line({{place, area_.y}, {place, area_.bottom()}}, stroke);
}

}  // namespace mien::report
