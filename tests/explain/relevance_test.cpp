#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "explain/gradients_testing.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace mien::explain {
namespace {

using network::error_of;
using network::relative_difference;

class DeepLiftOnBothNetworks : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Reference, DeepLiftOnBothNetworks, testing::Values("leaky4", "relu6"));

TEST_P(DeepLiftOnBothNetworks, IsCaptums) {
  AllFaces reference(GetParam());
  MethodOptions options;
  options.gradient.deeplift_max_pool = "captum";
  const at::Tensor found = explain_with("deeplift", reference.request, options).channels;
  EXPECT_LT(relative_difference(found, reference["captum.deep_lift_rescale"]), network::reference_tolerance(1e-4));
}

TEST(DeepLift, IsCaptumsWhereAPoolOfBatchNormLiesBeforeAPoolOfAnActivation) {
  const network::Network network = frozen_copy(network::Network(network::graph_of(R"(
      { conv = 6, kernel = 3, padding = 1 }, "batch_norm", { max_pool = 2 },
      { conv = 8, kernel = 3, padding = 1 }, "relu", { max_pool = 2 }, "flatten", { dense = 3 })",
                                                                                  "[1, 16, 16]"),
                                                                0));
  const NumbersOf reference("deep_lift_captum.safetensors");
  for (const network::ParameterSpec& spec : network.graph().parameter_specs())
    network.tensor(spec.name).copy_(reference[spec.name]);
  MethodOptions options;
  options.gradient.deeplift_max_pool = "captum";
  const at::Tensor found =
      explain_with(
          "deeplift",
          {.network = network, .images = reference["input"], .targets = reference["target"], .score = Score::logit},
          options)
          .channels;
  EXPECT_LT(relative_difference(found, reference["captum.deep_lift_rescale"]), 1e-5);
}

TEST(DeepLift, SharesOutTheScoresDifferenceOnEveryKindOfLayer) {
  for (const char* layers : {kEveryKind, kJoinsAndActivations}) {
    const network::Network network = random_network(layers);
    for (const Score score : {Score::logit, Score::probability, Score::sum_of_logits}) {
      for (const char* baseline : {"zero", "mean", "blur"}) {
        AttributionRequest request = question_of(network);
        request.score = score;
        MethodOptions options;
        options.gradient.baseline = baseline;
        const Attributions maps = explain_with("deeplift", request, options);
        const double size = maps.values.abs().sum().item<double>();
        for (size_t i = 0; i < maps.diagnostics.size(); ++i) {
          EXPECT_NEAR(maps.diagnostics[i].at("convergence_error"), 0, 1e-4 * size) << to_text(score) << " " << baseline;
        }
      }
    }
    AttributionRequest request = question_of(network);
    const at::Tensor difference = score_at(request, request.images) - score_at(request, at::zeros_like(request.images));
    EXPECT_LT(relative_difference(sum_of_maps(explain_with("deeplift", request)), difference), 1e-3);
  }
}

TEST(DeepLiftAndLrp, NameTheNormalizationThatTheyHaveNoRuleFor) {
  for (const char* method : {"deeplift", "lrp-epsilon", "lrp-gamma", "lrp-alpha-beta"}) {
    EXPECT_EQ(gradient_method(method).unsupported_reason(network::graph_of(kNormsOfAnImage)),
              "group_norm1 of n is GroupNorm, for which the method has no rule");
    EXPECT_EQ(gradient_method(method).unsupported_reason(network::graph_of(kJoinsAndActivations)), "");
  }
}

TEST(DeepLift, NeedsNoOtherRuleThanCaptumsWhereNoMaxPoolReadsAnActivation) {
  AllFaces reference("leaky4");
  EXPECT_LT(
      relative_difference(explain_with("deeplift", reference.request).channels, reference["captum.deep_lift_rescale"]),
      network::reference_tolerance(1e-4));
}

