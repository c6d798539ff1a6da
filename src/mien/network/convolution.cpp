#include "mien/network/convolution.h"

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <stdexcept>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include "mien/network/autograd_node.h"
#include "mien/network/block.h"
#include "mien/network/kernels/convolution_kernels.h"

namespace mien::network {
namespace {

using torch::autograd::variable_list;

constexpr int64_t kMostWeights = 300'000;   // weights beyond which oneDNN's weight gradient is the faster one
constexpr int64_t kPartFloats = 4'000'000;  // of all partial weight gradients together
constexpr int64_t kMostParts = 16;
constexpr int64_t kFewChannels = 4;  // input channels up to which the own forward pass is the faster one for any batch
constexpr int64_t kFewPixels = 16;   // output pixels up to which it is, forward and backward
constexpr int64_t kFewTaps = 1200;   // inputs of a sum up to which it is with a block behind it
constexpr int64_t kFewImages = 4;    // images up to which it is, with weights packed already
constexpr int64_t kManyWeights = 1'000'000;  // weights from which on it is the faster input gradient
constexpr int64_t kUnitFloats = 160'000;     // of a unit's input and output, which stay in a core's second cache
constexpr int64_t kUnitPixels = 288;         // of small images taken together, while a piece of weights is at hand

struct Geometry {
  int64_t stride = 1;
  std::vector<int64_t> padding;
  int64_t groups = 1;
};

/// Whether libtorch's convolutions are oneDNN's. Its own, without, are far behind the kernels here.
bool has_fast_library() { return at::globalContext().userEnabledMkldnn(); }

at::Tensor channels_last(const at::Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

ConvolutionArguments arguments_of(const at::Tensor& x, const at::Tensor& weight, const Geometry& geometry) {
  const auto out = [&](int64_t size, int64_t kernel, int64_t pad) {
    return (size + 2 * pad - kernel) / geometry.stride + 1;
  };
  return {.images = x.size(0),
          .height = x.size(2),
          .width = x.size(3),
          .channels = x.size(1),
          .out_height = out(x.size(2), weight.size(2), geometry.padding[0]),
          .out_width = out(x.size(3), weight.size(3), geometry.padding[1]),
          .out_channels = weight.size(0),
          .kernel_height = weight.size(2),
          .kernel_width = weight.size(3),
          .stride = geometry.stride,
          .pad_height = geometry.padding[0],
          .pad_width = geometry.padding[1]};
}

bool has_kernel(const at::Tensor& weight, const Geometry& geometry) {
  return geometry.groups == 1 && weight.size(0) % convolution_kernels().lanes == 0;
}

/// body(first channel, channels) of every packed block of `channels` output channels.
template <class Body>
void each_packed_block(int64_t channels, const Body& body) {
  const int64_t width = convolution_kernels().block_channels;
  at::parallel_for(0, (channels + width - 1) / width, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) body(block * width, std::min(width, channels - block * width));
  });
}

/// [K,C,kh,kw] as the kernels' forward pass reads it.
at::Tensor packed(const at::Tensor& weight) {
  const at::Tensor by_channel = channels_last(weight);  // [K, taps] in memory
  const int64_t taps = weight.numel() / weight.size(0);
  const at::Tensor result = at::empty({weight.numel()}, weight.options().requires_grad(false));
  const float* const from = by_channel.data_ptr<float>();
  float* const to = result.data_ptr<float>();
  each_packed_block(weight.size(0), [&](int64_t first, int64_t width) {
    float* const block = to + first * taps;
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t k = 0; k < width; ++k) block[tap * width + k] = from[(first + k) * taps + tap];
    }
  });
  return result;
}

