#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "mien/network/kernels/block_kernels.h"

namespace mien::network {

/// Replaces sums by those over all parts of a batch.
using SumOverParts = std::function<void(std::span<double> sums)>;

/// One block on one batch, or on the part of a batch that this process has.
struct BlockCall {
  BlockArguments arguments;  ///< activations, pool and dropout; shapes and pointers are filled in by run_block
  at::Tensor gamma, beta;    ///< [C], or undefined where the block has no batch norm
  at::Tensor running_mean, running_variance;
  double epsilon = 0, momentum = 0;
  bool batch_statistics = false;  ///< normalize by the batch's own statistics, and fold them into the running ones
  int64_t first_image = 0;        ///< of the whole batch, where x is a part of it
  SumOverParts sum_over_parts;    ///< of what batch statistics come from; empty: x is the whole batch, or its own
  bool may_overwrite = false;     ///< where no gradient is recorded, the result may be written into x
  bool may_reuse = false;         ///< the backward pass may write the gradient into x
};

/// What kernels read of a tensor: bf16, or float32.
inline Storage storage_of(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 ? Storage::bf16 : Storage::float32;
}

/// Output of a block for x [N,C,H,W] or [N,C] float32 or bf16 on the CPU, of x's dtype, in channels-last order;
/// `residual` (undefined: none) is of x's shape and dtype. Records a node for the backward pass where at::GradMode is
/// on; that node has no second derivative (std::logic_error). Sums are cut in a way that does not depend on the number
/// of threads.
/// @source docs/math.md, section 2
at::Tensor run_block(BlockCall call, const at::Tensor& x, const at::Tensor& residual);

/// Fills in what a block of `channels` needs to normalize by its running statistics, which the returned tensor owns
/// (undefined if it has no batch norm).
at::Tensor set_evaluation_table(BlockCall& call, int64_t channels);

/// The mask of dropout for outputs shaped like `x`, on x's device and in its dtype: 0, or 1 / (1 - probability).
at::Tensor dropout_mask(const DropoutKey& key, const at::Tensor& x);

/// A number for one forward pass, from libtorch's generator for the CPU.
uint64_t draw_dropout_seed();

}  // namespace mien::network
