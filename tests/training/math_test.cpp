// The formulas of docs/math.md, each written out here in float64 and checked against autograd and finite differences.
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "training/helpers.h"
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mien/network/graph/graph.h"
#include "mien/training/loss.h"

namespace mien::training {
namespace {

at::Tensor normal(at::IntArrayRef shape, uint64_t seed) { return random_normal(shape, seed, at::kDouble); }

/// Gradient of the scalar `f` at `x` by central differences: (f(x + h) - f(x - h)) / 2h, one element at a time.
at::Tensor finite_differences(const std::function<double(const at::Tensor&)>& f, const at::Tensor& x) {
  constexpr double kStep = 1e-5;
  at::Tensor result = at::empty_like(x);
  at::Tensor moved = x.clone();
  double* const values = moved.data_ptr<double>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double value = values[i];
    values[i] = value + kStep;
    const double above = f(moved);
    values[i] = value - kStep;
    const double below = f(moved);
    values[i] = value;
    result.data_ptr<double>()[i] = (above - below) / (2 * kStep);
  }
  return result;
}

/// Gradient of the scalar `f` at `x` by autograd.
at::Tensor autograd(const std::function<at::Tensor(const at::Tensor&)>& f, const at::Tensor& x) {
  const at::Tensor leaf = x.clone().requires_grad_();
  f(leaf).backward();
  return leaf.grad();
}

/// `formula` is the gradient of `f` at `x`, by both.
void expect_gradient(const at::Tensor& formula,
                     const std::function<at::Tensor(const at::Tensor&)>& f,
                     const at::Tensor& x) {
  const double scale = formula.abs().max().item<double>();
  ASSERT_GT(scale, 1e-3) << "a gradient of zero shows nothing";
  EXPECT_LT(largest_difference(formula, autograd(f, x)), 1e-12 * scale);
  const auto value = [&](const at::Tensor& at_x) { return f(at_x).item<double>(); };
  EXPECT_LT(largest_difference(formula, finite_differences(value, x)), 1e-7 * scale);
}

// --- output shape of a convolution ---

int64_t outputs(int64_t size, int64_t kernel, int64_t padding, int64_t stride) {
  return (size + 2 * padding - kernel) / stride + 1;
}

TEST(ConvolutionShape, IsTheFormulaForEveryPaddingAndStride) {
  int cases = 0;
  for (const int64_t size : {5, 8, 11, 24}) {
    for (const int64_t kernel : {1, 2, 3, 5}) {
      for (const int64_t padding : {0, 1, 2, 3}) {
        for (const int64_t stride : {1, 2, 3, 4}) {
          const at::Tensor out =
              at::conv2d(at::zeros({2, 3, size, size + 1}), at::zeros({4, 3, kernel, kernel}), {}, stride, padding);
          EXPECT_EQ(out.sizes(),
                    at::IntArrayRef(
                        {2, 4, outputs(size, kernel, padding, stride), outputs(size + 1, kernel, padding, stride)}))
              << size << " " << kernel << " " << padding << " " << stride;
          ++cases;
        }
      }
    }
  }
  EXPECT_EQ(cases, 256);
}

TEST(ConvolutionShape, IsWhatANetworkFileGets) {
  for (const int64_t kernel : {1, 2, 3, 5}) {
    for (const int64_t padding : {0, 1, 2}) {
      if (padding >= kernel) continue;  // a window of padding alone, which a network file may not have
      for (const int64_t stride : {1, 2, 3}) {
        const network::Graph graph = network::parse_graph(
            fmt::format(
                "name = \"n\"\ninput = [1, 11, 12]\nlayers = [{{ conv = 2, kernel = {}, padding = {}, stride = {} }}, "
                "\"flatten\", {{ dense = 7 }}]",
                kernel,
                padding,
                stride),
            "n.toml");
        const network::Shape shape = graph.layers[1].output_shape;
        EXPECT_EQ(shape.height, outputs(11, kernel, padding, stride));
        EXPECT_EQ(shape.width, outputs(12, kernel, padding, stride));
      }
    }
  }
}

TEST(ConvolutionShape, OfPaddingSameIsTheSizeOverTheStrideRoundedUp) {
  for (const int64_t kernel : {1, 2, 3, 5}) {
    for (const int64_t stride : {1, 2, 3}) {
      const network::Graph graph =
          network::parse_graph(fmt::format("name = \"n\"\ninput = [1, 11, 12]\nlayers = [{{ conv = 2, kernel = {}, "
                                           "padding = \"same\", stride = {} }}, "
                                           "\"flatten\", {{ dense = 7 }}]",
                                           kernel,
                                           stride),
                               "n.toml");
      const network::Shape shape = graph.layers[1].output_shape;
      EXPECT_EQ(shape.height, (11 + stride - 1) / stride);
      EXPECT_EQ(shape.width, (12 + stride - 1) / stride);
    }
  }
}

// --- gradients of batch normalization ---

/// Batch normalization of m values of each of C channels, every intermediate result by name, and a loss that is neither
/// linear in the output nor the same for any two of its elements.
class BatchNormGradient : public testing::Test {
 protected:
  static constexpr double kEpsilon = 1e-3;
  static constexpr int64_t kCount = 6;     // m
  static constexpr int64_t kChannels = 3;  // C