/// The same of the weights that take dL/dy back to dL/dx: input and output channels exchanged, kernels turned by 180
/// degrees.
at::Tensor packed_turned(const at::Tensor& weight) {
  const at::Tensor by_channel = channels_last(weight);
  const int64_t out_channels = weight.size(0);
  const int64_t channels = weight.size(1);
  const int64_t area = weight.size(2) * weight.size(3);
  const at::Tensor result = at::empty({weight.numel()}, weight.options().requires_grad(false));
  const float* const from = by_channel.data_ptr<float>();
  float* const to = result.data_ptr<float>();
  each_packed_block(channels, [&](int64_t first, int64_t width) {
    float* block = to + first * area * out_channels;
    for (int64_t place = area - 1; place >= 0; --place) {
      for (int64_t k = 0; k < out_channels; ++k, block += width) {
        std::copy_n(from + (k * area + place) * channels + first, width, block);
      }
    }
  });
  return result;
}

/// How the output is cut into units that are computed by one thread each.
struct Tiling {
  int64_t images = 1;    ///< of a unit; more than 1 only with all rows
  int64_t rows = 1;      ///< of a unit
  int64_t channels = 1;  ///< of a unit
};

/// Large batches by images, and within an image by as many rows as stay in a core's cache; few images by channels and
/// rows, so that every thread has work. `step`: rows come in multiples of it.
Tiling cut_of(const ConvolutionArguments& c, int64_t out_rows, int64_t step) {
  const int64_t threads = at::get_num_threads();
  Tiling cut{.images = 1, .rows = out_rows, .channels = c.out_channels};
  if (c.images >= 2 * threads) {
    const int64_t floats_a_row = (c.width + 2 * c.pad_width) * c.channels * c.stride + c.out_width * c.out_channels;
    const int64_t rows = kUnitFloats / floats_a_row / step * step;
    cut.rows = std::clamp(rows, std::min(step, out_rows), out_rows);
    if (cut.rows == out_rows)
      cut.images = std::clamp<int64_t>(kUnitPixels / (out_rows * c.out_width), 1, c.images / (2 * threads));
    return cut;
  }
  const int64_t wanted = c.images == 1 ? threads : 2 * threads;
  const int64_t width = convolution_kernels().block_channels;
  const int64_t blocks = (c.out_channels + width - 1) / width;
  const int64_t channel_parts = std::clamp((wanted + c.images - 1) / c.images, int64_t{1}, blocks);
  cut.channels = (blocks + channel_parts - 1) / channel_parts * width;
  const int64_t row_parts =
      std::clamp(wanted / (c.images * channel_parts), int64_t{1}, std::max<int64_t>(1, out_rows / step));
  const int64_t rows = (out_rows + row_parts - 1) / row_parts;
  cut.rows = (rows + step - 1) / step * step;
  return cut;
}

