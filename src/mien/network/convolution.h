#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/network/kernels/block_kernels.h"

namespace mien::network {

struct BlockCall;

/// at::conv2d with dilation 1 on the CPU, `padding` being height and width. x is float32, or bf16: then, too, weight,
/// bias and their gradients are float32, sums are float32 over products of bf16, and y and the gradients that pass
/// through are bf16; groups are 1. Kernels of our own do what they
/// are faster at (docs/performance.md has the measurements): outputs of few input channels or few pixels, the weight
/// gradient of small and middling weights, and, as a convolution of dL/dy with the turned weights, the input gradient
/// of many weights; libtorch does the rest. For bf16 they do all but the input gradient of a convolution that strides,
/// which is libtorch's in float32. Sums over images are cut by the weight's size, not by the number of
/// threads.
at::Tensor run_convolution(const at::Tensor& x,
                           const at::Tensor& weight,
                           const at::Tensor& bias,
                           int64_t stride,
                           const std::vector<int64_t>& padding,
                           int64_t groups);

/// x [N,C] in bf16 by weight [K,C] in float32, as run_convolution has it.
at::Tensor run_dense(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// A layer's weights in the order in which the kernels read them, made anew when the weights have changed: their
/// storage is another one, or their version (which autograd counts, see at::Tensor::_version).
class PackedWeights {
 public:
  at::Tensor of(const at::Tensor& weight, Storage storage);

 private:
  std::mutex mutex_;
  at::Tensor packed_, source_;
  uint32_t version_ = 0;
  Storage storage_ = Storage::float32;
};

struct ConvolutionCall {
  at::Tensor weight, bias;  ///< bias may be undefined
  int64_t stride = 1;
  std::vector<int64_t> padding;
  int64_t groups = 1;
};

/// The output of a convolution and the block behind it (nullptr: none; no residual) for evaluation, without a gradient:
/// the convolution's own output is never written to memory as a whole. `block` normalizes by running statistics.
at::Tensor run_convolution_block(const ConvolutionCall& call,
                                 BlockCall* block,
                                 const at::Tensor& x,
                                 PackedWeights& cache);

}  // namespace mien::network
