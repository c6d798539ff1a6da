// Update rules against torch.optim (make_fixtures.py), the tensor path against the CPU kernel.
#include "mien/training/optimizer.h"

#include <cmath>
#include <string>
#include <vector>

#include "training/helpers.h"
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace mien::training {
namespace {

const std::vector<std::string> kRules{"adam", "adamw", "sgd", "rmsprop"};

OptimizerOptions options_of(const std::string& rule) {
  OptimizerOptions options;
  options.optimizer = rule;
  options.weight_decay = 0.1;
  options.beta2 = 0.9;
  return options;
}

/// Ten steps on sum of a (p - t)^2 / 2, whose gradient is a (p - t), from parameters laid out as `parameter` is.
at::Tensor after_ten_steps(const OptimizerOptions& options, const at::Tensor& parameter) {
  at::Tensor p = parameter;
  p.requires_grad_();
  const at::Tensor slope = random_normal(p.sizes(), 11).abs();
  const at::Tensor goal = random_normal(p.sizes(), 12);
  Optimizer optimizer(options, {p}, {"p"});
  for (int step = 0; step < 10; ++step) {
    p.mutable_grad() = (slope * (p.detach() - goal)).to(p.scalar_type());
    optimizer.step(0.05 - 0.002 * step);
  }
  return p.detach();
}

TEST(Optimizer, TenStepsOfEveryRuleAreTorchOptims) {
  const auto& fixture = expected()["optimizer"];
  const at::Tensor x = tensor_of(fixture["x"]);
  const at::Tensor y = tensor_of(fixture["y"]);
  ASSERT_EQ(fixture["cases"].size(), 12U);
  for (const auto& [name, item] : fixture["cases"].items()) {
    OptimizerOptions options;
    options.optimizer = item["opt"].get<std::string>();
    options.momentum = item["momentum"].get<double>();
    options.beta1 = item["beta1"].get<double>();
    options.beta2 = item["beta2"].get<double>();
    options.optimizer_epsilon = item["eps"].get<double>();
    options.weight_decay = item["weight_decay"].get<double>();
    options.clip_grad = item["clip"].get<double>();
    const at::Tensor weight = tensor_of(fixture["weight"]).requires_grad_();
    const at::Tensor bias = tensor_of(fixture["bias"]).requires_grad_();
    Optimizer optimizer(options, {weight, bias}, {"weight", "bias"});
    for (int step = 0; step < 10; ++step) {
      at::mse_loss(at::tanh(at::linear(x, weight, bias)), y).backward();
      optimizer.step(item["lr"].get<double>() * (1 - 0.05 * step));
      optimizer.zero_grad();
    }
    EXPECT_EQ(optimizer.steps(), 10);
    const at::Tensor wanted = tensor_of(item["after"]["weight"]);
    const double way = largest_difference(wanted, tensor_of(fixture["weight"]));
    EXPECT_LT(largest_difference(weight, wanted), 2e-5 * way) << name;
    EXPECT_LT(largest_difference(bias, tensor_of(item["after"]["bias"])), 2e-5 * way) << name;
  }
}

/// The gradient that a step uses: the way of a step of plain gradient descent with rate 1.
at::Tensor used_gradient(const at::Tensor& gradient, double clip_grad) {
  OptimizerOptions options;
  options.optimizer = "sgd";
  options.momentum = 0;
  options.clip_grad = clip_grad;
  const at::Tensor a = at::zeros_like(gradient).requires_grad_();
  Optimizer optimizer(options, {a}, {"a"});
  a.mutable_grad() = gradient;
  optimizer.step(1);
  return -a.detach();
}

TEST(Optimizer, NormIsThatOfTheWholeGradient) {
  const at::Tensor a = at::zeros({2, 2}).requires_grad_();
  const at::Tensor b = at::zeros({1}).requires_grad_();
  const at::Tensor without_gradient = at::zeros({3}).requires_grad_();
  const Optimizer optimizer({}, {a, b, without_gradient}, {"a", "b", "c"});
  a.mutable_grad() = at::full({2, 2}, 1.5);
  b.mutable_grad() = at::full({1}, 4.0);
  EXPECT_DOUBLE_EQ(optimizer.gradient_norm(), 5);  // sqrt(4 * 1.5^2 + 4^2)
}

TEST(Optimizer, NormOfAMillionElementsIsThatInFloat64OnAnyNumberOfThreads) {
  const at::Tensor a = at::zeros({1000, 1003}).requires_grad_();
  const Optimizer optimizer({}, {a}, {"a"});
  a.mutable_grad() = random_normal({1000, 1003}, 8);
  const double wanted = a.grad().to(at::kDouble).norm().item<double>();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const double norm = optimizer.gradient_norm();
  at::set_num_threads(2);
  EXPECT_EQ(optimizer.gradient_norm(), norm);
  at::set_num_threads(threads);
  EXPECT_NEAR(norm, wanted, 1e-12 * wanted);
}

TEST(Optimizer, ClipScalesALargerGradientToItsLimit) {
  EXPECT_LT(largest_difference(used_gradient(at::tensor({3.0F, 4.0F}), 1), at::tensor({0.6F, 0.8F})), 1e-6);
  EXPECT_LT(largest_difference(used_gradient(at::tensor({3.0F, 4.0F}), 4.5), at::tensor({2.7F, 3.6F})), 1e-5);
  EXPECT_LT(
      largest_difference(used_gradient(at::tensor({3.0, 4.0}, at::kDouble), 1), at::tensor({0.6, 0.8}, at::kDouble)),
      1e-6);
}

TEST(Optimizer, ClipLeavesASmallerGradientAlone) {
  EXPECT_EQ(largest_difference(used_gradient(at::tensor({3.0F, 4.0F}), 10), at::tensor({3.0F, 4.0F})), 0);
}

TEST(Optimizer, TheFirstStepsOfAdamMoveByTheRateToRoundingOfFloat32) {
  // With a constant gradient both corrected moments are the gradient and its square: every step is rate * sign(g).
  OptimizerOptions options;  // beta2 = 0.999
  options.optimizer_epsilon = 0;
  const at::Tensor a = at::zeros({4096 + 5}).requires_grad_();
  Optimizer optimizer(options, {a}, {"a"});
  a.mutable_grad() = at::full({4096 + 5}, 0.37F);
  optimizer.step(1);
  EXPECT_LT(largest_difference(a, at::full({4096 + 5}, -1.0F)), 3e-7);
}

TEST(Optimizer, AveragesMoveTowardsTheUpdatedParametersInTheSameStep) {
  for (const std::string& rule : kRules) {
    const at::Tensor plain = random_normal({40, 300}, 9).requires_grad_();
    const at::Tensor wide = random_normal({3}, 10).to(at::kDouble).requires_grad_();
    const at::Tensor idle = random_normal({5}, 13).requires_grad_();  // has no gradient, yet its average moves
    Optimizer optimizer(options_of(rule), {plain, wide, idle}, {"a", "b", "c"});
    const std::vector<at::Tensor> averages{at::zeros({40, 300}), at::zeros({3}, at::kDouble), at::zeros({5})};
    optimizer.set_averages(averages);
    plain.mutable_grad() = random_normal({40, 300}, 14);
    wide.mutable_grad() = random_normal({3}, 15).to(at::kDouble);
    optimizer.step(0.1, 0.25);
    EXPECT_LT(largest_difference(averages[0], plain.detach() * 0.25), 1e-6) << rule;
    EXPECT_LT(largest_difference(averages[1], wide.detach() * 0.25), 1e-6) << rule;
    EXPECT_LT(largest_difference(averages[2], idle.detach() * 0.25), 1e-6) << rule;
  }
}

TEST(Optimizer, DecayTouchesOnlyTensorsOfTwoOrMoreDimensions) {
  for (const std::string& rule : kRules) {
    const at::Tensor weight = at::ones({2, 2}).requires_grad_();
    const at::Tensor bias = at::ones({2}).requires_grad_();
    Optimizer optimizer(options_of(rule), {weight, bias}, {"weight", "bias"});
    weight.mutable_grad() = at::zeros({2, 2});
    bias.mutable_grad() = at::zeros({2});
    optimizer.step(0.1);
    EXPECT_LT(weight.max().item<double>(), 1) << rule;
    EXPECT_EQ(largest_difference(bias, at::ones({2})), 0) << rule;
  }
}

TEST(Optimizer, ParameterWithoutGradientStays) {
  const at::Tensor a = at::ones({2, 2}).requires_grad_();
  Optimizer optimizer(options_of("adamw"), {a}, {"a"});
  optimizer.step(0.1);
  EXPECT_EQ(largest_difference(a, at::ones({2, 2})), 0);
}

TEST(Optimizer, MomentsOfAVanishedGradientFadeToZeroAndNotToSlowDenormals) {
  for (const std::string& rule : kRules) {
    const at::Tensor parameter = at::ones({64}, at::kFloat).requires_grad_();
    Optimizer optimizer(options_of(rule), {parameter}, {"p"});
    parameter.mutable_grad() = at::ones({64}, at::kFloat);
    optimizer.step(1e-3);
    for (int step = 0; step < 900; ++step) {
      parameter.mutable_grad() = at::zeros({64}, at::kFloat);
      optimizer.step(1e-3);
    }
    for (const auto& [name, state] : optimizer.state()) {
      for (int64_t i = 0; i < state.numel(); ++i) {
        EXPECT_NE(std::fpclassify(state[i].item<float>()), FP_SUBNORMAL) << rule << " " << name;
      }
    }
  }
}

TEST(Optimizer, ParameterThatIsNotDenseMovesAsADenseOne) {
  for (const std::string& rule : kRules) {
    const at::Tensor start = random_normal({5, 6}, 3);
    at::Tensor wide = at::zeros({5, 9});
    at::Tensor strided = wide.slice(1, 2, 8);  // rows of 9, of which 6 are used
    strided.copy_(start);
    ASSERT_FALSE(strided.is_non_overlapping_and_dense());
    const at::Tensor dense = after_ten_steps(options_of(rule), start.clone());
    EXPECT_GT(largest_difference(dense, start), 0.05) << rule;
    EXPECT_LT(largest_difference(after_ten_steps(options_of(rule), strided.detach()), dense), 2e-6) << rule;
    EXPECT_EQ(wide.slice(1, 0, 2).abs().max().item<double>(), 0) << "what lies between the rows has changed";
  }
}

TEST(Optimizer, Float64ParametersMoveAsFloat32Ones) {
  for (const std::string& rule : kRules) {
    const at::Tensor start = random_normal({5, 6}, 4);
    const at::Tensor single = after_ten_steps(options_of(rule), start.clone());
    const at::Tensor wide = after_ten_steps(options_of(rule), start.to(at::kDouble));
    EXPECT_EQ(wide.scalar_type(), at::kDouble);
    EXPECT_LT(largest_difference(wide, single), 2e-6) << rule;
  }
}

TEST(Optimizer, ChannelsLastParametersMoveAsRowMajorOnes) {
  for (const std::string& rule : kRules) {
    const at::Tensor start = random_normal({4, 3, 5, 5}, 5);
    const at::Tensor row_major = after_ten_steps(options_of(rule), start.clone());
    const at::Tensor last = after_ten_steps(options_of(rule), start.contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(last.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_LT(largest_difference(last, row_major), 1e-6) << rule;
  }
}

TEST(Optimizer, TensorsLargerThanABlockMoveAsSmallOnes) {
  for (const std::string& rule : kRules) {
    const at::Tensor start = random_normal({3, 40000}, 6);
    const at::Tensor whole = after_ten_steps(options_of(rule), start.clone());
    const at::Tensor wide = after_ten_steps(options_of(rule), start.to(at::kDouble));
    EXPECT_LT(largest_difference(whole, wide), 5e-6) << rule;
  }
}

TEST(Optimizer, StateIsNamedAfterItsParameters) {
  const std::vector<at::Tensor> parameters{at::zeros({2, 2}), at::zeros({3})};
  const auto names_of = [&](const std::string& rule) {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : Optimizer(options_of(rule), parameters, {"conv1.weight", "conv1.bias"}).state()) {
      names.push_back(name);
    }
    return names;
  };
  const std::vector<std::string> both{"optimizer.first.conv1.weight",
                                      "optimizer.first.conv1.bias",
                                      "optimizer.second.conv1.weight",
                                      "optimizer.second.conv1.bias"};
  for (const char* rule : {"adam", "adamw", "rmsprop"}) EXPECT_EQ(names_of(rule), both) << rule;
  EXPECT_EQ(names_of("sgd"), std::vector<std::string>(both.begin(), both.begin() + 2));
}

TEST(Optimizer, GoesOnFromItsStateAndStepsAsIfItHadNotStopped) {
  for (const std::string& rule : kRules) {
    const at::Tensor p = random_normal({4, 4}, 7).requires_grad_();
    Optimizer first(options_of(rule), {p}, {"p"});
    const auto step = [](Optimizer& optimizer, const at::Tensor& parameter) {
      parameter.mutable_grad() = parameter.detach() * 0.3;
      optimizer.step(0.05);
    };
    for (int i = 0; i < 5; ++i) step(first, p);
    const at::Tensor q = p.detach().clone().requires_grad_();
    Optimizer second(options_of(rule), {q}, {"p"});
    const auto stored = first.state();
    const auto fresh = second.state();
    for (size_t i = 0; i < stored.size(); ++i) at::Tensor(fresh[i].second).copy_(stored[i].second);
    second.set_steps(first.steps());
    for (int i = 0; i < 5; ++i) {
      step(first, p);
      step(second, q);
    }
    EXPECT_EQ(largest_difference(q, p), 0) << rule;
  }
}

TEST(Optimizer, ZeroGradForgetsAllGradients) {
  const at::Tensor a = at::ones({2}).requires_grad_();
  Optimizer optimizer(options_of("adam"), {a}, {"a"});
  a.mutable_grad() = at::ones({2});
  optimizer.zero_grad();
  EXPECT_FALSE(a.grad().defined());
}

}  // namespace
}  // namespace mien::training
