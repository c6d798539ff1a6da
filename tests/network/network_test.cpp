#include "mien/network/network.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "network/helpers.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

namespace mien::network {
namespace {

/// Every kind of layer, both kinds of padding, a shortcut and a gate.
constexpr const char* kEveryKind = R"(
  { conv = 4, kernel = [4, 3], padding = "same" }, "batch_norm", { leaky_relu = 0.1 },
  { residual = [
      { conv = 6, kernel = 3, padding = 1, stride = 2, bias = false }, "batch_norm", "silu"
    ], shortcut = [{ avg_pool = 2 }, { conv = 6, kernel = 1 }] }, "relu",
  { squeeze_excite = 2 }, { depthwise = 3, padding = 1 }, { max_pool = 2, padding = 1 },
  { residual = [{ conv = 6, kernel = 1, groups = 3 }] }, "global_avg_pool", "flatten", { dropout = 0.3 },
  { dense = 8, bias = false }, "batch_norm", "sigmoid", { dense = 3 })";

Network every_kind(uint64_t seed = 1) { return Network(graph_of(kEveryKind, "[2, 8, 8]"), seed); }

float at4(const at::Tensor& tensor, int64_t a, int64_t b, int64_t c, int64_t d) {
  return tensor.index({a, b, c, d}).item<float>();
}

TEST(Network, GivesOneScoreAClassForAnyBatch) {
  const at::NoGradGuard no_grad;
  const Network network = every_kind();
  for (const int64_t count : {1, 5}) {
    EXPECT_EQ(network.forward(random_images(network.graph(), count), Mode::evaluation).sizes(),
              at::IntArrayRef({count, 3}));
  }
}

TEST(Network, SaysWhichImagesItExpects) {
  const Network network = every_kind();
  EXPECT_EQ(error_of([&] {
              network.forward(at::zeros({1, 1, 8, 8}), Mode::evaluation);
            }),
            "usage: cannot run network n on images of shape [1,1,8,8], expected [N,2,8,8]");
  EXPECT_EQ(error_of([&] {
              network.forward(at::zeros({2, 8, 8}), Mode::evaluation);
            }),
            "usage: cannot run network n on images of shape [2,8,8], expected [N,2,8,8]");
  EXPECT_EQ(error_of([&] {
              network.forward(at::zeros({1, 2, 8, 8}, at::kByte), Mode::evaluation);
            }),
            "usage: cannot run network n on whole numbers, expected normalized float32 images");
}

TEST(Network, RefusesAnEmptyBatch) {
  const Network network = every_kind();
  EXPECT_EQ(error_of([&] {
              network.forward(at::zeros({0, 2, 8, 8}), Mode::evaluation);
            }),
            "usage: cannot run network n on an empty batch, expected at least 1 image");
}

TEST(Network, RefusesToTrainBatchNormOnOneValue) {
  const Network network(graph_of(R"("flatten", { dense = 4 }, "batch_norm", { dense = 2 })"), 1);
  EXPECT_EQ(
      error_of([&] { network.forward(random_images(network.graph(), 1), Mode::training); }),
      "usage: cannot train batch_norm1 on a batch of 1: it needs more than one value a channel. hint: use batches of "
      "at least 2 images");
}

TEST(Network, DependsOnTheSeedAndTheTensorsNameAlone) {
  const Network first = every_kind(7);
  EXPECT_TRUE(at::equal(first.tensor("conv2.weight"), every_kind(7).tensor("conv2.weight")));
  EXPECT_FALSE(at::equal(first.tensor("conv2.weight"), every_kind(8).tensor("conv2.weight")));
  // dense1 of another network of the same width starts the same.
  const Network other(graph_of(R"("global_avg_pool", "flatten", { dense = 8 }, { dense = 3 })", "[6, 4, 4]"), 7);
  EXPECT_TRUE(at::equal(first.tensor("dense1.weight"), other.tensor("dense1.weight")));
  EXPECT_EQ(error_of([&] { first.tensor("conv2.wieght"); }),
            "usage: network n has no tensor 'conv2.wieght'. hint: did you mean 'conv2.weight'?");
}

TEST(Network, StartsUniformWithinOneOverRootFanIn) {
  const Network network(graph_of(R"({ conv = 64, kernel = 3 }, "batch_norm", "flatten", { dense = 50 })", "[16, 8, 8]"),
                        3);
  const auto expect_uniform = [&](const std::string& name, int64_t fan_in) {
    const at::Tensor values = network.tensor(name);
    const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
    EXPECT_LE(values.abs().max().item<double>(), bound * (1 + 1e-6)) << name;
    if (values.numel() < 1000) return;
    EXPECT_NEAR(values.mean().item<double>() / bound, 0, 0.05) << name;
    EXPECT_NEAR(values.std().item<double>() / bound, 1 / std::sqrt(3.0), 0.02) << name;
  };
  expect_uniform("conv1.weight", 16 * 9);
  expect_uniform("conv1.bias", 16 * 9);
  expect_uniform("dense1.weight", 64 * 36);
  expect_uniform("dense1.bias", 64 * 36);
  EXPECT_TRUE(at::equal(network.tensor("batch_norm1.weight"), at::ones({64})));
  EXPECT_TRUE(at::equal(network.tensor("batch_norm1.bias"), at::zeros({64})));
  EXPECT_TRUE(at::equal(network.tensor("batch_norm1.running_mean"), at::zeros({64})));
  EXPECT_TRUE(at::equal(network.tensor("batch_norm1.running_var"), at::ones({64})));
}

TEST(Network, PadsAtTheSidesThatTheGraphNames) {
  // Report D: output(y, x) = bias + sum over u, v of weight(u, v) * input(stride*y + u - top, stride*x + v - left).
  const Network network(
      graph_of(R"({ conv = 1, kernel = [4, 3], stride = 2, padding = "same" }, "flatten")", "[1, 7, 8]"), 5);
  const at::NoGradGuard no_grad;
  const at::Tensor image = random_images(network.graph(), 1);
  const at::Tensor found = network.forward(image, Mode::evaluation);
  const Layer& conv = network.graph().layers[1];
  ASSERT_EQ(conv.padding, (Padding{.top = 1, .left = 0, .bottom = 2, .right = 1}));
  const at::Tensor weight = network.tensor("conv1.weight");
  for (int64_t y = 0; y < 4; ++y) {
    for (int64_t x = 0; x < 4; ++x) {
      float sum = network.tensor("conv1.bias").item<float>();
      for (int64_t u = 0; u < 4; ++u) {
        for (int64_t v = 0; v < 3; ++v) {
          const int64_t row = 2 * y + u - 1;
          const int64_t column = 2 * x + v;
          if (row >= 0 && row < 7 && column < 8) sum += at4(weight, 0, 0, u, v) * at4(image, 0, 0, row, column);
        }
      }
      EXPECT_NEAR(found.index({0, 4 * y + x}).item<float>(), sum, 1e-5) << y << ' ' << x;
    }
  }
}

TEST(Network, AveragesOnlyPixelsInsideTheImage) {
  const Network network(graph_of(R"({ avg_pool = 2, padding = 1 }, "flatten")"), 1);
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(network.forward(at::ones({1, 1, 8, 8}), Mode::evaluation), at::ones({1, 25})));
}