/// The convolution of x by packed weights to y [N,K,out_height,out_width], or, with a block, the block's output.
void convolve(const ConvolutionArguments& c,
              const at::Tensor& x,
              const at::Tensor& weight,
              const float* bias,
              const BlockArguments* block,
              const at::Tensor& y) {
  const int64_t step = block == nullptr ? 1 : block->pool;
  const int64_t out_rows = c.out_height / step * step;
  const Tiling cut = cut_of(c, out_rows, step);
  const int64_t image_parts = (c.images + cut.images - 1) / cut.images;
  const int64_t row_parts = (out_rows + cut.rows - 1) / cut.rows;
  const int64_t channel_parts = (c.out_channels + cut.channels - 1) / cut.channels;
  const float* const input = x.data_ptr<float>();
  const float* const weights = weight.data_ptr<float>();
  float* const output = y.data_ptr<float>();
  const int64_t out_width = c.out_width / step;
  const auto output_of = [&](int64_t image, int64_t row, int64_t channel) {
    return output + ((image * (c.out_height / step) + row / step) * out_width) * c.out_channels + channel;
  };
  at::parallel_for(0, image_parts * row_parts * channel_parts, 1, [&](int64_t begin, int64_t end) {
    at::Tensor convolved;
    at::Tensor dense;
    if (block != nullptr) convolved = at::empty({cut.images * cut.rows * c.out_width * cut.channels}, at::kFloat);
    if (block != nullptr && channel_parts > 1) dense = at::empty_like(convolved);
    for (int64_t part = begin; part < end; ++part) {
      ConvolutionUnit unit;
      unit.image_begin = part / (row_parts * channel_parts) * cut.images;
      unit.image_end = std::min(unit.image_begin + cut.images, c.images);
      unit.row_begin = part / channel_parts % row_parts * cut.rows;
      unit.row_end = std::min(unit.row_begin + cut.rows, out_rows);
      unit.channel_begin = part % channel_parts * cut.channels;
      unit.channel_end = std::min(unit.channel_begin + cut.channels, c.out_channels);
      float* const to = output_of(unit.image_begin, unit.row_begin, unit.channel_begin);
      if (block == nullptr) {
        convolution_kernels().forward(c, unit, input, weights, bias, to, c.out_channels);
        continue;
      }
      // The convolution's own output stays in the cache.
      convolution_kernels().forward(c, unit, input, weights, bias, convolved.data_ptr<float>(), unit.channels());
      BlockArguments part_of_block = *block;
      part_of_block.images = unit.images();
      part_of_block.height = unit.rows();
      part_of_block.width = c.out_width;
      part_of_block.channels = unit.channels();
      part_of_block.out_height = unit.rows() / step;
      part_of_block.out_width = out_width;
      part_of_block.x = convolved.data_ptr<float>();
      if (block->normalizes) {
        part_of_block.scale += unit.channel_begin;
        part_of_block.shift += unit.channel_begin;
      }
      if (channel_parts == 1) {
        block_kernels().forward(part_of_block, 0, part_of_block.units(), to);
        continue;
      }
      const int64_t pixels = part_of_block.units() * out_width;
      block_kernels().forward(part_of_block, 0, part_of_block.units(), dense.data_ptr<float>());
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        std::copy_n(dense.data_ptr<float>() + pixel * unit.channels(), unit.channels(), to + pixel * c.out_channels);
      }
    }
  });
}

/// Parts that the images are cut into, from the weight's size alone; 1 where there is one image.
int64_t parts_of(const at::Tensor& weight, int64_t images) {
  int64_t parts = kMostParts;
  while (parts > 2 && (parts > images || parts * weight.numel() > kPartFloats)) parts /= 2;
  return std::min(parts, images);
}

at::Tensor empty_output(const ConvolutionArguments& c, int64_t pool, const at::Tensor& x) {
  return at::empty({c.images, c.out_channels, c.out_height / pool, c.out_width / pool},
                   x.options().requires_grad(false).memory_format(at::MemoryFormat::ChannelsLast));
}

at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Geometry& geometry) {
  const ConvolutionArguments c = arguments_of(x, weight, geometry);
  const bool is_faster = c.channels <= kFewChannels || c.out_pixels() <= kFewPixels || !has_fast_library();
  if (!has_kernel(weight, geometry) || !is_faster) {
    return at::conv2d(x, weight, bias, {geometry.stride, geometry.stride}, geometry.padding, {1, 1}, geometry.groups);
  }
  const at::Tensor y = empty_output(c, 1, x);
  convolve(c, channels_last(x), packed(weight), bias.defined() ? bias.data_ptr<float>() : nullptr, nullptr, y);
  return y;
}

