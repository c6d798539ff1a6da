#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/evaluation/metrics.h"
#include "mien/runs/experiment.h"

namespace mien::runs {

/// Options of `mien predict` and `mien eval`.
struct PredictTaskOptions {
  std::vector<std::string> weights;  ///< one file, or several that vote
  std::string data;
  std::string out = "predictions.csv";
  std::string vote = "mean-probability";
  bool probabilities = false;
  bool flip_average = false;
  std::string usage = "all";
  int64_t threads = 0;
  void bind_predict(OptionSet& options);
  void bind_eval(OptionSet& options);

 private:
  void bind_shared(OptionSet& options);
};

/// Predicts a csv or folder into `out` as id,label (and p_NAME columns on request). Needs nothing but the weights.
/// Returns the number of faces.
int64_t predict_task(const PredictTaskOptions& options, ProgressListener& listener);

/// Judges weights on labeled data (rows of the given Usage) and writes metrics and pictures into the folder `out`.
evaluation::Metrics eval_task(const PredictTaskOptions& options,
                              const RunEvaluationOptions& judge_options,
                              ProgressListener& listener);

/// Compares two folders on the rows both were judged on; writes nothing. `part`: "val", "public_test", "vote", "eval",
/// or "auto", which takes the predictions of test rows ("public_test" or "vote", so that an ensemble can be compared
/// with a single network) if both folders have them, else those that both have of another part.
struct ComparisonText {
  std::string text;
  std::string json;
};
ComparisonText compare_task(const std::filesystem::path& first,
                            const std::filesystem::path& second,
                            const std::string& part);

/// Looks for a learning rate; writes csv and picture into `folder`; returns the suggestion.
double find_learning_rate_task(const Experiment& experiment,
                               const std::filesystem::path& folder,
                               ProgressListener& listener);

}  // namespace mien::runs