TEST(Network, ComputesTheSameFromEitherMemoryFormat) {
  const at::NoGradGuard no_grad;
  const Network network = every_kind();
  const at::Tensor images = random_images(network.graph(), 4);
  const at::Tensor channels_last = images.contiguous(at::MemoryFormat::ChannelsLast);
  ASSERT_FALSE(channels_last.is_contiguous());
  EXPECT_LT(
      relative_difference(network.forward(channels_last, Mode::evaluation), network.forward(images, Mode::evaluation)),
      1e-5);
}

TEST(Network, KeepsActivationsChannelsLast) {
  for (const char* input : {"[1, 8, 8]", "[2, 8, 8]"}) {
    const Network network(graph_of(kEveryKind, input), 1);
    for (const Mode mode : {Mode::training, Mode::evaluation}) {
      network.forward_visit(random_images(network.graph(), 4), mode, [&](int layer, const at::Tensor& output) {
        if (layer == 0 || output.dim() != 4) return;
        EXPECT_TRUE(output.is_contiguous(at::MemoryFormat::ChannelsLast))
            << network.graph().layers[static_cast<size_t>(layer)].name << " of " << input;
      });
    }
  }
}

TEST(Network, ComputesTheSameInPlaceAsLayerByLayer) {
  const at::NoGradGuard no_grad;
  Network network = every_kind();
  network.set_fused(false);  // blocks round differently: fused_test.cpp
  const at::Tensor images = random_images(network.graph(), 4);
  const at::Tensor before = images.clone();
  const at::Tensor in_place = network.forward(images, Mode::evaluation);
  EXPECT_TRUE(at::equal(images, before)) << "the caller's images were overwritten";
  std::vector<at::Tensor> outputs;
  std::vector<at::Tensor> copies;
  const at::Tensor visited = network.forward_visit(images, Mode::evaluation, [&](int layer, const at::Tensor& output) {
    EXPECT_EQ(layer, static_cast<int>(outputs.size()));
    const Shape& shape = network.graph().layers[static_cast<size_t>(layer)].output_shape;
    EXPECT_EQ(output.numel(), 4 * shape.elements());
    EXPECT_EQ(output.dim(), shape.is_flat ? 2 : 4);
    outputs.push_back(output);
    copies.push_back(output.clone());
  });
  EXPECT_EQ(outputs.size(), network.graph().layers.size());
  EXPECT_TRUE(at::equal(visited, in_place));
  for (size_t i = 0; i < outputs.size(); ++i)
    EXPECT_TRUE(at::equal(outputs[i], copies[i])) << "output " << i << " changed";
}

