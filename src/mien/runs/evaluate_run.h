#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/evaluation/metrics.h"
#include "mien/evaluation/predictions.h"
#include "mien/runs/experiment.h"

namespace mien::runs {

/// Writes everything that judges `predictions` into `folder`, for the part of the data called `part`: "val",
/// "public_test", "vote" (an ensemble's) or "eval" (in a folder of its own). predictions_PART.csv, metrics.json,
/// confusion_matrix.{png,csv,txt}, confusion_matrix_normalized.png, most_confused.csv, top_losses.{png,csv},
/// calibration.png, PART_batch0_pred.png and a gallery for each of options.cells; see part_file for their names.
/// `judged_on` says in words what the rows are. A picture that cannot be drawn is a warning.
evaluation::Metrics evaluate_run(const evaluation::Predictions& predictions,
                                 const data::Dataset& dataset,
                                 const RunEvaluationOptions& options,
                                 const std::filesystem::path& folder,
                                 const std::string& part,
                                 ProgressListener& listener,
                                 const std::string& judged_on = {});

/// "true:predicted" as class indices; -1 for "any", which is every other class. Throws Error(usage) with a suggestion
/// for a name that is no class.
std::pair<int32_t, int32_t> parse_cell(const std::string& text, std::span<const std::string> class_names);

/// The file name of `stem` for `part`: "metrics.json" for "val" and "eval", "metrics_vote.json" for "vote".
std::string part_file(const std::string& stem, const std::string& ending, const std::string& part);

/// "mean 71.30 %, standard deviation 0.42 % (5 runs)", of at least one rate; the deviation is that of a sample.
std::string mean_text(std::span<const double> rates);
/// The standard deviation of a sample (divided by n - 1); NaN for one rate.
double sample_deviation(std::span<const double> rates);

/// "71.3 % (95 % interval 69.8 to 72.8 %)".
std::string rate_text(double rate, const evaluation::Interval& interval);

}  // namespace mien::runs
