#include "mien/explain/units/evaluation_block.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "mien/network/channel_affine.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Layer;
using network::LayerKind;
using network::Network;

// The build targets any x86-64; these loops are worth compiling for what the machine has. "fma" stands for AVX with
// fused multiply-add: "avx2" alone leaves it out, and a clone has one name.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define MIEN_SELECTING __attribute__((target_clones("avx512f", "avx2", "default")))
#define MIEN_MULTIPLYING __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define MIEN_SELECTING
#define MIEN_MULTIPLYING
#endif

constexpr int64_t kLanes = 8;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float))));

int64_t padded(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

/// The pointwise part of a channel: after(max over the window of factor2 * leaky(factor1 * x + offset1) + offset2).
struct Pointwise {
  std::vector<float> factor1, offset1, factor2, offset2, factor3, offset3;  // each [channels]
  float negative_slope = 1;                                                 // 1: no activation
};

/// Output values, slopes (output over the chosen window position's input) and chosen positions of one output pixel,
/// from its window's inputs, `window[k]` a row of channels each.
MIEN_SELECTING void choose(const Pointwise& pointwise,
                           const float* const* window,
                           int64_t positions,
                           int64_t channels,
                           float* __restrict value,
                           float* __restrict slope,
                           int32_t* __restrict chosen) {
  const float* __restrict f1 = pointwise.factor1.data();
  const float* __restrict o1 = pointwise.offset1.data();
  const float* __restrict f2 = pointwise.factor2.data();
  const float* __restrict o2 = pointwise.offset2.data();
  const float* __restrict f3 = pointwise.factor3.data();
  const float* __restrict o3 = pointwise.offset3.data();
  const float negative = pointwise.negative_slope;
  for (int64_t k = 0; k < positions; ++k) {
    const float* __restrict x = window[k];
    const auto index = static_cast<int32_t>(k);
    if (k == 0) {
      for (int64_t c = 0; c < channels; ++c) {
        const float z = f1[c] * x[c] + o1[c];
        const float s = z > 0 ? 1.0F : negative;
        value[c] = f2[c] * (s * z) + o2[c];
        slope[c] = s;
        chosen[c] = 0;
      }
      continue;
    }
    for (int64_t c = 0; c < channels; ++c) {
      const float z = f1[c] * x[c] + o1[c];
      const float s = z > 0 ? 1.0F : negative;
      const float y = f2[c] * (s * z) + o2[c];
      const bool is_larger = y > value[c];
      value[c] = is_larger ? y : value[c];
      slope[c] = is_larger ? s : slope[c];
      chosen[c] = is_larger ? index : chosen[c];
    }
  }
  for (int64_t c = 0; c < channels; ++c) {
    value[c] = f3[c] * value[c] + o3[c];
    slope[c] *= f1[c] * f2[c] * f3[c];
  }
}

/// Four positions' convolutions: out[p][c] = bias[c] + sum_t x[p][offset[t]] * weight[t][c]; channels a multiple of
/// kLanes.
MIEN_MULTIPLYING void convolve_four(const float* const* x,
                                    const int64_t* offset,
                                    int64_t taps,
                                    const float* weight,
                                    const float* bias,
                                    int64_t channels,
                                    float* const* out) {
  for (int64_t c = 0; c < channels; c += 2 * kLanes) {
    const bool has_second = c + kLanes < channels;
    Lanes sum[4][2];
    for (auto& row : sum) {
      std::memcpy(&row[0], bias + c, sizeof(Lanes));
      std::memcpy(&row[1], bias + (has_second ? c + kLanes : c), sizeof(Lanes));
    }
    for (int64_t t = 0; t < taps; ++t) {
      Lanes first, second;
      std::memcpy(&first, weight + t * channels + c, sizeof(Lanes));
      std::memcpy(&second, weight + t * channels + (has_second ? c + kLanes : c), sizeof(Lanes));
#pragma GCC unroll 4
      for (int p = 0; p < 4; ++p) {
        const float value = x[p][offset[t]];
        sum[p][0] += value * first;
        sum[p][1] += value * second;
      }
    }
    for (int p = 0; p < 4; ++p) {
      std::memcpy(out[p] + c, &sum[p][0], sizeof(Lanes));
      if (has_second) std::memcpy(out[p] + c + kLanes, &sum[p][1], sizeof(Lanes));
    }
  }
}

/// sums[chosen[c]][t] += gradient[c] * slope[c] * weight[c][t] over all channels; taps a multiple of kLanes.
MIEN_MULTIPLYING void spread(const float* gradient,
                             const float* slope,
                             const uint8_t* chosen,
                             int64_t channels,
                             const float* weight,
                             int64_t taps,
                             float* sums) {
  for (int64_t c = 0; c < channels; ++c) {
    const float value = gradient[c] * slope[c];
    if (value == 0) continue;  // most are behind a ReLU that is off
    const float* __restrict w = weight + c * taps;
    float* __restrict sum = sums + chosen[c] * taps;
    for (int64_t t = 0; t < taps; ++t) sum[t] += value * w[t];
  }
}

/// Writes one window of the input's gradient: gradient * slope where position k was chosen, 0 elsewhere.
MIEN_SELECTING void place(const float* __restrict gradient,
                          const float* __restrict slope,
                          const int32_t* __restrict chosen,
                          int64_t channels,
                          int32_t k,
                          float* __restrict out) {
  for (int64_t c = 0; c < channels; ++c) out[c] = chosen[c] == k ? gradient[c] * slope[c] : 0.0F;
}

std::vector<float> to_vector(const at::Tensor& values) {
  const at::Tensor flat = values.detach().contiguous().flatten();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

/// Values of an NCHW tensor that is channels-last, as [N,H,W,C] row-major. Strides of sizes of 1 say nothing, so the
/// memory of a channels-last tensor is taken through a permutation.
at::Tensor as_nhwc(const at::Tensor& x) { return x.permute({0, 2, 3, 1}).contiguous(); }

}  // namespace

struct EvaluationBlock::Impl {
  int last = 0;
  int64_t channels = 0;  // of the output
  int64_t pool = 1;      // side of the window
  Pointwise pointwise;

  bool has_convolution = false;
  Layer conv;
  int64_t channels_padded = 0;  // of the output
  int64_t taps = 0, taps_padded = 0;
  std::vector<float> weight;             // [taps, channels_padded]
  std::vector<float> weight_transposed;  // [channels, taps_padded]
  std::vector<float> bias;               // [channels_padded]

  struct Forward {
    at::Tensor output;  // [N,H,W,C]
    at::Tensor slopes;  // [N,H,W,C]
    at::Tensor chosen;  // [N,H,W,C] uint8
  };

  struct Sizes {
    int64_t count, height, width;  // of what is pooled
    int64_t out_height, out_width;
  };

  Sizes sizes_of(const at::Tensor& input) const {
    Sizes sizes{.count = input.size(0), .height = input.size(2), .width = input.size(3)};
    if (has_convolution) {
      sizes.height = conv.output_shape.height;
      sizes.width = conv.output_shape.width;
    }
    sizes.out_height = sizes.height / pool;
    sizes.out_width = sizes.width / pool;
    return sizes;
  }

  Forward empty_forward(const Sizes& sizes) const {
    const std::vector<int64_t> shape{sizes.count, sizes.out_height, sizes.out_width, channels};
    return {.output = at::empty(shape, at::kFloat),
            .slopes = at::empty(shape, at::kFloat),
            .chosen = at::empty(shape, at::kByte)};
  }

  Forward forward(const at::Tensor& input) const {
    const Sizes sizes = sizes_of(input);
    Forward result = empty_forward(sizes);
    const at::Tensor values = as_nhwc(input);
    if (has_convolution) {
      forward_convolution(values, sizes, result);
    } else {
      forward_pointwise(values, sizes, result);
    }
    return result;
  }

  void store(const int32_t* chosen, uint8_t* out) const {
    for (int64_t c = 0; c < channels; ++c) out[c] = static_cast<uint8_t>(chosen[c]);
  }

  void forward_pointwise(const at::Tensor& values, const Sizes& sizes, Forward& result) const {
    const float* const in = values.data_ptr<float>();
    float* const out = result.output.data_ptr<float>();
    float* const slopes = result.slopes.data_ptr<float>();
    auto* const chosen = result.chosen.data_ptr<uint8_t>();
    at::parallel_for(0, sizes.count * sizes.out_height, 1, [&](int64_t begin, int64_t end) {
      std::vector<const float*> window(static_cast<size_t>(pool * pool));
      std::vector<int32_t> index(static_cast<size_t>(channels));
      for (int64_t row = begin; row < end; ++row) {
        const int64_t image = row / sizes.out_height;
        const int64_t top = row % sizes.out_height * pool;
        for (int64_t x = 0; x < sizes.out_width; ++x) {
          for (int64_t k = 0; k < pool * pool; ++k) {
            const int64_t pixel = (image * sizes.height + top + k / pool) * sizes.width + x * pool + k % pool;
            window[static_cast<size_t>(k)] = in + pixel * channels;
          }
          const int64_t at = (row * sizes.out_width + x) * channels;
          choose(pointwise, window.data(), pool * pool, channels, out + at, slopes + at, index.data());
          store(index.data(), chosen + at);
        }
      }
    });
  }

  int64_t padded_height() const { return conv.input_shape.height + conv.padding.top + conv.padding.bottom; }
  int64_t padded_width() const { return conv.input_shape.width + conv.padding.left + conv.padding.right; }

  void forward_convolution(const at::Tensor& values, const Sizes& sizes, Forward& result) const {
    const int64_t depth = conv.input_shape.channels;
    const int64_t row_length = padded_width() * depth;
    const float* const in = values.data_ptr<float>();
    std::vector<int64_t> offset;  // of each tap from a window's first value
    for (int64_t y = 0; y < conv.kernel_height; ++y) {
      for (int64_t x = 0; x < conv.kernel_width * depth; ++x) offset.push_back(y * row_length + x);
    }
    const int64_t positions = pool * pool;
    const int64_t rounds = (positions + 3) / 4;
    at::parallel_for(0, sizes.count, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> image(static_cast<size_t>(padded_height() * row_length));
      std::vector<float> sums(static_cast<size_t>(rounds * 4 * channels_padded));
      std::vector<int32_t> index(static_cast<size_t>(channels));
      std::vector<const float*> from(static_cast<size_t>(rounds * 4));
      std::vector<float*> to(static_cast<size_t>(rounds * 4));
      std::vector<const float*> window(to.size());
      for (size_t k = 0; k < to.size(); ++k) {
        to[k] = sums.data() + static_cast<int64_t>(k) * channels_padded;
        window[k] = to[k];
      }
      for (int64_t n = begin; n < end; ++n) {
        for (int64_t y = 0; y < conv.input_shape.height; ++y) {
          const int64_t length = conv.input_shape.width * depth;
          std::memcpy(image.data() + (y + conv.padding.top) * row_length + conv.padding.left * depth,
                      in + (n * conv.input_shape.height + y) * length,
                      static_cast<size_t>(length) * sizeof(float));
        }
        for (int64_t out_y = 0; out_y < sizes.out_height; ++out_y) {
          for (int64_t out_x = 0; out_x < sizes.out_width; ++out_x) {
            for (int64_t k = 0; k < rounds * 4; ++k) {
              const int64_t position = std::min(k, positions - 1);
              const int64_t y = (out_y * pool + position / pool) * conv.stride;
              const int64_t x = (out_x * pool + position % pool) * conv.stride;
              from[static_cast<size_t>(k)] = image.data() + y * row_length + x * depth;
            }
            for (int64_t round = 0; round < rounds; ++round) {
              convolve_four(from.data() + 4 * round,
                            offset.data(),
                            taps,
                            weight.data(),
                            bias.data(),
                            channels_padded,
                            to.data() + 4 * round);
            }
            const int64_t at = ((n * sizes.out_height + out_y) * sizes.out_width + out_x) * channels;
            choose(pointwise,
                   window.data(),
                   positions,
                   channels,
                   result.output.data_ptr<float>() + at,
                   result.slopes.data_ptr<float>() + at,
                   index.data());
            store(index.data(), result.chosen.data_ptr<uint8_t>() + at);
          }
        }
      }
    });
  }

  /// Gradient with respect to the input, [N,C,H,W], from that with respect to the output.
  at::Tensor backward(const at::Tensor& gradient,
                      const at::Tensor& slopes,
                      const at::Tensor& chosen,
                      at::IntArrayRef shape) const {
    const at::Tensor values = as_nhwc(gradient);
    at::Tensor result = at::zeros({shape[0], shape[2], shape[3], shape[1]}, at::kFloat);
    if (has_convolution) {
      backward_convolution(values, slopes, chosen, result);
    } else {
      backward_pointwise(values, slopes, chosen, result);
    }
    return result.permute({0, 3, 1, 2});
  }

  void backward_pointwise(const at::Tensor& gradient,
                          const at::Tensor& slopes,
                          const at::Tensor& chosen,
                          at::Tensor& result) const {
    const float* const in = gradient.data_ptr<float>();
    const float* const slope = slopes.data_ptr<float>();
    const auto* const choice = chosen.data_ptr<uint8_t>();
    float* const out = result.data_ptr<float>();
    const int64_t height = result.size(1);
    const int64_t width = result.size(2);
    const int64_t out_height = height / pool;
    const int64_t out_width = width / pool;
    at::parallel_for(0, result.size(0) * out_height, 1, [&](int64_t begin, int64_t end) {
      std::vector<int32_t> index(static_cast<size_t>(channels));
      for (int64_t row = begin; row < end; ++row) {
        const int64_t image = row / out_height;
        const int64_t top = row % out_height * pool;
        for (int64_t x = 0; x < out_width; ++x) {
          const int64_t at = (row * out_width + x) * channels;
          for (int64_t c = 0; c < channels; ++c) index[static_cast<size_t>(c)] = choice[at + c];
          for (int64_t k = 0; k < pool * pool; ++k) {
            const int64_t pixel = (image * height + top + k / pool) * width + x * pool + k % pool;
            place(in + at, slope + at, index.data(), channels, static_cast<int32_t>(k), out + pixel * channels);
          }
        }
      }
    });
  }

  void backward_convolution(const at::Tensor& gradient,
                            const at::Tensor& slopes,
                            const at::Tensor& chosen,
                            at::Tensor& result) const {
    const int64_t depth = conv.input_shape.channels;
    const int64_t row_length = padded_width() * depth;
    const int64_t out_height = gradient.size(1);
    const int64_t out_width = gradient.size(2);
    const int64_t positions = pool * pool;
    at::parallel_for(0, gradient.size(0), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> image(static_cast<size_t>(padded_height() * row_length));
      std::vector<float> sums(static_cast<size_t>(positions * taps_padded));
      for (int64_t n = begin; n < end; ++n) {
        std::fill(image.begin(), image.end(), 0.0F);
        for (int64_t out_y = 0; out_y < out_height; ++out_y) {
          for (int64_t out_x = 0; out_x < out_width; ++out_x) {
            std::fill(sums.begin(), sums.end(), 0.0F);
            const int64_t at = ((n * out_height + out_y) * out_width + out_x) * channels;
            spread(gradient.data_ptr<float>() + at,
                   slopes.data_ptr<float>() + at,
                   chosen.data_ptr<uint8_t>() + at,
                   channels,
                   weight_transposed.data(),
                   taps_padded,
                   sums.data());
            for (int64_t k = 0; k < positions; ++k) {
              const int64_t y = (out_y * pool + k / pool) * conv.stride;
              const int64_t x = (out_x * pool + k % pool) * conv.stride;
              const float* sum = sums.data() + k * taps_padded;
              for (int64_t ky = 0; ky < conv.kernel_height; ++ky) {
                float* const row = image.data() + (y + ky) * row_length + x * depth;
                for (int64_t i = 0; i < conv.kernel_width * depth; ++i) row[i] += *sum++;
              }
            }
          }
        }
        float* const out = result.data_ptr<float>() + n * conv.input_shape.elements();
        for (int64_t y = 0; y < conv.input_shape.height; ++y) {
          const int64_t length = conv.input_shape.width * depth;
          std::memcpy(out + y * length,
                      image.data() + (y + conv.padding.top) * row_length + conv.padding.left * depth,
                      static_cast<size_t>(length) * sizeof(float));
        }
      }
    });
  }
};