TEST(LrpEpsilon, IsCaptumsWithBatchNormAsALayerOfItsOwn) {
  AllFaces reference("relu6");
  MethodOptions options;
  options.gradient.lrp_batch_norm = "layer";
  EXPECT_LT(relative_difference(explain_with("lrp-epsilon", reference.request, options).channels,
                                reference["captum.lrp_epsilon_1e-6"]),
            network::reference_tolerance(1e-4));
}

TEST(LrpEpsilon, IsNearlyCaptumsWithBatchNormFolded) {
  // the same but for an epsilon beside outputs of batch norm near zero
  AllFaces reference("relu6");
  EXPECT_LT(relative_difference(explain_with("lrp-epsilon", reference.request).channels,
                                reference["captum.lrp_epsilon_1e-6"]),
            network::reference_tolerance(3e-3));
}

constexpr const char* kRules[] = {"lrp-epsilon", "lrp-gamma", "lrp-alpha-beta"};

TEST(Lrp, ConservesTheScoreWhereNoBiasAbsorbsAny) {
  // fresh batch norms have no shift
  const network::Network network = frozen_copy(network::Network(network::graph_of(R"(
      { conv = 8, kernel = 3, padding = "same", bias = false }, "batch_norm", { leaky_relu = 0.1 },
      { residual = [{ depthwise = 3, padding = 1, bias = false }, "relu", { squeeze_excite = 2 },
                    { conv = 8, kernel = 1, bias = false }, "batch_norm"] }, "relu",
      { avg_pool = 2 }, "batch_norm", { conv = 8, kernel = 2, padding = "same", bias = false }, "silu",
      { max_pool = 2, stride = 1 }, { dropout = 0.5 }, "global_avg_pool", "flatten", { dense = 5, bias = false }, "relu",
      { dense = 3, bias = false })"),
                                                                3));
  AttributionRequest request = question_of(network);
  for (const Score score : {Score::logit, Score::sum_of_logits}) {
    request.score = score;
    const at::Tensor scores = score_at(request, request.images);
    for (const char* rule : kRules) {
      for (const char* batch_norm : {"fold", "layer"}) {
        MethodOptions options;
        options.gradient.lrp_epsilon = 1e-9;
        options.gradient.lrp_alpha = 1;  // beta's share is lost where an output has no negative contribution
        options.gradient.lrp_batch_norm = batch_norm;
        const Attributions maps = explain_with(rule, request, options);
        // where all contributions to an output of leaky_relu are negative, alpha-beta has nobody to give to
        const double tolerance = rule == std::string("lrp-alpha-beta") ? 5e-3 : 1e-3;
        EXPECT_LT(relative_difference(sum_of_maps(maps), scores), tolerance) << rule << " " << batch_norm;
        for (const auto& facts : maps.diagnostics) {
          EXPECT_NEAR(facts.at("absorbed"), 0, tolerance * scores.abs().max().item<double>());
        }
      }
    }
  }
}

TEST(Lrp, LosesExactlyTheBiasOfALinearNetwork) {
  const network::Network network = random_network(R"("flatten", { dense = 3 })");
  const AttributionRequest request = question_of(network);
  MethodOptions options;
  options.gradient.lrp_epsilon = 0;
  const Attributions maps = explain_with("lrp-epsilon", request, options);
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(
        maps.diagnostics[static_cast<size_t>(i)].at("absorbed"), network.tensor("dense1.bias")[i].item<double>(), 1e-5);
  }
}

