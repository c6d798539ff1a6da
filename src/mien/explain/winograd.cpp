#include "mien/explain/winograd.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

namespace mien::explain {
namespace {

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define MIEN_MULTIPLYING __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define MIEN_MULTIPLYING
#endif

constexpr int kKernel = 5;
constexpr int kStep = 4;                    // outputs of a tile along one side
constexpr int kTile = kStep + kKernel - 1;  // inputs
constexpr int kLanes = 16;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float))));

/// The one-dimensional algorithm y = output^T ((kernel g) * (input d)), from evaluating polynomials at kTile points,
/// infinity the last (Toom and Cook's multiplication, transposed). The points are Lavin's.
struct Matrices {
  at::Tensor kernel;  // [tile, kernel] double
  float input[kTile][kTile];
  float output[kStep][kTile];
};

const Matrices& matrices() {
  static const Matrices built = [] {
    const std::array<double, kTile - 1> points{0, 1, -1, 2, -2, 0.5, -0.5};
    const auto powers = [&](int64_t columns) {
      at::Tensor values = at::zeros({kTile, columns}, at::kDouble);
      auto view = values.accessor<double, 2>();
      for (int i = 0; i < kTile - 1; ++i) {
        double power = 1;
        for (int64_t j = 0; j < columns; ++j) {
          view[i][j] = power;
          power *= points[static_cast<size_t>(i)];
        }
      }
      view[kTile - 1][columns - 1] = 1;
      return values;
    };
    Matrices made{.kernel = powers(kKernel)};
    const at::Tensor input = at::linalg_inv(powers(kTile)).t().contiguous();
    const at::Tensor output = powers(kStep).t().contiguous();
    for (int i = 0; i < kTile; ++i) {
      for (int j = 0; j < kTile; ++j) made.input[i][j] = static_cast<float>(input.data_ptr<double>()[i * kTile + j]);
    }
    for (int i = 0; i < kStep; ++i) {
      for (int j = 0; j < kTile; ++j) made.output[i][j] = static_cast<float>(output.data_ptr<double>()[i * kTile + j]);
    }
    return made;
  }();
  return built;
}

/// matrix (rows x kTile) times a tile of kTile x kTile vectors times the matrix transposed; `stride` between results.
template <int rows>
inline __attribute__((always_inline)) void transform(const float (*matrix)[kTile],
                                                     const Lanes (*tile)[kTile],
                                                     Lanes (*result)[rows]) {
  Lanes half[rows][kTile];
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < kTile; ++j) {
      Lanes sum = matrix[i][0] * tile[0][j];
#pragma GCC unroll 8
      for (int k = 1; k < kTile; ++k) sum += matrix[i][k] * tile[k][j];
      half[i][j] = sum;
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < rows; ++j) {
      Lanes sum = matrix[j][0] * half[i][0];
#pragma GCC unroll 8
      for (int k = 1; k < kTile; ++k) sum += matrix[j][k] * half[i][k];
      result[i][j] = sum;
    }
  }
}

/// One tile of the input, kLanes channels from `in` on, to out[point * stride]. Rows and columns outside are zeros.
MIEN_MULTIPLYING void transform_input(const float (*matrix)[kTile],
                                      const float* in,
                                      int64_t top,
                                      int64_t left,
                                      int64_t height,
                                      int64_t width,
                                      int64_t channels,
                                      float* out,
                                      int64_t stride) {
  Lanes tile[kTile][kTile];
  for (int y = 0; y < kTile; ++y) {
    for (int x = 0; x < kTile; ++x) {
      const bool is_inside = top + y >= 0 && top + y < height && left + x >= 0 && left + x < width;
      if (is_inside) {
        std::memcpy(&tile[y][x], in + ((top + y) * width + left + x) * channels, sizeof(Lanes));
      } else {
        tile[y][x] = Lanes{};
      }
    }
  }
  Lanes result[kTile][kTile];
  transform<kTile>(matrix, tile, result);
  for (int i = 0; i < kTile * kTile; ++i) std::memcpy(out + i * stride, &result[i / kTile][i % kTile], sizeof(Lanes));
}

/// The other way: in[point * stride] to the tile's outputs that lie inside the image.
MIEN_MULTIPLYING void transform_output(const float (*matrix)[kTile],
                                       const float* in,
                                       int64_t stride,
                                       int64_t top,
                                       int64_t left,
                                       int64_t height,
                                       int64_t width,
                                       int64_t channels,
                                       float* out) {
  Lanes tile[kTile][kTile];
  for (int i = 0; i < kTile * kTile; ++i) std::memcpy(&tile[i / kTile][i % kTile], in + i * stride, sizeof(Lanes));
  Lanes result[kStep][kStep];
  transform<kStep>(matrix, tile, result);
  for (int y = 0; y < kStep && top + y < height; ++y) {
    for (int x = 0; x < kStep && left + x < width; ++x) {
      std::memcpy(out + ((top + y) * width + left + x) * channels, &result[y][x], sizeof(Lanes));
    }
  }
}

