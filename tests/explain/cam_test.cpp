#include "mien/explain/cam/cam.h"

#include <map>
#include <set>

#include "explain/explain_testing.h"

#include "mien/explain/layers.h"
#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

using network::error_of;
using network::graph_of;
using network::random_images;
using network::relative_difference;

MethodSpec cam(const std::string& name) {
  for (MethodSpec& spec : cam_methods()) {
    if (spec.name == name) return spec;
  }
  throw std::logic_error("no method " + name);
}

/// The map of `name` at `layer` ("" for the default).
Attributions maps_of(const std::string& name,
                     const AttributionRequest& request,
                     const std::string& layer = {},
                     int64_t batch_size = 128) {
  MethodOptions options;
  options.layer = layer;
  options.batch_size = batch_size;
  return cam(name).explain(request, options);
}

at::Tensor scaled(const at::Tensor& maps) {
  const at::Tensor above = maps - maps.amin({1, 2}, true);
  return above / (above.amax({1, 2}, true) + 1e-7);
}

/// The same without the package's 1e-7, which shrinks faint maps when it scales them for the first time.
at::Tensor exactly_scaled(const at::Tensor& maps) {
  const at::Tensor above = maps - maps.amin({1, 2}, true);
  return above / above.amax({1, 2}, true).clamp_min(1e-30);
}

/// What pytorch-grad-cam makes of a map at the layer's size: clipped, scaled, resized, scaled.
at::Tensor as_the_package(const at::Tensor& at_layer) {
  return scaled(at::upsample_bilinear2d(scaled(at_layer.clamp_min(0)).unsqueeze(1), {48, 48}, false).squeeze(1));
}

/// Pairs of (our name, the package's).
const std::map<std::string, std::string> kPackageNames{{"grad-cam", "GradCAM"},
                                                       {"grad-cam++", "GradCAMPlusPlus"},
                                                       {"grad-cam-elementwise", "GradCAMElementWise"},
                                                       {"xgrad-cam", "XGradCAM"},
                                                       {"hires-cam", "HiResCAM"},
                                                       {"layer-cam", "LayerCAM"},
                                                       {"eigen-cam", "EigenCAM"},
                                                       {"eigengrad-cam", "EigenGradCAM"},
                                                       {"score-cam", "ScoreCAM"},
                                                       {"ablation-cam", "AblationCAM"}};