TEST(Network, DoesNotOverwriteImagesThatTheFirstLayerActivates) {
  const at::NoGradGuard no_grad;
  const Network network(graph_of(R"("flatten", "relu", { dense = 2 })"), 1);
  const at::Tensor images = random_images(network.graph(), 2) - 0.5;
  const at::Tensor before = images.clone();
  network.forward(images, Mode::evaluation);
  EXPECT_TRUE(at::equal(images, before));
}

TEST(Network, StopsAfterTheLayerAskedFor) {
  const Network network = every_kind();
  const int last = network.graph().index_of("add1");
  int visited = 0;
  const at::Tensor output = network.forward_visit(
      random_images(network.graph(), 2), Mode::evaluation, [&](int, const at::Tensor&) { ++visited; }, last);
  EXPECT_EQ(visited, last + 1);
  EXPECT_EQ(output.sizes(), at::IntArrayRef({2, 6, 4, 4}));
  EXPECT_NE(error_of([&] {
              network.forward_visit(
                  random_images(network.graph(), 2), Mode::evaluation, [](int, const at::Tensor&) {}, 500);
            }),
            "");
}

TEST(Network, UpdatesRunningStatisticsInTrainingOnly) {
  const Network network = every_kind();
  const at::Tensor images = random_images(network.graph(), 4);
  const at::Tensor mean = network.tensor("batch_norm1.running_mean");
  network.forward(images, Mode::evaluation);
  EXPECT_TRUE(at::equal(mean, at::zeros({4})));
  at::Tensor activation;
  network.forward_visit(images, Mode::training, [&](int layer, const at::Tensor& output) {
    if (layer == 1) activation = output;
  });
  EXPECT_LT(relative_difference(mean, 0.1 * activation.mean({0, 2, 3})), 1e-5);
  const at::Tensor expected_variance = 0.9 + 0.1 * activation.var({0, 2, 3}, /*unbiased=*/true);
  EXPECT_LT(relative_difference(network.tensor("batch_norm1.running_var"), expected_variance), 1e-5);
}

TEST(Network, DropsOutInTrainingOnlyAndKeepsTheMean) {
  const Network network(graph_of(R"("flatten", { dropout = 0.25 })", "[1, 100, 100]"), 1);
  const at::Tensor ones = at::ones({4, 1, 100, 100});
  EXPECT_TRUE(at::equal(network.forward(ones, Mode::evaluation), at::ones({4, 10000})));
  const at::Tensor dropped = network.forward(ones, Mode::training);
  EXPECT_NEAR((dropped == 0).to(at::kFloat).mean().item<double>(), 0.25, 0.01);
  EXPECT_NEAR(dropped.mean().item<double>(), 1.0, 0.02);
}

