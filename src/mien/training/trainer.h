#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/data/augmentation.h"
#include "mien/data/dataset.h"
#include "mien/network/network.h"
#include "mien/network/precision.h"
#include "mien/ranks/group.h"
#include "mien/training/batch_builder.h"
#include "mien/training/history.h"
#include "mien/training/label_dynamics.h"
#include "mien/training/train_options.h"

namespace mien::training {

/// What to train on and where the outcome goes.
struct TrainingInput {
  const data::Dataset* dataset = nullptr;
  std::vector<int64_t> training_rows;
  std::vector<int64_t> validation_rows;  ///< may be empty: then the last epoch is the best one
  TrainOptions options;
  data::AugmentOptions augment;
  std::filesystem::path folder;  ///< gets weights/best.safetensors, weights/last.safetensors, checkpoint/last/
  /// How the network that training starts from wants its input; nothing fits options.loop.normalize to the training
  /// rows.
  std::optional<network::Normalization> normalization;
  /// A teacher's logits for every row of the data set, [N,K] float32; undefined: labels alone are learned.
  at::Tensor teacher_logits;
  std::map<std::string, std::string> metadata;  ///< stored with the weights
  std::map<std::string, std::string> numerics;  ///< what rounding depends on; a resume with others warns
  LabelDynamics* label_dynamics = nullptr;      ///< sees the logits of every step; kept over a resume
  /// The processes that train together, each with the same input; only the first one needs `folder` and writes there.
  /// They see every face once an epoch and give the curve of one process within rounding, where batch norm's
  /// statistics are shared (sync_batch_norm) or there are none. Nothing: this process trains alone.
  ranks::Group* group = nullptr;
  bool sync_batch_norm = false;  ///< batch norm takes the statistics of all ranks' faces of a batch
};

/// Hears of milestones, to draw and record them.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  /// Before the first step of a run that is not resumed.
  virtual void first_batch(const Batch&) {}
  /// Before the first step of a start that goes on from `history`.
  virtual void resumed(const std::vector<EpochRow>& /*history*/) {}
  /// After each epoch, when weights and checkpoint are on disk; `history` includes the epochs of earlier starts.
  virtual void epoch_ended(const std::vector<EpochRow>& /*history*/, bool /*is_best*/) {}
};

enum class StopReason { completed, early_stopped, time_budget, interrupted };
std::string to_text(StopReason reason);

/// How one of several ranks has spent this start.
struct RankRate {
  double seconds_training = 0;
  double seconds_waiting = 0;  ///< of these for gradients of others, after its own backward passes
};

struct TrainingResult {
  network::Network best;  ///< weights of the epoch that options.loop.keep says
  network::Normalization normalization;
  std::vector<EpochRow> history;
  int64_t best_epoch = 0;
  StopReason stop_reason = StopReason::completed;
  bool resumed = false;
  double seconds = 0;           ///< over all starts
  double faces_per_second = 0;  ///< of training steps alone, over this start; 0 if no step ran
  std::vector<RankRate> ranks;  ///< by rank; empty where one process trained
  std::string ranks_so_far;     ///< "2, 4" where starts had different numbers of them; may be empty
  int64_t bytes_a_step = 0;     ///< of gradients that each rank sums with the others
};

/// Trains `network` (changed in place). If input.folder holds a checkpoint of the same options, data and split, goes on
/// from it: with the same numerics (threads, kernels) the outcome is bit for bit that of an uninterrupted run.
/// A stop that `listener` requests ends it after the current step with StopReason::interrupted; the epochs done are on
/// disk. Throws Error(failed) when the loss is not finite or has exploded, naming epoch, step and learning rate;
/// Error(usage) when the checkpoint belongs to another run, or data and network do not fit.
TrainingResult train(network::Network network,
                     const TrainingInput& input,
                     ProgressListener& listener,
                     TrainingObserver& observer);

/// Report D's line: "[011/050] 10.85 sec(s) Train Acc: 0.612345 Loss: 1.012345 | Val Acc: 0.601234 loss: 1.054321".
std::string epoch_line(const EpochRow& row, int64_t epochs);

/// The device that `name` ("auto", "cpu", "cuda") stands for. Throws Error(usage) if there is no such device here.
std::string resolve_device(const std::string& name);

/// The precision that `loop.precision` stands for on this machine and its device; auto is bf16 where that is possible.
/// Throws Error(failed) for bf16 on a processor without it, and Error(usage) with --no-fuse or on a GPU.
network::Precision resolve_precision(const LoopOptions& loop);

/// Makes a finished run's folder small: its checkpoint keeps the state and no tensors. `train` then reads the best
/// weights and trains no more.
void finish_checkpoint(const std::filesystem::path& folder);

/// The loss's weights of the classes, [K] float32 on the CPU; undefined with --class-weights none.
at::Tensor loss_weights(const TrainingInput& input);

/// The training rows in the order in which epoch `epoch` (from 1) takes them.
std::vector<int64_t> training_order(const TrainingInput& input, int64_t epoch);

/// Starts libtorch's generator on `device`, which dropout draws from, at `seed`.
void seed_dropout(const std::string& device, uint64_t seed);

/// Moves all of a network's tensors to "cpu" or "cuda".
void move_to(network::Network& network, const std::string& device);

}  // namespace mien::training
