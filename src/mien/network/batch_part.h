#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace mien::network {

/// Which part of a batch the images of training passes are, where several processes share one.
struct BatchPart {
  int64_t first_image = 0;  ///< in the whole batch: dropout draws the masks that the whole batch would get (on the CPU)
  /// Replaces sums by those over all parts. Where it is set, batch norm normalizes by the whole batch's statistics, in
  /// fused blocks only; every part is then computed by one process at the same time.
  std::function<void(std::span<double> sums)> sum_over_parts;
};

/// The part that this thread's forward passes are of: the whole batch, unless a guard says otherwise.
const BatchPart& current_batch_part();

/// Forward passes of this thread, and the backward passes that follow from them, are of `part` while this lives.
class BatchPartGuard {
 public:
  explicit BatchPartGuard(BatchPart part);
  ~BatchPartGuard();
  BatchPartGuard(const BatchPartGuard&) = delete;
  BatchPartGuard& operator=(const BatchPartGuard&) = delete;

 private:
  BatchPart part_;
  const BatchPart* before_;
};

}  // namespace mien::network
