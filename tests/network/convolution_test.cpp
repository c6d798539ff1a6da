// The convolution's own kernels against libtorch's convolution in float64.
#include "mien/network/convolution.h"

#include <string>
#include <vector>

#include "network/helpers.h"
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "mien/core/random.h"
#include "mien/network/block.h"

namespace mien::network {
namespace {

struct Case {
  int64_t images, channels, height, width, out_channels, kernel_height, kernel_width, stride;
  std::vector<int64_t> padding;
  bool bias = true;
  int64_t groups = 1;

  std::string text() const {
    return fmt::format("{}x{}x{}x{} to {}, kernel {}x{}, stride {}, padding {}, groups {}",
                       images,
                       channels,
                       height,
                       width,
                       out_channels,
                       kernel_height,
                       kernel_width,
                       stride,
                       fmt::join(padding, "x"),
                       groups);
  }
};

/// Output and gradients of x, weight and bias.
std::vector<at::Tensor> pass(const Case& c, bool own, at::ScalarType type) {
  const auto leaf = [&](const at::Tensor& t) {
    return (t.dim() == 4 ? t.to(type).contiguous(at::MemoryFormat::ChannelsLast) : t.to(type))
        .detach()
        .requires_grad_(true);
  };
  const at::Tensor x = leaf(random_tensor({c.images, c.channels, c.height, c.width}, "x"));
  const at::Tensor weight =
      leaf(random_tensor({c.out_channels, c.channels / c.groups, c.kernel_height, c.kernel_width}, "weight"));
  const at::Tensor bias = c.bias ? leaf(random_tensor({c.out_channels}, "bias")) : at::Tensor();
  const at::Tensor y = own ? run_convolution(x, weight, bias, c.stride, c.padding, c.groups)
                           : at::conv2d(x, weight, bias, {c.stride, c.stride}, c.padding, {1, 1}, c.groups);
  torch::autograd::backward({(y * random_tensor(y.sizes().vec(), "weights").to(type)).sum()}, {});
  std::vector<at::Tensor> results{y.detach(), x.grad(), weight.grad()};
  if (c.bias) results.push_back(bias.grad());
  return results;
}

TEST(Convolution, OfEveryShapeIsLibtorchs) {
  static const char* const kNames[] = {"output", "dx", "d weight", "d bias"};
  const std::vector<Case> cases{
      {3, 1, 12, 9, 32, 5, 5, 1, {2, 2}},        // few channels, odd width
      {2, 1, 7, 7, 16, 3, 3, 2, {1, 1}, false},  // stride
      {2, 3, 9, 8, 48, 3, 4, 1, {0, 1}},         // sides that differ
      {5, 4, 6, 6, 80, 3, 3, 1, {1, 1}},         // a tile of four vectors and one of one
      {1, 20, 8, 8, 64, 3, 3, 1, {1, 1}},        // one image
      {33, 16, 3, 3, 32, 3, 3, 1, {1, 1}},       // more images than parts, many in a chunk
      {2, 16, 40, 33, 16, 3, 3, 1, {0, 0}},      // an image larger than a chunk
      {2, 32, 9, 9, 16, 3, 3, 2, {1, 1}, false},
      {2, 8, 6, 6, 112, 1, 1, 1, {0, 0}},
      {2, 8, 6, 6, 7, 3, 3, 1, {1, 1}},  // no whole vector of output channels
      {2, 16, 6, 6, 16, 3, 3, 1, {1, 1}, false, 16},
      {2, 16, 5, 5, 32, 3, 3, 1, {4, 4}},  // more padding than the turned kernel has
  };
  for (const Case& c : cases) {
    const auto found = pass(c, true, at::kFloat);
    const auto expected = pass(c, false, at::kDouble);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_LT(relative_difference(found[i].to(at::kDouble), expected[i]), 2e-6) << kNames[i] << " of " << c.text();
    }
  }
}

TEST(Convolution, GivesTheSameWeightGradientOnOneThreadAndOnTwo) {
  const Case c{16, 16, 12, 12, 32, 3, 3, 1, {1, 1}};
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = pass(c, true, at::kFloat)[2];
  at::set_num_threads(2);
  const at::Tensor two = pass(c, true, at::kFloat)[2];
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(one, two));
}

