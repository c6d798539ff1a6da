#pragma once

#include "mien/evaluation/evaluator.h"
#include "mien/ranks/group.h"

namespace mien::evaluation {

/// As `predict`, with the batches shared out among the ranks of `group`, each of which calls this with the same
/// arguments; all get the whole outcome, which is that of one process. Without a group it is `predict`. With one, a
/// wish to stop waits for the end.
Predictions predict_shared(const network::Network& network,
                           const network::Normalization& normalization,
                           const data::Dataset& dataset,
                           std::span<const int64_t> rows,
                           const PredictOptions& options,
                           ProgressListener& listener,
                           ranks::Group* group);

}  // namespace mien::evaluation
