#pragma once

#include <cstdint>
#include <span>

#include <ATen/core/Tensor.h>

#include "mien/data/augmentation.h"
#include "mien/data/dataset.h"
#include "mien/network/normalization.h"

namespace mien::training {

struct Batch {
  at::Tensor images;   ///< [N,C,H,W] float32, normalized, channels-last in memory
  at::Tensor targets;  ///< [N,K] float32, rows sum to 1
};

/// Turns rows of a data set into training batches: augmentation, normalization, soft targets, label smoothing, mixing.
/// A batch is a function of (seed, epoch, position in the epoch, rows) alone. Refers to `dataset`.
class BatchBuilder {
 public:
  BatchBuilder(const data::Dataset& dataset,
               const network::Normalization& normalization,
               const data::AugmentOptions& augment,
               double label_smoothing,
               uint64_t seed);

  /// The batch of `rows`, which begin at `position` in the order of `epoch`; `step` counts the epoch's batches.
  Batch make(std::span<const int64_t> rows, int64_t epoch, int64_t position, int64_t step) const;

 private:
  const data::Dataset& dataset_;
  network::Normalization normalization_;
  data::AugmentOptions augment_;
  data::Augmenter augmenter_;
  double label_smoothing_;
  uint64_t seed_;
};

}  // namespace mien::training
