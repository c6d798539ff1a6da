// A block against the same layers written in libtorch's functions in float64, where autograd gives the gradients.
#include "mien/network/block.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "network/helpers.h"
#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "mien/core/random.h"

namespace mien::network {
namespace {

struct Case {
  std::vector<int64_t> sizes;
  Activation before = Activation::none, after = Activation::none;
  bool normalizes = false, adds = false, batch_statistics = false;
  int64_t pool = 1;
  float drop = 0;
  double offset = 0;  ///< added to x: a mean far from 0 beside the deviation

  std::string text() const {
    return fmt::format("[{}] before {} norm {} batch {} add {} after {} pool {} drop {} offset {}",
                       fmt::join(sizes, ","),
                       static_cast<int>(before),
                       normalizes,
                       batch_statistics,
                       adds,
                       static_cast<int>(after),
                       pool,
                       drop,
                       offset);
  }
};

at::Tensor activated(Activation kind, const at::Tensor& x) {
  if (kind == Activation::relu) return at::relu(x);
  if (kind == Activation::leaky_relu) return at::leaky_relu(x, 0.05);
  return kind == Activation::silu ? at::silu(x) : x;
}

/// Output, gradients of x, residual, gamma and beta, and running mean and variance; undefined where there is none.
using Results = std::vector<at::Tensor>;

struct Inputs {
  at::Tensor x, residual, gamma, beta, running_mean, running_variance;

  Inputs(const Case& c, at::ScalarType type) {
    const auto leaf = [&](at::Tensor t) { return t.to(type).detach().requires_grad_(true); };
    const std::vector<int64_t> channels{c.sizes[1]};
    x = leaf(random_tensor(c.sizes, "x") + c.offset);
    if (c.adds) residual = leaf(random_tensor(c.sizes, "residual"));
    if (!c.normalizes) return;
    gamma = leaf(random_tensor(channels, "gamma"));  // of both signs
    beta = leaf(random_tensor(channels, "beta"));
    running_mean = random_tensor(channels, "mean").to(type);
    running_variance = random_tensor(channels, "variance", 0.5, 2).to(type);
  }
  Results results(const at::Tensor& output) const {
    at::Tensor weights = random_tensor(output.sizes().vec(), "weights").to(output.scalar_type());
    torch::autograd::backward({(output * weights).sum()}, {});
    const auto gradient = [](const at::Tensor& t) { return t.defined() ? t.grad() : t; };
    return {output.detach(),
            gradient(x),
            gradient(residual),
            gradient(gamma),
            gradient(beta),
            running_mean,
            running_variance};
  }
};

constexpr DropoutKey kKey{.seed = 0x123456789ABCDEFULL, .layer = 3, .probability = 0};

Results by_block(const Case& c) {
  const Inputs in(c, at::kFloat);
  BlockCall call{.gamma = in.gamma,
                 .beta = in.beta,
                 .running_mean = in.running_mean,
                 .running_variance = in.running_variance,
                 .epsilon = 1e-5,
                 .momentum = 0.1,
                 .batch_statistics = c.batch_statistics};
  call.arguments.before = c.before;
  call.arguments.after = c.after;
  call.arguments.before_slope = call.arguments.after_slope = 0.05F;
  call.arguments.pool = c.pool;
  call.arguments.dropout = kKey;
  call.arguments.dropout.probability = c.drop;
  return in.results(run_block(call, in.x, in.residual));
}

Results by_libtorch(const Case& c) {
  const Inputs in(c, at::kDouble);
  at::Tensor y = activated(c.before, in.x);
  if (c.normalizes) {
    y = at::batch_norm(
        y, in.gamma, in.beta, in.running_mean, in.running_variance, c.batch_statistics, 0.1, 1e-5, false);
  }
  if (c.adds) y = y + in.residual;
  y = activated(c.after, y);
  if (c.pool > 1) y = at::max_pool2d(y, {c.pool, c.pool});
  DropoutKey key = kKey;
  key.probability = c.drop;
  if (c.drop > 0) y = y * dropout_mask(key, y);
  return in.results(y);
}

void expect_equal(const Case& c, double tolerance) {
  static const char* const kNames[] = {
      "output", "dx", "d residual", "d gamma", "d beta", "running mean", "running variance"};
  const Results found = by_block(c);
  const Results expected = by_libtorch(c);
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].defined(), expected[i].defined()) << kNames[i] << ' ' << c.text();
    if (!found[i].defined()) continue;
    EXPECT_LT(relative_difference(found[i].to(at::kDouble), expected[i]), tolerance) << kNames[i] << ' ' << c.text();
  }
}