/// A convolution with a block behind it, in evaluation: in one go, and layer by layer in float64.
TEST(Convolution, WithABlockBehindItIsItsLayersHoweverTheWorkIsCut) {
  const at::NoGradGuard no_grad;
  const int before = at::get_num_threads();
  for (const Case& c : {Case{1, 1, 13, 10, 80, 5, 5, 1, {2, 2}},         // one image: channels and rows are cut
                        Case{3, 20, 9, 9, 192, 3, 3, 1, {1, 1}, false},  // few images
                        Case{40, 16, 6, 7, 32, 3, 3, 1, {1, 1}},         // small images together
                        Case{9, 16, 50, 44, 64, 3, 3, 1, {0, 0}},        // bands of rows
                        Case{5, 8, 9, 9, 32, 3, 3, 2, {1, 1}}}) {
    const at::Tensor x = random_tensor({c.images, c.channels, c.height, c.width}, "x");
    const at::Tensor weight = random_tensor({c.out_channels, c.channels, c.kernel_height, c.kernel_width}, "weight");
    const at::Tensor bias = c.bias ? random_tensor({c.out_channels}, "bias") : at::Tensor();
    const auto exact_bias = c.bias ? bias.to(at::kDouble) : bias;
    const at::Tensor y =
        at::conv2d(x.to(at::kDouble), weight.to(at::kDouble), exact_bias, {c.stride, c.stride}, c.padding);
    const at::Tensor gamma = random_tensor({c.out_channels}, "gamma"), beta = random_tensor({c.out_channels}, "beta");
    const at::Tensor mean = random_tensor({c.out_channels}, "mean"),
                     variance = random_tensor({c.out_channels}, "variance").abs() + 0.5;
    const auto normal = [&](const at::Tensor& t) {
      return at::batch_norm(t,
                            gamma.to(at::kDouble),
                            beta.to(at::kDouble),
                            mean.to(at::kDouble),
                            variance.to(at::kDouble),
                            false,
                            0.1,
                            1e-5,
                            false);
    };
    for (const int64_t pool : {1, 2, 3}) {
      const auto pooled = [&](const at::Tensor& t) {
        return pool == 1 ? t : at::max_pool2d(t, {pool, pool}, {pool, pool});
      };
      for (const int threads : {1, 2, 5}) {
        at::set_num_threads(threads);
        PackedWeights cache;
        const ConvolutionCall call{.weight = weight, .bias = bias, .stride = c.stride, .padding = c.padding};
        BlockCall normalized{
            .gamma = gamma, .beta = beta, .running_mean = mean, .running_variance = variance, .epsilon = 1e-5};
        normalized.arguments.before = Activation::leaky_relu;
        normalized.arguments.before_slope = 0.1F;
        normalized.arguments.pool = pool;
        const at::Tensor expected = pooled(normal(at::leaky_relu(y, 0.1)));
        EXPECT_LT(relative_difference(run_convolution_block(call, &normalized, x, cache).to(at::kDouble), expected),
                  2e-6)
            << c.text() << ", pool " << pool << ", threads " << threads;
        BlockCall activated;
        activated.arguments.after = Activation::relu;
        activated.arguments.pool = pool;
        EXPECT_LT(
            relative_difference(run_convolution_block(call, &activated, x, cache).to(at::kDouble), pooled(at::relu(y))),
            2e-6)
            << c.text() << ", pool " << pool << ", threads " << threads;
        EXPECT_LT(relative_difference(run_convolution_block(call, nullptr, x, cache).to(at::kDouble), y), 2e-6)
            << c.text();
      }
    }
  }
  at::set_num_threads(before);
}

TEST(Convolution, GivesTheSameBitsOnOneThreadAndOnFive) {
  const int before = at::get_num_threads();
  for (const Case& c : {Case{1, 48, 12, 12, 192, 3, 3, 1, {1, 1}}, Case{20, 16, 12, 12, 32, 3, 3, 1, {1, 1}}}) {
    at::set_num_threads(1);
    const auto one = pass(c, true, at::kFloat);
    at::set_num_threads(5);
    const auto five = pass(c, true, at::kFloat);
    EXPECT_TRUE(at::equal(one[0], five[0])) << "output of " << c.text();
    EXPECT_TRUE(at::equal(one[1], five[1])) << "dx of " << c.text();
  }
  at::set_num_threads(before);
}

TEST(PackedWeights, FollowTheWeightsWhenTheyChange) {
  PackedWeights cache;
  const at::Tensor weight = random_tensor({16, 2, 3, 3}, "weight");
  const at::Tensor first = cache.of(weight, Storage::float32);
  EXPECT_TRUE(cache.of(weight, Storage::float32).is_same(first)) << "nothing changed";
  weight.add_(1);
  const at::Tensor second = cache.of(weight, Storage::float32);
  EXPECT_TRUE(at::allclose(second, first + 1));
  const at::Tensor other = weight.clone() * 2;
  EXPECT_TRUE(at::allclose(cache.of(other, Storage::float32), second * 2)) << "other storage";
}

}  // namespace
}  // namespace mien::network
