#pragma once

#include <cstdint>
#include <vector>

namespace mien::training {

/// One epoch's row of results.csv. Losses in nats, accuracies in [0,1]; validation values are NaN where there are no
/// validation rows. Training values are running means over the epoch's (augmented) batches, as Keras reports them.
struct EpochRow {
  int64_t epoch = 0;  ///< counted from 1
  double train_loss = 0;
  double train_accuracy = 0;
  double validation_loss = 0;
  double validation_accuracy = 0;
  double learning_rate = 0;  ///< of the epoch's last step
  double seconds = 0;        ///< training and validation
};

}  // namespace mien::training
