#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/data/load.h"
#include "mien/evaluation/metrics.h"
#include "mien/runs/experiment.h"

namespace mien::runs {

/// Options of `mien eval`.
struct EvalRunOptions {
  std::vector<std::string> weights;  ///< files, run folders, an ensemble's folder; several vote
  data::DataOptions data;
  std::string out = "runs/eval";
  std::string vote = "mean-probability";
  std::string usage = "unseen";
  bool is_final = false;  ///< judge on PrivateTest, and record it in the run folder
  bool again = false;     ///< also where another network of the project was judged so before
  int64_t threads = 0;
  void bind(OptionSet& options);
};

/// Judges weights on labeled data and writes metrics and pictures into the folder `out`. By default on what the network
/// has not seen (see judged_rows); says which rows those are in a line, in the metrics and in metrics.json. PrivateTest
/// is read with `is_final` alone, for one run folder (an ensemble's too), where final.json keeps the outcome; throws
/// Error(usage) if another run folder beside it was judged so before, unless `again`.
evaluation::Metrics eval_run(const EvalRunOptions& options,
                             const RunEvaluationOptions& judge_options,
                             ProgressListener& listener);

}  // namespace mien::runs
