// The convolution's own kernels against libtorch's convolution in float64.
#include "mien/network/convolution.h"

#include <string>
#include <vector>

#include "network/helpers.h"
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "mien/core/random.h"

namespace mien::network {
namespace {

at::Tensor random_tensor(const std::vector<int64_t>& sizes, const std::string& purpose) {
  at::Tensor values = at::empty(sizes, at::kFloat);
  RandomStream random(7, purpose);
  for (int64_t i = 0; i < values.numel(); ++i) values.data_ptr<float>()[i] = static_cast<float>(random.uniform(-1, 1));
  return values;
}

struct Case {
  int64_t images, channels, height, width, out_channels, kernel_height, kernel_width, stride;
  std::vector<int64_t> padding;
  bool bias = true;
  int64_t groups = 1;

  std::string text() const {
    return fmt::format("{}x{}x{}x{} to {}, kernel {}x{}, stride {}, padding {}, groups {}", images, channels, height, width, out_channels,
                       kernel_height, kernel_width, stride, fmt::join(padding, "x"), groups);
  }
};

/// Output and gradients of x, weight and bias.
std::vector<at::Tensor> pass(const Case& c, bool own, at::ScalarType type) {
  const auto leaf = [&](const at::Tensor& t) {
    return (t.dim() == 4 ? t.to(type).contiguous(at::MemoryFormat::ChannelsLast) : t.to(type)).detach().requires_grad_(true);
  };
  const at::Tensor x = leaf(random_tensor({c.images, c.channels, c.height, c.width}, "x"));
  const at::Tensor weight = leaf(random_tensor({c.out_channels, c.channels / c.groups, c.kernel_height, c.kernel_width}, "weight"));
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
      {3, 1, 12, 9, 32, 5, 5, 1, {2, 2}},          // few channels, odd width
      {2, 1, 7, 7, 16, 3, 3, 2, {1, 1}, false},    // stride
      {2, 3, 9, 8, 48, 3, 4, 1, {0, 1}},           // sides that differ
      {5, 4, 6, 6, 80, 3, 3, 1, {1, 1}},           // a tile of four vectors and one of one
      {1, 20, 8, 8, 64, 3, 3, 1, {1, 1}},          // one image
      {33, 16, 3, 3, 32, 3, 3, 1, {1, 1}},         // more images than parts, many in a chunk
      {2, 16, 40, 33, 16, 3, 3, 1, {0, 0}},        // an image larger than a chunk
      {2, 32, 9, 9, 16, 3, 3, 2, {1, 1}, false},
      {2, 8, 6, 6, 112, 1, 1, 1, {0, 0}},
      {2, 8, 6, 6, 7, 3, 3, 1, {1, 1}},            // no whole vector of output channels
      {2, 16, 6, 6, 16, 3, 3, 1, {1, 1}, false, 16},
      {2, 16, 5, 5, 32, 3, 3, 1, {4, 4}},          // more padding than the turned kernel has
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

}  // namespace
}  // namespace mien::network
