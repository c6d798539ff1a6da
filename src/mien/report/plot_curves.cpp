// Curves: training histories, learning rate finder, ensembles.
#include <algorithm>
#include <cmath>
#include <limits>

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
constexpr std::string_view kGray = "#6b7280";
constexpr std::string_view kDashed = "linewidth 1.3 dashtype (10,6)";
constexpr std::string_view kSolid = "linewidth 2";

/// How the two panels of plot_history differ.
struct Panel {
  std::string axis;
  double EpochRow::*training;
  double EpochRow::*validation;
  double factor;
  std::string range;  ///< of the vertical axis
  double left;        ///< of the plotting area, as a share of the page
  double right;
};

bool has_validation(std::span<const EpochRow> rows) {
  return std::any_of(
      rows.begin(), rows.end(), [](const EpochRow& row) { return std::isfinite(row.validation_accuracy); });
}

std::string best_text(const EpochRow& row) {
  return fmt::format("best {:.1f} % at epoch {}", 100 * row.validation_accuracy, row.epoch);
}

/// The horizontal axis of epochs, which needs room around a single one.
std::string epoch_axis(int64_t first, int64_t last) {
  std::string script = "set xlabel 'epoch'\n";
  script += first == last ? fmt::format("set xrange [{}:{}]\n", first - 0.5, last + 0.5)
                          : fmt::format("set xrange [{}:{}]\n", first, last);
  return script + (last - first < 12 ? "set xtics 1\n" : "set xtics autofreq\n");
}

std::string history_data(size_t index, std::span<const EpochRow> rows) {
  std::string script = fmt::format("$history{} << EOD\n", index);
  for (const EpochRow& row : rows) {
    script += fmt::format("{} {} {} {} {}\n",
                          row.epoch,
                          gnuplot_number(row.train_accuracy),
                          gnuplot_number(row.validation_accuracy),
                          gnuplot_number(row.train_loss),
                          gnuplot_number(row.validation_loss));
  }
  return script + "EOD\n";
}

/// One entry of the legend that stands once below both panels.
struct LegendEntry {
  std::string text;
  std::string color;
  enum { solid, dashed, dot } mark = solid;
};

constexpr double kMarkWidth = 34;   // from an entry's left edge to its text, in units
constexpr double kEntryGap = 26;    // between entries
constexpr double kLegendLine = 20;  // height of a row of entries

