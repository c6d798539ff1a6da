#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/data/augmentation.h"
#include "mien/data/leak_check.h"
#include "mien/data/load.h"
#include "mien/data/split.h"
#include "mien/evaluation/evaluator.h"
#include "mien/training/train_options.h"

namespace mien::runs {

/// Where a run's folder goes and what network it holds.
struct RunOptions {
  std::string project = "runs/train";
  std::string name;  ///< empty: the network's name
  bool exist_ok = false;
  std::string network = "leaky4";
  std::string weights;               ///< start from these weights instead of fresh ones
  std::vector<std::string> teacher;  ///< weights whose logits are learned beside the labels
  int64_t threads = 0;
  void bind(OptionSet& options);
};

/// What is done with a trained network besides metrics and pictures.
struct RunEvaluationOptions {
  std::string test_data;       ///< a csv to predict into predictions_test.csv
  std::string views = "none";  ///< of evaluation::views_names()
  bool flip_average = false;   ///< the same as "flip"
  bool calibrate = false;
  std::vector<std::string> cells;  ///< "sad:neutral": galleries of faces of one class taken for another
  int64_t gallery_faces = 9;
  int64_t top_losses = 25;
  void bind(OptionSet& options);
  /// Without test-data and calibrate, which `mien eval` has no use for.
  void bind_pictures(OptionSet& options);
  evaluation::PredictOptions prediction() const;
};

/// Declares `tta` and its old spelling `tta-flip`.
void bind_views(OptionSet& options, std::string& views, bool& flip_average);
/// What those two say together.
evaluation::PredictOptions prediction_options(const std::string& views, bool flip_average);

/// How many networks are trained with different seeds, and how they vote.
struct EnsembleOptions {
  int64_t members = 0;
  std::string vote = "majority";
  double holdout = 0.1;
  void bind(OptionSet& options);
};

/// Everything that decides one training run. Declared once; flags, recipe keys and args.toml are this list.
struct Experiment {
  RunOptions run;
  data::DataOptions data;
  data::SplitOptions split;
  data::LeakOptions leaks;
  data::AugmentOptions augment;
  training::TrainOptions train;
  EnsembleOptions ensemble;
  RunEvaluationOptions judge;

  void bind(OptionSet& options);
};

/// Sets `target`'s options to `source`'s values, origins included. Both sets bind the same struct type.
void copy_options(const OptionSet& source, OptionSet& target);

}  // namespace mien::runs
