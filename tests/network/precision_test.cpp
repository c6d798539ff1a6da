// bf16: the kernels of this processor against the portable ones, both against float64, and whole networks.
#include "mien/network/precision.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "network/helpers.h"
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "mien/network/block.h"
#include "mien/network/convolution.h"
#include "mien/network/kernels/convolution_kernels.h"

namespace mien::network {
namespace {

std::vector<uint16_t> random_bf16(int64_t count, const std::string& purpose) {
  const at::Tensor values = random_tensor({count}, purpose).to(at::kBFloat16);
  const auto* const bits = static_cast<const uint16_t*>(values.data_ptr());
  return {bits, bits + count};
}

/// Weights [K, kernel height, taps of a kernel row] in the words of ConvolutionKernels::forward.
std::vector<uint16_t> words_of(const ConvolutionKernels& kernels,
                               const ConvolutionArguments& c,
                               const std::vector<uint16_t>& weight) {
  const int64_t run = c.kernel_width * c.channels;
  const int64_t steps = (run + 1) / 2;
  const int64_t padded = kernels.padded(c.out_channels);
  std::vector<uint16_t> words(static_cast<size_t>(padded * c.kernel_height * steps * 2));
  for (int64_t k = 0; k < c.out_channels; ++k) {
    const int64_t first = k / kernels.block_channels * kernels.block_channels;
    const int64_t width = std::min(kernels.block_channels, padded - first);
    for (int64_t row = 0; row < c.kernel_height; ++row) {
      for (int64_t i = 0; i < run; ++i) {
        const int64_t step = row * steps + i / 2;
        words[static_cast<size_t>(first * c.kernel_height * steps * 2 + (step * width + (k - first)) * 2 + i % 2)] =
            weight[static_cast<size_t>((k * c.kernel_height + row) * run + i)];
      }
    }
  }
  return words;
}

struct KernelResult {
  std::vector<uint16_t> y;
  std::vector<float> weight, bias;  // gradients, without the padding
};

KernelResult run_kernels(const ConvolutionKernels& kernels, const ConvolutionArguments& c) {
  const auto x = random_bf16(c.images * c.height * c.width * c.channels, "x");
  const auto dy = random_bf16(c.images * c.out_pixels() * c.out_channels, "dy");
  const auto words = words_of(kernels, c, random_bf16(c.out_channels * c.taps(), "weight"));
  const int64_t padded = kernels.padded(c.out_channels);
  std::vector<float> bias(static_cast<size_t>(padded));
  for (int64_t k = 0; k < c.out_channels; ++k) bias[static_cast<size_t>(k)] = 0.1F * static_cast<float>(k);
  KernelResult result;
  result.y.resize(dy.size());
  const ConvolutionUnit all{.image_end = c.images, .row_end = c.out_height, .channel_end = c.out_channels};
  kernels.forward(c, all, x.data(), words.data(), bias.data(), result.y.data(), c.out_channels);
  std::vector<float> d_weight(static_cast<size_t>(c.taps() * padded)), d_bias(static_cast<size_t>(padded));
  kernels.weight_gradient(c, all, x.data(), dy.data(), d_weight.data(), d_bias.data());
  for (int64_t i = 0; i < c.taps() * padded; ++i) {
    if (i % padded < c.out_channels) result.weight.push_back(d_weight[static_cast<size_t>(i)]);
  }
  result.bias.assign(d_bias.begin(), d_bias.begin() + c.out_channels);
  return result;
}

const std::vector<ConvolutionArguments>& kernel_cases() {
  const auto of = [](int64_t images,
                     int64_t channels,
                     int64_t side,
                     int64_t out_channels,
                     int64_t kernel,
                     int64_t stride,
                     int64_t pad) {
    const int64_t out = (side + 2 * pad - kernel) / stride + 1;
    return ConvolutionArguments{.images = images,
                                .height = side,
                                .width = side,
                                .channels = channels,
                                .out_height = out,
                                .out_width = out,
                                .out_channels = out_channels,
                                .kernel_height = kernel,
                                .kernel_width = kernel,
                                .stride = stride,
                                .pad_height = pad,
                                .pad_width = pad};
  };
  static const std::vector<ConvolutionArguments> cases{
      of(2, 1, 9, 32, 5, 1, 2),    // rows of an odd number of taps, odd width
      of(3, 3, 7, 8, 3, 2, 1),     // half a vector of output channels, stride
      of(2, 64, 6, 144, 3, 1, 1),  // several pieces of weights, tiles of 4, 4 and 1 vectors
      of(40, 16, 3, 24, 3, 1, 1),  // small images together, a vector in part
      of(1, 32, 24, 32, 3, 1, 1)};
  return cases;
}

TEST(Bf16Kernels, OfThisProcessorGiveThePortableOnesBits) {
  if (!has_bf16()) GTEST_SKIP() << "this processor has no AVX512-BF16";
  for (const ConvolutionArguments& c : kernel_cases()) {
    const KernelResult found = run_kernels(convolution_kernels(Storage::bf16), c);
    const KernelResult expected = run_kernels(portable_bf16_convolution_kernels(), c);
    const std::string text = fmt::format("{} to {}, kernel {}", c.channels, c.out_channels, c.kernel_height);
    EXPECT_EQ(found.y, expected.y) << text;
    EXPECT_EQ(found.weight, expected.weight) << text;
    EXPECT_EQ(found.bias, expected.bias) << text;
  }
}

TEST(Bf16Kernels, RoundEveryExponentAndTieToNearestEven) {
  std::vector<float> values{0.0F, -0.0F, INFINITY, -INFINITY, NAN, 3.4028235e38F, 1.17549435e-38F, 1.1e-38F};
  RandomStream random(3, "bits");
  for (uint32_t exponent = 1; exponent < 255; ++exponent) {
    for (const uint32_t tail : {0x0000U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      const auto upper = static_cast<uint32_t>(random.next()) & 0x807FU;
      values.push_back(std::bit_cast<float>(((upper | (exponent << 7)) << 16) | tail));
    }
  }
  for (const ConvolutionKernels* kernels :
       {&convolution_kernels(Storage::bf16), &portable_bf16_convolution_kernels()}) {
    // A convolution with a weight of 0 is its bias, rounded.
    const auto count = static_cast<int64_t>(values.size());
    const ConvolutionArguments c{.images = 1,
                                 .height = 1,
                                 .width = 1,
                                 .channels = 1,
                                 .out_height = 1,
                                 .out_width = 1,
                                 .out_channels = count,
                                 .kernel_height = 1,
                                 .kernel_width = 1};
    const std::vector<uint16_t> x{0}, weight(static_cast<size_t>(2 * kernels->padded(count)));
    std::vector<float> bias = values;
    bias.resize(static_cast<size_t>(kernels->padded(count)));
    std::vector<uint16_t> y(values.size());
    kernels->forward(
        c, {.image_end = 1, .row_end = 1, .channel_end = count}, x.data(), weight.data(), bias.data(), y.data(), count);
    for (size_t i = 0; i < values.size(); ++i) {
      const auto found = std::bit_cast<float>(static_cast<uint32_t>(y[i]) << 16);
      if (std::isnan(values[i])) {
        EXPECT_TRUE(std::isnan(found));
      } else if (std::abs(values[i]) < 1.17549435e-38F) {
        EXPECT_EQ(found, 0.0F);
      } else {
        EXPECT_EQ(found, static_cast<float>(c10::BFloat16(values[i]))) << values[i];
      }
    }
  }
}

struct Case {
  int64_t images, channels, side, out_channels, kernel, stride, pad;
  bool bias = true;
};

/// Output and gradients of a convolution of bf16, or of the same numbers in float64.
std::vector<at::Tensor> pass(const Case& c, bool own) {
  const auto rounded = [](const at::Tensor& t) { return t.to(at::kBFloat16); };
  const auto leaf = [](const at::Tensor& t) {
    return t.contiguous(t.suggest_memory_format()).detach().requires_grad_(true);
  };
  const at::ScalarType type = own ? at::kFloat : at::kDouble;
  const at::Tensor images = rounded(random_tensor({c.images, c.channels, c.side, c.side}, "x"));
  const at::Tensor x = leaf(own ? images : images.to(at::kDouble));
  const at::Tensor weight =
      leaf(rounded(random_tensor({c.out_channels, c.channels, c.kernel, c.kernel}, "weight")).to(type));
  const at::Tensor bias = c.bias ? leaf(random_tensor({c.out_channels}, "bias").to(type)) : at::Tensor();
  const at::Tensor y = own ? run_convolution(x, weight, bias, c.stride, {c.pad, c.pad}, 1)
                           : at::conv2d(x, weight, bias, {c.stride, c.stride}, {c.pad, c.pad});
  const at::Tensor dy = rounded(random_tensor(y.sizes().vec(), "dy")).to(y.scalar_type());
  torch::autograd::backward({y}, {dy});
  std::vector<at::Tensor> results{y.detach(), x.grad(), weight.grad()};
  if (c.bias) results.push_back(bias.grad());
  return results;
}

TEST(Bf16Convolution, IsItsRoundedOutputAndGradientsOfEveryShape) {
  static const char* const kNames[] = {"output", "dx", "d weight", "d bias"};
  constexpr double kRounding = 1.0 / 256;  // half a unit in the last place of bf16, of numbers up to the largest
  for (const Case& c : {Case{3, 1, 9, 32, 5, 1, 2},
                        Case{2, 3, 8, 7, 3, 1, 1, false},
                        Case{2, 5, 7, 80, 3, 2, 1},
                        Case{33, 16, 3, 40, 3, 1, 1},
                        Case{2, 32, 20, 48, 3, 1, 0},
                        Case{2, 8, 6, 112, 1, 1, 0},
                        Case{1, 64, 6, 600, 1, 1, 0}}) {
    const auto found = pass(c, true);
    const auto expected = pass(c, false);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].scalar_type(), i < 2 ? at::kBFloat16 : at::kFloat);
      EXPECT_LT(relative_difference(found[i].to(at::kDouble), expected[i]), i < 2 ? kRounding : 2e-6)
          << kNames[i] << " of " << c.channels << " to " << c.out_channels << ", kernel " << c.kernel << ", stride "
          << c.stride;
    }
  }
}

