#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/network/network.h"

namespace mien::explain {

/// Layers that follow one another, in evaluation mode, as one pass over memory forward and one backward:
/// [batch_norm] [relu or leaky_relu] [batch_norm] [max_pool] [batch_norm], each of them optional, dropout anywhere;
/// with a convolution of the image in front of them where that has few input channels, whose output is then never
/// stored. Differentiable with respect to its input; float32 on the CPU.
class EvaluationBlock {
 public:
  /// The block that begins at node `first`. `goes_on[i]`: node i's output is read by nothing but node i + 1, so a block
  /// may go on after it. Null where node `first` begins no block.
  static std::unique_ptr<EvaluationBlock> find(const network::Network& network,
                                               int first,
                                               const std::vector<bool>& goes_on);
  ~EvaluationBlock();

  /// The last node that the block computes.
  int last() const;
  /// Its output, channels-last, from `input`, the output that node `first` reads.
  at::Tensor run(const at::Tensor& input) const;

  struct Impl;

 private:
  explicit EvaluationBlock(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace mien::explain
