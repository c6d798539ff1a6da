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

/// A part of a convolution's output: channels [channel_begin, channel_end) of rows [row_begin, row_end) of images
/// [image_begin, image_end).
struct ConvolutionUnit {
  int64_t image_begin = 0, image_end = 0;
  int64_t row_begin = 0, row_end = 0;
  int64_t channel_begin = 0, channel_end = 0;  ///< multiples of `block_channels`, or the last one

  int64_t images() const { return image_end - image_begin; }
  int64_t rows() const { return row_end - row_begin; }
  int64_t channels() const { return channel_end - channel_begin; }
};

/// The kernels for one instruction set.
struct ConvolutionKernels {
  int64_t lanes;
  int64_t block_channels;  ///< output channels that `forward` computes side by side, and the width of a packed block

  /// Writes `unit` of the output to y [images, rows, out_width], whose pixels are `y_step` floats apart and hold the
  /// unit's channels in turn. `packed` holds the weights in blocks of block_channels output channels (the last one of
  /// what is left), each [kernel_height, kernel_width, C, channels of the block]; bias [K] may be nullptr for zeros.
  /// Every sum is taken in the same order, however the output is cut into units.
  void (*forward)(const ConvolutionArguments& c,
                  const ConvolutionUnit& unit,
                  const float* x,
                  const float* packed,
                  const float* bias,
                  float* y,
                  int64_t y_step);

  /// Adds dL/d weight of images [begin, end) to weight [kernel_height,kernel_width,C,K], and dL/d bias to bias [K]
  /// (nullptr: none), for dy = dL/dy.
  void (*weight_gradient)(const ConvolutionArguments& c,
                          const float* x,
                          const float* dy,
                          int64_t begin,
                          int64_t end,
                          float* weight,
                          float* bias);
};

/// Those for this processor.
const ConvolutionKernels& convolution_kernels();

}  // namespace mien::network
