#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/data/load.h"

namespace mien::runs {

/// Options of `mien predict`.
struct PredictRunOptions {
  std::vector<std::string> weights;  ///< files, run folders, an ensemble's folder; several vote
  data::DataOptions data;
  std::string out = "predictions.csv";
  std::string vote = "mean-probability";
  bool names = false;
  bool probabilities = false;
  std::string views = "none";
  bool flip_average = false;
  int64_t threads = 0;
  void bind(OptionSet& options);
};

/// Declares `vote` and `threads`, which predict and eval share.
void bind_voting(OptionSet& options, std::string& vote, int64_t& threads);

/// Predicts a csv or folder into `out` as id,label (and columns on request). Needs nothing but the weights. Returns the
/// number of faces.
int64_t predict_run(const PredictRunOptions& options, ProgressListener& listener);

}  // namespace mien::runs