/// Relevance of the inputs of one layer z_j = sum_i w_ji x_i + b_j, written out from the papers' formulas.
std::vector<double> by_hand(const std::string& rule,
                            const std::vector<double>& x,
                            const std::vector<std::vector<double>>& w,
                            const std::vector<double>& b,
                            const std::vector<double>& relevance) {
  std::vector<double> shares(x.size());
  for (size_t j = 0; j < w.size(); ++j) {
    double z = b[j];
    double plus = std::max(b[j], 0.0);
    double minus = std::min(b[j], 0.0);
    for (size_t i = 0; i < x.size(); ++i) {
      z += w[j][i] * x[i];
      plus += std::max(w[j][i] * x[i], 0.0);
      minus += std::min(w[j][i] * x[i], 0.0);
    }
    for (size_t i = 0; i < x.size(); ++i) {
      const double part = w[j][i] * x[i];
      if (rule == "lrp-epsilon") shares[i] += part / z * relevance[j];
      if (rule == "lrp-alpha-beta") {
        shares[i] += (2 * std::max(part, 0.0) / plus - std::min(part, 0.0) / minus) * relevance[j];
      }
      if (rule == "lrp-gamma") {
        const double preferred = z > 0 ? std::max(part, 0.0) : std::min(part, 0.0);
        shares[i] += (part + 0.25 * preferred) / (z + 0.25 * (z > 0 ? plus : minus)) * relevance[j];
      }
    }
  }
  return shares;
}

TEST(Lrp, FollowsThePapersFormulasForBothSigns) {
  // every class's logit is the relevance it starts with; inputs, weights and biases have both signs
  const network::Network dense = random_network(R"("flatten", { dense = 3 })", "[1, 2, 3]");
  network::Network convolution = random_network(R"({ conv = 3, kernel = [2, 3] }, "flatten")", "[1, 2, 3]");
  at::Tensor kernel = convolution.tensor("conv1.weight");
  kernel.copy_(dense.tensor("dense1.weight").view({3, 1, 2, 3}));
  at::Tensor bias = convolution.tensor("conv1.bias");
  bias.copy_(dense.tensor("dense1.bias"));
  const at::Tensor images = network::random_images(dense.graph(), 2) - 0.5;
  for (const network::Network* network : {&dense, static_cast<const network::Network*>(&convolution)}) {
    const AttributionRequest request{
        .network = *network, .images = images, .targets = at::tensor({0, 0}, at::kLong), .score = Score::sum_of_logits};
    for (const char* rule : kRules) {
      MethodOptions options;
      options.gradient.lrp_epsilon = 0;
      const at::Tensor found = explain_with(rule, request, options).values;
      for (int64_t image = 0; image < 2; ++image) {
        std::vector<double> x;
        std::vector<std::vector<double>> w(3);
        std::vector<double> b;
        std::vector<double> z;
        const at::Tensor pixels = images[image].flatten();
        for (int64_t i = 0; i < 6; ++i) x.push_back(pixels[i].item<double>());
        for (int64_t j = 0; j < 3; ++j) {
          b.push_back(bias[j].item<double>());
          z.push_back(b.back());
          for (int64_t i = 0; i < 6; ++i) {
            w[static_cast<size_t>(j)].push_back(dense.tensor("dense1.weight")[j][i].item<double>());
            z.back() += w[static_cast<size_t>(j)].back() * x[static_cast<size_t>(i)];
          }
        }
        const std::vector<double> expected = by_hand(rule, x, w, b, z);
        double largest = 0;
        for (const double value : expected) largest = std::max(largest, std::abs(value));
        for (int64_t i = 0; i < 6; ++i) {
          EXPECT_NEAR(found[image].flatten()[i].item<double>(), expected[static_cast<size_t>(i)], 1e-4 * largest)
              << rule;
        }
      }
    }
  }
}

