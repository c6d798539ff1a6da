// Curves: training histories, learning rate finder, scaling, ensembles.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/report/chart.h"
#include "mien/report/plots.h"

namespace mien::report {
namespace {

constexpr Color kOrange{213, 94, 0};
constexpr Color kBlue{0, 114, 178};
constexpr double kLineWidth = 2;
constexpr double kDashedWidth = 1.4;
constexpr size_t kShortHistory = 12;  // gets a dot an epoch, without which a single one would not show

[[noreturn]] void throw_nothing(const std::filesystem::path& path, const std::string& what) {
  throw_usage(fmt::format("cannot draw {}: {}", path.string(), what));
}

bool has_validation(std::span<const EpochRow> rows) {
  return std::any_of(
      rows.begin(), rows.end(), [](const EpochRow& row) { return std::isfinite(row.validation_accuracy); });
}

std::string best_text(const EpochRow& row) {
  return fmt::format("best {:.1f} % at epoch {}", 100 * row.validation_accuracy, row.epoch);
}

/// How the two charts of plot_history differ.
struct Quantity {
  const char* label;
  double EpochRow::*training;
  double EpochRow::*validation;
  double factor;
  Limits limits;
};
constexpr Quantity kQuantities[] = {
    {"accuracy (%)", &EpochRow::train_accuracy, &EpochRow::validation_accuracy, 100, {0, 100}},
    {"loss (nats)", &EpochRow::train_loss, &EpochRow::validation_loss, 1, {.lowest = 0}}};

std::vector<Point> course(std::span<const EpochRow> rows, double EpochRow::*value, double factor) {
  std::vector<Point> points;
  for (const EpochRow& row : rows) points.push_back({static_cast<double>(row.epoch), factor * (row.*value)});
  return points;
}

Axis quantity_axis(std::span<const NamedHistory> histories, const Quantity& quantity) {
  std::vector<double> values;
  for (const NamedHistory& history : histories) {
    for (const auto value : {quantity.training, quantity.validation}) {
      for (const Point& point : course(history.rows, value, quantity.factor)) values.push_back(point.y);
    }
  }
  return axis_around(quantity.label, values, quantity.limits);
}

/// Per network a dashed and a solid line and the mark of the best epoch.
void draw_course(Chart& chart, std::span<const NamedHistory> histories, const Quantity& quantity) {
  for (size_t i = 0; i < histories.size(); ++i) {
    const auto& rows = histories[i].rows;
    const Color color = series_color(i, histories.size());
    const std::vector<Point> training = course(rows, quantity.training, quantity.factor);
    const std::vector<Point> validation = course(rows, quantity.validation, quantity.factor);
    chart.curve(training, {color, kDashedWidth, true});
    chart.curve(validation, {color, kLineWidth});
    if (rows.size() <= kShortHistory) {
      chart.dots(training, 2, color);
      chart.dots(validation, 2.5, color);
    }
    const auto best = best_epoch(rows);
    if (best && std::isfinite(validation[*best].y)) chart.mark(validation[*best], color);
  }
}

std::vector<LegendEntry> history_legend(std::span<const NamedHistory> histories, bool any_validation) {
  std::vector<LegendEntry> entries;
  if (histories.size() > 1) {
    for (size_t i = 0; i < histories.size(); ++i) {
      const auto best = best_epoch(histories[i].rows);
      const std::string name = fit_text(histories[i].name, 11, 400);
      entries.push_back(
          {name + (best ? ", " + best_text(histories[i].rows[*best]) : ""), series_color(i, histories.size())});
    }
  }
  const Color color = histories.size() > 1 ? kGrayLine : series_color(0, 1);
  entries.push_back({"training", color, LegendEntry::dashed});
  if (any_validation) {
    const auto best = best_epoch(histories[0].rows);
    entries.push_back({"validation", color});
    entries.push_back({histories.size() == 1 && best ? best_text(histories[0].rows[*best]) : "best validation accuracy",
                       color,
                       LegendEntry::dot});
  }
  return entries;
}

/// A page of one chart: title above, legend below, room for the axes as they need it. `draw` fills the chart.
template <class Draw>
void write_chart(const std::filesystem::path& path,
                 const std::string& title,
                 Axis x,
                 Axis y,
                 const std::vector<LegendEntry>& legend,
                 Box size,
                 Draw draw) {
  Canvas canvas;
  const double left = room_left_of(y);
  const double top = draw_title(canvas, title, size.width);
  const Box area{left, top, size.width - left - std::max(18.0, right_overhang(x)), size.height};
  const double below = area.bottom() + room_below(x, area.width) + 6;
  Chart chart(canvas, area, std::move(x), std::move(y));
  draw(chart);
  const double bottom = draw_legend(canvas, legend, size.width, below);
  canvas.resize(size.width, std::ceil(bottom));
  write_picture(path, canvas);
}

/// What runs from the first to the last epoch, in colors of epochs, as a bar right of `area`.
void draw_epoch_bar(Canvas& canvas, const Box& area, int64_t first, int64_t last) {
  Raster colors = Raster::filled(std::lround(2 * area.height), 1, {});
  for (int64_t row = 0; row < colors.height; ++row) {
    const double part = 1 - (static_cast<double>(row) + 0.5) / static_cast<double>(colors.height);
    colors.set(row, 0, sequential_color(0.3 + 0.7 * part));
  }
  canvas.picture(std::move(colors), area);
  canvas.text("epoch", area.x, area.y - 12, {.points = 10});
  canvas.text(std::to_string(last), area.right() + 6, area.y + 7, {.points = 10});
  if (first < last) canvas.text(std::to_string(first), area.right() + 6, area.bottom() - 7, {.points = 10});
}

}  // namespace

void plot_history(const std::filesystem::path& path,
                  std::span<const NamedHistory> histories,
                  const std::string& title) {
  int64_t first = std::numeric_limits<int64_t>::max();
  int64_t last = std::numeric_limits<int64_t>::min();
  bool any_validation = false;
  for (const NamedHistory& history : histories) {
    if (history.rows.empty()) continue;
    first = std::min(first, history.rows.front().epoch);
    last = std::max(last, history.rows.back().epoch);
    any_validation = any_validation || has_validation(history.rows);
  }
  if (first > last) throw_nothing(path, "no network has a finished epoch");

  constexpr double kWidth = 1000;
  constexpr double kHeight = 320;
  Canvas canvas;
  const double top = draw_title(canvas, title, kWidth);
  const Axis epochs = axis_of_whole("epoch", first, last);
  double left = 0;
  double below = 0;
  for (const Quantity& quantity : kQuantities) {
    const Axis axis = quantity_axis(histories, quantity);
    const double room = room_left_of(axis);
    const Box area{left + room, top, kWidth / 2 - room - std::max(14.0, right_overhang(epochs)), kHeight};
    Chart chart(canvas, area, epochs, axis);
    draw_course(chart, histories, quantity);
    below = area.bottom() + room_below(epochs, area.width) + 6;
    left += kWidth / 2;
  }
  const double bottom = draw_legend(canvas, history_legend(histories, any_validation), kWidth, below);
  canvas.resize(kWidth, std::ceil(bottom));
  write_picture(path, canvas);
}

void plot_loss_against_accuracy(const std::filesystem::path& path,
                                std::span<const EpochRow> rows,
                                const std::string& title) {
  if (rows.empty()) throw_nothing(path, "there is no finished epoch");
  std::vector<Point> training;
  std::vector<Point> validation;
  std::vector<double> losses;
  std::vector<double> accuracies;
  for (const EpochRow& row : rows) {
    training.push_back({row.train_loss, 100 * row.train_accuracy});
    validation.push_back({row.train_loss, 100 * row.validation_accuracy});
    losses.push_back(row.train_loss);
    accuracies.insert(accuracies.end(), {training.back().y, validation.back().y});
  }
  Axis x = axis_around("training loss (nats), falling to the right", losses, {.lowest = 0});
  x.is_reversed = true;
  const Axis y = axis_around("accuracy (%)", accuracies, {0, 100});
  const int64_t first = rows.front().epoch;
  const int64_t last = rows.back().epoch;
  const auto color_of = [&](int64_t epoch) {  // the scale's nearly white end would vanish on white paper
    return sequential_color(
        first < last ? 0.3 + 0.7 * static_cast<double>(epoch - first) / static_cast<double>(last - first) : 1.0);
  };

  constexpr double kWidth = 760;
  Canvas canvas;
  const double top = draw_title(canvas, title, kWidth) + 8;
  const double left = room_left_of(y);
  const Box area{left, top, kWidth - left - 90, 340};
  Chart chart(canvas, area, x, y);
  draw_epoch_bar(canvas, {area.right() + 24, top + 20, 14, area.height - 20}, first, last);
  std::vector<LegendEntry> legend{{"training", {30, 58, 138}, LegendEntry::ring}};
  const auto best = best_epoch(rows);
  if (best) chart.line_at(rows[*best].train_loss, {kOrange, kDashedWidth, true});
  chart.curve(training, {{203, 213, 225}, 1});
  for (size_t i = 0; i < rows.size(); ++i) {
    if (std::isfinite(training[i].x) && std::isfinite(training[i].y)) chart.ring(training[i], color_of(rows[i].epoch));
  }
  if (has_validation(rows)) {
    chart.curve(validation, {{203, 213, 225}, 1});
    for (size_t i = 0; i < rows.size(); ++i) chart.dots({&validation[i], 1}, 4, color_of(rows[i].epoch));
    legend.push_back({"validation", {30, 58, 138}, LegendEntry::dot});
  }
  if (best) {
    chart.ring(validation[*best], kOrange);
    legend.push_back({"validation " + best_text(rows[*best]), kOrange, LegendEntry::dashed});
  }
  const double bottom = draw_legend(canvas, legend, kWidth, area.bottom() + room_below(x, area.width) + 6);
  canvas.resize(kWidth, std::ceil(bottom));
  write_picture(path, canvas);
}

void plot_learning_rate_finder(const std::filesystem::path& path,
                               std::span<const double> rates,
                               std::span<const double> losses,
                               double suggestion,
                               const std::string& title) {
  if (rates.size() != losses.size())
    throw_nothing(path, fmt::format("{} learning rates with {} losses", rates.size(), losses.size()));
  std::vector<Point> points;
  for (size_t i = 0; i < rates.size(); ++i) {
    if (std::isfinite(losses[i]) && rates[i] > 0) points.push_back({rates[i], losses[i]});
  }
  if (points.empty()) throw_nothing(path, "no learning rate has a finite loss");
  const auto by_x = [](const Point& a, const Point& b) { return a.x < b.x; };
  const auto by_y = [](const Point& a, const Point& b) { return a.y < b.y; };
  const double lowest = std::min_element(points.begin(), points.end(), by_y)->y;
  const auto [left, right] = std::minmax_element(points.begin(), points.end(), by_x);

  // Where training diverges the loss grows without bound; the interesting part lies between its start and its least.
  const double span = std::max(points.front().y - lowest, 1e-3 * std::abs(lowest) + 1e-6);
  Axis y{.label = "training loss (nats)", .low = lowest - 0.1 * span, .high = points.front().y + 0.6 * span};
  y.ticks = even_ticks(y.low, y.high, 6);
  const bool is_one = !(right->x > left->x);
  const Axis x = axis_of_powers("learning rate", left->x / (is_one ? 2 : 1), right->x * (is_one ? 2 : 1));
  const bool has_suggestion = std::isfinite(suggestion) && suggestion >= x.low && suggestion <= x.high;
  std::vector<LegendEntry> legend{{"training loss", kBlue}};
  if (has_suggestion)
    legend.push_back({fmt::format("suggested learning rate {:.2g}", suggestion), kOrange, LegendEntry::dashed});
  write_chart(path, title, x, y, legend, {.width = 720, .height = 320}, [&](Chart& chart) {
    if (has_suggestion) chart.line_at(suggestion, {kOrange, kDashedWidth, true});
    chart.curve(points, {kBlue, kLineWidth});
    if (points.size() <= kShortHistory) chart.dots(points, 2.5, kBlue);
  });
}

void plot_scaling(const std::filesystem::path& path,
                  std::span<const NamedCurve> curves,
                  const std::string& x_label,
                  const std::string& y_label,
                  const std::string& title,
                  Axes axes) {
  const bool is_logarithmic = axes == Axes::logarithmic;
  std::vector<std::vector<Point>> shown;
  std::vector<LegendEntry> legend;
  std::vector<double> varied;
  double lowest = std::numeric_limits<double>::infinity();
  double highest = 0;
  for (size_t index = 0; index < curves.size(); ++index) {
    const NamedCurve& curve = curves[index];
    if (curve.x.size() != curve.y.size())
      throw_nothing(path,
                    fmt::format("{} has {} values of x with {} of y", curve.name, curve.x.size(), curve.y.size()));
    std::vector<Point> points;
    for (size_t i = 0; i < curve.x.size(); ++i) {
      if (!std::isfinite(curve.y[i]) || !(curve.x[i] > 0) || (is_logarithmic && !(curve.y[i] > 0))) continue;
      points.push_back({curve.x[i], curve.y[i]});
      varied.push_back(curve.x[i]);
      lowest = std::min(lowest, curve.y[i]);
      highest = std::max(highest, curve.y[i]);
    }
    if (!points.empty())
      legend.push_back({curve.name,
                        series_color(index, curves.size()),
                        curve.kind == CurveKind::line ? LegendEntry::dashed : LegendEntry::solid});
    shown.push_back(std::move(points));
  }
  if (varied.empty()) throw_nothing(path, "there is nothing to draw");
  std::sort(varied.begin(), varied.end());
  varied.erase(std::unique(varied.begin(), varied.end()), varied.end());
  Axis x = is_logarithmic ? axis_of_powers(x_label, varied.front() / 1.2, varied.back() * 1.2)
                          : axis_from_zero(x_label, varied.back(), 0.05);
  if (varied.size() <= 8) {  // what was measured is worth more than round numbers
    x.ticks.clear();
    for (const double value : varied) x.ticks.push_back({value, fmt::format("{:g}", value)});
  }
  const Axis y =
      is_logarithmic ? axis_of_powers(y_label, lowest / 1.3, highest * 1.3) : axis_from_zero(y_label, highest, 0.1);
  write_chart(path, title, x, y, legend, {.width = 720, .height = 330}, [&](Chart& chart) {
    for (size_t index = 0; index < curves.size(); ++index) {
      const Color color = series_color(index, curves.size());
      const bool is_line = curves[index].kind == CurveKind::line;
      chart.curve(shown[index], {color, is_line ? kDashedWidth : kLineWidth, is_line});
      if (!is_line) chart.dots(shown[index], 3.5, color);
    }
  });
}

void plot_members(const std::filesystem::path& path,
                  std::span<const evaluation::AccuracyAgainstMembers> points,
                  const std::string& title) {
  if (points.empty()) throw_nothing(path, "the ensemble has no members");
  std::vector<Point> means;
  std::vector<Point> low;
  std::vector<Point> high;
  std::vector<double> values;
  for (const auto& point : points) {
    const auto members = static_cast<double>(point.members);
    means.push_back({members, 100 * point.accuracy});
    low.push_back({members, 100 * point.interval.low});
    high.push_back({members, 100 * point.interval.high});
    for (const double rate : {point.accuracy, point.interval.low, point.interval.high, point.lowest, point.highest})
      values.push_back(100 * rate);
  }
  Axis x = axis_of_whole("members of the ensemble", points.front().members, points.back().members);
  x.low = static_cast<double>(points.front().members) - 0.5;
  x.high = static_cast<double>(points.back().members) + 0.5;
  constexpr Color kBand{207, 227, 241};
  constexpr Color kRange{230, 159, 0};
  const std::vector<LegendEntry> legend{{"mean over subsets", kBlue},
                                        {"worst to best subset", kRange, LegendEntry::whisker},
                                        {"95 % interval", kBand, LegendEntry::area}};
  write_chart(
      path,
      title,
      x,
      axis_around("accuracy (%)", values, {0, 100}),
      legend,
      {.width = 760, .height = 330},
      [&](Chart& chart) {
        if (points.size() > 1) {
          chart.band(low, high, kBand);
        } else {  // a band of a single point has no width
          chart.bar({means[0].x - 0.06, low[0].y}, {means[0].x + 0.06, high[0].y}, kBand);
        }
        for (const auto& point : points)
          chart.whisker(static_cast<double>(point.members), 100 * point.lowest, 100 * point.highest, {kRange, 1.5});
        chart.curve(means, {kBlue, kLineWidth});
        chart.dots(means, 3.5, kBlue);
      });
}

}  // namespace mien::report
