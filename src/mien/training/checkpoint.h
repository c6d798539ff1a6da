#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
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
  /// What rounding depends on besides all that: threads, BLAS kernels, version of libtorch. A resume with others ends
  /// near the uninterrupted run, not at it.
  std::map<std::string, std::string> numerics;
  bool is_over = false;  ///< nothing is left to train: the file holds no tensors
};

/// The state as one line, and back; every double to the bit.
std::string to_text(const TrainingState& state);
TrainingState state_from_text(const std::string& text);

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Writes state and tensors as one file, atomically: after a kill at any moment the file holds one whole epoch's end.
void save_checkpoint(const std::filesystem::path& file, const TrainingState& state, const NamedTensors& tensors);

/// Replaces a checkpoint by its state alone, once its run is over: optimizers hold up to three times the network, which
/// nothing needs any more. Does nothing where there is none.
void drop_tensors(const std::filesystem::path& file);

/// Reads a checkpoint into `tensors` (in place; names and shapes must match), unless it is of a run that is over: then
/// they stay as they are. Nothing if the file does not exist. Throws Error(usage) if it is of a run with another
/// fingerprint, Error(bad_data) if it is damaged (a checksum covers the tensors) or its tensors are not these.
std::optional<TrainingState> load_checkpoint(const std::filesystem::path& file,
                                             const std::string& fingerprint,
                                             const NamedTensors& tensors);

}  // namespace mien::training
