#include "mien/infer/operations.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

// One copy for each instruction set, chosen when the library is loaded.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define MIEN_CLONES __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define MIEN_CLONES
#endif

namespace mien::infer {

using network::BlockArguments;
using network::ConvolutionArguments;
using network::ConvolutionUnit;
using network::Layer;
using network::LayerKind;
using network::Shape;

namespace {

constexpr int64_t kUnitFloats = 160'000;  // of a unit's input and output, which stay in a core's second cache
constexpr int64_t kUnitPixels = 288;      // of small images taken together, while a piece of weights is at hand

int64_t elements(const Shape& shape, int64_t count) { return shape.elements() * count; }

/// Copies the first `channels` of every pixel of x, whose pixels are `step` floats apart.
void gather(const float* x, int64_t pixels, int64_t step, int64_t channels, float* y) {
  for (int64_t i = 0; i < pixels; ++i) std::copy_n(x + i * step, channels, y + i * channels);
}

}  // namespace

PackedConvolution pack(std::span<const float> weight, std::span<const float> bias, const Layer& layer) {
  const int64_t lanes = network::convolution_kernels().lanes;
  const int64_t width = network::convolution_kernels().block_channels;
  PackedConvolution packed{.outputs = layer.output_shape.channels};
  packed.padded_outputs = (packed.outputs + lanes - 1) / lanes * lanes;
  const int64_t taps = static_cast<int64_t>(weight.size()) / packed.outputs;
  const int64_t channels = layer.input_shape.channels;
  const int64_t area = taps / channels;
  packed.weight.resize(static_cast<size_t>(taps * packed.padded_outputs));
  packed.bias.resize(static_cast<size_t>(packed.padded_outputs));
  std::copy(bias.begin(), bias.end(), packed.bias.begin());
  for (int64_t k = 0; k < packed.outputs; ++k) {
    const int64_t first = k / width * width;
    const int64_t own_width = std::min(width, packed.padded_outputs - first);
    float* const block = packed.weight.data() + first * taps + (k - first);
    const float* const own = weight.data() + k * taps;
    for (int64_t place = 0; place < area; ++place) {
      for (int64_t c = 0; c < channels; ++c) block[(place * channels + c) * own_width] = own[c * area + place];
    }
  }
  return packed;
}

Values pad(const float* x, int64_t count, const Shape& shape, const network::Padding& padding) {
  const int64_t height = shape.height + padding.top + padding.bottom;
  const int64_t width = shape.width + padding.left + padding.right;
  Values padded(count * height * width * shape.channels);
  std::fill_n(padded.data(), count * height * width * shape.channels, 0.0F);
  for (int64_t image = 0; image < count; ++image) {
    for (int64_t row = 0; row < shape.height; ++row) {
      std::copy_n(x + (image * shape.height + row) * shape.width * shape.channels,
                  shape.width * shape.channels,
                  padded.data() + ((image * height + row + padding.top) * width + padding.left) * shape.channels);
    }
  }
  return padded;
}

void convolve(
    const PackedConvolution& packed, ConvolutionArguments c, const BlockArguments* block, const float* x, float* y) {
  const auto& kernels = network::convolution_kernels();
  c.out_channels = packed.padded_outputs;
  const int64_t pool = block == nullptr ? 1 : block->pool;
  const int64_t out_rows = c.out_height / pool * pool;
  const int64_t floats_a_row = (c.width + 2 * c.pad_width) * c.channels * c.stride + c.out_width * c.out_channels;
  const int64_t rows = std::clamp(kUnitFloats / floats_a_row / pool * pool, std::min(pool, out_rows), out_rows);
  const int64_t images = rows < out_rows ? 1 : std::clamp<int64_t>(kUnitPixels / (out_rows * c.out_width), 1, c.images);
  const bool is_direct = block == nullptr && packed.outputs == packed.padded_outputs;
  Values wide(is_direct ? 0 : images * rows * c.out_width * c.out_channels);
  Values narrow(
      block == nullptr || packed.outputs == packed.padded_outputs ? 0 : images * rows * c.out_width * packed.outputs);
  const int64_t out_width = c.out_width / pool;
  for (int64_t image = 0; image < c.images; image += images) {
    for (int64_t row = 0; row < out_rows; row += rows) {
      const ConvolutionUnit unit{.image_begin = image,
                                 .image_end = std::min(image + images, c.images),
                                 .row_begin = row,
                                 .row_end = std::min(row + rows, out_rows),
                                 .channel_begin = 0,
                                 .channel_end = c.out_channels};
      float* const to = y + (image * (c.out_height / pool) + row / pool) * out_width * packed.outputs;
      const int64_t pixels = unit.images() * unit.rows() * c.out_width;
      kernels.forward(
          c, unit, x, packed.weight.data(), packed.bias.data(), is_direct ? to : wide.data(), c.out_channels);
      if (is_direct) continue;
      const float* convolved = wide.data();
      if (packed.outputs != packed.padded_outputs) {
        gather(convolved, pixels, c.out_channels, packed.outputs, block == nullptr ? to : narrow.data());
        convolved = narrow.data();
      }
      if (block == nullptr) continue;
      BlockArguments part = *block;
      part.images = unit.images();
      part.height = unit.rows();
      part.width = c.out_width;
      part.channels = packed.outputs;
      part.out_height = unit.rows() / pool;
      part.out_width = out_width;
      part.x = convolved;
      network::block_kernels().forward(part, 0, part.units(), to);
    }
  }
}

namespace {

/// y[k] += weight[k] * x[k]
MIEN_CLONES void multiply_add(const float* __restrict weight,
                              const float* __restrict x,
                              int64_t count,
                              float* __restrict y) {
  for (int64_t k = 0; k < count; ++k) y[k] += weight[k] * x[k];
}

/// y[k] += weight[k] * x
MIEN_CLONES void multiply_add(const float* __restrict weight, float x, int64_t count, float* __restrict y) {
  for (int64_t k = 0; k < count; ++k) y[k] += weight[k] * x;
}

}  // namespace

void convolve_groups(
    const ConvolutionArguments& c, int64_t groups, const float* weight, const float* bias, const float* x, float* y) {
  const int64_t inputs = c.channels / groups;
  const int64_t outputs = c.out_channels / groups;
  const bool is_depthwise = inputs == 1 && outputs == 1;
  for (int64_t image = 0; image < c.images; ++image) {
    for (int64_t pixel = 0; pixel < c.out_pixels(); ++pixel, y += c.out_channels) {
      std::copy_n(bias, c.out_channels, y);
      const int64_t top = pixel / c.out_width * c.stride;
      const int64_t left = pixel % c.out_width * c.stride;
      for (int64_t place = 0; place < c.kernel_height * c.kernel_width; ++place) {
        const int64_t row = top + place / c.kernel_width;
        const int64_t column = left + place % c.kernel_width;
        const float* const from = x + ((image * c.height + row) * c.width + column) * c.channels;
        if (is_depthwise) {
          multiply_add(weight + place * c.channels, from, c.channels, y);
          continue;
        }
        for (int64_t group = 0; group < groups; ++group) {
          for (int64_t i = 0; i < inputs; ++i) {
            const float* const own = weight + (place * inputs + i) * c.out_channels + group * outputs;
            multiply_add(own, from[group * inputs + i], outputs, y + group * outputs);
          }
        }
      }
    }
  }
}

namespace {

struct Range {
  int64_t begin, end;
};
/// The pixels of a window that lie inside the image.
Range inside(int64_t out, int64_t stride, int64_t pad, int64_t kernel, int64_t size) {
  const int64_t begin = out * stride - pad;
  return {std::max<int64_t>(begin, 0), std::min(begin + kernel, size)};
}

}  // namespace

void pool(const Layer& layer, int64_t count, const float* x, float* y) {
  const bool is_max = layer.kind == LayerKind::max_pool || layer.kind == LayerKind::global_max_pool;
  const bool is_global = layer.kind == LayerKind::global_max_pool || layer.kind == LayerKind::global_avg_pool;
  const Shape& in = layer.input_shape;
  const Shape& out = layer.output_shape;
  const int64_t kernel_height = is_global ? in.height : layer.kernel_height;
  const int64_t kernel_width = is_global ? in.width : layer.kernel_width;
  for (int64_t unit = 0; unit < count * out.height * out.width; ++unit, y += in.channels) {
    const float* const image = x + unit / (out.height * out.width) * in.elements();
    const int64_t pixel = unit % (out.height * out.width);
    const Range rows = inside(pixel / out.width, layer.stride, layer.padding.top, kernel_height, in.height);
    const Range columns = inside(pixel % out.width, layer.stride, layer.padding.left, kernel_width, in.width);
    std::fill_n(y, in.channels, is_max ? -std::numeric_limits<float>::infinity() : 0.0F);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      for (int64_t column = columns.begin; column < columns.end; ++column) {
        const float* const from = image + (row * in.width + column) * in.channels;
        if (is_max) {
          for (int64_t c = 0; c < in.channels; ++c) y[c] = std::max(y[c], from[c]);
        } else {
          for (int64_t c = 0; c < in.channels; ++c) y[c] += from[c];
        }
      }
    }
    if (is_max) continue;
    const auto area = static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
    for (int64_t c = 0; c < in.channels; ++c) y[c] /= area;
  }
}

