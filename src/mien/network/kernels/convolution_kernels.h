#pragma once

#include <cstdint>

#include "mien/network/kernels/block_kernels.h"

namespace mien::network {

/// A convolution of x [N,H,W,C] to y [N,out_height,out_width,K], both in channels-last order, without groups.
struct ConvolutionArguments {
  int64_t images = 0, height = 0, width = 0, channels = 0;
  int64_t out_height = 0, out_width = 0, out_channels = 0;
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

/// The kernels for one instruction set and storage. Sums are float32. For bf16 the products of two taps that follow one
/// another (in x, of the forward pass; two pixels, of the weight gradient) are added at once, the second one first.
struct ConvolutionKernels {
  int64_t lanes;
  int64_t block_channels;  ///< output channels that `forward` computes side by side, and the width of a packed block
  int64_t step_taps;       ///< products of one step, 1 or 2: weights stand together in words of that many

  int64_t padded(int64_t out_channels) const { return (out_channels + lanes - 1) / lanes * lanes; }

  /// Writes `unit` of the output to y [images, rows, out_width], whose pixels are `y_step` elements apart and hold the
  /// unit's channels in turn. `packed` holds the weights in blocks of block_channels output channels (the last one of
  /// what is left, with zeros up to a multiple of `lanes`), each [kernel_height, steps, channels of the block,
  /// step_taps], where the steps are those of kernel_width * C taps, with zeros at the end; bias [padded(K)] float32
  /// may be nullptr for zeros. Every sum is taken in the same order, however the output is cut into units.
  void (*forward)(const ConvolutionArguments& c,
                  const ConvolutionUnit& unit,
                  const void* x,
                  const void* packed,
                  const float* bias,
                  void* y,
                  int64_t y_step);

  /// Adds dL/d weight of the unit's images and output channels to weight [kernel_height,kernel_width,C,padded(K)], and
  /// dL/d bias to bias [padded(K)] (nullptr: none), both float32, for dy = dL/dy; the unit's rows are not looked at.
  void (*weight_gradient)(const ConvolutionArguments& c,
                          const ConvolutionUnit& unit,
                          const void* x,
                          const void* dy,
                          float* weight,
                          float* bias);
};

/// Those for this processor and float32, and for a storage: as block_kernels() chooses.
const ConvolutionKernels& convolution_kernels();
const ConvolutionKernels& convolution_kernels(Storage storage);
const ConvolutionKernels& portable_bf16_convolution_kernels();

}  // namespace mien::network
