#include "mien/explain/methods.h"

#include <memory>

#include "explain/gradients_testing.h"
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/explain/batches.h"
#include "mien/explain/explain.h"

namespace mien::explain {
namespace {

constexpr auto kPools = R"({ conv = 6, kernel = 3, padding = 1 }, "relu", "batch_norm", { max_pool = 2 },
  { conv = 6, kernel = 3, padding = 1 }, "relu", "batch_norm", { max_pool = 2 }, "global_avg_pool", "flatten", { dense = 3 })";

MethodOptions small_options(const at::Tensor& background) {
  MethodOptions options;
  options.gradient.smooth_samples = 7;
  options.gradient.ig_steps = 7;
  options.gradient.expected_samples = 7;
  options.gradient.background = std::make_shared<const at::Tensor>(background);
  options.perturbation.segment.segments = "grid";
  options.perturbation.segment.segment_size = 12;
  options.perturbation.rise_cells = 4;
  options.perturbation.rise_samples = options.perturbation.lime_samples = options.perturbation.shap_samples = 60;
  return options;
}

bool fits(const MethodSpec& spec, const network::Graph& graph) {
  return !spec.unsupported_reason || spec.unsupported_reason(graph).empty();
}

/// Expects that no method's map of a face depends on the other faces, the face's place among them or the threads.
void expect_maps_of_their_own(const AttributionRequest& request, const MethodOptions& options) {
  const int threads = at::get_num_threads();
  const int64_t count = request.images.size(0);
  for (const MethodSpec& spec : methods()) {
    if (!fits(spec, request.network.graph())) continue;
    at::set_num_threads(1);
    const at::Tensor batch = explain(spec, request, options).values;
    for (int64_t face = 0; face < count; ++face) {
      const double limit = 2e-6 * batch[face].abs().max().item<double>() + 1e-12;
      const auto distance = [&](const at::Tensor& map) { return (map - batch[face]).abs().max().item<double>(); };
      EXPECT_LE(distance(explain(spec, slice(request, face, face + 1), options).values[0]), limit)
          << spec.name << ", face " << face << " alone";
      EXPECT_LE(distance(explain(spec, slice(request, face, count), options).values[0]), limit)
          << spec.name << ", face " << face << " first";
    }
    at::set_num_threads(2);
    EXPECT_LE((explain(spec, request, options).values - batch).abs().max().item<double>(),
              2e-6 * batch.abs().max().item<double>())
        << spec.name << " on two threads";
  }
  at::set_num_threads(threads);
}

TEST(EveryMethod, GivesAFaceTheSameMapAloneInABatchAtAnotherPlaceAndOnTwoThreads) {
  const Reference trained("leaky4");
  AttributionRequest request = trained.request;
  request.images = at::cat({request.images, request.images}).slice(0, 0, 4);
  request.targets = at::cat({request.targets, request.targets}).slice(0, 0, 4);
  request.images[0].slice(1, 0, 20).fill_(0.5);  // flat patches: ties in max pools
  request.images[1].slice(2, 0, 20).fill_(request.images.min());
  request.images[2].fill_(0.3);
  expect_maps_of_their_own(request, small_options(trained.request.images));
}

TEST(EveryMethod, OfAReluNetworkDoesSoToo) {  // guided-backprop, deconvnet, guided-grad-cam, cam
  const network::Network network = random_network(kPools, "[1, 16, 16]");
  AttributionRequest request = question_of(network, 3);
  request.images[1].slice(1, 0, 9).zero_();
  expect_maps_of_their_own(request, small_options(network::random_images(network.graph(), 6, 9)));
}

TEST(EveryMethod, ThatComparesScoresShowsNothingOfAFaceWithoutContrast) {
  const network::Network network = random_network(kPools, "[1, 16, 16]");
  AttributionRequest request = question_of(network, 2);
  request.images.fill_(0.37);
  MethodOptions options = small_options(network::random_images(network.graph(), 6, 9));
  options.perturbation.hide = "mean";
  for (const std::string name : {"lime", "kernel-shap", "occlusion", "feature-ablation", "vargrad"}) {
    const Attributions maps = explain(method(name), request, options);
    EXPECT_EQ(maps.values.abs().max().item<float>(), 0) << name;
    for (const auto& facts : maps.diagnostics) EXPECT_EQ(facts.count("rounding"), 0U) << name;
  }
  const at::Tensor rise = explain(method("rise"), request, options).values;
  EXPECT_EQ((rise.amax({1, 2}) - rise.amin({1, 2})).max().item<float>(), 0) << "the same score everywhere";
}

TEST(EveryMethod, ThatReadsGradientsShowsNothingOfAProbabilityThatFloat32CannotTellFromOne) {
  const network::Network network = random_network(kPools, "[1, 16, 16]");
  AttributionRequest request = question_of(network, 1);
  const at::Tensor logits = logits_of(network, request.images, 1);
  const at::Tensor two = std::get<0>(logits.topk(2));
  for (const std::string name : {"dense1.weight", "dense1.bias"})
    network.tensor(name).mul_(20 / (two[0][0] - two[0][1]).item<double>());
  request.targets = logits.argmax(1);
  request.score = Score::probability;
  const MethodOptions defaults;
  for (const std::string name : {"saliency",
                                 "gradient-x-input",
                                 "guided-backprop",
                                 "deconvnet",
                                 "guided-grad-cam",
                                 "fullgrad",
                                 "grad-cam",
                                 "grad-cam++",
                                 "grad-cam-elementwise",
                                 "xgrad-cam",
                                 "hires-cam",
                                 "layer-cam",
                                 "eigengrad-cam",
                                 "grad-cam-keras-vis"})
    EXPECT_EQ(explain(method(name), request, defaults).values.abs().max().item<float>(), 0) << name;
  request.score = Score::logit;
  EXPECT_GT(explain(method("saliency"), request, defaults).values.abs().max().item<float>(), 0);
}

TEST(EveryMethod, ThatComparesWithTheMeanShowsNothingOfAFaceWithoutContrast) {
  const network::Network network = random_network(kPools, "[1, 16, 16]");
  AttributionRequest request = question_of(network, 2);
  request.images.fill_(0.37);
  MethodOptions options;
  for (const std::string baseline : {"mean", "blur"}) {
    options.gradient.baseline = baseline;
    for (const std::string name : {"integrated-gradients", "deeplift"})
      EXPECT_EQ(explain(method(name), request, options).values.abs().max().item<float>(), 0)
          << name << ", " << baseline;
  }
}

TEST(FrontDoor, GivesTheMapsOfTheTableWithOptionsOfItsOwn) {
  const network::Network network(network::load_graph("leaky4"), 3);  // its parameters require gradients
  const AttributionRequest request = question_of(frozen_copy(network), 2);
  MethodOptions options;
  options.layer = "leaky_relu2";
  EXPECT_TRUE(at::equal(grad_cam(network, request.images, request.targets, {.layer = "leaky_relu2"}).values,
                        explain(method("grad-cam"), request, options).values));
  options.gradient.smooth_samples = 3;
  options.seed = 4;
  EXPECT_TRUE(at::equal(smoothgrad(network, request.images, request.targets, {.samples = 3, .seed = 4}).values,
                        explain(method("smoothgrad"), request, options).values));
  EXPECT_TRUE(at::equal(attribute("smoothgrad", network, request.images, request.targets, options).values,
                        explain(method("smoothgrad"), request, options).values));
  EXPECT_TRUE(network.tensor("conv1.weight").requires_grad()) << "the network is left as it was";
}

TEST(FrontDoor, RefusesValuesThatTheProgramRefuses) {
  const network::Network network = random_network(kPools, "[1, 16, 16]");
  const AttributionRequest request = question_of(network);
  const auto complaint = [&](const auto& call) {
    try {
      call();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(complaint([&] { smoothgrad(network, request.images, request.targets, {.samples = 0}); }), "");
  EXPECT_NE(complaint([&] {
              integrated_gradients(network, request.images, request.targets, {.baseline = "whit"});
            }).find("whit"),
            std::string::npos);
}

TEST(AttributionRequest, KeepsItsNetwork) {
  const auto request = [] {
    const network::Network network = random_network(kPools, "[1, 16, 16]");
    return question_of(network);
  }();
  const MethodOptions defaults;
  EXPECT_TRUE(at::isfinite(explain(method("saliency"), request, defaults).values).all().item<bool>());
}

TEST(Vargrad, WithoutNoiseShowsNothing) {
  const network::Network network = random_network(kPools, "[1, 16, 16]");
  MethodOptions options = small_options({});
  options.gradient.smooth_noise = 0;
  EXPECT_EQ(explain(method("vargrad"), question_of(network), options).values.abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace mien::explain
