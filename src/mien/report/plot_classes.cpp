// Bars and cells: confusion, reliability, comparison, class counts.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/report/chart.h"
#include "mien/report/plots.h"

namespace mien::report {
namespace {

constexpr Color kBlue{0, 114, 178};

void require_names(const std::filesystem::path& path, size_t names, size_t counts) {
  if (names == 0 || names != counts) {
    throw_usage(fmt::format("cannot draw {}: {} class names for {} classes", path.string(), names, counts));
  }
}

/// A scale of sequential colors from 0 to `top`, right of a matrix.
void draw_color_scale(Canvas& canvas, const Box& box, double top, bool is_share) {
  Raster colors = Raster::filled(std::lround(2 * box.height), 1, {});
  for (int64_t row = 0; row < colors.height; ++row) {
    const double part = 1 - (static_cast<double>(row) + 0.5) / static_cast<double>(colors.height);
    colors.set(row, 0, sequential_color(part));
  }
  canvas.picture(std::move(colors), box);
  for (const Tick& tick : is_share ? even_ticks(0, 1, 5) : even_ticks(0, top, 5)) {
    if (!is_share && tick.value != std::floor(tick.value)) continue;  // there are no half faces
    canvas.text(tick.label,
                box.right() + 6,
                std::clamp(box.bottom() - tick.value / top * box.height, box.y + 7, box.bottom() - 7),
                {.points = 10});
  }
}

/// The numbers in the cells of a confusion matrix and the colors below them.
void draw_cells(
    Canvas& canvas, const Box& area, const std::vector<std::vector<int64_t>>& counts, bool normalized, double top) {
  const double side = area.width / static_cast<double>(counts.size());
  for (size_t truth = 0; truth < counts.size(); ++truth) {
    const int64_t total = std::accumulate(counts[truth].begin(), counts[truth].end(), int64_t{0});
    for (size_t predicted = 0; predicted < counts.size(); ++predicted) {
      const int64_t count = counts[truth][predicted];
      const double share = total > 0 ? static_cast<double>(count) / static_cast<double>(total) : 0;
      const std::string text = !normalized ? with_commas(count) : total > 0 ? fmt::format("{:.2f}", share) : "-";
      const Color color = sequential_color((normalized ? share : static_cast<double>(count)) / top);
      const Box cell{
          area.x + static_cast<double>(predicted) * side, area.y + static_cast<double>(truth) * side, side, side};
      canvas.rectangle(cell, color);
      const bool is_right = truth == predicted;
      double points = 11;
      while (points > 5 && text_width(text, points, is_right) > side - 4) points -= 0.5;
      canvas.text(text,
                  cell.x + side / 2,
                  cell.y + side / 2,
                  {.points = points, .color = text_color_on(color), .is_bold = is_right, .align = Align::center});
    }
  }
}

/// Bars of accuracy over the range of confidence of each bin, which leave the diagonal in sight.
void draw_bins(Chart& chart, std::span<const evaluation::ReliabilityBin> bins) {
  for (const auto& bin : bins) {
    if (bin.count > 0) chart.bar({100 * bin.low + 0.4, 0}, {100 * bin.high - 0.4, 100 * bin.accuracy}, {207, 227, 241});
  }
  const Point diagonal[] = {{0, 0}, {100, 100}};
  chart.curve(diagonal, {{55, 65, 81}, 1.5, true});
  for (const auto& bin : bins) {
    if (bin.count == 0) continue;
    const Point point{100 * bin.confidence, 100 * bin.accuracy};
    chart.whisker(point.x, 100 * bin.accuracy_interval.low, 100 * bin.accuracy_interval.high, {kBlue, 1.5});
    chart.dots({&point, 1}, 3, kBlue);
  }
}

}  // namespace

void plot_confusion(const std::filesystem::path& path,
                    const std::vector<std::vector<int64_t>>& counts,
                    std::span<const std::string> names,
                    bool normalized,
                    const std::string& title) {
  const size_t classes = counts.size();
  require_names(path, names.size(), classes);
  int64_t largest = 1;
  for (const auto& row : counts) {
    require_names(path, names.size(), row.size());
    largest = std::max(largest, *std::max_element(row.begin(), row.end()));
  }
  const double top = normalized ? 1 : static_cast<double>(largest);
  const double area_side = std::clamp(640.0 / static_cast<double>(classes), 18.0, 72.0) * static_cast<double>(classes);
  Axis x = axis_of_names("predicted class", names);
  Axis y = axis_of_names("true class", names);
  y.is_reversed = true;
  const double scale = normalized ? 70 : 44 + text_width(with_commas(largest), 10);

  Canvas canvas;
  const double left = std::max(room_left_of(y), left_overhang(x, area_side));
  const double width = std::ceil(left + area_side + scale);
  const double heading = draw_title(canvas, title, width);
  const Box area{left, heading, area_side, area_side};
  const double bottom = area.bottom() + room_below(x, area_side) + 8;
  draw_cells(canvas, area, counts, normalized, top);
  Chart chart(canvas, area, std::move(x), std::move(y));
  draw_color_scale(canvas, {area.right() + 14, area.y, 12, area.height}, top, normalized);
  canvas.resize(width, std::ceil(bottom));
  write_picture(path, canvas);
}

void plot_reliability(const std::filesystem::path& path,
                      std::span<const evaluation::ReliabilityBin> bins,
                      double expected_calibration_error,
                      const std::string& title) {
  int64_t most = 0;
  for (const auto& bin : bins) most = std::max(most, bin.count);
  if (most == 0) throw_usage(fmt::format("cannot draw {}: no bin has a face", path.string()));
  constexpr double kWidth = 560;
  Axis shares{.label = "accuracy (%)", .low = 0, .high = 100, .ticks = even_ticks(0, 100, 5)};
  Axis confidence{.low = 0, .high = 100, .ticks = even_ticks(0, 100, 5)};
  Axis faces = axis_from_zero("faces", static_cast<double>(most));
  std::erase_if(faces.ticks, [](const Tick& tick) { return tick.value != std::floor(tick.value); });

  Canvas canvas;
  double y = draw_title(canvas, title, kWidth);
  canvas.text(fmt::format("expected calibration error {:.1f} %", 100 * expected_calibration_error),
              kWidth / 2,
              y + 4,
              {.points = 10, .color = kSoftText, .align = Align::center});
  y += 22;
  const double left = std::max(room_left_of(shares), room_left_of(faces));
  const Box upper{left, y, kWidth - left - 24, 340};
  Axis unlabeled = confidence;
  for (Tick& tick : unlabeled.ticks) tick.label.clear();
  Chart accuracy(canvas, upper, unlabeled, shares);
  draw_bins(accuracy, bins);
  confidence.label = "confidence: probability of the predicted class (%)";
  const Box lower{left, upper.bottom() + 18, upper.width, 110};
  Chart counts(canvas, lower, confidence, faces);
  for (const auto& bin : bins) {
    if (bin.count > 0)
      counts.bar({100 * bin.low + 0.4, 0}, {100 * bin.high - 0.4, static_cast<double>(bin.count)}, {156, 163, 175});
  }
  const double bottom = draw_legend(canvas,
                                    {{"accuracy, 95 % interval", kBlue, LegendEntry::whisker},
                                     {"perfect calibration", {55, 65, 81}, LegendEntry::dashed}},
                                    kWidth,
                                    lower.bottom() + room_below(confidence, lower.width) + 6);
  canvas.resize(kWidth, std::ceil(bottom));
  write_picture(path, canvas);
}

void plot_bars(const std::filesystem::path& path, std::span<const Bar> bars, const BarStyle& style) {
  if (bars.empty()) throw_usage(fmt::format("cannot draw {}: there are no bars", path.string()));
  constexpr double kRow = 30;
  constexpr Color kInk{31, 41, 55};
  std::vector<std::string> names;
  double reach = 0;  // of the longest bar, its whisker included
  const auto end_of = [&](const Bar& bar) {
    const bool has_whisker = bar.interval && std::isfinite(bar.interval->high);
    return style.factor * (has_whisker ? std::max(bar.value, bar.interval->high) : bar.value);
  };
  for (const Bar& bar : bars) {
    if (!std::isfinite(bar.value) || bar.value < 0) {
      throw_usage(fmt::format("cannot draw {}: the value of {} is {}, expected a number that is not negative",
                              path.string(),
                              quote_sample(bar.name),
                              bar.value));
    }
    names.push_back(bar.name);
    reach = std::max(reach, end_of(bar));
  }
  Axis x = axis_from_zero(style.axis, reach, 0.14);
  Axis y = axis_of_names("", names);
  y.is_reversed = true;
  const double left = room_left_of(y);
  const double width = std::ceil(left + std::max(520.0, text_width(style.axis, 11)) + 24);
  Canvas canvas;
  const Box area{
      left, draw_title(canvas, style.title, width), width - left - 24, kRow * static_cast<double>(bars.size())};
  const double bottom = area.bottom() + room_below(x, area.width) + 8;
  Chart chart(canvas, area, std::move(x), std::move(y));
  for (size_t i = 0; i < bars.size(); ++i) {
    const Bar& bar = bars[i];
    const auto row = static_cast<double>(i);
    const Color color = bar.is_reference ? Color{195, 200, 208} : Color{127, 184, 221};
    chart.bar({0, row - 0.34}, {style.factor * bar.value, row + 0.34}, color);
    if (bar.interval && std::isfinite(bar.interval->low) && std::isfinite(bar.interval->high)) {
      const Point low = chart.at(style.factor * bar.interval->low, row);
      const Point high = chart.at(style.factor * bar.interval->high, row);
      canvas.line({low, high}, {kInk, 1.5});
      for (const Point& end : {low, high}) canvas.line({{end.x, end.y - 4}, {end.x, end.y + 4}}, {kInk, 1.5});
    }
    const Point end = chart.at(end_of(bar), row);
    canvas.text(fmt::format("{:.{}f}", style.factor * bar.value, style.decimals), end.x + 7, end.y);
  }
  if (style.mark) chart.line_at(style.factor * *style.mark, {kGrayLine, 1.4, true});
  canvas.resize(width, std::ceil(bottom));
  write_picture(path, canvas);
}

void plot_class_counts(const std::filesystem::path& path,
                       std::span<const ClassCounts> parts,
                       std::span<const std::string> names,
                       const std::string& title) {
  if (parts.empty()) throw_usage(fmt::format("cannot draw {}: there is nothing to count", path.string()));
  constexpr double kLabelPoints = 9;
  int64_t most = 1;
  double widest = 0;
  for (const ClassCounts& part : parts) {
    require_names(path, names.size(), part.counts.size());
    for (const int64_t count : part.counts) {
      most = std::max(most, count);
      widest = std::max(widest, text_width(with_commas(count), kLabelPoints));
    }
  }
  // No number is wider than its bar's place.
  const double place = std::max(46.0, widest + 6);
  const double unit = std::max(84.0, place * static_cast<double>(parts.size()) / 0.82);  // of a class
  Axis x = axis_of_names("", names);
  Axis y = axis_from_zero("faces", static_cast<double>(most), 0.12);
  std::erase_if(y.ticks, [](const Tick& tick) { return tick.value != std::floor(tick.value); });
  const double left = std::max(room_left_of(y), left_overhang(x, unit * static_cast<double>(names.size())));
  const double width = std::ceil(left + unit * static_cast<double>(names.size()) + 24);
  Canvas canvas;
  const Box area{left, draw_title(canvas, title, width), width - left - 24, 300};
  const double below = area.bottom() + room_below(x, area.width) + 6;
  Chart chart(canvas, area, std::move(x), std::move(y));
  std::vector<LegendEntry> legend;
  const double step = 0.82 / static_cast<double>(parts.size());
  for (size_t part = 0; part < parts.size(); ++part) {
    const Color color = series_color(part, parts.size());
    legend.push_back({parts[part].name, color, LegendEntry::area});
    for (size_t i = 0; i < names.size(); ++i) {
      const int64_t count = parts[part].counts[i];
      const double middle = static_cast<double>(i) + (static_cast<double>(part) + 0.5) * step - 0.41;
      chart.bar({middle - 0.47 * step, 0}, {middle + 0.47 * step, static_cast<double>(count)}, color);
      const Point top = chart.at(middle, static_cast<double>(count));
      canvas.text(with_commas(count), top.x, top.y - 8, {.points = kLabelPoints, .align = Align::center});
    }
  }
  if (parts.size() == 1) legend.clear();
  canvas.resize(width, std::ceil(draw_legend(canvas, legend, width, below)));
  write_picture(path, canvas);
}

}  // namespace mien::report