  at::Tensor x = 2 * normal({kCount, kChannels}, 1) + 0.5;
  at::Tensor gamma = normal({kChannels}, 2) + 1.5;
  at::Tensor beta = normal({kChannels}, 3);
  at::Tensor factor = normal({kCount, kChannels}, 4);

  at::Tensor mean = x.mean(0);
  at::Tensor variance = (x - mean).square().mean(0);
  at::Tensor x_hat = (x - mean) / (variance + kEpsilon).sqrt();
  at::Tensor y = gamma * x_hat + beta;

  at::Tensor loss(const at::Tensor& output) const { return (factor * output + 0.3 * output.square()).sum(); }
  /// dL/dy, from which the formulas start.
  at::Tensor dy = factor + 0.6 * y;

  // docs/math.md, section 2.
  at::Tensor dx_hat = dy * gamma;
  at::Tensor dvariance = (dx_hat * (x - mean)).sum(0) * -0.5 * (variance + kEpsilon).pow(-1.5);
  at::Tensor dmean = -dx_hat.sum(0) / (variance + kEpsilon).sqrt() + dvariance * (-2 * (x - mean)).mean(0);
  at::Tensor dx = dx_hat / (variance + kEpsilon).sqrt() + dvariance * 2 * (x - mean) / kCount + dmean / kCount;
  at::Tensor dgamma = (dy * x_hat).sum(0);
  at::Tensor dbeta = dy.sum(0);
};

TEST_F(BatchNormGradient, OfTheNormalizedInput) {
  expect_gradient(
      dx_hat, [&](const at::Tensor& h) { return loss(gamma * h + beta); }, x_hat);
}

TEST_F(BatchNormGradient, OfTheVariance) {
  // x and the mean held fast.
  expect_gradient(
      dvariance,
      [&](const at::Tensor& v) { return loss(gamma * (x - mean) / (v + kEpsilon).sqrt() + beta); },
      variance);
}

TEST_F(BatchNormGradient, OfTheMean) {
  // x held fast; the variance follows the mean.
  expect_gradient(
      dmean,
      [&](const at::Tensor& m) {
        const at::Tensor v = (x - m).square().mean(0);
        return loss(gamma * (x - m) / (v + kEpsilon).sqrt() + beta);
      },
      mean);
}

TEST_F(BatchNormGradient, OfTheInput) {
  expect_gradient(
      dx,
      [&](const at::Tensor& input) {
        const at::Tensor m = input.mean(0);
        const at::Tensor v = (input - m).square().mean(0);
        return loss(gamma * (input - m) / (v + kEpsilon).sqrt() + beta);
      },
      x);
}

TEST_F(BatchNormGradient, OfGammaAndBeta) {
  expect_gradient(
      dgamma, [&](const at::Tensor& g) { return loss(g * x_hat + beta); }, gamma);
  expect_gradient(
      dbeta, [&](const at::Tensor& b) { return loss(gamma * x_hat + b); }, beta);
}

TEST_F(BatchNormGradient, OfTheInputInOnePassIsTheSame) {
  const at::Tensor one_pass = gamma / (variance + kEpsilon).sqrt() * (dy - dbeta / kCount - x_hat * dgamma / kCount);
  EXPECT_LT(largest_difference(one_pass, dx), 1e-13);
  // It has no part along a shift or a stretch of the inputs, which batch norm takes out (the latter but for epsilon).
  EXPECT_LT(dx.sum(0).abs().max().item<double>(), 1e-12);
}

TEST_F(BatchNormGradient, IsThatOfTheLayerThatNetworksUse) {
  const auto layer = [&](const at::Tensor& input, const at::Tensor& g, const at::Tensor& b) {
    return at::batch_norm(input, g, b, {}, {}, true, 0.1, kEpsilon, false);
  };
  EXPECT_LT(largest_difference(layer(x, gamma, beta), y), 1e-12);
  expect_gradient(
      dx, [&](const at::Tensor& input) { return loss(layer(input, gamma, beta)); }, x);
  expect_gradient(
      dgamma, [&](const at::Tensor& g) { return loss(layer(x, g, beta)); }, gamma);
  expect_gradient(
      dbeta, [&](const at::Tensor& b) { return loss(layer(x, gamma, b)); }, beta);
}

TEST_F(BatchNormGradient, OfImagesCountsEveryPixelOfAChannel) {
  // [N,C,H,W] is the same with m = N H W.
  const at::Tensor images = normal({2, kChannels, 3, 4}, 5);
  const at::Tensor weights = normal({2, kChannels, 3, 4}, 6);
  const auto image_loss = [&](const at::Tensor& input) {
    return (weights * at::batch_norm(input, gamma, beta, {}, {}, true, 0.1, kEpsilon, false)).sum();
  };
  const auto rows = [&](const at::Tensor& t) { return t.permute({0, 2, 3, 1}).reshape({24, kChannels}); };
  const at::Tensor v = rows(images).var(0, false) + kEpsilon;
  const at::Tensor h = (rows(images) - rows(images).mean(0)) / v.sqrt();
  const at::Tensor d = rows(weights);
  const at::Tensor formula = gamma / v.sqrt() * (d - d.mean(0) - h * (d * h).mean(0));
  expect_gradient(formula.reshape({2, 3, 4, kChannels}).permute({0, 3, 1, 2}).contiguous(), image_loss, images);
}

// --- gradient of softmax with cross entropy ---

class SoftmaxGradient : public testing::Test {
 protected:
  static constexpr int64_t kCount = 5;  // N
  at::Tensor logits = 2 * normal({kCount, 7}, 7);
  at::Tensor y_hat = at::softmax(logits, 1);
  at::Tensor y = one_hot({0, 6, 3, 3, 1}, 7, at::kDouble);
  at::Tensor soft = at::softmax(normal({kCount, 7}, 8), 1);
  at::Tensor weights = at::softmax(normal({7}, 9), 0) * 7;
};

TEST_F(SoftmaxGradient, OfSoftmaxItselfIsItsJacobian) {
  const at::Tensor direction = normal({7}, 10);
  const at::Tensor s = y_hat[0];
  const at::Tensor jacobian = at::diag(s) - at::outer(s, s);
  expect_gradient(
      at::mv(jacobian, direction),
      [&](const at::Tensor& z) { return (at::softmax(z, 0) * direction).sum(); },
      logits[0].clone());
}

TEST_F(SoftmaxGradient, WithCrossEntropyOfOneFaceIsYHatMinusY) {
  for (int64_t i = 0; i < kCount; ++i) {
    const at::Tensor z = logits.slice(0, i, i + 1).clone();
    const at::Tensor target = y.slice(0, i, i + 1);
    expect_gradient(
        y_hat.slice(0, i, i + 1) - target, [&](const at::Tensor& at_z) { return cross_entropy(at_z, target); }, z);
  }
}

TEST_F(SoftmaxGradient, OfTheMeanIsYHatMinusYOverN) {
  expect_gradient((y_hat - y) / kCount, [&](const at::Tensor& z) { return cross_entropy(z, y); }, logits);
}

TEST_F(SoftmaxGradient, OfSoftTargetsIsTheSame) {
  expect_gradient((y_hat - soft) / kCount, [&](const at::Tensor& z) { return cross_entropy(z, soft); }, logits);
}

TEST_F(SoftmaxGradient, WithClassWeightsWeighsEachFace) {
  const at::Tensor face_weight = (y * weights).sum(1, true);
  expect_gradient(
      face_weight * (y_hat - y) / face_weight.sum(),
      [&](const at::Tensor& z) { return cross_entropy(z, y, weights); },
      logits);
}

TEST_F(SoftmaxGradient, WithClassWeightsAndSoftTargets) {
  const at::Tensor weighted = weights * soft;
  const at::Tensor face_weight = weighted.sum(1, true);
  expect_gradient((face_weight * y_hat - weighted) / weighted.sum(),
                  [&](const at::Tensor& z) { return cross_entropy(z, soft, weights); },
                  logits);
}

}  // namespace
}  // namespace mien::training
