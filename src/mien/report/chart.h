#pragma once

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "mien/report/canvas.h"

namespace mien::report {

inline constexpr Color kGrayLine{107, 114, 128};

struct Tick {
  double value = 0;
  std::string label;
};

/// One axis of a chart.
struct Axis {
  std::string label;
  double low = 0;
  double high = 1;
  std::vector<Tick> ticks;
  bool is_logarithmic = false;
  bool is_reversed = false;  ///< the high end lies left or below
  bool has_grid = true;
};

/// What an axis must not leave: rates lie in [0, 100], losses are not negative.
struct Limits {
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
};

/// An axis around the finite ones of `values` with some room on both sides, ticked at 1, 2 or 5 times a power of ten.
Axis axis_around(std::string label, std::span<const double> values, Limits limits = {});
/// An axis from 0 to a little more than `most`.
Axis axis_from_zero(std::string label, double most, double room = 0.08);
/// An axis of whole numbers `first` to `last`, half a step of room around a single one.
Axis axis_of_whole(std::string label, int64_t first, int64_t last);
/// An axis with a tick at 0, 1, ... for each of `names`, half a step of room on both sides.
Axis axis_of_names(std::string label, std::span<const std::string> names);
/// A logarithmic axis, ticked at the powers of ten, or at 1, 2 and 5 times them where it spans less than two.
Axis axis_of_powers(std::string label, double low, double high);
/// At most about `most` ticks at 1, 2 or 5 times a power of ten, between `low` and `high`.
std::vector<Tick> even_ticks(double low, double high, int most);

/// One entry of a legend.
struct LegendEntry {
  std::string text;
  Color color;
  enum Mark { solid, dashed, dot, ring, area, whisker } mark = solid;
};

/// Room that an axis needs outside the plotting area: its tick labels and its own, measured.
double room_left_of(const Axis& y);
double room_below(const Axis& x, double area_width);
/// How far tick labels reach beyond the plotting area: slanted names to the left, the last label to the right.
double left_overhang(const Axis& x, double area_width);
double right_overhang(const Axis& x);

/// Draws `title` in the middle of a page of `width`, in as many lines as it needs, and returns where they end; some
/// margin without a title.
double draw_title(Canvas& canvas, const std::string& title, double width);
/// Draws the entries in centered rows below `y`, never wider than `width`, and returns where they end.
double draw_legend(Canvas& canvas, const std::vector<LegendEntry>& entries, double width, double y);

/// A plotting area with its axes.
class Chart {
 public:
  /// Draws grid, axes, ticks and labels around `area`.
  Chart(Canvas& canvas, const Box& area, Axis x, Axis y);

  Point at(double x, double y) const;
  const Box& area() const { return area_; }

  /// A line through the points (x, y); one that is not finite leaves a gap.
  void curve(std::span<const Point> points, const Stroke& stroke);
  void dots(std::span<const Point> points, double radius, const Color& color);
  void ring(Point point, const Color& color);
  /// A dot with a white edge, which stands out from the lines that it lies on.
  void mark(Point point, const Color& color);
  /// The area between two values at each x.
  void band(std::span<const Point> low, std::span<const Point> high, const Color& color);
  void bar(Point corner, Point opposite, const Color& color);
  void whisker(double x, double low, double high, const Stroke& stroke);
  void line_at(double x, const Stroke& stroke);

 private:
  void draw_axes();

  Canvas& canvas_;
  Box area_;
  Axis x_;
  Axis y_;
};

}  // namespace mien::report
