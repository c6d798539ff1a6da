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
constexpr int64_t kUnitBytes = 640'000;      // of a unit's input and output, which stay in a core's second cache
constexpr int64_t kUnitPixels = 288;         // of small images taken together, while a piece of weights is at hand

struct Geometry {
  int64_t stride = 1;
  std::vector<int64_t> padding;
  int64_t groups = 1;
};

bool is_float(const at::Tensor& x) { return x.scalar_type() == at::kFloat; }

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

/// Vectors of a part of their lanes are fast with AVX-512 only.
bool has_kernel(const at::Tensor& weight, const Geometry& geometry) {
  const int64_t lanes = convolution_kernels().lanes;
  return geometry.groups == 1 && (lanes == 16 || weight.size(0) % lanes == 0);
}

/// Where one tap's weights of all output channels lie.
template <class T>
struct TapWeights {
  const T* first;
  int64_t step;  // from one output channel to the next
};

/// The words in which kernels read weights of `rows` kernel rows, each of `run` taps; `tap(row, i)` is a TapWeights<T>.
template <class T, class Tap>
at::Tensor pack(const ConvolutionKernels& kernels, int64_t out_channels, int64_t rows, int64_t run, const Tap& tap) {
  const int64_t group = kernels.step_taps;
  const int64_t steps = (run + group - 1) / group;
  const int64_t width = kernels.block_channels;
  const int64_t padded = kernels.padded(out_channels);
  const at::Tensor result = at::empty({padded * rows * steps * group}, c10::CppTypeToScalarType<T>::value);
  T* const to = result.data_ptr<T>();
  at::parallel_for(0, (padded + width - 1) / width, 1, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * width; first < std::min(end * width, padded); first += width) {
      const int64_t own_width = std::min(width, padded - first);
      const int64_t count = std::min(own_width, out_channels - first);
      T* block = to + first * rows * steps * group;
      if (count < own_width || steps * group > run) std::fill_n(block, own_width * rows * steps * group, T(0));
      for (int64_t row = 0; row < rows; ++row, block += steps * group * own_width) {
        for (int64_t i = 0; i < run; ++i) {
          const TapWeights<T> from = tap(row, i);
          T* const word = block + i / group * group * own_width + i % group;
          for (int64_t k = 0; k < count; ++k) word[k * group] = from.first[(first + k) * from.step];
        }
      }
    }
  });
  return result;
}

/// body(first weight) of a weight's values as the kernels for x take them, [K, kernel height, kernel width, C].
template <class Body>
at::Tensor with_values(Storage storage, const at::Tensor& weight, const Body& body) {
  const at::Tensor values = channels_last(weight.detach());
  if (storage == Storage::float32) return body(values.data_ptr<float>());
  const at::Tensor rounded = values.to(at::kBFloat16);
  return body(rounded.data_ptr<at::BFloat16>());
}

/// [K,C,kh,kw] as the kernels' forward pass reads it.
at::Tensor packed(const at::Tensor& weight, Storage storage) {
  const int64_t rows = weight.size(2);
  const int64_t run = weight.size(3) * weight.size(1);
  return with_values(storage, weight, [&]<class T>(const T* from) {
    return pack<T>(convolution_kernels(storage), weight.size(0), rows, run, [=](int64_t row, int64_t i) {
      return TapWeights<T>{from + row * run + i, rows * run};
    });
  });
}

/// The same of the weights that take dL/dy back to dL/dx: input and output channels exchanged, kernels turned by 180
/// degrees.
at::Tensor packed_turned(const at::Tensor& weight, Storage storage) {
  const int64_t out_channels = weight.size(0);
  const int64_t channels = weight.size(1);
  const int64_t area = weight.size(2) * weight.size(3);
  const int64_t width = weight.size(3);
  return with_values(storage, weight, [&]<class T>(const T* from) {
    const ConvolutionKernels& kernels = convolution_kernels(storage);
    return pack<T>(kernels, channels, weight.size(2), width * out_channels, [=](int64_t row, int64_t i) {
      const int64_t place = area - 1 - (row * width + i / out_channels);
      return TapWeights<T>{from + (i % out_channels * area + place) * channels, 1};
    });
  });
}

/// A bias [K] with zeros behind it up to whole vectors, for these kernels; undefined if it is.
at::Tensor padded_bias(const at::Tensor& bias, const ConvolutionKernels& kernels) {
  if (!bias.defined() || bias.size(0) % kernels.lanes == 0) return bias;
  const at::Tensor padded = at::zeros({kernels.padded(bias.size(0))}, at::kFloat);
  padded.slice(0, 0, bias.size(0)).copy_(bias.detach());
  return padded;
}