TEST(Bf16Convolution, GivesTheSameBitsOnOneThreadAndOnFive) {
  const int before = at::get_num_threads();
  for (const Case& c : {Case{16, 16, 12, 32, 3, 1, 1}, Case{1, 128, 5, 256, 3, 1, 1}}) {
    at::set_num_threads(1);
    const auto one = pass(c, true);
    at::set_num_threads(5);
    const auto five = pass(c, true);
    for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], five[i])) << i;
  }
  at::set_num_threads(before);
}

TEST(Bf16Dense, IsLibtorchsLinear) {
  const at::Tensor x = random_tensor({9, 50}, "x").to(at::kBFloat16).requires_grad_(true);
  const at::Tensor weight = random_tensor({40, 50}, "weight").to(at::kBFloat16).to(at::kFloat).requires_grad_(true);
  const at::Tensor bias = random_tensor({40}, "bias").requires_grad_(true);
  const at::Tensor y = run_dense(x, weight, bias);
  const at::Tensor dy = random_tensor({9, 40}, "dy").to(at::kBFloat16);
  torch::autograd::backward({y}, {dy});
  const at::NoGradGuard no_grad;
  const auto d = [](const at::Tensor& t) { return t.detach().to(at::kDouble); };
  EXPECT_LT(relative_difference(d(y), at::linear(d(x), d(weight), d(bias))), 1.0 / 256);
  EXPECT_LT(relative_difference(d(x.grad()), d(dy).matmul(d(weight))), 1.0 / 256);
  EXPECT_LT(relative_difference(d(weight.grad()), d(dy).t().matmul(d(x))), 2e-6);
  EXPECT_LT(relative_difference(d(bias.grad()), d(dy).sum(0)), 2e-6);
}