TEST(Cam, GivesPytorchGradCamsMapsAtEveryLayerOfBothNetworks) {
  int compared = 0;
  for (const std::string network : {"leaky4", "relu6"}) {
    const Reference reference(network);
    for (const auto& [ours, theirs] : kPackageNames) {
      for (const std::string layer : {"leaky_relu1", "leaky_relu4", "relu1", "relu6"}) {
        const std::string key = "grad_cam_package." + theirs + "." + layer;
        if (!reference.has(key)) continue;
        const Attributions found = maps_of(ours, reference.request, layer);
        const at::Tensor expected = reference[key];
        // Grad-CAM++ divides by 2 + (sum of activations) * gradient, which passes through 0: at leaky4's first layer
        // PyTorch's own float32 and float64 maps differ by up to 1.6e-3.
        const bool is_unstable = theirs == "GradCAMPlusPlus" && layer == "leaky_relu1";
        const double limit = is_unstable ? 2e-3 : 1e-4;
        EXPECT_LT((as_the_package(found.at_layer) - expected).abs().max().item<double>(), limit)
            << network << ' ' << key;
        EXPECT_LT((exactly_scaled(found.values) - expected).abs().max().item<double>(), limit) << network << ' ' << key;
        EXPECT_EQ(found.layer, reference.network.graph().index_of(layer));
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared, 36);
}

TEST(GradCam, GivesCaptumsMapAtEveryLayerOfBothNetworks) {
  int compared = 0;
  for (const std::string network : {"leaky4", "relu6"}) {
    const Reference reference(network);
    for (const auto& layer : reference.network.graph().layers) {
      const std::string key = "captum.grad_cam." + layer.name;
      if (!reference.has(key)) continue;
      const Attributions found = maps_of("grad-cam", reference.request, layer.name);
      EXPECT_LT(relative_difference(found.at_layer.unsqueeze(1), reference[key]), 1e-4) << network << ' ' << key;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 10);
}

/// Every method of the table that is defined for `network`.
std::vector<MethodSpec> defined_for(const network::Network& network) {
  std::vector<MethodSpec> defined;
  for (MethodSpec& spec : cam_methods()) {
    if (spec.unsupported_reason(network.graph()).empty()) defined.push_back(std::move(spec));
  }
  return defined;
}

AttributionRequest question_of(const network::Network& network, int64_t count, uint64_t seed = 1) {
  const int64_t classes = network.graph().classes();
  return {.network = network,
          .images = random_images(network.graph(), count, seed),
          .targets = at::arange(count, at::kLong).remainder(classes)};
}

const char* const kPooled =
    R"({ conv = 6, kernel = 3, padding = 1 }, "relu", "batch_norm", "global_avg_pool", "flatten", { dense = 4 })";

TEST(Cam, OfAPooledNetworkIsGradCamTimesTheNumberOfPositions) {
  const network::Network network = frozen_copy({graph_of(kPooled), 3});
  const AttributionRequest request = question_of(network, 5);
  const Attributions original = maps_of("cam", request);
  const Attributions by_gradient = maps_of("grad-cam", request, "batch_norm1");
  EXPECT_EQ(original.layer, network.graph().index_of("batch_norm1"));
  EXPECT_GT(original.at_layer.clamp_min(0).max().item<double>(), 0);
  EXPECT_LT(original.at_layer.min().item<double>(), 0) << "the original has a sign";
  EXPECT_LT(relative_difference(by_gradient.at_layer * 64, original.at_layer.clamp_min(0)), 1e-5);
}

TEST(Cam, MeanOfTheMapIsTheScoreWithoutTheBias) {
  const network::Network network = frozen_copy({graph_of(kPooled), 3});
  const AttributionRequest request = question_of(network, 5);
  const at::Tensor logits = network.forward(request.images, network::Mode::evaluation) - network.tensor("dense1.bias");
  const at::Tensor expected = logits.gather(1, request.targets.unsqueeze(1)).squeeze(1);
  EXPECT_LT(relative_difference(maps_of("cam", request).at_layer.mean({1, 2}), expected), 1e-5);
}

TEST(HiresCam, SumsToTheScoreWhereTheRestIsLinear) {
  const network::Network network =
      frozen_copy({graph_of(R"({ conv = 3, kernel = 3 }, "relu", "flatten", { dense = 4, bias = false })"), 5});
  const AttributionRequest request = question_of(network, 4);
  const Attributions positive = maps_of("hires-cam", request);
  const at::Tensor activation = at::relu(network.run_layer(1, {request.images}, network::Mode::evaluation));
  const at::Tensor weights = network.tensor("dense1.weight").index_select(0, request.targets).reshape_as(activation);
  EXPECT_LT(relative_difference(positive.at_layer, (weights * activation).sum(1).clamp_min(0)), 1e-5);
}

TEST(Cam, IsRefusedOnOtherNetworksInOneLine) {
  const network::Graph two_dense =
      graph_of(R"({ conv = 2, kernel = 3 }, "global_avg_pool", "flatten", { dense = 5 }, "relu", { dense = 4 })");
  EXPECT_EQ(cam("cam").unsupported_reason(two_dense),
            "needs a network that ends in global_avg_pool and one dense layer, and n does not");
  EXPECT_EQ(cam("cam").unsupported_reason(graph_of(kPooled)), "");
}

TEST(ClassActivation, IsRefusedOnDenseNetworksInOneLine) {
  const network::Graph dense = graph_of(R"("flatten", { dense = 9 }, "relu", { dense = 4 })");
  for (const MethodSpec& spec : cam_methods()) {
    const std::string why = spec.unsupported_reason(dense);
    EXPECT_NE(why, "") << spec.name;
    EXPECT_EQ(why.find('\n'), std::string::npos) << why;
  }
  EXPECT_EQ(cam("grad-cam").unsupported_reason(dense), "needs a layer with height and width, and n has none");
}

TEST(ClassActivation, WorksOnResidualSqueezeExciteAndThreeChannelNetworks) {
  for (const std::string name : {"tiny-mobile", "resnet18-48"}) {
    const network::Network network = frozen_copy({network::load_graph(name), 1});
    const AttributionRequest request = question_of(network, 2);
    for (const MethodSpec& spec : defined_for(network)) {
      if (spec.name == "score-cam" || spec.name == "ablation-cam") continue;  // a pass a channel: below
      const Attributions maps = maps_of(spec.name, request);
      EXPECT_EQ(maps.values.sizes(), (std::vector<int64_t>{2, 48, 48})) << name << ' ' << spec.name;
      EXPECT_TRUE(at::isfinite(maps.values).all().item<bool>()) << name << ' ' << spec.name;
    }
  }
  const std::string layers =
      R"({ conv = 4, kernel = 3, padding = 1 }, { residual = [{ conv = 4, kernel = 3, padding = 1 }, "silu",
    { squeeze_excite = 2 }] }, { max_pool = 2 }, "flatten", { dense = 3 })";
  const network::Network network = frozen_copy({graph_of(layers, "[3, 8, 8]"), 1});
  // At a layer inside the residual branch the later layers read an earlier one, too.
  for (const std::string layer : {"", "silu1", "conv1", "last"}) {
    for (const MethodSpec& spec : defined_for(network)) {
      const Attributions maps = maps_of(spec.name, question_of(network, 3), layer);
      EXPECT_EQ(maps.values.sizes(), (std::vector<int64_t>{3, 8, 8})) << spec.name;
      EXPECT_TRUE(at::isfinite(maps.values).all().item<bool>()) << spec.name;
      if (layer == "last") continue;  // inside squeeze-excite: one position, where a map may be nothing
      EXPECT_GT(maps.values.abs().max().item<float>(), 0) << spec.name << " at " << layer << ": no map at all";
    }
  }
}

