// Bars and cells: confusion, reliability, comparison, class counts.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/report/canvas.h"
#include "mien/report/colors.h"
#include "mien/report/gnuplot.h"
#include "mien/report/plots.h"

namespace mien::report {
namespace {

constexpr std::string_view kBold = "font 'DejaVu Sans:Bold,12' textcolor rgb '#111827'";

void require_names(const std::filesystem::path& path, size_t names, size_t counts) {
  if (names == 0 || names != counts) {
    throw_usage(fmt::format("cannot draw {}: {} class names for {} classes", path.string(), names, counts));
  }
}

/// Tics at 0, 1, ... that carry `names`.
std::string name_tics(char axis, std::span<const std::string> names, const std::string& style) {
  std::string script = fmt::format("set {}tics scale 0 {} (", axis, style);
  for (size_t i = 0; i < names.size(); ++i) {
    script += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_tic_label(names[i]), i);
  }
  return script + ")\n";
}

/// Width of the widest of `names`, in units.
double widest(std::span<const std::string> names) {
  double width = 0;
  for (const std::string& name : names) width = std::max(width, text_width(name, 11));
  return width;
}

/// Distance of tics that puts two to five of them below `most`: 1, 2 or 5 times a power of ten.
int64_t count_step(int64_t most) {
  for (int64_t power = 1;; power *= 10) {
    for (const int64_t factor : {1, 2, 5}) {
      if (most / (factor * power) < 5) return factor * power;
    }
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
  double largest = 0;
  for (const auto& row : counts) {
    require_names(path, names.size(), row.size());
    for (const int64_t count : row) largest = std::max(largest, static_cast<double>(count));
  }
  const double top = normalized ? 1 : std::max(largest, 1.0);
  const double side = std::clamp(640.0 / static_cast<double>(classes), 18.0, 72.0);  // of a cell, in units
  const int font_size = side >= 55 ? 11 : side >= 40 ? 9 : 7;

  std::string cells = "$cells << EOD\n";
  std::string numbers;
  for (size_t truth = 0; truth < classes; ++truth) {
    const int64_t total = std::accumulate(counts[truth].begin(), counts[truth].end(), int64_t{0});
    for (size_t predicted = 0; predicted < classes; ++predicted) {
      const auto count = static_cast<double>(counts[truth][predicted]);
      const double value = !normalized ? count : total > 0 ? count / static_cast<double>(total) : 0;
      cells += fmt::format("{} {} {}\n", predicted, truth, gnuplot_number(value));
      const std::string text = !normalized ? with_commas(counts[truth][predicted])
                               : total > 0 ? fmt::format("{:.2f}", value)
                                           : "-";
      numbers += fmt::format("set label '{}' at {},{} center front font 'DejaVu Sans{},{}' textcolor rgb '{}'\n",
                             text,
                             predicted,
                             truth,
                             truth == predicted ? ":Bold" : "",
                             font_size,
                             text_color_on(sequential_color(value / top)).hex());
    }
  }

  // The plotting area is laid out by hand, so that the cells are squares.
  const double area = side * static_cast<double>(classes);
  const double names_width = widest(names);
  const bool slanted = names_width > side - 4;
  const double left = 54 + names_width;
  const double bottom = slanted ? 46 + 0.72 * names_width : 56;
  const double width = left + area + 96;
  const double height = bottom + area + 44;
  std::string script = cells + "EOD\n" + sequential_palette_command();
  script += fmt::format(
      "set lmargin at screen {}\nset rmargin at screen {}\nset bmargin at screen {}\nset tmargin at screen {}\n",
      left / width,
      (left + area) / width,
      bottom / height,
      (bottom + area) / height);
  script += fmt::format("set title {} {}\n", gnuplot_string(title), kBold);
  script += fmt::format("set xrange [-0.5:{0}]\nset yrange [{0}:-0.5]\nset cbrange [0:{1}]\nunset border\nunset grid\n",
                        static_cast<double>(classes) - 0.5,
                        top);
  script += name_tics('x', names, slanted ? "rotate by 45 right" : "") + name_tics('y', names, "");
  // The labels of the axes stand at fixed places: gnuplot would set them by the tics' unrotated size.
  script += fmt::format("set label 'predicted class' at screen {},{} center\n", (left + area / 2) / width, 16 / height);
  script += fmt::format(
      "set label 'true class' at screen {},{} center rotate by 90\n", 18 / width, (bottom + area / 2) / height);
  script += fmt::format("set colorbox user origin screen {},{} size screen {},{} noborder\nset cbtics scale 0 {}\n",
                        (left + area + 14) / width,
                        bottom / height,
                        12 / width,
                        area / height,
                        normalized ? "0.2" : std::to_string(count_step(std::lround(top))));
  if (normalized) {
    script += fmt::format("set label 'share of the true class' at screen {},{} center rotate by 90\n",
                          (left + area + 78) / width,
                          (bottom + area / 2) / height);
  }
  if (side >= 26) script += numbers;
  script +=
      "plot $cells using 1:2:($1-0.5):($1+0.5):($2-0.5):($2+0.5):3 with boxxyerror fillstyle solid 1 border rgb "
      "'#ffffff' linewidth 1 fillcolor palette";
  write_picture(path, std::lround(width), std::lround(height), script);
}

void plot_reliability(const std::filesystem::path& path,
                      std::span<const evaluation::ReliabilityBin> bins,
                      double expected_calibration_error,
                      const std::string& title) {
  if (bins.empty()) throw_usage(fmt::format("cannot draw {}: there are no bins", path.string()));
  std::string script = "$bins << EOD\n";
  int64_t most = 1;
  for (const auto& bin : bins) {
    most = std::max(most, bin.count);
    const bool filled = bin.count > 0;
    const auto shown = [&](double rate) { return filled ? gnuplot_number(100 * rate) : std::string("NaN"); };
    script += fmt::format("{} {} {} {} {} {} {}\n",
                          gnuplot_number(100 * bin.low),
                          gnuplot_number(100 * bin.high),
                          shown(bin.confidence),
                          shown(bin.accuracy),
                          shown(bin.accuracy_interval.low),
                          shown(bin.accuracy_interval.high),
                          bin.count);
  }
  script +=
      "EOD\nset multiplot\nset lmargin at screen 0.14\nset rmargin at screen 0.96\nset xrange [0:100]\nset xtics 20\n"
      "set tmargin at screen 0.94\nset bmargin at screen 0.42\nset format x ''\nset yrange [0:100]\nset ytics 20\n"
      "set label 2 'accuracy (%)' at screen 0.035,0.68 center rotate by 90\nset key at screen 0.55,0.012 center bottom "
      "horizontal Left reverse\n";
  if (!title.empty()) script += fmt::format("set title {} {} offset 0,-0.3\n", gnuplot_string(title), kBold);
  script += fmt::format(
      "set label 1 'expected calibration error {:.1f} %' at graph 0.97,0.06 right front textcolor rgb '#111827'\n",
      100 * expected_calibration_error);
  script +=
      "set arrow 1 from 0,0 to 100,100 nohead front dashtype (10,6) linewidth 1.2 linecolor rgb '#6b7280'\n"
      "plot $bins using (($1+$2)/2):4:1:2:(0):4 with boxxyerror fillstyle solid 1 border rgb '#ffffff' linewidth 0.7 "
      "fillcolor rgb '#bcd9ec' notitle,\\\n"
      "  $bins using 3:4:5:6 with yerrorbars pointtype 7 pointsize 0.6 linewidth 1.3 linecolor rgb '#0072b2' "
      "title 'accuracy, 95 % interval',\\\n"
      "  keyentry with lines dashtype (10,6) linewidth 1.2 linecolor rgb '#6b7280' title 'perfect calibration'\n"
      "unset title\nunset label 1\nunset arrow 1\nunset key\n"
      "set tmargin at screen 0.395\nset bmargin at screen 0.19\nset format x '%g'\nset yrange [0:*]\n"
      "set xlabel 'confidence: probability of the predicted class (%)'\nset label 2 'faces' at screen 0.035,0.28\n";
  script += fmt::format("set ytics {}\n", count_step(most));
  script +=
      "plot $bins using (($1+$2)/2):7:1:2:(0):7 with boxxyerror fillstyle solid 1 border rgb '#ffffff' linewidth 0.7 "
      "fillcolor rgb '#9ca3af'\nunset multiplot\n";
  write_picture(path, 560, 660, script);
}

void plot_bars(const std::filesystem::path& path, std::span<const Bar> bars, const BarStyle& style) {
  if (bars.empty()) throw_usage(fmt::format("cannot draw {}: there are no bars", path.string()));
  std::vector<std::string> names;
  double reach = 0;  // of the longest bar
  std::string data = "$bars << EOD\n";
  std::string references;
  std::string whiskers;
  std::string labels;
  for (size_t i = 0; i < bars.size(); ++i) {
    const Bar& bar = bars[i];
    if (!std::isfinite(bar.value) || bar.value < 0) {
      throw_usage(fmt::format("cannot draw {}: the value of {} is {}, expected a number that is not negative",
                              path.string(),
                              quote_sample(bar.name),
                              bar.value));
    }
    const double value = style.factor * bar.value;
    double end = value;  // of the bar, its whisker included
    if (bar.interval && std::isfinite(bar.interval->low) && std::isfinite(bar.interval->high)) {
      const double low = style.factor * bar.interval->low;
      const double high = style.factor * bar.interval->high;
      whiskers += fmt::format("{} {} {} {}\n", gnuplot_number(value), i, gnuplot_number(low), gnuplot_number(high));
      end = std::max(value, high);
    }
    names.push_back(bar.name);
    reach = std::max(reach, end);
    (bar.is_reference ? references : data) += fmt::format("{} {}\n", gnuplot_number(value), i);
    labels += fmt::format("set label '{:.{}f}' at {},{} left offset 0.8,0 textcolor rgb '#111827'\n",
                          value,
                          style.decimals,
                          gnuplot_number(end),
                          i);
  }
  const auto rows = static_cast<double>(bars.size());
  const double left = 30 + widest(names);
  // Title and axis are centerd below and above the bars: neither may be cut off at the right.
  const double texts = std::max(1.13 * text_width(style.title, 12), text_width(style.axis, 11));
  const double width = left + std::max(520.0, texts - 16);
  const double top = style.title.empty() ? 14 : 42;
  const double height = top + 58 + 30 * rows;
  std::string script = data + "EOD\n" + labels + name_tics('y', names, "");
  if (!style.title.empty()) script += fmt::format("set title {} {}\n", gnuplot_string(style.title), kBold);
  script += fmt::format("set xlabel {}\nset lmargin at screen {}\nset rmargin at screen {}\n",
                        gnuplot_string(style.axis),
                        left / width,
                        1 - 24 / width);
  script += fmt::format("set tmargin at screen {}\nset bmargin at screen {}\n", 1 - top / height, 58 / height);
  script += fmt::format("set xrange [0:{}]\nset yrange [{}:-0.5]\nset border 1\nunset grid\nset grid xtics\n",
                        gnuplot_number(reach > 0 ? 1.14 * reach : 1),
                        rows - 0.5);
  if (style.mark) {
    script += fmt::format(
        "set arrow from {0},graph 0 to {0},graph 1 nohead front dashtype (10,6) linewidth 1.2 linecolor rgb "
        "'#6b7280'\n",
        gnuplot_number(style.factor * *style.mark));
  }
  script +=
      "plot $bars using (0):2:(0):1:($2-0.34):($2+0.34) with boxxyerror fillstyle solid 1 noborder fillcolor rgb "
      "'#7fb8dd'";
  if (!references.empty()) {
    script = "$references << EOD\n" + references + "EOD\n" + script +
             ",\\\n  $references using (0):2:(0):1:($2-0.34):($2+0.34) with boxxyerror fillstyle solid 1 noborder "
             "fillcolor rgb '#c3c8d0'";
  }
  if (!whiskers.empty()) {
    script = "$whiskers << EOD\n" + whiskers + "EOD\n" + script +
             ",\\\n  $whiskers using 1:2:3:4 with xerrorbars pointtype 7 pointsize 0.01 linewidth 1.4 linecolor rgb "
             "'#1f2937'";
  }
  write_picture(path, std::lround(width), std::lround(height), script);
}

void plot_class_counts(const std::filesystem::path& path,
                       std::span<const ClassCounts> parts,
                       std::span<const std::string> names,
                       const std::string& title) {
  if (parts.empty()) throw_usage(fmt::format("cannot draw {}: there is nothing to count", path.string()));
  std::string script;
  std::string labels;
  std::string curves;
  int64_t most = 1;
  const double width_of_bar = 0.82 / static_cast<double>(parts.size());
  const double unit_width = std::max(84.0, 46.0 * static_cast<double>(parts.size()));  // of a class
  const double width = 90 + unit_width * static_cast<double>(names.size());
  for (size_t part = 0; part < parts.size(); ++part) {
    require_names(path, names.size(), parts[part].counts.size());
    script += fmt::format("$part{} << EOD\n", part);
    for (size_t i = 0; i < names.size(); ++i) {
      const int64_t count = parts[part].counts[i];
      const double x = static_cast<double>(i) + (static_cast<double>(part) + 0.5) * width_of_bar - 0.41;
      script += fmt::format("{:.6f} {}\n", x, count);
      labels +=
          fmt::format("set label '{}' at {:.6f},{} center offset 0,0.6 font 'DejaVu Sans,9' textcolor rgb '#374151'\n",
                      with_commas(count),
                      x,
                      count);
      most = std::max(most, count);
    }
    script += "EOD\n";
    curves += fmt::format("{}$part{} using 1:2 with boxes fillstyle solid 1 noborder fillcolor rgb '{}' title {}",
                          part == 0 ? "plot " : ",\\\n  ",
                          part,
                          series_color(part, parts.size()).hex(),
                          gnuplot_string(parts[part].name));
  }
  if (!title.empty()) script += fmt::format("set title {} {}\n", gnuplot_string(title), kBold);
  script += labels + name_tics('x', names, widest(names) > unit_width ? "rotate by 30 right" : "");
  script += fmt::format(
      "set boxwidth {:.6f}\nset ylabel 'faces'\nset xrange [-0.5:{}]\nset yrange [0:{}]\nunset grid\nset grid ytics\n",
      0.94 * width_of_bar,
      static_cast<double>(names.size()) - 0.5,
      gnuplot_number(1.1 * static_cast<double>(most)));
  script += "set format y '%.0f'\n";
  script += parts.size() > 1 ? "set key outside bottom center horizontal Left reverse\n" : "unset key\n";
  write_picture(path, std::lround(width), 400, script + curves);
}

}  // namespace mien::report