TEST(Network, SharesParametersWithCopiesButNotWithClones) {
  const Network network = every_kind();
  const Network copy = network;
  const Network clone = network.clone();
  const at::NoGradGuard no_grad;
  network.tensor("dense1.weight").zero_();
  EXPECT_EQ(copy.tensor("dense1.weight").abs().max().item<float>(), 0);
  EXPECT_GT(clone.tensor("dense1.weight").abs().max().item<float>(), 0);
  EXPECT_TRUE(clone.tensor("dense1.weight").requires_grad());
  EXPECT_FALSE(clone.tensor("batch_norm1.running_var").requires_grad());
  EXPECT_EQ(network.trainable().size(), network.trainable_names().size());
  EXPECT_EQ(network.tensors().size(), network.graph().parameter_specs().size());
}

/// Directional derivatives of a loss by all parameters and the images, against difference quotients. In float64,
/// which makes those exact to about 1e-9: any wrong backward would show.
void expect_gradients_as_finite_differences(const std::string& layers, Mode mode, double spread) {
  const Network network(graph_of(layers, "[2, 8, 8]"), 11);
  for (const at::Tensor& tensor : network.tensors()) tensor.set_data(tensor.to(at::kDouble));
  at::Tensor images =
      (random_images(network.graph(), 5) * spread - spread / 2 + 0.5).to(at::kDouble).set_requires_grad(true);
  const at::Tensor weights = random_images(graph_of(R"("flatten")", "[1, 5, 3]"), 1, 9).reshape({5, 3}).to(at::kDouble);
  const auto loss = [&] { return (network.forward(images, mode) * weights).sum(); };
  loss().backward();
  std::vector<at::Tensor> variables = network.trainable();
  std::vector<std::string> names = network.trainable_names();
  variables.push_back(images);
  names.emplace_back("images");
  constexpr double kStep = 1e-6;
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < variables.size(); ++i) {
    at::Tensor direction = at::empty(variables[i].sizes(), at::kDouble);
    RandomStream random(1, "direction", i);
    for (int64_t j = 0; j < direction.numel(); ++j) direction.data_ptr<double>()[j] = random.normal();
    const at::Tensor value = variables[i].clone();
    variables[i].copy_(value + kStep * direction);
    const double above = loss().item<double>();
    variables[i].copy_(value - kStep * direction);
    const double below = loss().item<double>();
    variables[i].copy_(value);
    const double found = (variables[i].grad() * direction).sum().item<double>();
    EXPECT_NEAR(found, (above - below) / (2 * kStep), 1e-6 * (1 + std::abs(found))) << layers << ": " << names[i];
  }
}

TEST(Network, HasTheGradientThatFiniteDifferencesGive) {
  expect_gradients_as_finite_differences(R"(
      { conv = 4, kernel = [4, 3], padding = "same" }, "batch_norm", { leaky_relu = 0.1 },
      { residual = [
          { conv = 6, kernel = 3, padding = 1, stride = 2, bias = false }, "batch_norm", "silu"
        ], shortcut = [{ avg_pool = 2 }, { conv = 6, kernel = 1 }] }, "relu",
      { squeeze_excite = 2 }, { depthwise = 3, padding = 1 }, { max_pool = 2, padding = 1 }, "flatten",
      { dense = 8 }, "batch_norm", "sigmoid", { dense = 3 })",
                                         Mode::training,
                                         1);
}

constexpr const char* kNewKinds = R"(
  { conv = 6, kernel = 3, padding = 1 }, { group_norm = 2 }, "gelu",
  { concat = [[{ conv = 3, kernel = 1 }, "layer_norm", "elu"], [{ max_pool = 3, stride = 1, padding = 1 }, "hardswish"], []] },
  { conv = 8, kernel = 3, stride = 2 }, "softplus", "layer_norm", "global_max_pool", "flatten", { dense = 6 }, "tanh",
  { group_norm = 3 }, { concat = [["layer_norm", "sigmoid"], [{ elu = 0.3 }]] }, { dense = 3 })";