/// How the output is cut into units that are computed by one thread each.
struct Tiling {
  int64_t images = 1;    ///< of a unit; more than 1 only with all rows
  int64_t rows = 1;      ///< of a unit
  int64_t channels = 1;  ///< of a unit
};

/// Large batches by images, and within an image by as many rows as stay in a core's cache; few images by channels and
/// rows, so that every thread has work. `step`: rows come in multiples of it.
Tiling cut_of(
    const ConvolutionArguments& c, int64_t block_channels, int64_t element_bytes, int64_t out_rows, int64_t step) {
  const int64_t threads = at::get_num_threads();
  Tiling cut{.images = 1, .rows = out_rows, .channels = c.out_channels};
  if (c.images >= 2 * threads) {
    const int64_t elements_a_row = (c.width + 2 * c.pad_width) * c.channels * c.stride + c.out_width * c.out_channels;
    const int64_t rows = kUnitBytes / element_bytes / elements_a_row / step * step;
    cut.rows = std::clamp(rows, std::min(step, out_rows), out_rows);
    if (cut.rows == out_rows)
      cut.images = std::clamp<int64_t>(kUnitPixels / (out_rows * c.out_width), 1, c.images / (2 * threads));
    return cut;
  }
  const int64_t wanted = c.images == 1 ? threads : 2 * threads;
  const int64_t blocks = (c.out_channels + block_channels - 1) / block_channels;
  const int64_t channel_parts = std::clamp((wanted + c.images - 1) / c.images, int64_t{1}, blocks);
  cut.channels = (blocks + channel_parts - 1) / channel_parts * block_channels;
  const int64_t row_parts =
      std::clamp(wanted / (c.images * channel_parts), int64_t{1}, std::max<int64_t>(1, out_rows / step));
  const int64_t rows = (out_rows + row_parts - 1) / row_parts;
  cut.rows = (rows + step - 1) / step * step;
  return cut;
}

/// The unit of a part of the work, counted by channels, rows and images.
struct Units {
  Tiling cut;
  int64_t row_parts, channel_parts, count;

  Units(const ConvolutionArguments& c, const Tiling& tiling, int64_t out_rows)
      : cut(tiling),
        row_parts((out_rows + cut.rows - 1) / cut.rows),
        channel_parts((c.out_channels + cut.channels - 1) / cut.channels),
        count((c.images + cut.images - 1) / cut.images * row_parts * channel_parts) {}

  ConvolutionUnit at(const ConvolutionArguments& c, int64_t out_rows, int64_t part) const {
    ConvolutionUnit unit;
    unit.image_begin = part / (row_parts * channel_parts) * cut.images;
    unit.image_end = std::min(unit.image_begin + cut.images, c.images);
    unit.row_begin = part / channel_parts % row_parts * cut.rows;
    unit.row_end = std::min(unit.row_begin + cut.rows, out_rows);
    unit.channel_begin = part % channel_parts * cut.channels;
    unit.channel_end = std::min(unit.channel_begin + cut.channels, c.out_channels);
    return unit;
  }
};

/// A block on what a unit of a convolution gave.
BlockArguments block_of_unit(const BlockArguments& block, const ConvolutionUnit& unit, int64_t width, const void* x) {
  BlockArguments part = block;
  part.images = unit.images();
  part.height = unit.rows();
  part.width = width;
  part.channels = unit.channels();
  part.out_height = unit.rows() / block.pool;
  part.out_width = width / block.pool;
  part.x = x;
  if (block.normalizes) {
    part.scale += unit.channel_begin;
    part.shift += unit.channel_begin;
  }
  return part;
}