TEST(ClassActivation, OfABatchIsThatOfItsImages) {
  const Reference reference("leaky4");
  for (const MethodSpec& spec : defined_for(reference.network)) {
    const Attributions together = maps_of(spec.name, reference.request, "leaky_relu4");
    const Attributions in_small_passes = maps_of(spec.name, reference.request, "leaky_relu4", 2);
    EXPECT_LT(relative_difference(in_small_passes.at_layer, together.at_layer), 1e-5) << spec.name;
    for (int64_t image = 0; image < 3; ++image) {
      const Attributions alone = maps_of(spec.name, slice(reference.request, image, image + 1), "leaky_relu4");
      EXPECT_LT(relative_difference(alone.values[0], together.values[image]), 1e-5)
          << spec.name << " of image " << image;
    }
  }
}

TEST(AblationCam, WithZerosIsThePapersAblation) {
  const network::Network network = frozen_copy(
      {graph_of(R"({ conv = 5, kernel = 3 }, { leaky_relu = 0.1 }, "flatten", { dense = 6 }, "relu", { dense = 3 })"),
       2});
  const AttributionRequest request = question_of(network, 3);
  MethodOptions options;
  options.cam.ablation_value = "zero";
  options.batch_size = 4;
  const at::Tensor found = cam("ablation-cam").explain(request, options).at_layer;
  for (int64_t image = 0; image < 3; ++image) {
    const auto whole = network.run_layer(
        2,
        {network.run_layer(1, {request.images.slice(0, image, image + 1)}, network::Mode::evaluation)},
        network::Mode::evaluation);
    const auto score_of_activation = [&](at::Tensor value) {
      for (int layer = 3; layer < 7; ++layer) value = network.run_layer(layer, {value}, network::Mode::evaluation);
      return value[0][request.targets[image].item<int64_t>()].item<double>();
    };
    const double score = score_of_activation(whole);
    at::Tensor expected = at::zeros({6, 6});
    for (int64_t channel = 0; channel < 5; ++channel) {
      at::Tensor without = whole.clone();
      without.select(1, channel).zero_();
      expected += (score - score_of_activation(without)) / score * whole[0][channel];
    }
    EXPECT_LT(relative_difference(found[image], expected.clamp_min(0)), 1e-4);
  }
}

TEST(KerasVis, LooksAtTheNearestConvolutionOrPoolingBeforeTheLastTwoLayers) {
  const auto name_of = [](const network::Graph& graph) {
    return graph.layers[static_cast<size_t>(keras_vis_layer(graph))].name;
  };
  EXPECT_EQ(name_of(network::load_graph("leaky4")), "max_pool4");
  EXPECT_EQ(name_of(graph_of(kPooled)), "conv1") << "a global pool is none of Keras' pooling layers";
  EXPECT_EQ(keras_vis_layer(graph_of(R"("flatten", { dense = 4 })")), -1);
}

