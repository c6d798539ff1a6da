#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mien/network/graph/graph.h"
#include "mien/network/kernels/block_kernels.h"
#include "mien/network/kernels/convolution_kernels.h"

namespace mien::infer {

/// The outputs of one layer for a batch: [N, height, width, channels], flat ones [N, channels].
class Values {
 public:
  Values() = default;
  explicit Values(int64_t count) : data_(new float[static_cast<size_t>(count)]) {}
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }

 private:
  std::unique_ptr<float[]> data_;
};

/// Weights in the order in which the kernels read them; outputs are filled up with zeros to a multiple of their lanes.
struct PackedConvolution {
  int64_t outputs = 0, padded_outputs = 0;
  std::vector<float> weight;  ///< [blocks, taps, block's outputs]
  std::vector<float> bias;    ///< [padded_outputs]

  bool is_there() const { return outputs > 0; }
};
/// `weight` [K, C, height, width] and `bias` [K] or empty.
PackedConvolution pack(std::span<const float> weight, std::span<const float> bias, const network::Layer& layer);

/// Zeros around images [N, H, W, C].
Values pad(const float* x, int64_t count, const network::Shape& shape, const network::Padding& padding);

/// The convolution of x to y [N, out_height, out_width, outputs] and the block behind it, if any (whose x, images and
/// sizes are set here); a block with a pool makes y smaller.
void convolve(const PackedConvolution& packed,
              network::ConvolutionArguments arguments,
              const network::BlockArguments* block,
              const float* x,
              float* y);

/// A convolution with groups; `weight` [height, width, channels of a group, K]. x is padded already.
void convolve_groups(const network::ConvolutionArguments& arguments,
                     int64_t groups,
                     const float* weight,
                     const float* bias,
                     const float* x,
                     float* y);

/// max_pool, avg_pool and the global pools.
void pool(const network::Layer& layer, int64_t count, const float* x, float* y);
void group_norm(const network::Layer& layer, int64_t count, const float* gamma, const float* beta, float* x);
/// Over the channels of each pixel.
void layer_norm(const network::Layer& layer, int64_t count, const float* gamma, const float* beta, float* x);
/// One function of every value.
void activate(const network::Layer& layer, int64_t count, float* x);
/// [N, H, W, C] to [N, C * H * W] in the order C, H, W.
void flatten(const network::Shape& shape, int64_t count, const float* x, float* y);
/// x * y, where y may be [N, 1, 1, C].
void multiply(const network::Shape& x_shape, const network::Shape& y_shape, int64_t count, float* x, const float* y);

}  // namespace mien::infer
