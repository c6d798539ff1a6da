#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/training/history.h"
#include "mien/training/schedule.h"

namespace mien::training {

/// All that training needs to go on as if it had never stopped, besides the tensors. Random numbers need no place here:
/// they are functions of (seed, epoch, position).
struct TrainingState {
  std::string fingerprint;  ///< of options, data and split: a checkpoint fits only the run it came from
  int64_t epochs_done = 0;
  int64_t optimizer_steps = 0;
  int64_t best_epoch = 0;  ///< 0 before the first epoch has ended
  double best_accuracy = -1;
  double best_loss = 0;
  double first_epoch_loss = 0;  ///< the yardstick of divergence
  double seconds = 0;           ///< spent training so far, over all starts
  Schedule::State schedule;
  std::vector<EpochRow> history;
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Writes state and tensors as one file, atomically: after a kill at any moment the file holds one whole epoch's end.
void save_checkpoint(const std::filesystem::path& file, const TrainingState& state, const NamedTensors& tensors);

/// Reads a checkpoint into `tensors` (in place; names and shapes must match). Nothing if the file does not exist.
/// Throws Error(usage) if it is of a run with another fingerprint, Error(bad_data) if it is damaged or its tensors are
/// not these.
std::optional<TrainingState> load_checkpoint(const std::filesystem::path& file,
                                             const std::string& fingerprint,
                                             const NamedTensors& tensors);

}  // namespace mien::training