namespace {

struct BlockFunction : public torch::autograd::Function<BlockFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, int64_t block) {
    // The objective that made this graph outlives it.
    const auto& impl = *reinterpret_cast<const EvaluationBlock::Impl*>(block);
    auto result = impl.forward(input);
    context->save_for_backward({result.slopes, result.chosen});
    context->saved_data["block"] = block;
    context->saved_data["shape"] = input.sizes().vec();
    return result.output.permute({0, 3, 1, 2});
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto& impl = *reinterpret_cast<const EvaluationBlock::Impl*>(context->saved_data["block"].toInt());
    const auto saved = context->get_saved_variables();
    const auto shape = context->saved_data["shape"].toIntVector();
    return {impl.backward(gradients[0], saved[0], saved[1], shape), at::Tensor()};
  }
};

/// The longest sums that the direct convolution takes; libtorch's is the faster one beyond.
constexpr int64_t kMostTaps = 128;

}  // namespace

EvaluationBlock::EvaluationBlock(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
EvaluationBlock::~EvaluationBlock() = default;
int EvaluationBlock::last() const { return impl_->last; }

at::Tensor EvaluationBlock::run(const at::Tensor& input) const {
  return BlockFunction::apply(input, reinterpret_cast<int64_t>(impl_.get()));
}

std::unique_ptr<EvaluationBlock> EvaluationBlock::find(const Network& network,
                                                       int first,
                                                       const std::vector<bool>& goes_on) {
  const Graph& graph = network.graph();
  const auto node = [&](int index) -> const Layer& { return graph.layers[static_cast<size_t>(index)]; };
  if (!network.tensors().empty() && !network.tensors().front().is_cpu()) return nullptr;
  if (node(first).output_shape.is_flat) return nullptr;
  auto impl = std::make_shared<Impl>();
  impl->channels = node(first).output_shape.channels;
  int index = first;
  bool is_first_taken = false;
  const Layer& start = node(first);
  if (start.kind == LayerKind::conv && start.inputs.front() == 0 && start.groups == 1 &&
      start.kernel_height * start.kernel_width * start.input_shape.channels <= kMostTaps) {
    impl->has_convolution = true;
    impl->conv = start;
    is_first_taken = true;
  }
  const auto ones = [&] { return at::ones({impl->channels}, at::kFloat); };
  const auto zeros = [&] { return at::zeros({impl->channels}, at::kFloat); };
  at::Tensor factor[3] = {ones(), ones(), ones()};
  at::Tensor offset[3] = {zeros(), zeros(), zeros()};
  int stage = 0;  // 0: before the activation, 1: before the pool, 2: behind it
  int taken = is_first_taken ? 1 : 0;
  int pointwise_layers = 0;
  while (true) {
    const int next = first + taken;
    if (next >= static_cast<int>(graph.layers.size())) break;
    // A layer that reads something else than the one before it begins another path.
    if (taken > 0 && (!goes_on[static_cast<size_t>(next - 1)] || node(next).inputs != std::vector<int>{next - 1}))
      break;
    const Layer& layer = node(next);
    bool fits = true;
    switch (layer.kind) {
      case LayerKind::dropout:
        break;
      case LayerKind::relu:
      case LayerKind::leaky_relu:
        fits = stage == 0;
        if (!fits) break;
        impl->pointwise.negative_slope =
            layer.kind == LayerKind::relu ? 0.0F : static_cast<float>(layer.negative_slope);
        stage = 1;
        break;
      case LayerKind::batch_norm: {
        const network::ChannelAffine affine = network::channel_affine(network, layer);
        factor[stage] = factor[stage] * affine.scale;
        offset[stage] = offset[stage] * affine.scale + affine.shift;
        break;
      }
      case LayerKind::max_pool:
        fits = stage < 2 && layer.kernel_height == layer.kernel_width && layer.stride == layer.kernel_height &&
               layer.padding == network::Padding{} && layer.kernel_height * layer.kernel_width <= 255;
        if (!fits) break;
        impl->pool = layer.kernel_height;
        stage = 2;
        break;
      default:
        fits = false;
    }
    if (!fits) break;
    index = next;
    ++taken;
    ++pointwise_layers;
  }
  if (pointwise_layers == 0 && !impl->has_convolution) return nullptr;
  impl->last = index;
  impl->pointwise.factor1 = to_vector(factor[0]);
  impl->pointwise.offset1 = to_vector(offset[0]);
  impl->pointwise.factor2 = to_vector(factor[1]);
  impl->pointwise.offset2 = to_vector(offset[1]);
  impl->pointwise.factor3 = to_vector(factor[2]);
  impl->pointwise.offset3 = to_vector(offset[2]);
  if (impl->has_convolution) {
    impl->taps = start.kernel_height * start.kernel_width * start.input_shape.channels;
    impl->taps_padded = padded(impl->taps);
    impl->channels_padded = padded(impl->channels);
    const at::Tensor by_tap =
        network.tensor(start.name + ".weight").detach().permute({2, 3, 1, 0}).reshape({impl->taps, impl->channels});
    impl->weight = to_vector(at::constant_pad_nd(by_tap, {0, impl->channels_padded - impl->channels}));
    impl->weight_transposed = to_vector(at::constant_pad_nd(by_tap.t(), {0, impl->taps_padded - impl->taps}));
    const at::Tensor bias = start.bias ? network.tensor(start.name + ".bias").detach() : zeros();
    impl->bias = to_vector(at::constant_pad_nd(bias, {0, impl->channels_padded - impl->channels}));
  }
  return std::unique_ptr<EvaluationBlock>(new EvaluationBlock(std::move(impl)));
}

}  // namespace mien::explain
