#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mien::network {

/// at::conv2d with dilation 1 for float32 on the CPU, `padding` being height and width. Three parts are done otherwise
/// where that is faster (docs/performance.md has the measurements): a first convolution of few input channels by a
/// kernel of its own, the weight gradient of small and middling weights by another, and the input gradient of stride 1 as
/// a forward convolution of dL/dy with the turned weights, which oneDNN runs faster than its own backward pass. Sums over
/// images are cut by the weight's size, not by the number of threads.
at::Tensor run_convolution(const at::Tensor& x,
                           const at::Tensor& weight,
                           const at::Tensor& bias,
                           int64_t stride,
                           const std::vector<int64_t>& padding,
                           int64_t groups);

}  // namespace mien::network