const std::vector<std::vector<int64_t>> kShapes{
    {2, 1, 4, 4}, {3, 3, 7, 5}, {2, 16, 6, 9}, {5, 37, 9, 8}, {1, 40, 6, 6}};
const std::vector<Activation> kActivations{
    Activation::none, Activation::relu, Activation::leaky_relu, Activation::silu};

TEST(Block, OfEveryFormAndOddShapeIsItsLayers) {
  for (const auto& sizes : kShapes) {
    for (const int64_t pool : {1, 2, 3}) {
      for (const float drop : {0.0F, 0.4F}) {
        for (const Activation activation : kActivations) {
          expect_equal({.sizes = sizes, .after = activation, .pool = pool, .drop = drop}, 2e-6);
          for (const bool batch : {false, true}) {
            const Case normal{
                .sizes = sizes, .normalizes = true, .batch_statistics = batch, .pool = pool, .drop = drop};
            Case before = normal;
            before.before = activation;
            expect_equal(before, 1e-5);
            Case after = normal;
            after.after = activation;
            expect_equal(after, 1e-5);
          }
        }
      }
    }
  }
}

TEST(Block, WithResidualAddIsItsLayers) {
  for (const auto& sizes : kShapes) {
    for (const Activation activation : kActivations) {
      expect_equal({.sizes = sizes, .after = activation, .adds = true}, 2e-6);
      expect_equal({.sizes = sizes, .after = activation, .normalizes = true, .adds = true}, 1e-5);
      expect_equal({.sizes = sizes, .after = activation, .normalizes = true, .adds = true, .batch_statistics = true},
                   1e-5);
    }
  }
}

TEST(Block, OfDenseFeaturesIsItsLayers) {
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{9, 7}, {33, 64}, {128, 130}, {130, 1024}}) {
    expect_equal(
        {.sizes = sizes, .before = Activation::relu, .normalizes = true, .batch_statistics = true, .drop = 0.5F}, 1e-5);
    expect_equal({.sizes = sizes, .after = Activation::relu, .normalizes = true, .batch_statistics = true}, 1e-5);
    expect_equal({.sizes = sizes, .after = Activation::relu, .drop = 0.5F}, 1e-6);
  }
}

TEST(Block, KeepsItsStatisticsWhereTheMeanIsAHundredDeviations) {
  const Case c{.sizes = {8, 24, 48, 48}, .normalizes = true, .batch_statistics = true, .offset = 60};
  const Results found = by_block(c);
  const Results expected = by_libtorch(c);
  EXPECT_LT(relative_difference(found[5].to(at::kDouble), expected[5]), 1e-6);
  EXPECT_LT(relative_difference(found[6].to(at::kDouble), expected[6]), 1e-6);
  EXPECT_LT(relative_difference(found[3].to(at::kDouble), expected[3]), 1e-4);
}

TEST(Block, GivesTheSameBitsOnOneThreadAndOnThree) {
  const Case c{.sizes = {16, 32, 24, 24},
               .before = Activation::leaky_relu,
               .normalizes = true,
               .batch_statistics = true,
               .pool = 2,
               .drop = 0.3F};
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Results one = by_block(c);
  at::set_num_threads(3);
  const Results three = by_block(c);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) {
    if (one[i].defined()) EXPECT_TRUE(at::equal(one[i], three[i])) << i;
  }
}

TEST(Block, SendsThePoolsGradientToTheFirstOfEqualPixelsAsLibtorch) {
  const at::Tensor x = at::ones({1, 16, 4, 4}, at::kFloat).requires_grad_(true);
  BlockCall call;
  call.arguments.pool = 2;
  torch::autograd::backward({run_block(call, x, {}).sum()}, {});
  const at::Tensor plain = at::ones({1, 16, 4, 4}, at::kFloat).requires_grad_(true);
  torch::autograd::backward({at::max_pool2d(plain, {2, 2}).sum()}, {});
  EXPECT_TRUE(at::equal(x.grad(), plain.grad()));
}