/// dL/d weight and dL/d bias.
std::array<at::Tensor, 2> weight_gradient(const at::Tensor& x_as_given,
                                          const at::Tensor& dy,
                                          const at::Tensor& weight,
                                          const Geometry& geometry) {
  const at::Tensor x = channels_last(x_as_given);
  const ConvolutionArguments c = arguments_of(x, weight, geometry);
  const int64_t parts = parts_of(weight, c.images);
  const int64_t floats = c.taps() * c.out_channels + c.out_channels;
  const at::Tensor partial = at::empty({parts, floats}, x.options());
  float* const sums = partial.data_ptr<float>();
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      float* const own = sums + part * floats;
      std::fill_n(own, floats, 0.0F);
      convolution_kernels().weight_gradient(c,
                                            x.data_ptr<float>(),
                                            dy.data_ptr<float>(),
                                            c.images * part / parts,
                                            c.images * (part + 1) / parts,
                                            own,
                                            own + c.taps() * c.out_channels);
    }
  });
  at::Tensor d_weight = at::empty(weight.sizes(), x.options().memory_format(at::MemoryFormat::ChannelsLast));
  at::Tensor d_bias = at::empty({c.out_channels}, x.options());
  float* const to = d_weight.data_ptr<float>();
  constexpr int64_t kBlock = 16;  // output channels of one cache line
  at::parallel_for(0, (c.out_channels + kBlock - 1) / kBlock, 1, [&](int64_t begin, int64_t end) {
    const int64_t last = std::min(end * kBlock, c.out_channels);
    for (int64_t k0 = begin * kBlock; k0 < last; k0 += kBlock) {
      const int64_t count = std::min(kBlock, last - k0);
      for (int64_t tap = 0; tap <= c.taps(); ++tap) {  // the bias stands behind the last tap
        float total[kBlock] = {};
        for (int64_t part = 0; part < parts; ++part) {
          const float* const line = sums + part * floats + tap * c.out_channels + k0;
          for (int64_t k = 0; k < count; ++k) total[k] += line[k];
        }
        for (int64_t k = 0; k < count; ++k) {
          (tap < c.taps() ? to[(k0 + k) * c.taps() + tap] : d_bias.data_ptr<float>()[k0 + k]) = total[k];
        }
      }
    }
  });
  return {d_weight, d_bias};
}

/// dL/dx of stride 1: every x is in the outputs that its turned kernel covers.
/// @source Dumoulin and Visin 2016, "A guide to convolution arithmetic", relationship 9
at::Tensor input_gradient(const at::Tensor& dy, const at::Tensor& weight, const Geometry& geometry) {
  const std::vector<int64_t> padding{weight.size(2) - 1 - geometry.padding[0],
                                     weight.size(3) - 1 - geometry.padding[1]};
  const bool is_faster = weight.numel() >= kManyWeights || dy.size(2) * dy.size(3) <= kFewPixels || !has_fast_library();
  if (weight.size(1) % convolution_kernels().lanes != 0 || !is_faster) {
    return at::conv2d(dy, channels_last(weight.flip({2, 3}).transpose(0, 1)), {}, {1, 1}, padding);
  }
  const ConvolutionArguments c = arguments_of(dy, weight.transpose(0, 1), {.padding = padding});
  const at::Tensor dx = empty_output(c, 1, dy);
  convolve(c, dy, packed_turned(weight), nullptr, nullptr, dx);
  return dx;
}

/// Inputs: x, weight, bias.
struct ConvolutionBackward final : torch::autograd::Node {
  at::Tensor x, weight;
  Geometry geometry;
  bool has_bias = false;

  std::string name() const override { return "MienConvolutionBackward"; }
  void release_variables() override { x.reset(); }
  variable_list apply(variable_list&& output_gradients) override;
};

