#pragma once

#include <vector>

#include "mien/core/progress.h"
#include "mien/training/trainer.h"

namespace mien::training {

struct LearningRateCurve {
  std::vector<double> rates;   ///< geometric from `lowest` to where the loss exploded or `highest`
  std::vector<double> losses;  ///< smoothed and bias-corrected, in nats
  double suggestion = 0;       ///< rate of steepest descent, counted in log rate
};

/// Raises the learning rate geometrically over `steps` batches and watches the loss; stops when the smoothed loss is
/// four times its best. Loss, class weights and the order of the rows are those of `train`. Works on a copy: `network`
/// keeps its weights.
/// @source Smith 2017, "Cyclical Learning Rates", section 3.3; smoothing and stop as fastai's lr_find.
LearningRateCurve find_learning_rate(const network::Network& network,
                                     const TrainingInput& input,
                                     double lowest,
                                     double highest,
                                     int64_t steps,
                                     ProgressListener& listener);

}  // namespace mien::training