at::Tensor transform_weight(const at::Tensor& weight) {
  const at::Tensor& kernel = matrices().kernel;
  const at::Tensor points = at::matmul(at::matmul(kernel, weight.to(at::kDouble)), kernel.t());  // [out,in,tile,tile]
  return points.permute({2, 3, 1, 0})
      .reshape({kTile * kTile, weight.size(1), weight.size(0)})
      .to(at::kFloat)
      .contiguous();
}

struct TiledFunction : public torch::autograd::Function<TiledFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context,
                            const at::Tensor& input,
                            int64_t address,
                            int64_t height,
                            int64_t width) {
    // The objective that made this graph outlives it.
    context->saved_data["address"] = address;
    context->saved_data["height"] = input.size(2);
    context->saved_data["width"] = input.size(3);
    const auto& convolution = *reinterpret_cast<const TiledConvolution*>(address);
    return convolution.convolve(convolution.there(), input, height, width);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto& convolution = *reinterpret_cast<const TiledConvolution*>(context->saved_data["address"].toInt());
    return {convolution.convolve(convolution.back(),
                                 gradients[0],
                                 context->saved_data["height"].toInt(),
                                 context->saved_data["width"].toInt()),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

std::shared_ptr<const TiledConvolution> TiledConvolution::find(const network::Layer& layer,
                                                               const at::Tensor& weight,
                                                               const at::Tensor& bias) {
  const bool fits = layer.kernel_height == kKernel && layer.kernel_width == kKernel && layer.stride == 1 &&
                    layer.groups == 1 && weight.size(0) % kLanes == 0 && weight.size(1) % kLanes == 0 &&
                    layer.output_shape.height >= kStep && layer.output_shape.width >= kStep && weight.is_cpu();
  if (!fits) return nullptr;
  auto made = std::make_shared<TiledConvolution>();
  made->forward_ = {.inputs = weight.size(1),
                    .outputs = weight.size(0),
                    .padding_top = layer.padding.top,
                    .padding_left = layer.padding.left,
                    .transformed = transform_weight(weight.detach())};
  // The gradient is a convolution with the kernels turned round and inputs and outputs exchanged.
  made->backward_ = {.inputs = weight.size(0),
                     .outputs = weight.size(1),
                     .padding_top = kKernel - 1 - layer.padding.top,
                     .padding_left = kKernel - 1 - layer.padding.left,
                     .transformed = transform_weight(weight.detach().flip({2, 3}).transpose(0, 1))};
  made->bias_ = bias.defined() ? bias.detach().view({1, -1, 1, 1}) : bias;
  made->out_height_ = layer.output_shape.height;
  made->out_width_ = layer.output_shape.width;
  return made;
}

at::Tensor TiledConvolution::convolve(const Direction& direction,
                                      const at::Tensor& input,
                                      int64_t out_height,
                                      int64_t out_width) const {
  const at::Tensor values = input.permute({0, 2, 3, 1}).contiguous();
  const int64_t count = values.size(0);
  const int64_t height = values.size(1);
  const int64_t width = values.size(2);
  const int64_t down = (out_height + kStep - 1) / kStep;
  const int64_t across = (out_width + kStep - 1) / kStep;
  const int64_t tiles = count * down * across;
  const Matrices& with = matrices();
  at::Tensor points = at::empty({kTile * kTile, tiles, direction.inputs}, at::kFloat);
  at::Tensor products = at::empty({kTile * kTile, tiles, direction.outputs}, at::kFloat);
  at::Tensor output = at::empty({count, out_height, out_width, direction.outputs}, at::kFloat);
  const float* const in = values.data_ptr<float>();
  float* const point = points.data_ptr<float>();
  at::parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t image = tile / (down * across);
      const int64_t top = tile / across % down * kStep - direction.padding_top;
      const int64_t left = tile % across * kStep - direction.padding_left;
      for (int64_t c = 0; c < direction.inputs; c += kLanes) {
        transform_input(with.input,
                        in + image * height * width * direction.inputs + c,
                        top,
                        left,
                        height,
                        width,
                        direction.inputs,
                        point + tile * direction.inputs + c,
                        tiles * direction.inputs);
      }
    }
  });
  at::bmm_out(products, points, direction.transformed);
  const float* const product = products.data_ptr<float>();
  float* const out = output.data_ptr<float>();
  at::parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t image = tile / (down * across);
      for (int64_t c = 0; c < direction.outputs; c += kLanes) {
        transform_output(with.output,
                         product + tile * direction.outputs + c,
                         tiles * direction.outputs,
                         tile / across % down * kStep,
                         tile % across * kStep,
                         out_height,
                         out_width,
                         direction.outputs,
                         out + image * out_height * out_width * direction.outputs + c);
      }
    }
  });
  return output.permute({0, 3, 1, 2});
}

at::Tensor TiledConvolution::run(const at::Tensor& input) const {
  const at::Tensor output = TiledFunction::apply(input, reinterpret_cast<int64_t>(this), out_height_, out_width_);
  return bias_.defined() ? output + bias_ : output;
}

}  // namespace mien::explain