void group_norm(const Layer& layer, int64_t count, const float* gamma, const float* beta, float* x) {
  const Shape& shape = layer.input_shape;
  const int64_t width = shape.channels / layer.groups;
  const int64_t pixels = shape.height * shape.width;
  for (int64_t part = 0; part < count * layer.groups; ++part) {
    const int64_t first = part % layer.groups * width;
    float* const begin = x + part / layer.groups * shape.elements() + first;
    double sum = 0;
    double squares = 0;
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (int64_t c = 0; c < width; ++c) {
        const double value = begin[pixel * shape.channels + c];
        sum += value;
        squares += value * value;
      }
    }
    const auto values = static_cast<double>(pixels * width);
    const double mean = sum / values;
    const double inverse = 1 / std::sqrt(std::max(0.0, squares / values - mean * mean) + layer.epsilon);
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (int64_t c = 0; c < width; ++c) {
        float& value = begin[pixel * shape.channels + c];
        value = static_cast<float>((value - mean) * inverse) * gamma[first + c] + beta[first + c];
      }
    }
  }
}

void layer_norm(const Layer& layer, int64_t count, const float* gamma, const float* beta, float* x) {
  // A pixel by itself, its channels one group.
  Layer pixel = layer;
  pixel.groups = 1;
  pixel.input_shape = {.channels = layer.input_shape.channels};
  group_norm(pixel, count * layer.input_shape.height * layer.input_shape.width, gamma, beta, x);
}

