// The loss against numbers worked out by hand and against PyTorch (make_fixtures.py).
#include "mien/training/loss.h"

#include <cmath>
#include <vector>

#include "training/helpers.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace mien::training {
namespace {

/// Value and gradient as the fixture has them under `name`.
void expect_pytorchs(const std::string& name, const at::Tensor& targets, const at::Tensor& weights = {}) {
  const auto& fixture = expected()["loss"];
  const at::Tensor logits = tensor_of(fixture["logits"]).requires_grad_();
  const at::Tensor loss = cross_entropy(logits, targets, weights);
  EXPECT_NEAR(loss.item<double>(), fixture[name]["loss"].get<double>(), 1e-6);
  loss.backward();
  EXPECT_LT(largest_difference(logits.grad(), tensor_of(fixture[name]["gradient"])), 1e-7) << name;
}

std::vector<int64_t> labels() { return expected()["loss"]["labels"].get<std::vector<int64_t>>(); }

TEST(CrossEntropy, OfEqualLogitsIsTheLogOfTheNumberOfClasses) {
  EXPECT_NEAR(cross_entropy(at::zeros({3, 7}), one_hot({0, 3, 6}, 7)).item<double>(), std::log(7.0), 1e-6);
}

TEST(CrossEntropy, OfTwoClassesIsTheLogOfOnePlusTheExponentialOfTheMargin) {
  // Margins 2 and -1 in favor of the label: log(1 + e^-2) and log(1 + e).
  const at::Tensor logits = at::tensor({1.0F, -1.0F, 0.5F, -0.5F}).reshape({2, 2});
  const double first = std::log1p(std::exp(-2.0));
  const double second = std::log1p(std::exp(1.0));
  const at::Tensor targets = one_hot({0, 1}, 2);
  EXPECT_NEAR(cross_entropy(logits, targets).item<double>(), (first + second) / 2, 1e-6);
  EXPECT_NEAR(cross_entropy(logits, targets, at::tensor({3.0F, 1.0F})).item<double>(), (3 * first + second) / 4, 1e-6);
}

TEST(CrossEntropy, StaysFiniteWhereTheSoftmaxUnderflows) {
  const at::Tensor logits = at::tensor({1000.0F, -1000.0F}).reshape({1, 2});
  EXPECT_NEAR(cross_entropy(logits, one_hot({1}, 2)).item<double>(), 2000, 1e-3);
}

TEST(CrossEntropy, OfHardLabelsIsPyTorchs) { expect_pytorchs("hard", one_hot(labels(), 7)); }

TEST(CrossEntropy, WithClassWeightsIsPyTorchsWeightedMean) {
  expect_pytorchs("hard_weighted", one_hot(labels(), 7), tensor_of(expected()["loss"]["weights"]));
}

TEST(CrossEntropy, OfSoftTargetsIsPyTorchs) { expect_pytorchs("soft_targets", tensor_of(expected()["loss"]["soft"])); }

TEST(CrossEntropy, OfSmoothedTargetsIsPyTorchsLabelSmoothing) {
  const double smoothing = expected()["loss"]["smoothing"].get<double>();
  expect_pytorchs("smoothed", (1 - smoothing) * one_hot(labels(), 7) + smoothing / 7);
}

TEST(CrossEntropy, DoesNotChangeWhenAllWeightsAreScaled) {
  const auto& fixture = expected()["loss"];
  const at::Tensor logits = tensor_of(fixture["logits"]);
  const at::Tensor soft = tensor_of(fixture["soft"]);
  const at::Tensor weights = tensor_of(fixture["weights"]);
  EXPECT_NEAR(cross_entropy(logits, soft, weights).item<double>(),
              cross_entropy(logits, soft, 10 * weights).item<double>(),
              1e-6);
}

}  // namespace
}  // namespace mien::training