TEST(Lrp, SeesNoDifferenceBetweenABatchNormAndWeightsThatHoldIt) {
  // once right behind a convolution, once behind a pool, once behind flatten, once on the logits
  const network::Network network = random_network(R"({ conv = 4, kernel = 3, padding = 1 }, "batch_norm", "relu",
      { max_pool = 2 }, "batch_norm", { conv = 5, kernel = 2 }, "relu", "flatten", "batch_norm", { dropout = 0.5 },
      { dense = 4 }, "relu", { dense = 3 }, "batch_norm")");
  network::Network merged = random_network(R"({ conv = 4, kernel = 3, padding = 1 }, "relu",
      { max_pool = 2 }, { conv = 5, kernel = 2 }, "relu", "flatten", { dense = 4 }, "relu", { dense = 3 })");
  const auto scale_of = [&](const std::string& name) {
    return network.tensor(name + ".weight") / (network.tensor(name + ".running_var") + 1e-5).sqrt();
  };
  const auto shift_of = [&](const std::string& name) {
    return network.tensor(name + ".bias") - network.tensor(name + ".running_mean") * scale_of(name);
  };
  const auto set = [&](const std::string& name, const at::Tensor& weight, const at::Tensor& bias) {
    at::Tensor(merged.tensor(name + ".weight")).copy_(weight);
    at::Tensor(merged.tensor(name + ".bias")).copy_(bias);
  };
  const auto weight = [&](const std::string& name) { return network.tensor(name + ".weight"); };
  const auto bias = [&](const std::string& name) { return network.tensor(name + ".bias"); };
  const at::Tensor first = scale_of("batch_norm1");
  set("conv1", weight("conv1") * first.view({-1, 1, 1, 1}), bias("conv1") * first + shift_of("batch_norm1"));
  set("conv2",
      weight("conv2") * scale_of("batch_norm2").view({1, -1, 1, 1}),
      bias("conv2") + (weight("conv2") * shift_of("batch_norm2").view({1, -1, 1, 1})).sum({1, 2, 3}));
  set("dense1",
      weight("dense1") * scale_of("batch_norm3").view({1, -1}),
      bias("dense1") + at::matmul(weight("dense1"), shift_of("batch_norm3")));
  const at::Tensor last = scale_of("batch_norm4");
  set("dense2", weight("dense2") * last.view({-1, 1}), bias("dense2") * last + shift_of("batch_norm4"));

  const AttributionRequest request = question_of(network);
  const AttributionRequest same{.network = merged, .images = request.images, .targets = request.targets};
  ASSERT_LT(relative_difference(score_at(request, request.images), score_at(same, request.images)), 1e-5);
  for (const char* rule : kRules) {
    MethodOptions options;
    options.gradient.lrp_dense = "same";
    EXPECT_LT(
        relative_difference(explain_with(rule, request, options).values, explain_with(rule, same, options).values),
        1e-3)
        << rule;
  }
}

TEST(Lrp, WithAlphaOneHandsDownNothingNegative) {
  const network::Network network = random_network(R"({ conv = 4, kernel = 3 }, "relu", "flatten", { dense = 3 })");
  AttributionRequest request = question_of(network);
  MethodOptions options;
  options.gradient.lrp_alpha = 1;
  options.gradient.lrp_dense = "same";
  const at::Tensor scores = score_at(request, request.images);
  const at::Tensor maps = explain_with("lrp-alpha-beta", request, options).values;
  EXPECT_GE((maps * scores.sign().view({-1, 1, 1})).min().item<float>(), 0);
}

TEST(Lrp, SaysWhyItDoesNotExplainProbabilitiesOrCrossASigmoid) {
  const network::Network network = random_network(R"("flatten", { dense = 3 })");
  AttributionRequest request = question_of(network);
  request.score = Score::probability;
  EXPECT_EQ(
      error_of([&] { explain_with("lrp-gamma", request); }),
      "usage: layer-wise relevance propagation explains logits, not a probability: no rule leads through softmax. "
      "hint: ask for the logit");
  for (const char* rule : kRules) {
    EXPECT_EQ(gradient_method(rule).unsupported_reason(network::graph_of(kEveryKind)),
              "sigmoid2 of n is Sigmoid, not 0 where its input is 0, so relevance cannot be handed down through it");
    EXPECT_EQ(gradient_method(rule).unsupported_reason(network::load_graph("tiny-mobile")), "");
  }
}

}  // namespace
}  // namespace mien::explain