TEST(Block, PassesOnWhatIsNotANumber) {
  for (const Activation activation : kActivations) {
    for (const int64_t pixel : {0, 1, 2, 3}) {
      at::Tensor x = at::zeros({1, 17, 2, 2}, at::kFloat);
      x.view({17, 4}).select(1, pixel).fill_(std::numeric_limits<float>::quiet_NaN());
      BlockCall call;
      call.arguments.after = activation;
      call.arguments.pool = 2;
      EXPECT_TRUE(run_block(call, x, {}).isnan().all().item<bool>()) << static_cast<int>(activation) << ' ' << pixel;
    }
  }
}

TEST(Block, HasNoSecondDerivativeAndSaysSo) {
  const at::Tensor x = random_tensor({2, 3, 4, 4}, "x").requires_grad_(true);
  BlockCall call;
  call.arguments.after = Activation::silu;
  const at::Tensor y = run_block(call, x, {});
  EXPECT_THROW(torch::autograd::grad({y.sum()}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true),
               std::logic_error);
}

TEST(Block, GivesItsGradientTwiceWhereTheGraphIsKept) {
  const at::Tensor x = random_tensor({2, 3, 4, 4}, "x").requires_grad_(true);
  BlockCall call{.may_reuse = true};
  call.arguments.after = Activation::silu;
  const at::Tensor y = run_block(call, x, {}).sum();
  const at::Tensor first = torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/true)[0].clone();
  const at::Tensor second = torch::autograd::grad({y}, {x})[0];
  EXPECT_TRUE(at::equal(first, second));
}

TEST(DropoutMask, IsPhilox) {
  // Random123's known answer for counter 0 and key 0; element 16 w is word w of that counter.
  const uint32_t words[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  float kept[64];
  for (int64_t w = 0; w < 4; ++w) {
    const float share = static_cast<float>(words[w] / 4294967296.0);
    block_kernels().keep({.probability = share * 0.99999F}, 0, 64, kept);
    EXPECT_GT(kept[16 * w], 1.0F) << w;
    block_kernels().keep({.probability = share * 1.00001F}, 0, 64, kept);
    EXPECT_EQ(kept[16 * w], 0.0F) << w;
  }
}

TEST(DropoutMask, KeepsItsShareAndDoesNotDependOnWhereTheWorkIsCut) {
  const DropoutKey key{.seed = 5, .layer = 2, .probability = 0.3F};
  const int64_t count = 1 << 20;
  std::vector<float> whole(count);
  block_kernels().keep(key, 0, count, whole.data());
  int64_t kept = 0;
  for (const float value : whole) {
    EXPECT_TRUE(value == 0 || value == 1.0F / 0.7F);
    kept += value > 0 ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(count), 0.7, 0.002);  // 4 deviations of 0.00045
  std::vector<float> part(1000);
  for (const int64_t begin : {1, 63, 64, 65, 4097}) {
    block_kernels().keep(key, begin, begin + 1000, part.data());
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin)) << begin;
  }
}

TEST(DropoutMask, DiffersBetweenSeedsAndLayers) {
  const auto mask = [](uint64_t seed, uint32_t layer) {
    std::vector<float> kept(4096);
    block_kernels().keep({.seed = seed, .layer = layer, .probability = 0.5F}, 0, 4096, kept.data());
    return kept;
  };
  const auto agreement = [](const std::vector<float>& a, const std::vector<float>& b) {
    int64_t equal = 0;
    for (size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i] ? 1 : 0;
    return static_cast<double>(equal) / static_cast<double>(a.size());
  };
  EXPECT_NEAR(agreement(mask(1, 1), mask(2, 1)), 0.5, 0.04);
  EXPECT_NEAR(agreement(mask(1, 1), mask(1, 2)), 0.5, 0.04);
  EXPECT_NEAR(agreement(mask(1, 1), mask(1ULL << 32, 1)), 0.5, 0.04);
  EXPECT_EQ(agreement(mask(1, 1), mask(1, 1)), 1.0);
}

}  // namespace
}  // namespace mien::network