TEST(KerasVis, ZoomsAsScipy) {
  // scipy.ndimage.zoom([[0, 2, 1], [4, 0, 3]], (7 / 2, 5 / 3)), SciPy 1.10.1
  const at::Tensor expected =
      at::tensor(
          {-0.,        0.90625,    2.,         1.59375,    1.,         0.2962963,  0.99421296, 1.85185185, 1.57986111,
           1.14814815, 1.03703704, 1.21412037, 1.48148148, 1.54513889, 1.51851852, 2.,         1.5,        1.,
           1.5,        2.,         2.96296296, 1.78587963, 0.51851852, 1.45486111, 2.48148148, 3.7037037,  2.00578704,
           0.14814815, 1.42013889, 2.85185185, 4.,         2.09375,    -0.,        1.40625,    3.},
          at::kDouble)
          .reshape({7, 5});
  const at::Tensor small = at::tensor({0., 2., 1., 4., 0., 3.}, at::kDouble).reshape({2, 3});
  const at::Tensor found = at::matmul(at::matmul(cubic_zoom_matrix(7, 2), small), cubic_zoom_matrix(5, 3).t());
  EXPECT_LT((found - expected).abs().max().item<double>(), 1e-7);
}

TEST(KerasVis, IsGradCamZoomedAndScaled) {
  const Reference reference("relu6");
  const Attributions found = maps_of("grad-cam-keras-vis", reference.request);
  const Attributions plain = maps_of("grad-cam", reference.request, "max_pool3");
  EXPECT_EQ(found.layer, plain.layer);
  for (int64_t image = 0; image < 3; ++image) {
    const at::Tensor theirs = found.at_layer[image];
    const at::Tensor ours = plain.at_layer[image];
    // The gradient's maximum divides the whole map.
    EXPECT_LT(relative_difference(theirs / theirs.max(), ours / ours.max()), 1e-5);
    EXPECT_NEAR(found.values[image].min().item<double>(), 0, 1e-6);
    // Not quite 1: keras-vis adds Keras' epsilon to the divisor.
    EXPECT_NEAR(found.values[image].max().item<double>(), 1, 1e-4);
    const at::Tensor zoom = cubic_zoom_matrix(48, ours.size(0));
    const at::Tensor large = at::matmul(at::matmul(zoom, theirs.to(at::kDouble)), zoom.t());
    const at::Tensor expected = (large - large.min()) / (large.max() - large.min());
    EXPECT_LT((found.values[image] - expected).abs().max().item<double>(), 1e-4);
  }
}

TEST(CamMethods, HaveTheNamesOfTheFieldOnceEach) {
  std::set<std::string> names;
  for (const MethodSpec& spec : cam_methods()) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    EXPECT_FALSE(spec.source.empty()) << spec.name;
  }
  // those of pytorch-grad-cam and Captum, and keras-vis's own variant
  EXPECT_EQ(names,
            (std::set<std::string>{"cam",
                                   "grad-cam",
                                   "grad-cam++",
                                   "grad-cam-elementwise",
                                   "xgrad-cam",
                                   "hires-cam",
                                   "layer-cam",
                                   "eigen-cam",
                                   "eigengrad-cam",
                                   "score-cam",
                                   "ablation-cam",
                                   "grad-cam-keras-vis"}));
}

TEST(DefaultLayer, IsTheFinestOfTheLastStage) {
  const auto name_of = [](const network::Graph& graph) {
    return graph.layers[static_cast<size_t>(choose_layer(graph, ""))].name;
  };
  EXPECT_EQ(name_of(network::load_graph("leaky4")), "batch_norm4") << "before its pooling";
  EXPECT_EQ(name_of(graph_of(R"({ conv = 4, kernel = 3 }, "relu", { max_pool = 2 }, { dropout = 0.5 }, "flatten",
                             { dense = 3 })")),
            "relu1")
      << "dropout passed over";
  EXPECT_EQ(name_of(graph_of(R"({ max_pool = 2 }, "flatten", { dense = 3 })")), "max_pool1") << "the input is no layer";
}

}  // namespace
}  // namespace mien::explain
