#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/network/batch_part.h"
#include "mien/network/network.h"
#include "mien/ranks/group.h"
#include "mien/training/batch_queue.h"
#include "mien/training/checkpoint.h"

namespace mien::training {

/// The faces of a batch that a rank computes.
struct Share {
  BatchRange range;
  bool is_whole = false;  ///< too few faces to share: every rank computes all of them, and each counts for 1 / ranks
};

/// Cuts a batch into parts of at least two faces in turn, one a rank, whose sizes differ by one at most.
Share share_of(const BatchRange& batch, int rank, int size);

/// What a rank's mean losses count for in the mean losses of the whole batch.
struct LossShare {
  double of_labels = 1;
  double of_teacher = 1;
};

/// Sums the gradients of all ranks in buckets of about a megabyte, each on its way as soon as the backward pass has
/// filled it. @source Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training"
class GradientSums {
 public:
  /// Listens to the gradients of `parameters`, which all ranks have in the same order.
  GradientSums(ranks::Group& group, std::vector<at::Tensor> parameters);
  ~GradientSums();
  GradientSums(const GradientSums&) = delete;
  GradientSums& operator=(const GradientSums&) = delete;

  /// After a backward pass: waits until every parameter's gradient is the sum over the ranks.
  void finish();
  int64_t bytes() const { return bytes_; }  ///< of all gradients

 private:
  struct Bucket {
    at::Tensor values;  ///< float32 on the CPU, one after the other
    size_t missing = 0;
    std::unique_ptr<ranks::Pending> pending;
  };
  struct Slot {
    at::Tensor parameter;
    size_t bucket = 0;
    at::Tensor part;  ///< of the bucket, in the parameter's shape and layout
    bool is_ready = false;
  };
  void take(size_t slot);
  void send_filled();

  ranks::Group& group_;
  std::vector<Slot> slots_;
  std::vector<Bucket> buckets_;
  std::vector<std::shared_ptr<void>> listened_;  // keeps what calls the hooks
  size_t sent_ = 0;
  int64_t bytes_ = 0;
};

/// What a rank does for others beside its own share of a training run. Every rank calls the same functions in the same
/// order.
class RankWork {
 public:
  /// `parameters` are those that are trained. With `syncs`, batch norm takes the whole batch's statistics.
  RankWork(ranks::Group& group, std::vector<at::Tensor> parameters, bool syncs);

  /// Throws Error(usage) naming a rank whose `fingerprint` is another than rank 0's.
  void check_same(const std::string& fingerprint);
  /// Rank 0's checkpoint and its tensors, on all ranks.
  std::optional<TrainingState> share_state(const std::optional<TrainingState>& state, const NamedTensors& tensors);
  void share_tensors(const std::vector<at::Tensor>& tensors);

  /// Before the forward pass of `batch`: takes this rank's share. `label_weight` is that of its faces in the loss.
  void begin_step(const Share& share, const BatchRange& batch, double label_weight, bool wants_to_stop);
  /// After it: nothing if a rank wants to stop.
  std::optional<LossShare> loss_share();
  /// After the backward pass: gradients of the whole batch.
  void finish_step();

  /// Sums and buffers of an epoch, over all ranks. Returns a warning where the ranks' parameters had drifted apart
  /// (other processors round otherwise); rank 0's count then.
  std::string end_epoch(std::vector<double>& sums, const std::vector<network::Network*>& networks);

  ranks::Group& group() const { return group_; }
  double seconds_waited() const { return seconds_waited_; }
  int64_t bytes_a_step() const { return gradients_.bytes(); }

 private:
  ranks::Group& group_;
  bool syncs_;
  GradientSums gradients_;
  Share share_;
  std::optional<network::BatchPartGuard> part_;
  int64_t batch_faces_ = 0;
  double step_sums_[2] = {0, 0};  // weight of the labels, ranks that want to stop
  double own_weight_ = 0;
  std::unique_ptr<ranks::Pending> step_pending_;
  double seconds_waited_ = 0;
};

}  // namespace mien::training
