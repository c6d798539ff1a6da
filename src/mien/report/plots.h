#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mien/evaluation/calibration.h"
#include "mien/evaluation/intervals.h"
#include "mien/evaluation/vote.h"
#include "mien/report/history_csv.h"

/// Every function here writes one picture, png, jpg, svg or pdf by the ending of `path`, and throws as write_picture
/// does (canvas.h) and Error(usage) where there is nothing to draw. Accuracies go in as rates and are shown in per
/// cent.
namespace mien::report {

/// Accuracy and loss of one or several networks against the epoch, side by side: training dashed, validation solid, the
/// epoch of best validation accuracy marked. `title` may be empty.
void plot_history(const std::filesystem::path& path,
                  std::span<const NamedHistory> histories,
                  const std::string& title = {});

/// Training and validation accuracy of every epoch against its training loss: where learning stops, the one goes on
/// rising and the other does not.
void plot_loss_against_accuracy(const std::filesystem::path& path,
                                std::span<const EpochRow> rows,
                                const std::string& title = {});

/// Confusion matrix as a heat map with a number in each cell, rows truth, columns predicted: `counts` [K][K], or
/// (`normalized`) shares of the true class, "-" where it has no faces. `names`: K class names.
void plot_confusion(const std::filesystem::path& path,
                    const std::vector<std::vector<int64_t>>& counts,
                    std::span<const std::string> names,
                    bool normalized,
                    const std::string& title);

/// Accuracy with its interval against confidence, bin by bin, over a histogram of how many faces each bin has.
/// `expected_calibration_error` in [0, 1] is printed in the corner.
void plot_reliability(const std::filesystem::path& path,
                      std::span<const evaluation::ReliabilityBin> bins,
                      double expected_calibration_error,
                      const std::string& title = {});

/// Loss against learning rate (logarithmic axis) with the suggested rate marked. `rates`, positive, and `losses` have
/// equal lengths; losses that are not finite are left out.
void plot_learning_rate_finder(const std::filesystem::path& path,
                               std::span<const double> rates,
                               std::span<const double> losses,
                               double suggestion,
                               const std::string& title = {});

/// Accuracy of an ensemble against its number of members, with the 95 % interval and the range over subsets.
void plot_members(const std::filesystem::path& path,
                  std::span<const evaluation::AccuracyAgainstMembers> points,
                  const std::string& title = {});

/// A measured quantity against what was varied. `x`, positive, and `y` have equal lengths; values of y that are not
/// finite are left out.
enum class CurveKind { points, line };  ///< measured points, joined; or a fitted line, dashed and without points
struct NamedCurve {
  std::string name;
  std::vector<double> x;
  std::vector<double> y;
  CurveKind kind = CurveKind::points;
};

/// Curves with their points. On logarithmic axes a power of x is a straight line, and values of y must be positive
/// (others are left out); linear axes begin at 0. The labels say what the axes are and their units; `title` may be
/// empty.
enum class Axes { logarithmic, linear };
void plot_scaling(const std::filesystem::path& path,
                  std::span<const NamedCurve> curves,
                  const std::string& x_label,
                  const std::string& y_label,
                  const std::string& title = {},
                  Axes axes = Axes::logarithmic);

/// One bar of plot_bars.
struct Bar {
  std::string name;
  double value = 0;
  std::optional<evaluation::Interval> interval;  ///< drawn as a whisker
  bool is_reference = false;                     ///< what others are compared with: gray
};

struct BarStyle {
  std::string title;
  std::string axis = "accuracy (%)";  ///< what is measured, and its unit
  double factor = 100;                ///< from values to the axis' unit: 100 shows rates in per cent
  int decimals = 1;                   ///< of the number at each bar
  std::optional<double> mark = {};    ///< value of a dashed line through all bars; the axis says what it is
};

/// Horizontal bars from 0, the first on top, each with its number: runs side by side. Values must be finite and not
/// negative.
void plot_bars(const std::filesystem::path& path, std::span<const Bar> bars, const BarStyle& style = {});

/// Number of faces of each class in one part of a data set.
struct ClassCounts {
  std::string name;             ///< of the part, such as "training"
  std::vector<int64_t> counts;  ///< [K]
};

/// Bars of the classes' counts, the parts side by side. `names`: K class names.
void plot_class_counts(const std::filesystem::path& path,
                       std::span<const ClassCounts> parts,
                       std::span<const std::string> names,
                       const std::string& title = {});

}  // namespace mien::report