namespace {

template <class Function>
void each(float* x, int64_t count, const Function& function) {
  for (int64_t i = 0; i < count; ++i) x[i] = function(x[i]);
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

void activate(const Layer& layer, int64_t count, float* x) {
  const int64_t values = elements(layer.output_shape, count);
  const auto slope = static_cast<float>(layer.negative_slope);
  const auto alpha = static_cast<float>(layer.alpha);
  switch (layer.kind) {
    case LayerKind::relu:
      return each(x, values, [](float v) { return v > 0 ? v : 0.0F; });
    case LayerKind::leaky_relu:
      return each(x, values, [=](float v) { return v > 0 ? v : v * slope; });
    case LayerKind::elu:
      return each(x, values, [=](float v) { return v > 0 ? v : alpha * std::expm1(v); });
    case LayerKind::silu:
      return each(x, values, [](float v) { return v * sigmoid(v); });
    case LayerKind::gelu:
      return each(x, values, [](float v) { return 0.5F * v * (1 + std::erf(v * std::sqrt(0.5F))); });
    case LayerKind::hardswish:
      return each(x, values, [](float v) { return v * std::clamp(v + 3, 0.0F, 6.0F) / 6; });
    case LayerKind::softplus:
      return each(x, values, [](float v) { return v > 20 ? v : std::log1p(std::exp(v)); });
    case LayerKind::sigmoid:
      return each(x, values, sigmoid);
    case LayerKind::tanh:
      return each(x, values, [](float v) { return std::tanh(v); });
    default:
      throw std::logic_error("no function for " + layer.name);
  }
}

void flatten(const Shape& shape, int64_t count, const float* x, float* y) {
  const int64_t pixels = shape.height * shape.width;
  for (int64_t image = 0; image < count; ++image, x += shape.elements(), y += shape.elements()) {
    for (int64_t c = 0; c < shape.channels; ++c) {
      for (int64_t pixel = 0; pixel < pixels; ++pixel) y[c * pixels + pixel] = x[pixel * shape.channels + c];
    }
  }
}

void multiply(const Shape& shape, const Shape& y_shape, int64_t count, float* x, const float* y) {
  if (y_shape == shape) {
    for (int64_t i = 0; i < elements(shape, count); ++i) x[i] *= y[i];
    return;
  }
  const int64_t pixels = shape.height * shape.width;
  for (int64_t pixel = 0; pixel < count * pixels; ++pixel) {
    const float* const factor = y + pixel / pixels * shape.channels;
    for (int64_t c = 0; c < shape.channels; ++c) x[pixel * shape.channels + c] *= factor[c];
  }
}

}  // namespace mien::infer
