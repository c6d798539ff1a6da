#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/network/graph.h"

namespace mien::explain {

/// A stride-1 convolution with square kernel and fixed weights on tiles, with fewer multiplications than the sum over
/// the kernel: of 25 a pixel and channel pair 4 are left for 5x5 kernels (tiles of 4x4 outputs). Differentiable with
/// respect to its input; float32 on the CPU; differs from the plain sum by rounding, about 1e-5 of the largest output.
/// @source Winograd 1980; Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", equation 8
class TiledConvolution {
 public:
  /// `weight` [out,in,k,k], `bias` [out] or undefined. Null where tiles do not pay: kernels other than 5x5, strides,
  /// groups, few channels.
  static std::shared_ptr<const TiledConvolution> find(const network::Layer& layer,
                                                      const at::Tensor& weight,
                                                      const at::Tensor& bias);

  /// [N,out,h,w], channels-last, of [N,in,H,W].
  at::Tensor run(const at::Tensor& input) const;

  struct Direction {
    int64_t inputs = 0, outputs = 0;
    int64_t padding_top = 0, padding_left = 0;
    at::Tensor transformed;  // [tile * tile, in, out]
  };
  at::Tensor convolve(const Direction& direction, const at::Tensor& input, int64_t out_height, int64_t out_width) const;
  const Direction& there() const { return forward_; }
  const Direction& back() const { return backward_; }

 private:
  Direction forward_, backward_;
  at::Tensor bias_;
  int64_t out_height_ = 0, out_width_ = 0;
};

}  // namespace mien::explain
