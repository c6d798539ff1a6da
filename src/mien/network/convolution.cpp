#include "mien/network/convolution.h"

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include "mien/network/convolution_kernels.h"

namespace mien::network {
namespace {

using torch::autograd::variable_list;

constexpr int64_t kFewChannels = 4;            // input channels up to which the special forward kernel is the faster one
constexpr int64_t kMostWeights = 300'000;      // weights beyond which oneDNN's weight gradient is the faster one
constexpr int64_t kPartFloats = 4'000'000;     // of all partial weight gradients together
constexpr int64_t kMostParts = 16;

struct Geometry {
  int64_t stride = 1;
  std::vector<int64_t> padding;
  int64_t groups = 1;
};

at::Tensor channels_last(const at::Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

ConvolutionArguments arguments_of(const at::Tensor& x, const at::Tensor& weight, const Geometry& geometry) {
  const auto out = [&](int64_t size, int64_t kernel, int64_t pad) { return (size + 2 * pad - kernel) / geometry.stride + 1; };
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

/// Parts that the images are cut into, from the weight's size alone; 1 where there is one image.
int64_t parts_of(const at::Tensor& weight, int64_t images) {
  int64_t parts = kMostParts;
  while (parts > 2 && (parts > images || parts * weight.numel() > kPartFloats)) parts /= 2;
  return std::min(parts, images);
}

at::Tensor few_channels(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Geometry& geometry) {
  const ConvolutionArguments c = arguments_of(x, weight, geometry);
  const at::Tensor y = at::empty({c.images, c.out_channels, c.out_height, c.out_width},
                                 x.options().memory_format(at::MemoryFormat::ChannelsLast));
  // [K,C,kh,kw] in channels-last memory is [K, taps]; the kernel reads [taps, K].
  const at::Tensor by_tap = channels_last(weight).permute({0, 2, 3, 1}).reshape({c.out_channels, c.taps()}).t().contiguous();
  const at::Tensor input = channels_last(x);
  const float* const b = bias.defined() ? bias.data_ptr<float>() : nullptr;
  const auto run = [&](int64_t begin, int64_t end) {
    convolution_kernels().few_channels(c, input.data_ptr<float>(), by_tap.data_ptr<float>(), b, begin, end, y.data_ptr<float>());
  };
  at::parallel_for(0, c.images, 1, run);
  return y;
}

at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Geometry& geometry) {
  if (x.size(1) <= kFewChannels && has_kernel(weight, geometry)) return few_channels(x, weight, bias, geometry);
  return at::conv2d(x, weight, bias, {geometry.stride, geometry.stride}, geometry.padding, {1, 1}, geometry.groups);
}

/// dL/d weight and dL/d bias.
std::array<at::Tensor, 2> weight_gradient(const at::Tensor& x_as_given, const at::Tensor& dy, const at::Tensor& weight, const Geometry& geometry) {
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
  const at::Tensor turned = channels_last(weight.flip({2, 3}).transpose(0, 1));
  const std::vector<int64_t> padding{weight.size(2) - 1 - geometry.padding[0], weight.size(3) - 1 - geometry.padding[1]};
  return at::conv2d(dy, turned, {}, {1, 1}, padding);
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
  if (!x.defined()) throw std::logic_error("a fused convolution's backward pass ran a second time without retain_graph");
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
  const bool has_own = has_kernel(weight, geometry) && weight.numel() <= kMostWeights &&
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
  const std::shared_ptr<ConvolutionBackward> node(new ConvolutionBackward, torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(x, weight, bias));
  node->x = x.detach();
  node->weight = weight.detach();
  node->geometry = geometry;
  node->has_bias = bias.defined();
  torch::autograd::set_history(y, node);
  return y;
}

}  // namespace mien::network
