// The plot of expressions over time.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "mien/photo/annotate.h"
#include "mien/photo/watch_run.h"
#include "mien/report/chart.h"

namespace mien::photo {

void write_timeline(const std::filesystem::path& path,
                    const std::vector<TimelineRow>& rows,
                    const std::vector<std::string>& class_names) {
  constexpr size_t kMostFaces = 6;
  constexpr double kWidth = 760;
  constexpr double kChart = 150;
  constexpr double kGap = 0.5;  // seconds without the face that break its curves
  std::map<int64_t, std::vector<const TimelineRow*>> faces;
  double last = 0;
  for (const TimelineRow& row : rows) {
    faces[row.number].push_back(&row);
    last = std::max(last, row.time);
  }
  std::vector<int64_t> numbers;
  for (const auto& [number, seen] : faces) numbers.push_back(number);
  std::stable_sort(
      numbers.begin(), numbers.end(), [&](int64_t a, int64_t b) { return faces[a].size() > faces[b].size(); });
  const size_t all = numbers.size();
  numbers.resize(std::min(numbers.size(), kMostFaces));
  std::sort(numbers.begin(), numbers.end());

  const double end = std::max(last, 0.1);
  const report::Axis probability{.label = "probability", .low = 0, .high = 100, .ticks = report::even_ticks(0, 100, 5)};
  const report::Axis time{.label = "seconds", .low = 0, .high = end, .ticks = report::even_ticks(0, end, 10)};
  const double left = report::room_left_of(probability) + 12;
  const double area_width = kWidth - left - 20;
  const double below = report::room_below(time, area_width);
  const double step = 24 + kChart + below + 8;

  report::Canvas canvas(kWidth, 2000);
  double y = report::draw_title(
      canvas,
      all > numbers.size() ? fmt::format("Expressions over time: the {} faces seen longest of {}", numbers.size(), all)
                           : "Expressions over time",
      kWidth);
  std::vector<report::LegendEntry> legend;
  for (size_t c = 0; c < class_names.size(); ++c)
    legend.push_back({class_names[c], class_color(static_cast<int64_t>(c), class_names.size())});
  y = report::draw_legend(canvas, legend, kWidth, y);
  canvas.resize(kWidth, y + step * static_cast<double>(numbers.size()) + 8);
  for (const int64_t number : numbers) {
    canvas.text(fmt::format("Face {}", number), left, y + 14, {.points = 11, .is_bold = true});
    report::Axis x = time;
    report::Axis percent = probability;
    percent.label = "per cent";
    report::Chart chart(canvas, {left, y + 24, area_width, kChart}, std::move(x), std::move(percent));
    for (size_t c = 0; c < class_names.size(); ++c) {
      std::vector<report::Point> curve;
      for (const TimelineRow* row : faces[number]) {
        if (!curve.empty() && row->time - curve.back().x > kGap)
          curve.push_back({row->time, std::numeric_limits<double>::quiet_NaN()});
        curve.push_back({row->time, 100 * row->probabilities[c]});
      }
      chart.curve(curve, {.color = class_color(static_cast<int64_t>(c), class_names.size()), .width = 1.5});
    }
    y += step;
  }
  report::write_picture(path, canvas);
}

}  // namespace mien::photo