/// Gradients of a loss in training mode, all in one row.
at::Tensor gradients_of(const Network& network, const at::Tensor& images, Precision precision) {
  at::Tensor loss;
  {
    const PrecisionScope scope(precision);
    const at::Tensor logits = network.forward(images, Mode::training);
    EXPECT_EQ(logits.scalar_type(), at::kFloat);
    loss = (logits * random_tensor(logits.sizes().vec(), "wanted")).sum();
  }
  std::vector<at::Tensor> rows;
  for (const at::Tensor& gradient : torch::autograd::grad({loss}, network.trainable())) {
    EXPECT_EQ(gradient.scalar_type(), at::kFloat);
    rows.push_back(gradient.flatten());
  }
  return at::cat(rows).to(at::kDouble);
}

class EveryNetworkInBf16 : public testing::TestWithParam<std::string> {};

TEST_P(EveryNetworkInBf16, HasFloat32sLogitsAndTheDirectionOfItsGradient) {
  const Network network(load_graph(GetParam()), 1);
  // Images that differ: of noise alone, which all networks see alike, a batch norm over a few of them is but rounding.
  at::Tensor images = random_images(network.graph(), network.graph().multiply_adds() > 500'000'000 ? 8 : 48);
  for (int64_t i = 0; i < images.size(0); ++i) images[i].slice(1, 0, 3 * i).mul_(0.1 * static_cast<double>(i % 5));
  const auto seed = [] {
    at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
    generator.set_current_seed(5);
  };
  seed();
  const at::Tensor exact = gradients_of(network, images, Precision::float32);
  seed();
  const at::Tensor found = gradients_of(network, images, Precision::bf16);
  const double cosine = (exact.dot(found) / (exact.norm() * found.norm())).item<double>();
  EXPECT_GT(cosine, 0.9) << GetParam();

  const at::NoGradGuard no_grad;
  const at::Tensor logits = network.forward(images, Mode::evaluation);
  const PrecisionScope scope(Precision::bf16);
  EXPECT_LT(relative_difference(network.forward(images, Mode::evaluation), logits), 0.05) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(
    BuiltIn,
    EveryNetworkInBf16,
    testing::Values("leaky4", "dnn3", "plain6", "mien-nano", "mien-small", "resnet18-48", "tiny-mobile"),
    [](const auto& chosen) {
      std::string name = chosen.param;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(Precision, OfAPassIsThatOfTheScopeItStartsIn) {
  EXPECT_EQ(PrecisionScope::current(), Precision::float32);
  {
    const PrecisionScope outer(Precision::bf16);
    {
      const PrecisionScope inner(Precision::float32);
      EXPECT_EQ(PrecisionScope::current(), Precision::float32);
    }
    EXPECT_EQ(PrecisionScope::current(), Precision::bf16);
  }
  EXPECT_EQ(PrecisionScope::current(), Precision::float32);
}

TEST(Precision, AutoIsBf16WhereTheProcessorHasItAndBf16SaysWhereItHasNot) {
  EXPECT_EQ(parse_precision("float32"), Precision::float32);
  EXPECT_EQ(parse_precision("auto"), has_bf16() ? Precision::bf16 : Precision::float32);
  if (has_bf16()) {
    EXPECT_EQ(parse_precision("bf16"), Precision::bf16);
  } else {
    EXPECT_EQ(error_of([] { parse_precision("bf16"); }),
              "failed: cannot compute in bf16: this processor has no AVX512-BF16. hint: --precision auto is bf16 where "
              "the processor has it and float32 elsewhere");
  }
}

}  // namespace
}  // namespace mien::network
