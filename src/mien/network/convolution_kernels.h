#pragma once

#include <cstdint>

namespace mien::network {

/// A convolution of x [N,H,W,C] to y [N,out_height,out_width,K], both float32 in channels-last order, without groups.
struct ConvolutionArguments {
  int64_t images = 0, height = 0, width = 0, channels = 0;
  int64_t out_height = 0, out_width = 0, out_channels = 0;  ///< out_channels: a multiple of the kernels' `lanes`
  int64_t kernel_height = 0, kernel_width = 0, stride = 1;
  int64_t pad_height = 0, pad_width = 0;  ///< zeros at each border

  int64_t taps() const { return kernel_height * kernel_width * channels; }
  int64_t out_pixels() const { return out_height * out_width; }
};

/// The kernels for one instruction set. `begin` and `end` are images.
struct ConvolutionKernels {
  int64_t lanes;
  /// Adds dL/d weight of images [begin, end) to weight [kernel_height,kernel_width,C,K], and dL/d bias to bias [K]
  /// (nullptr: none), for dy = dL/dy.
  void (*weight_gradient)(const ConvolutionArguments& c,
                          const float* x,
                          const float* dy,
                          int64_t begin,
                          int64_t end,
                          float* weight,
                          float* bias);
  /// Writes y of images [begin, end) from weight [kernel_height,kernel_width,C,K] and bias [K] (nullptr: zeros); made for
  /// few input channels, where a pixel's taps fit into registers' reach.
  void (*few_channels)(const ConvolutionArguments& c,
                       const float* x,
                       const float* weight,
                       const float* bias,
                       int64_t begin,
                       int64_t end,
                       float* y);
};

/// Those for this processor.
const ConvolutionKernels& convolution_kernels();

}  // namespace mien::network