TEST(Network, DifferentiatesEveryNormalizationActivationAndJoin) {
  expect_gradients_as_finite_differences(kNewKinds, Mode::training, 4);
  expect_gradients_as_finite_differences(kNewKinds, Mode::evaluation, 4);
}

TEST(Network, ComputesFusedAndInPlaceWhatItComputesLayerByLayer) {
  const Network network(graph_of(kNewKinds, "[2, 8, 8]"), 3);
  const at::NoGradGuard no_grad;
  const at::Tensor images = random_images(network.graph(), 4) * 4 - 2;
  const at::Tensor kept = images.clone();
  const at::Tensor alone = network.forward_visit(images, Mode::evaluation, [](int, const at::Tensor&) {});
  EXPECT_LT(relative_difference(network.forward(images, Mode::evaluation), alone), 1e-5);
  EXPECT_TRUE(at::equal(images, kept));
  Network plain = network;
  plain.set_fused(false);
  EXPECT_LT(relative_difference(plain.forward(images, Mode::evaluation), alone), 1e-5);
  for (int layer = 0; layer < static_cast<int>(network.graph().layers.size()); ++layer) {
    const at::Tensor rest =
        network.forward_after(network.forward_until(images, Mode::evaluation, layer), Mode::evaluation, layer);
    EXPECT_LT(relative_difference(rest, alone), 1e-5) << network.graph().layers[static_cast<size_t>(layer)].name;
  }
}

/// Output of the only layer before "flatten" for images of ramps.
at::Tensor output_of(const std::string& layer, const at::Tensor& images) {
  const std::string input = fmt::format("[{}, {}, {}]", images.size(1), images.size(2), images.size(3));
  const Network network(graph_of(layer + ", \"flatten\"", input), 1);
  const at::NoGradGuard no_grad;
  return network.forward(images, Mode::evaluation).view({-1});
}

TEST(Network, ComputesActivationsByTheirFormulas) {
  const std::vector<float> values{-4, -2.5F, -1, -0.25F, 0, 0.5F, 1.5F, 4};
  const at::Tensor images = at::tensor(values).view({1, 1, 2, 4});
  const auto expect = [&](const std::string& layer, const std::function<double(double)>& formula) {
    const at::Tensor found = output_of(layer, images);
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(found[static_cast<int64_t>(i)].item<double>(), formula(values[i]), 1e-6) << layer << ' ' << values[i];
    }
  };
  expect("{ elu = 0.5 }", [](double x) { return x > 0 ? x : 0.5 * (std::exp(x) - 1); });
  expect("\"gelu\"", [](double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); });
  expect("\"hardswish\"", [](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; });
  expect("\"softplus\"", [](double x) { return std::log1p(std::exp(x)); });
  expect("\"tanh\"", [](double x) { return std::tanh(x); });
}

TEST(Network, NormalizesGroupsOverPixelsAndLayersOverChannels) {
  const Graph shape = graph_of("\"flatten\"", "[4, 3, 5]");
  const at::Tensor images = random_images(shape, 2) * 3;
  const auto normalized = [](const at::Tensor& x, int64_t dimension) {
    const at::Tensor mean = x.mean({dimension}, true);
    return (x - mean) / ((x - mean).pow(2).mean({dimension}, true) + 1e-5).sqrt();
  };
  const at::Tensor groups = normalized(images.reshape({2, 2, 30}), 2).reshape({-1});
  EXPECT_LT(relative_difference(output_of("{ group_norm = 2 }", images), groups), 1e-5);
  EXPECT_LT(relative_difference(output_of("\"layer_norm\"", images), normalized(images, 1).reshape({-1})), 1e-5);
}

TEST(Network, RunsOneLayerAlone) {
  const Network network = every_kind();
  const at::NoGradGuard no_grad;
  const int add = network.graph().index_of("add1");
  const at::Tensor ones = at::ones({1, 6, 4, 4});
  EXPECT_TRUE(at::equal(network.run_layer(add, {ones, 2 * ones}, Mode::evaluation), 3 * ones));
  EXPECT_EQ(error_of([&] { network.run_layer(add, {ones}, Mode::evaluation); }),
            "usage: cannot run add1 of n on 1 inputs, expected 2");
}

}  // namespace
}  // namespace mien::network