variable_list ConvolutionBackward::apply(variable_list&& output_gradients) {
  variable_list result(3);
  if (!output_gradients[0].defined()) return result;
  if (at::GradMode::is_enabled()) {
    throw std::logic_error("a fused convolution has no second derivative: run the network with set_fused(false)");
  }
  if (!x.defined())
    throw std::logic_error("a fused convolution's backward pass ran a second time without retain_graph");
  const at::Tensor dy = channels_last(output_gradients[0]);
  bool needs_x = task_should_compute_output(0);
  bool needs_weight = task_should_compute_output(1);
  bool needs_bias = has_bias && task_should_compute_output(2);
  const bool turns = geometry.stride == 1 && geometry.groups == 1 && x.size(1) > kFewChannels &&
                     geometry.padding[0] < weight.size(2) && geometry.padding[1] < weight.size(3);
  if (needs_x && turns) {
    result[0] = input_gradient(dy, weight, geometry);
    needs_x = false;
  }
  const bool has_own = has_kernel(weight, geometry) && (weight.numel() <= kMostWeights || !has_fast_library()) &&
                       parts_of(weight, x.size(0)) >= std::min<int64_t>(at::get_num_threads(), x.size(0));
  if (needs_weight && has_own) {
    auto [d_weight, d_bias] = weight_gradient(x, dy, weight, geometry);
    result[1] = d_weight;
    if (needs_bias) result[2] = d_bias;
    needs_weight = needs_bias = false;
  }
  if (!needs_x && !needs_weight && !needs_bias) return result;
  const std::vector<int64_t> stride{geometry.stride, geometry.stride};
  at::OptionalIntArrayRef bias_sizes;
  if (has_bias) bias_sizes = weight.sizes().slice(0, 1);
  auto [d_x, d_weight, d_bias] = at::convolution_backward(dy,
                                                          x,
                                                          weight,
                                                          bias_sizes,
                                                          stride,
                                                          geometry.padding,
                                                          {1, 1},
                                                          /*transposed=*/false,
                                                          {0, 0},
                                                          geometry.groups,
                                                          {needs_x, needs_weight, needs_bias});
  if (needs_x) result[0] = d_x;
  if (needs_weight) result[1] = d_weight;
  if (needs_bias) result[2] = d_bias;
  return result;
}

}  // namespace

at::Tensor run_convolution(const at::Tensor& x,
                           const at::Tensor& weight,
                           const at::Tensor& bias,
                           int64_t stride,
                           const std::vector<int64_t>& padding,
                           int64_t groups) {
  const Geometry geometry{stride, padding, groups};
  const bool records = torch::autograd::compute_requires_grad(x, weight, bias);
  at::Tensor y;
  {
    const at::NoGradGuard no_grad;
    y = forward(x, weight, bias, geometry);
  }
  if (!records) return y;
  const auto node = make_node<ConvolutionBackward>();
  node->set_next_edges(torch::autograd::collect_next_edges(x, weight, bias));
  node->x = x.detach();
  node->weight = weight.detach();
  node->geometry = geometry;
  node->has_bias = bias.defined();
  torch::autograd::set_history(y, node);
  return y;
}

at::Tensor run_convolution_block(const ConvolutionCall& call,
                                 BlockCall* block,
                                 const at::Tensor& x,
                                 PackedWeights& cache) {
  const Geometry geometry{call.stride, call.padding, call.groups};
  const at::NoGradGuard no_grad;
  const ConvolutionArguments c = arguments_of(x, call.weight, geometry);
  const bool is_faster =
      c.images <= kFewImages || c.taps() <= kFewTaps || c.out_pixels() <= kFewPixels || !has_fast_library();
  if (!has_kernel(call.weight, geometry) || !is_faster) {
    const at::Tensor y = forward(x, call.weight, call.bias, geometry);
    return block == nullptr ? y : run_block(std::move(*block), y, {});
  }
  const at::Tensor weight = cache.of(call.weight);
  const float* const bias = call.bias.defined() ? call.bias.data_ptr<float>() : nullptr;
  const at::Tensor table = block == nullptr ? at::Tensor() : set_evaluation_table(*block, c.out_channels);
  const BlockArguments* const arguments = block == nullptr ? nullptr : &block->arguments;
  const at::Tensor y = empty_output(c, arguments == nullptr ? 1 : arguments->pool, x);
  convolve(c, channels_last(x), weight, bias, arguments, y);
  return y;
}

at::Tensor PackedWeights::of(const at::Tensor& weight) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t version = weight.unsafeGetTensorImpl()->version_counter().current_version();
  if (!packed_.defined() || !weight.is_alias_of(source_) || version != version_) {
    packed_ = packed(weight);
    source_ = weight.detach();
    version_ = version;
  }
  return packed_;
}

}  // namespace mien::network