std::vector<LegendEntry> history_legend(std::span<const NamedHistory> histories, bool any_validation) {
  std::vector<LegendEntry> entries;
  if (histories.size() > 1) {
    for (size_t i = 0; i < histories.size(); ++i) {
      const auto best = best_epoch(histories[i].rows);
      const std::string name = fit_text(histories[i].name, 11, 400);
      entries.push_back(
          {name + (best ? ", " + best_text(histories[i].rows[*best]) : ""), series_color(i, histories.size()).hex()});
    }
  }
  const std::string color = histories.size() > 1 ? std::string(kGray) : series_color(0, 1).hex();
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

/// The entries in rows no wider than `width`.
std::vector<std::vector<LegendEntry>> legend_rows(const std::vector<LegendEntry>& entries, double width) {
  std::vector<std::vector<LegendEntry>> rows;
  double used = width;
  for (const LegendEntry& entry : entries) {
    const double needed = kMarkWidth + text_width(entry.text, 11) + kEntryGap;
    if (rows.empty() || used + needed > width) {
      rows.emplace_back();
      used = 0;
    }
    rows.back().push_back(entry);
    used += needed;
  }
  return rows;
}

/// Draws the rows of a legend, each centerd, upwards from `bottom` of a page of `width` x `height` units. gnuplot's own
/// legend belongs to one panel and would cover it.
std::string legend_script(const std::vector<std::vector<LegendEntry>>& rows,
                          double bottom,
                          double width,
                          double height) {
  std::string script;
  double y = bottom + kLegendLine * (static_cast<double>(rows.size()) - 0.5);
  for (const auto& row : rows) {
    double row_width = -kEntryGap;
    for (const LegendEntry& entry : row) row_width += kMarkWidth + text_width(entry.text, 11) + kEntryGap;
    double x = (width - row_width) / 2;
    for (const LegendEntry& entry : row) {
      if (entry.mark == LegendEntry::dot) {
        script +=
            fmt::format("set label '' at screen {:.5f},{:.5f} point pointtype 7 pointsize 0.9 linecolor rgb '{}'\n",
                        (x + 14) / width,
                        y / height,
                        entry.color);
      } else {
        script +=
            fmt::format("set arrow from screen {:.5f},{:.5f} to screen {:.5f},{:.5f} nohead {} linecolor rgb '{}'\n",
                        x / width,
                        y / height,
                        (x + 28) / width,
                        y / height,
                        entry.mark == LegendEntry::dashed ? kDashed : kSolid,
                        entry.color);
      }
      script += fmt::format("set label {} at screen {:.5f},{:.5f} left textcolor rgb '#1f2937'\n",
                            gnuplot_string(entry.text),
                            (x + kMarkWidth) / width,
                            y / height);
      x += kMarkWidth + text_width(entry.text, 11) + kEntryGap;
    }
    y -= kLegendLine;
  }
  return script;
}

/// Plot elements of one panel: per network a dashed, a solid line and the mark of the best epoch.
std::string history_curves(std::span<const NamedHistory> histories, const Panel& panel) {
  std::string script;
  for (size_t i = 0; i < histories.size(); ++i) {
    const std::string color = series_color(i, histories.size()).hex();
    // A short history also gets a dot an epoch, without which a single epoch would not show.
    const bool is_short = histories[i].rows.size() <= 12;
    const std::string style = is_short ? "linespoints pointtype 7 pointsize 0.5" : "lines";
    const int column = panel.training == &EpochRow::train_accuracy ? 2 : 4;
    script += fmt::format(
        "{0}$history{1} using 1:(${2}*{3}) with {4} {5} linecolor rgb '{6}',\\\n"
        "  $history{1} using 1:(${7}*{3}) with {4} {8} linecolor rgb '{6}'",
        i == 0 ? "plot " : ",\\\n  ",
        i,
        column,
        panel.factor,
        style,
        kDashed,
        color,
        column + 1,
        kSolid);
    if (const auto best = best_epoch(histories[i].rows)) {
      const EpochRow& row = histories[i].rows[*best];
      script += fmt::format(
          ",\\\n  '+' every ::::0 using ({0}):({1}) with points pointtype 7 pointsize 1.25 linecolor rgb '#ffffff',\\\n"
          "  '+' every ::::0 using ({0}):({1}) with points pointtype 7 pointsize 0.9 linecolor rgb '{2}'",
          row.epoch,
          gnuplot_number(panel.factor * (row.*panel.validation)),
          color);
    }
  }
  return script;
}

/// Tics at the powers of ten around `rates`, written 10⁻⁴.
std::string power_tics(std::span<const double> rates) {
  constexpr const char* kSuperscripts[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  const auto [lowest, highest] = std::minmax_element(rates.begin(), rates.end());
  const int first = static_cast<int>(std::floor(std::log10(std::max(*lowest, 1e-30))));
  const int last = static_cast<int>(std::ceil(std::log10(std::max(*highest, 1e-30))));
  std::string script;
  for (int power = first; power <= last; ++power) {
    std::string label = power < 0 ? "10⁻" : "10";
    for (const char digit : std::to_string(std::abs(power))) label += kSuperscripts[digit - '0'];
    script += fmt::format("{}'{}' 1e{}", power == first ? "set xtics (" : ", ", label, power);
  }
  return script + ")\n";
}

/// Tics at 1, 2 and 5 times the powers of ten between `low` and `high` on the y axis, so that a range of less than a
/// decade has numbers, too.
std::string one_two_five_tics(double low, double high) {
  std::string tics;
  for (int power = static_cast<int>(std::floor(std::log10(low))); power <= std::ceil(std::log10(high)); ++power) {
    for (const int digit : {1, 2, 5}) {
      const double value = digit * std::pow(10.0, power);
      if (value < low || value > high) continue;
      tics += fmt::format("{}'{:g}' {}", tics.empty() ? "" : ", ", value, gnuplot_number(value));
    }
  }
  return "set ytics (" + tics + ")\n";
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
  if (first > last) throw_usage(fmt::format("cannot draw {}: no network has a finished epoch", path.string()));

  constexpr double kWidth = 1000;
  constexpr double kAxisHeight = 58;  // tics and label below the panels
  const auto legend = legend_rows(history_legend(histories, any_validation), kWidth - 20);
  const double legend_height = 14 + kLegendLine * static_cast<double>(legend.size());
  const double title_height = title.empty() ? 16 : 40;
  const double height = 330 + kAxisHeight + legend_height + title_height;

  std::string script;
  for (size_t i = 0; i < histories.size(); ++i) script += history_data(i, histories[i].rows);
  script += "set samples 2\nset multiplot\n";
  script += fmt::format("set tmargin at screen {}\nset bmargin at screen {}\n",
                        1 - title_height / height,
                        (legend_height + kAxisHeight) / height);
  script += epoch_axis(first, last);
  if (!title.empty()) {
    script += fmt::format("set label {} at screen 0.5,{} center {}\n", gnuplot_string(title), 1 - 20 / height, kBold);
  }
  script += legend_script(legend, 8, kWidth, height);
  const Panel panels[] = {
      {"accuracy (%)", &EpochRow::train_accuracy, &EpochRow::validation_accuracy, 100, "[0<*:*<100]", 0.075, 0.485},
      {"loss (nats)", &EpochRow::train_loss, &EpochRow::validation_loss, 1, "[0<*:*]", 0.575, 0.985}};
  for (const Panel& panel : panels) {
    script += fmt::format("set lmargin at screen {}\nset rmargin at screen {}\n", panel.left, panel.right);
    script += fmt::format("set label {} at screen {},{} center rotate by 90\nset yrange {}\n",
                          gnuplot_string(panel.axis),
                          panel.left - 0.055,
                          (legend_height + kAxisHeight + 165) / height,
                          panel.range);
    script += history_curves(histories, panel) + "\nunset label\nunset arrow\n";
  }
  write_picture(path, static_cast<int64_t>(kWidth), std::lround(height), script + "unset multiplot\n");
}

void plot_loss_against_accuracy(const std::filesystem::path& path,
                                std::span<const EpochRow> rows,
                                const std::string& title) {
  if (rows.empty()) throw_usage(fmt::format("cannot draw {}: there is no finished epoch", path.string()));
  std::string script = history_data(0, rows);
  if (!title.empty()) script += fmt::format("set title {} {}\n", gnuplot_string(title), kBold);
  script += sequential_palette_command(0.3);  // the scale's nearly white end would vanish on white paper
  const int64_t first = rows.front().epoch;
  const int64_t last = std::max(rows.back().epoch, first + 1);
  script += fmt::format(
      "set cbrange [{}:{}]\nset label 'epoch' at screen 0.909,0.9 center\nset colorbox user origin screen 0.9,0.19 "
      "size screen 0.018,0.66 "
      "noborder\n",
      first,
      last);
  script += fmt::format("set cbtics scale 0 ({0}, {1}, {2})\n", first, (first + last) / 2, last);
  script +=
      "set rmargin at screen 0.87\nset xlabel 'training loss (nats), falling to the right'\n"
      "set ylabel 'accuracy (%)'\nset xrange [0<*:*] reverse\nset yrange [0<*:*<100]\nset offsets graph 0.03, graph "
      "0.03, 0, 0\n"
      "set key top left Left reverse\n";
  const bool validation = has_validation(rows);
  std::string best_mark;
  if (const auto best = best_epoch(rows)) {
    const EpochRow& row = rows[*best];
    script += fmt::format(
        "set samples 2\nset arrow 1 from first {0}, graph 0 to first {0}, graph 1 nohead back "
        "linewidth 1.2 dashtype (10,6) linecolor rgb '#d55e00'\n",
        gnuplot_number(row.train_loss));
    best_mark = fmt::format(
        ",\\\n  '+' every ::::0 using ({}):({}) with points pointtype 6 pointsize 1.7 linewidth 1.6 linecolor "
        "rgb '#d55e00' title 'validation {}'",
        gnuplot_number(row.train_loss),
        gnuplot_number(100 * row.validation_accuracy),
        best_text(row));
  }
  script += "plot $history0 using 4:($2*100) with lines linewidth 0.8 linecolor rgb '#cbd5e1'";
  if (validation) script += ",\\\n  $history0 using 4:($3*100) with lines linewidth 0.8 linecolor rgb '#cbd5e1'";
  script +=
      ",\\\n  $history0 using 4:($2*100):1 with points pointtype 6 pointsize 0.8 linewidth 1.2 linecolor palette"
      ",\\\n  keyentry with points pointtype 6 pointsize 0.8 linewidth 1.2 linecolor rgb '#1e3a8a' title 'training'";
  if (validation) {
    script +=
        ",\\\n  $history0 using 4:($3*100):1 with points pointtype 7 pointsize 0.8 linecolor palette"
        ",\\\n  keyentry with points pointtype 7 pointsize 0.8 linecolor rgb '#1e3a8a' title 'validation'" +
        best_mark;
  }
  write_picture(path, 760, 470, script);
}

void plot_learning_rate_finder(const std::filesystem::path& path,
                               std::span<const double> rates,
                               std::span<const double> losses,
                               double suggestion) {
  if (rates.size() != losses.size()) {
    throw_usage(
        fmt::format("cannot draw {}: {} learning rates with {} losses", path.string(), rates.size(), losses.size()));
  }
  std::string data;
  double lowest = std::numeric_limits<double>::infinity();
  double first_loss = std::numeric_limits<double>::quiet_NaN();
  for (size_t i = 0; i < rates.size(); ++i) {
    if (!std::isfinite(losses[i]) || !(rates[i] > 0)) continue;
    data += fmt::format("{} {}\n", gnuplot_number(rates[i]), gnuplot_number(losses[i]));
    lowest = std::min(lowest, losses[i]);
    if (std::isnan(first_loss)) first_loss = losses[i];
  }
  if (data.empty()) throw_usage(fmt::format("cannot draw {}: no learning rate has a finite loss", path.string()));

  // Where training diverges the loss grows without bound; the interesting part lies between its start and its least.
  const double span = std::max(first_loss - lowest, 1e-3 * std::abs(lowest) + 1e-6);
  std::string script = "$losses << EOD\n" + data + "EOD\n";
  script +=
      "set xlabel 'learning rate'\nset ylabel 'training loss (nats)'\nset logscale x\n"
      "set mxtics 10\nset key top left Left reverse\n";
  script += power_tics(rates);
  script +=
      fmt::format("set yrange [{}:{}]\n", gnuplot_number(lowest - 0.1 * span), gnuplot_number(first_loss + 0.6 * span));
  script += "plot $losses using 1:2 with lines linewidth 2 linecolor rgb '#0072b2'";
  if (std::isfinite(suggestion) && suggestion > 0) {
    script += fmt::format(
        ",\\\n  keyentry with lines linewidth 1.4 dashtype (10,6) linecolor rgb '#d55e00' title 'suggested "
        "learning rate {:.2g}'",
        suggestion);
    script = fmt::format(
                 "set arrow 1 from first {0}, graph 0 to first {0}, graph 1 nohead linewidth 1.4 dashtype (10,6) "
                 "linecolor rgb '#d55e00'\n",
                 gnuplot_number(suggestion)) +
             script;
  }
  write_picture(path, 720, 420, script);
}

void plot_scaling(const std::filesystem::path& path,
                  std::span<const NamedCurve> curves,
                  const std::string& x_label,
                  const std::string& y_label,
                  const std::string& title,
                  Axes axes) {
  const bool is_logarithmic = axes == Axes::logarithmic;
  std::string script;
  std::string plots;
  std::vector<double> tics;
  double lowest = std::numeric_limits<double>::infinity();
  double highest = 0;
  for (size_t index = 0; index < curves.size(); ++index) {
    const NamedCurve& curve = curves[index];
    if (curve.x.size() != curve.y.size()) {
      throw_usage(fmt::format("cannot draw {}: {} has {} values of x with {} of y",
                              path.string(),
                              curve.name,
                              curve.x.size(),
                              curve.y.size()));
    }
    std::string data;
    for (size_t i = 0; i < curve.x.size(); ++i) {
      if (!std::isfinite(curve.y[i]) || !(curve.x[i] > 0) || (is_logarithmic && !(curve.y[i] > 0))) continue;
      data += fmt::format("{} {}\n", gnuplot_number(curve.x[i]), gnuplot_number(curve.y[i]));
      tics.push_back(curve.x[i]);
      lowest = std::min(lowest, curve.y[i]);
      highest = std::max(highest, curve.y[i]);
    }
    if (data.empty()) continue;
    script += fmt::format("$curve{} << EOD\n{}EOD\n", index, data);
    plots += fmt::format("{} $curve{} using 1:2 with {} linecolor rgb '{}' title {}",
                         plots.empty() ? "plot" : ",\\\n ",
                         index,
                         curve.kind == CurveKind::line ? "lines linewidth 1.5 dashtype (10,6)"
                                                       : "linespoints pointtype 7 pointsize 0.8 linewidth 2",
                         series_color(index, curves.size()).hex(),
                         gnuplot_string(curve.name));
  }
  if (plots.empty()) throw_usage(fmt::format("cannot draw {}: there is nothing to draw", path.string()));
  std::sort(tics.begin(), tics.end());
  tics.erase(std::unique(tics.begin(), tics.end()), tics.end());
  std::string labels;
  for (const double tic : tics)
    labels += fmt::format(
        "{}{} {}", labels.empty() ? "" : ", ", gnuplot_tic_label(fmt::format("{:g}", tic)), gnuplot_number(tic));
  script +=
      fmt::format("set xtics ({})\nset xlabel {}\nset ylabel {}\nset key outside top left horizontal Left reverse\n",
                  labels,
                  gnuplot_string(x_label),
                  gnuplot_string(y_label));
  if (is_logarithmic) {
    script += fmt::format("set logscale xy\nset mytics 10\nset xrange [{}:{}]\nset yrange [{}:{}]\n",
                          gnuplot_number(tics.front() / 1.2),
                          gnuplot_number(tics.back() * 1.2),
                          gnuplot_number(lowest / 1.3),
                          gnuplot_number(highest * 1.3));
    script += one_two_five_tics(lowest / 1.3, highest * 1.3);
  } else {
    script += fmt::format("set xrange [0:{}]\nset yrange [0:{}]\n",
                          gnuplot_number(tics.back() * 1.05),
                          gnuplot_number(std::max(highest, 1e-9) * 1.1));
  }
  if (!title.empty()) script += fmt::format("set title {} {}\n", gnuplot_string(title), kBold);
  write_picture(path, 720, 420, script + plots + "\n");
}

void plot_members(const std::filesystem::path& path,
                  std::span<const evaluation::AccuracyAgainstMembers> points,
                  const std::string& title) {
  if (points.empty()) throw_usage(fmt::format("cannot draw {}: the ensemble has no members", path.string()));
  std::string script = "$points << EOD\n";
  for (const auto& point : points) {
    script += fmt::format("{} {} {} {} {} {}\n",
                          point.members,
                          gnuplot_number(100 * point.accuracy),
                          gnuplot_number(100 * point.interval.low),
                          gnuplot_number(100 * point.interval.high),
                          gnuplot_number(100 * point.lowest),
                          gnuplot_number(100 * point.highest));
  }
  script += "EOD\n";
  if (!title.empty()) script += fmt::format("set title {} {}\n", gnuplot_string(title), kBold);
  script += fmt::format("set xrange [{}:{}]\nset xtics {}\n",
                        static_cast<double>(points.front().members) - 0.5,
                        static_cast<double>(points.back().members) + 0.5,
                        points.size() <= 20 ? "1" : "autofreq");
  script += "set xlabel 'members of the ensemble'\nset ylabel 'accuracy (%)'\nset key bottom right Left reverse\n";
  // A band of a single point has no width: it becomes a whisker.
  script +=
      points.size() == 1
          ? "plot $points using 1:2:3:4 with yerrorbars pointtype 7 pointsize 0.01 linewidth 4 linecolor rgb '#cfe3f1' "
            "title '95 % interval'"
          : "plot $points using 1:3:4 with filledcurves fillstyle solid 1 noborder linecolor rgb '#dcebf6' "
            "title '95 % interval'";
  script +=
      ",\\\n  $points using 1:2:5:6 with yerrorbars pointtype 7 pointsize 0.01 linewidth 1.2 linecolor rgb '#56b4e9' "
      "title 'worst to best subset'"
      ",\\\n  $points using 1:2 with linespoints pointtype 7 pointsize 0.7 linewidth 2 linecolor rgb '#0072b2' "
      "title 'mean over subsets'";
  write_picture(path, 760, 430, script);
}

}  // namespace mien::report