/// The convolution of x by packed weights to y [N,K,out_height,out_width], or, with a block, the block's output.
void convolve(const ConvolutionArguments& c,
              const at::Tensor& x,
              const at::Tensor& weight,
              const at::Tensor& bias,
              const BlockArguments* block,
              const at::Tensor& y) {
  const Storage storage = storage_of(x);
  const ConvolutionKernels& kernels = convolution_kernels(storage);
  const auto bytes = static_cast<int64_t>(x.element_size());
  const int64_t step = block == nullptr ? 1 : block->pool;
  const int64_t out_rows = c.out_height / step * step;
  const Units units(c, cut_of(c, kernels.block_channels, bytes, out_rows, step), out_rows);
  const at::Tensor own_bias = padded_bias(bias, kernels);
  const float* const start = own_bias.defined() ? own_bias.data_ptr<float>() : nullptr;
  auto* const output = static_cast<char*>(y.data_ptr());
  const int64_t out_width = c.out_width / step;
  at::parallel_for(0, units.count, 1, [&](int64_t begin, int64_t end) {
    at::Tensor convolved;
    at::Tensor dense;
    const int64_t unit_elements = units.cut.images * units.cut.rows * c.out_width * units.cut.channels;
    if (block != nullptr) convolved = at::empty({unit_elements}, x.scalar_type());
    if (block != nullptr && units.channel_parts > 1) dense = at::empty_like(convolved);
    for (int64_t part = begin; part < end; ++part) {
      const ConvolutionUnit unit = units.at(c, out_rows, part);
      const int64_t first_row = unit.image_begin * (c.out_height / step) + unit.row_begin / step;
      char* const to = output + (first_row * out_width * c.out_channels + unit.channel_begin) * bytes;
      if (block == nullptr) {
        kernels.forward(c, unit, x.data_ptr(), weight.data_ptr(), start, to, c.out_channels);
        continue;
      }
      // The convolution's own output stays in the cache.
      kernels.forward(c, unit, x.data_ptr(), weight.data_ptr(), start, convolved.data_ptr(), unit.channels());
      const BlockArguments own = block_of_unit(*block, unit, c.out_width, convolved.data_ptr());
      if (units.channel_parts == 1) {
        block_kernels(storage).forward(own, 0, own.units(), to);
        continue;
      }
      block_kernels(storage).forward(own, 0, own.units(), dense.data_ptr());
      const auto* const from = static_cast<const char*>(dense.data_ptr());
      for (int64_t pixel = 0; pixel < own.units() * out_width; ++pixel) {
        std::copy_n(
            from + pixel * unit.channels() * bytes, unit.channels() * bytes, to + pixel * c.out_channels * bytes);
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
  if (is_float(x) && (!has_kernel(weight, geometry) || !is_faster)) {
    return at::conv2d(x, weight, bias, {geometry.stride, geometry.stride}, geometry.padding, {1, 1}, geometry.groups);
  }
  const at::Tensor y = empty_output(c, 1, x);
  convolve(c, channels_last(x), packed(weight, storage_of(x)), bias, nullptr, y);
  return y;
}

/// Adds up parts of the weight's and the bias's gradient, each [taps + 1, padded K], in their order.
std::array<at::Tensor, 2> add_parts(const ConvolutionArguments& c,
                                    const at::Tensor& partial,
                                    const at::Tensor& weight) {
  const int64_t parts = partial.size(0);
  const int64_t floats = partial.size(1);
  const int64_t padded = floats / (c.taps() + 1);
  const float* const sums = partial.data_ptr<float>();
  const at::TensorOptions options = partial.options();
  at::Tensor d_weight = at::empty(weight.sizes(), options.memory_format(at::MemoryFormat::ChannelsLast));
  at::Tensor d_bias = at::empty({c.out_channels}, options);
  float* const to = d_weight.data_ptr<float>();
  constexpr int64_t kBlock = 16;  // output channels of one cache line
  at::parallel_for(0, (c.out_channels + kBlock - 1) / kBlock, 1, [&](int64_t begin, int64_t end) {
    const int64_t last = std::min(end * kBlock, c.out_channels);
    for (int64_t k0 = begin * kBlock; k0 < last; k0 += kBlock) {
      const int64_t count = std::min(kBlock, last - k0);
      for (int64_t tap = 0; tap <= c.taps(); ++tap) {  // the bias stands behind the last tap
        float total[kBlock] = {};
        for (int64_t part = 0; part < parts; ++part) {
          const float* const line = sums + part * floats + tap * padded + k0;
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

/// dL/d weight and dL/d bias, both float32. Cut into parts of the images, whose number depends on the weight alone, and
/// where these are too few for the threads, into ranges of output channels, which no sum knows of.
std::array<at::Tensor, 2> weight_gradient(const at::Tensor& x_as_given,
                                          const at::Tensor& dy,
                                          const at::Tensor& weight,
                                          const Geometry& geometry) {
  const at::Tensor x = channels_last(x_as_given);
  const ConvolutionKernels& kernels = convolution_kernels(storage_of(x));
  const ConvolutionArguments c = arguments_of(x, weight, geometry);
  const int64_t parts = parts_of(weight, c.images);
  const int64_t padded = kernels.padded(c.out_channels);
  const int64_t floats = (c.taps() + 1) * padded;
  const int64_t blocks = (c.out_channels + kernels.block_channels - 1) / kernels.block_channels;
  const int64_t ranges = std::clamp<int64_t>((at::get_num_threads() + parts - 1) / parts, 1, blocks);
  const at::Tensor partial = at::zeros({parts, floats}, at::kFloat);
  float* const sums = partial.data_ptr<float>();
  at::parallel_for(0, parts * ranges, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t part = task / ranges;
      const int64_t range = task % ranges;
      ConvolutionUnit unit;
      unit.image_begin = c.images * part / parts;
      unit.image_end = c.images * (part + 1) / parts;
      unit.channel_begin = blocks * range / ranges * kernels.block_channels;
      unit.channel_end = std::min(blocks * (range + 1) / ranges * kernels.block_channels, c.out_channels);
      float* const own = sums + part * floats;
      kernels.weight_gradient(c, unit, x.data_ptr(), dy.data_ptr(), own, own + c.taps() * padded);
    }
  });
  return add_parts(c, partial, weight);
}

/// dL/dx of stride 1: every x is in the outputs that its turned kernel covers.
/// @source Dumoulin and Visin 2016, "A guide to convolution arithmetic", relationship 9
at::Tensor input_gradient(const at::Tensor& dy, const at::Tensor& weight, const Geometry& geometry) {
  const std::vector<int64_t> padding{weight.size(2) - 1 - geometry.padding[0],
                                     weight.size(3) - 1 - geometry.padding[1]};
  const bool is_faster = weight.numel() >= kManyWeights || dy.size(2) * dy.size(3) <= kFewPixels || !has_fast_library();
  if (is_float(dy) && (weight.size(1) % convolution_kernels().lanes != 0 || !is_faster)) {
    return at::conv2d(dy, channels_last(weight.flip({2, 3}).transpose(0, 1)), {}, {1, 1}, padding);
  }
  const ConvolutionArguments c = arguments_of(dy, weight.transpose(0, 1), {.padding = padding});
  const at::Tensor dx = empty_output(c, 1, dy);
  convolve(c, dy, packed_turned(weight, storage_of(dy)), {}, nullptr, dx);
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
  const bool is_own = !is_float(x);
  const bool turns = geometry.stride == 1 && geometry.groups == 1 && (is_own || x.size(1) > kFewChannels) &&
                     geometry.padding[0] < weight.size(2) && geometry.padding[1] < weight.size(3);
  if (needs_x && turns) {
    result[0] = input_gradient(dy, weight, geometry);
    needs_x = false;
  }
  const bool is_faster = (weight.numel() <= kMostWeights || !has_fast_library()) &&
                         parts_of(weight, x.size(0)) >= std::min<int64_t>(at::get_num_threads(), x.size(0));
  const bool has_own = is_own || (has_kernel(weight, geometry) && is_faster);
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
  auto [d_x, d_weight, d_bias] = at::convolution_backward(dy.to(at::kFloat),
                                                          x.to(at::kFloat),
                                                          weight,
                                                          bias_sizes,
                                                          stride,
                                                          geometry.padding,
                                                          {1, 1},
                                                          /*transposed=*/false,
                                                          {0, 0},
                                                          geometry.groups,
                                                          {needs_x, needs_weight, needs_bias});
  if (needs_x) result[0] = d_x.to(x.scalar_type());
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
  if (is_float(x) && (!has_kernel(call.weight, geometry) || !is_faster)) {
    const at::Tensor y = forward(x, call.weight, call.bias, geometry);
    return block == nullptr ? y : run_block(std::move(*block), y, {});
  }
  const at::Tensor weight = cache.of(call.weight, storage_of(x));
  const at::Tensor table = block == nullptr ? at::Tensor() : set_evaluation_table(*block, c.out_channels);
  const BlockArguments* const arguments = block == nullptr ? nullptr : &block->arguments;
  const at::Tensor y = empty_output(c, arguments == nullptr ? 1 : arguments->pool, x);
  convolve(c, channels_last(x), weight, call.bias, arguments, y);
  return y;
}

at::Tensor PackedWeights::of(const at::Tensor& weight, Storage storage) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t version = weight.unsafeGetTensorImpl()->version_counter().current_version();
  if (!packed_.defined() || !weight.is_alias_of(source_) || version != version_ || storage != storage_) {
    packed_ = packed(weight, storage);
    source_ = weight.detach();
    version_ = version;
    storage_ = storage;
  }
  return packed_;
}

at::Tensor run_dense(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  // One image of one row, whose pixels are the batch.
  const at::Tensor row = x.t().unsqueeze(0).unsqueeze(2);
  const at::Tensor y = run_convolution(row, weight.unsqueeze(2).unsqueeze(3), bias, 1, {0, 0}, 1);
  return y.squeeze(2).squeeze(0).t();
}

}  // namespace mien::network
