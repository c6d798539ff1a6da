#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "explain/gradients_testing.h"
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace mien::explain {
namespace {

using network::error_of;
using network::relative_difference;

class OnBothNetworks : public testing::TestWithParam<std::string> {
 protected:
  AllFaces reference{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Reference, OnBothNetworks, testing::Values("leaky4", "relu6"));

TEST_P(OnBothNetworks, SaliencyIsCaptums) {
  EXPECT_LT(
      relative_difference(explain_with("saliency", reference.request).values, reference["captum.saliency"].squeeze(1)),
      network::reference_tolerance(1e-4));
}

TEST_P(OnBothNetworks, SaliencyOfTheSumOfScoresIsCaptums) {
  reference.request.score = Score::sum_of_logits;
  EXPECT_LT(
      relative_difference(explain_with("saliency", reference.request).channels, reference["captum.all_ones_gradient"]),
      network::reference_tolerance(1e-4));
}

TEST_P(OnBothNetworks, GradientXInputIsCaptums) {
  EXPECT_LT(relative_difference(explain_with("gradient-x-input", reference.request).values,
                                reference["captum.input_x_gradient"].squeeze(1)),
            network::reference_tolerance(1e-4));
}

TEST_P(OnBothNetworks, IntegratedGradientsAndTheirErrorAreCaptums) {
  const Attributions maps = explain_with("integrated-gradients", reference.request);
  const at::Tensor expected = reference["captum.integrated_gradients"];
  EXPECT_LT(relative_difference(maps.values, expected.squeeze(1)), network::reference_tolerance(1e-4));
  const at::Tensor deltas = reference["captum.integrated_gradients.delta"];
  ASSERT_EQ(maps.diagnostics.size(), static_cast<size_t>(deltas.numel()));
  // deltas are differences of sums: compared with the size of what is summed
  const double scale = expected.abs().sum().item<double>() / static_cast<double>(deltas.numel());
  for (size_t i = 0; i < maps.diagnostics.size(); ++i) {
    EXPECT_NEAR(maps.diagnostics[i].at("convergence_error"),
                deltas[static_cast<int64_t>(i)].item<double>(),
                network::reference_tolerance(1e-5) * scale);
  }
}

TEST(Gradients, AreFiniteDifferencesOnEveryKindOfLayer) {
  const network::Network network = random_network(kEveryKind);
  for (const Score score : {Score::logit, Score::probability, Score::sum_of_logits}) {
    AttributionRequest request = question_of(network);
    request.score = score;
    const at::Tensor gradient = explain_with("saliency", request).channels;
    for (const int64_t pixel : {0, 9, 27, 36, 63}) {
      at::Tensor step = at::zeros_like(request.images);
      step.flatten(1).select(1, pixel).fill_(1e-2);
      const at::Tensor slope =
          (score_at(request, request.images + step) - score_at(request, request.images - step)) / 2e-2;
      const at::Tensor found = gradient.flatten(1).select(1, pixel);
      EXPECT_LT((found - slope).abs().max().item<double>(), 0.03 * gradient.abs().max().item<double>())
          << to_text(score) << pixel;
    }
  }
}

/// The answer that every method must give on score = w x + b.
TEST(GradientMethods, GiveTheWeightsOfALinearNetwork) {
  const network::Network network = random_network(R"("flatten", { dense = 3 })");
  const AttributionRequest request = question_of(network);
  const at::Tensor weights = network.tensor("dense1.weight").view({3, 8, 8});  // image i asks about class i
  const at::Tensor pixels = request.images.squeeze(1);
  MethodOptions options;
  options.gradient.background = std::make_shared<const at::Tensor>(network::random_images(network.graph(), 1, 9));
  const auto expect = [&](const char* method, const at::Tensor& expected) {
    EXPECT_LT(relative_difference(explain_with(method, request, options).values, expected), 1e-5) << method;
  };
  expect("saliency", weights.abs());
  expect("smoothgrad", weights.abs());
  expect("squaregrad", weights.square());
  expect("gradient-x-input", weights * pixels);
  expect("integrated-gradients", weights * pixels);
  expect("deeplift", weights * pixels);
  expect("guided-backprop", weights);
  expect("deconvnet", weights);
  expect("expected-gradients", weights * (pixels - options.gradient.background->squeeze(1)));
  EXPECT_LT(explain_with("vargrad", request).values.max().item<float>(), 1e-12);
  options.gradient.lrp_epsilon = 0;
  expect("lrp-epsilon", weights * pixels);
  options.gradient.baseline = "mean";
  expect("integrated-gradients", weights * (pixels - pixels.mean({1, 2}, true)));
  options.gradient.baseline = "black";
  expect("integrated-gradients", weights * pixels);  // nothing else is said of black
  AttributionRequest normalized = request;
  normalized.black = at::tensor({-2.0F, -1.0F, -0.5F});
  const at::Tensor way = weights * (pixels - normalized.black.view({-1, 1, 1}));
  options.batch_size = 2;  // black is split with the images
  for (const char* method : {"integrated-gradients", "deeplift"})
    EXPECT_LT(relative_difference(explain_with(method, normalized, options).values, way), 1e-5) << method;
}

TEST(IntegratedGradients, SumToTheScoresDifference) {
  const network::Network network = random_network(kEveryKind);
  for (const Score score : {Score::logit, Score::probability}) {
    for (const char* baseline : {"zero", "mean", "blur"}) {
      AttributionRequest request = question_of(network);
      request.score = score;
      MethodOptions options;
      options.gradient.ig_steps = 500;
      options.gradient.baseline = baseline;
      const Attributions maps = explain_with("integrated-gradients", request, options);
      const double size = maps.values.abs().sum().item<double>();
      for (const auto& facts : maps.diagnostics) EXPECT_NEAR(facts.at("convergence_error"), 0, 2e-3 * size) << baseline;
    }
  }
  const AttributionRequest request = question_of(network);
  const at::Tensor difference = score_at(request, request.images) - score_at(request, at::zeros_like(request.images));
  EXPECT_LT(relative_difference(sum_of_maps(explain_with("integrated-gradients", request)), difference), 0.02);
}

TEST(IntegratedGradients, NeedFewPointsWhereTheScoreIsSmooth) {
  // 8 Gauss points are exact for polynomials up to degree 15, and sigmoid is near one
  const network::Network network = random_network(R"("flatten", { dense = 4 }, "sigmoid", { dense = 3 })");
  const AttributionRequest request = question_of(network);
  MethodOptions options;
  options.gradient.ig_steps = 8;
  const Attributions maps = explain_with("integrated-gradients", request, options);
  for (const auto& facts : maps.diagnostics) EXPECT_NEAR(facts.at("convergence_error"), 0, 1e-6);
}

TEST(ExpectedGradients, ShareOutTheDifferenceToTheBackgroundsMeanScore) {
  const network::Network network = random_network(kEveryKind);
  const AttributionRequest request = question_of(network);
  MethodOptions options;
  options.gradient.background = std::make_shared<const at::Tensor>(network::random_images(network.graph(), 5, 7));
  options.gradient.expected_samples = 2000;
  const Attributions maps = explain_with("expected-gradients", request, options);
  const double size = maps.values.abs().sum().item<double>() / 3;
  for (const auto& facts : maps.diagnostics) EXPECT_NEAR(facts.at("convergence_error"), 0, 0.03 * size);
  at::Tensor mean_score = at::zeros({3});
  for (int64_t i = 0; i < 5; ++i) {
    mean_score += score_at(request, options.gradient.background->slice(0, i, i + 1).expand({3, 1, 8, 8})) / 5;
  }
  const at::Tensor difference = score_at(request, request.images) - mean_score;
  EXPECT_LT((sum_of_maps(maps) - difference).abs().max().item<double>(), 0.1 * size);
}

TEST(ExpectedGradients, SayThatOneFaceAloneHasNoBackground) {
  const network::Network network = random_network(R"("flatten", { dense = 3 })");
  EXPECT_EQ(error_of([&] { explain_with("expected-gradients", question_of(network, 1)); }),
            "usage: expected-gradients compares with other faces, but has only the one that it explains. hint: give "
            "background faces, or explain several at once");
}

TEST(Smoothgrad, FindsTheMomentsOfTheGradientUnderNoise) {
  // score = sum of max(x - 1/2, 0): the gradient is 1 where noise lifts a pixel over 1/2, so its mean is a probability
  network::Network network =
      random_network(R"({ conv = 1, kernel = 1 }, "relu", "flatten", { dense = 2 })", "[1, 2, 2]");
  network.tensor("conv1.weight").fill_(1);
  network.tensor("conv1.bias").fill_(-0.5);
  network.tensor("dense1.weight").fill_(1);
  const AttributionRequest request{.network = network,
                                   .images = at::tensor({0.0, 0.4, 0.5, 1.0}, at::kFloat).view({1, 1, 2, 2}),
                                   .targets = at::tensor({0}, at::kLong)};
  MethodOptions options;
  options.gradient.smooth_samples = 20000;
  options.gradient.smooth_noise = 0.2;
  const at::Tensor mean = explain_with("smoothgrad", request, options).values.flatten();
  const at::Tensor mean_square = explain_with("squaregrad", request, options).values.flatten();
  const at::Tensor variance = explain_with("vargrad", request, options).values.flatten();
  const double probabilities[] = {0.00621, 0.30854, 0.5, 0.99379};  // normal distribution at -2.5, -0.5, 0, 2.5
  for (int64_t i = 0; i < 4; ++i) {
    const double p = probabilities[i];
    EXPECT_NEAR(mean[i].item<double>(), p, 0.015);
    EXPECT_NEAR(mean_square[i].item<double>(), p, 0.015);
    EXPECT_NEAR(variance[i].item<double>(), p * (1 - p), 0.015);
  }
}

TEST(GradientMethods, GiveTheSameBytesForTheSameSeedAndOthersForAnother) {
  const network::Network network = random_network(kEveryKind);
  const AttributionRequest request = question_of(network);
  for (const MethodSpec& spec : gradient_methods()) {
    if (!spec.unsupported_reason || spec.unsupported_reason(network.graph()).empty()) {
      MethodOptions options;
      const at::Tensor first = spec.explain(request, options).values;
      EXPECT_TRUE(at::equal(first, spec.explain(request, options).values)) << spec.name;
      options.seed = 1;
      EXPECT_EQ(at::equal(first, spec.explain(request, options).values), !spec.is_random) << spec.name;
    }
  }
}

constexpr auto kReluNetwork = R"({ conv = 6, kernel = 3, padding = 1 }, "relu", "batch_norm", { max_pool = 2 },
  { conv = 6, kernel = 3, padding = 1 }, "relu", "flatten", { dense = 3 })";

TEST(GradientMethods, DoNotDependOnTheSizeOfAPass) {
  const network::Network network = random_network(kReluNetwork);
  const AttributionRequest request = question_of(network, 5);
  for (const MethodSpec& spec : gradient_methods()) {
    MethodOptions options;
    options.gradient.smooth_samples = 7;
    options.gradient.ig_steps = 7;
    options.gradient.expected_samples = 7;
    const Attributions whole = spec.explain(request, options);
    options.batch_size = 3;
    const Attributions parts = spec.explain(request, options);
    EXPECT_LT(relative_difference(parts.values, whole.values), 1e-4) << spec.name;
    EXPECT_EQ(parts.diagnostics.size(), whole.diagnostics.size()) << spec.name;
    EXPECT_EQ(parts.layer, whole.layer) << spec.name;
  }
}

TEST(RandomGradients, GoWithTheFaceAndNotWithItsPlace) {
  const network::Network network = random_network(kReluNetwork);
  const AttributionRequest request = question_of(network, 5);
  MethodOptions options;
  options.gradient.background = std::make_shared<const at::Tensor>(network::random_images(network.graph(), 6, 9));
  for (const char* name : {"smoothgrad", "squaregrad", "vargrad", "expected-gradients"}) {
    const at::Tensor all = explain_with(name, request, options).values;
    const at::Tensor alone = explain_with(name, slice(request, 3, 4), options).values;
    EXPECT_LT(relative_difference(alone, all.slice(0, 3, 4)), 1e-4) << name;
  }
}

TEST(GradientMethods, ExplainGrayAndColorFacesWithMapsOfTheFacesSize) {
  for (const char* input : {"[1, 8, 8]", "[3, 8, 10]"}) {
    const network::Network network = random_network(kReluNetwork, input);
    const AttributionRequest request = question_of(network);
    for (const MethodSpec& spec : gradient_methods()) {
      const Attributions maps = spec.explain(request, MethodOptions());
      EXPECT_EQ(maps.values.sizes(), request.images.select(1, 0).sizes()) << spec.name;
      EXPECT_TRUE(at::isfinite(maps.values).all().item<bool>()) << spec.name;
      EXPECT_GT(maps.values.abs().max().item<float>(), 0) << spec.name;
      if (spec.name == "fullgrad") continue;  // adds up layers, not channels
      EXPECT_EQ(maps.channels.sizes(), request.images.sizes()) << spec.name;
      const at::Tensor joined = spec.is_signed ? sum_channels(maps.channels) : strongest_channel(maps.channels);
      EXPECT_TRUE(at::allclose(maps.values, joined)) << spec.name;
      EXPECT_EQ(maps.values.min().item<float>() < 0, spec.is_signed) << spec.name;
    }
  }
}

TEST(GradientMethods, WorkOnEveryKindOfLayerOrNameTheOneThatTheyDoNotKnow) {
  const std::vector<std::pair<const char*, std::vector<std::string>>> unsupported{
      {kJoinsAndActivations, {"guided-backprop", "guided-grad-cam", "deconvnet"}},
      {kNormsOfAnImage,
       {"guided-backprop", "guided-grad-cam", "deconvnet", "deeplift", "lrp-epsilon", "lrp-gamma", "lrp-alpha-beta"}}};
  for (const auto& [layers, names] : unsupported) {
    const network::Network network = random_network(layers);
    const AttributionRequest request = question_of(network, 2);
    for (const MethodSpec& spec : gradient_methods()) {
      const std::string why = spec.unsupported_reason ? spec.unsupported_reason(network.graph()) : "";
      EXPECT_EQ(std::count(names.begin(), names.end(), spec.name), why.empty() ? 0 : 1) << spec.name << ' ' << why;
      if (!why.empty()) continue;
      MethodOptions options;
      options.gradient.smooth_samples = options.gradient.ig_steps = options.gradient.expected_samples = 2;
      const at::Tensor values = spec.explain(request, options).values;
      EXPECT_TRUE(at::isfinite(values).all().item<bool>()) << spec.name;
      EXPECT_GT(values.abs().max().item<float>(), 0) << spec.name;
    }
  }
}

TEST(GradientMethods, WorkOnTheBuiltInNetworksOrSayInOneLineWhyNot) {
  for (const char* name : {"dnn3", "plain6", "leaky4", "tiny-mobile"}) {
    const network::Network network = frozen_copy(network::Network(network::load_graph(name), 1));
    const AttributionRequest request = question_of(network, 2);
    for (const MethodSpec& spec : gradient_methods()) {
      if (const std::string why = spec.unsupported_reason ? spec.unsupported_reason(network.graph()) : "";
          !why.empty()) {
        EXPECT_EQ(why.find('\n'), std::string::npos);
        continue;
      }
      MethodOptions options;
      options.gradient.smooth_samples = options.gradient.ig_steps = options.gradient.expected_samples = 2;
      const at::Tensor values = spec.explain(request, options).values;
      EXPECT_TRUE(at::isfinite(values).all().item<bool>()) << name << " " << spec.name;
      EXPECT_GT(values.abs().max().item<float>(), 0) << name << " " << spec.name;
    }
  }
}

}  // namespace
}  // namespace mien::explain
