#include <string>
#include <vector>

#include "explain/gradients_testing.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "mien/explain/gradients/backward_walk.h"

namespace mien::explain {
namespace {

using network::error_of;
using network::relative_difference;

TEST(BackwardWalk, WithTheChainRuleGivesAutogradsGradient) {
  const network::Network network = random_network(kEveryKind);
  for (const Score score : {Score::logit, Score::probability, Score::sum_of_logits}) {
    AttributionRequest request = question_of(network);
    request.score = score;
    const BackwardWalk walk(network, request.images);
    const at::Tensor found =
        walk.run(score_gradient(walk.logits(), request.targets, score),
                 [&](int layer, const at::Tensor& signal) { return walk.gradient(layer, signal); });
    EXPECT_LT(relative_difference(found, input_gradient(request).gradient), 1e-5) << to_text(score);
  }
}

TEST(GuidedBackprop, IsCaptums) {
  AllFaces reference("relu6");
  EXPECT_LT(relative_difference(explain_with("guided-backprop", reference.request).channels,
                                reference["captum.guided_backprop"]),
            network::reference_tolerance(1e-4));
}

TEST(Deconvnet, IsCaptums) {
  AllFaces reference("relu6");
  EXPECT_LT(
      relative_difference(explain_with("deconvnet", reference.request).channels, reference["captum.deconvolution"]),
      network::reference_tolerance(1e-4));
}

TEST(GuidedGradCam, IsCaptums) {
  AllFaces reference("relu6");
  MethodOptions options;
  options.layer = "relu6";
  const Attributions maps = explain_with("guided-grad-cam", reference.request, options);
  EXPECT_LT(relative_difference(maps.channels, reference["captum.guided_grad_cam.relu6"]),
            network::reference_tolerance(1e-4));
  EXPECT_EQ(maps.layer, reference.network.graph().index_of("relu6"));
  EXPECT_LT(relative_difference(maps.at_layer, reference["captum.grad_cam.relu6"].squeeze(1)),
            network::reference_tolerance(1e-4));
}

TEST(GuidedMethods, AreTheGradientWhereEveryReluIsOpenAndNothingIsNegative) {
  network::Network network = random_network(R"({ conv = 4, kernel = 3 }, "relu", "flatten", { dense = 3 })");
  for (at::Tensor tensor : network.tensors()) tensor.abs_();
  const AttributionRequest request = question_of(network);
  const at::Tensor gradient = input_gradient(request).gradient;
  EXPECT_LT(relative_difference(explain_with("guided-backprop", request).channels, gradient), 1e-5);
  EXPECT_LT(relative_difference(explain_with("deconvnet", request).channels, gradient), 1e-5);
}

TEST(GuidedMethods, SayWhyTheyDoNotKnowLeakyRelu) {
  const auto graph = network::load_graph("leaky4");
  for (const char* name : {"guided-backprop", "deconvnet", "guided-grad-cam"}) {
    EXPECT_EQ(gradient_method(name).unsupported_reason(graph),
              "leaky_relu1 of leaky4 is LeakyReLU, and the method says what to do at ReLU only");
    EXPECT_EQ(gradient_method(name).unsupported_reason(network::load_graph("stage5")), "");
  }
  EXPECT_EQ(gradient_method("guided-grad-cam").unsupported_reason(network::load_graph("dnn3")),
            "dnn3 has no layer with height and width, so no class activation");
}

TEST(FullGrad, SharesOutTheWholeScore) {
  for (
      const char* layers :
      {kEveryKind,
       kJoinsAndActivations,
       kNormsOfAnImage,
       R"({ conv = 4, kernel = 3 }, { leaky_relu = 0.2 }, "batch_norm", "flatten", { dense = 6 }, "relu", { dense = 3 })"}) {
    const network::Network network = random_network(layers);
    AttributionRequest request = question_of(network);
    for (const Score score : {Score::logit, Score::sum_of_logits}) {
      request.score = score;
      const at::Tensor scores = score_at(request, request.images);
      const Attributions maps = explain_with("fullgrad", request);
      for (size_t i = 0; i < maps.diagnostics.size(); ++i) {
        EXPECT_NEAR(maps.diagnostics[i].at("completeness_error"), 0, 1e-4 * scores.abs().max().item<double>());
      }
    }
  }
}

TEST(FullGrad, IsScaledGradientXInputWhereThereAreNoBiases) {
  const network::Network network = random_network(
      R"({ conv = 4, kernel = 3, bias = false }, "relu", { max_pool = 2 }, "flatten", { dense = 3, bias = false })");
  const AttributionRequest request = question_of(network);
  const at::Tensor size = explain_with("gradient-x-input", request).values.abs();
  const at::Tensor least = size.amin({1, 2}, true);
  const at::Tensor expected = (size - least) / (size.amax({1, 2}, true) - least);
  EXPECT_LT(relative_difference(explain_with("fullgrad", request).values, expected), 1e-3);
}

TEST(FullGrad, AddsEachBiasWhereItActs) {
  // one convolution whose only evidence is its bias: the gradient at its output decides the map
  network::Network network = random_network(R"({ conv = 1, kernel = 1 }, "flatten", { dense = 2, bias = false })");
  network.tensor("conv1.weight").fill_(0);
  network.tensor("conv1.bias").fill_(2);
  AttributionRequest request = question_of(network, 1);
  const at::Tensor size = network.tensor("dense1.weight")[0].view({1, 8, 8}).abs();
  const at::Tensor expected = (size - size.min()) / (size.max() - size.min());
  EXPECT_LT(relative_difference(explain_with("fullgrad", request).values, expected), 1e-4);
}

TEST(FullGrad, SaysWhyItNeedsPlaces) {
  EXPECT_EQ(gradient_method("fullgrad").unsupported_reason(network::load_graph("dnn3")),
            "dnn3 has no layer with height and width, so its biases belong to no place in the image");
}

}  // namespace
}  // namespace mien::explain
