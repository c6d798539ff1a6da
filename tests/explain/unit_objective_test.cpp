#include "mien/explain/unit_objective.h"

#include <map>
#include <string>
#include <vector>

#include "explain/explain_testing.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::LayerKind;
using network::Mode;
using network::Network;

/// Parameters and running statistics as after a training: none is 0, 1 or the same for all channels.
Network lively(const Graph& graph, uint64_t seed = 3) {
  Network network = frozen(Network(graph, seed));
  RandomStream random(seed, "lively statistics");
  for (const network::ParameterSpec& spec : graph.parameter_specs()) {
    if (graph.layers[static_cast<size_t>(spec.layer)].kind != LayerKind::batch_norm) continue;
    at::Tensor values = network.tensor(spec.name);
    const bool is_positive = spec.name.ends_with("running_var");
    for (int64_t i = 0; i < values.numel(); ++i) values[i] = random.uniform(is_positive ? 0.5 : -1.0, 1.5);
  }
  return network;
}

/// What a unit's objective is, from all outputs of the layer by autograd through the whole network.
UnitObjective::Value plainly(
    const Network& network, int layer, const std::vector<int64_t>& units, Reduction how, const at::Tensor& images) {
  const at::AutoGradMode with_gradient(true);
  const at::Tensor input = images.detach().clone().set_requires_grad(true);
  at::Tensor output;
  network.forward_visit(input, Mode::evaluation, [&](int index, const at::Tensor& values) {
    if (index == layer) output = values;
  });
  if (output.dim() == 2) output = output.view({output.size(0), output.size(1), 1, 1});
  std::vector<at::Tensor> values;
  for (size_t i = 0; i < units.size(); ++i) {
    const at::Tensor map = output[static_cast<int64_t>(i)][units[i]];
    values.push_back(how == Reduction::mean  ? map.mean()
                     : how == Reduction::sum ? map.sum()
                                             : map[map.size(0) / 2][map.size(1) / 2]);
  }
  const at::Tensor all = at::stack(values);
  all.sum().backward();
  return {.values = all.detach(), .gradient = input.grad()};
}

double worst_difference(const Network& network, const at::Tensor& images) {
  double worst = 0;
  const Graph& graph = network.graph();
  for (int layer = 1; layer < static_cast<int>(graph.layers.size()); ++layer) {
    const int64_t count = graph.layers[static_cast<size_t>(layer)].output_shape.channels;
    const std::vector<int64_t> units{0, count - 1, count / 2, count - 1};
    for (const Reduction how : {Reduction::mean, Reduction::sum, Reduction::centre}) {
      const auto expected = plainly(network, layer, units, how, images);
      const auto found = UnitObjective(network, layer, units, how).evaluate(images, true);
      const double scale = std::max(1e-6, expected.gradient.abs().max().item<double>());
      const double gradient = (found.gradient - expected.gradient).abs().max().item<double>() / scale;
      const double value = (found.values - expected.values).abs().max().item<double>() /
                           std::max(1.0, expected.values.abs().max().item<double>());
      EXPECT_LT(gradient, 2e-5) << graph.name << " " << graph.layers[static_cast<size_t>(layer)].name;
      EXPECT_LT(value, 2e-5) << graph.name << " " << graph.layers[static_cast<size_t>(layer)].name;
      worst = std::max({worst, gradient, value});
    }
  }
  return worst;
}

TEST(UnitObjective, GivesAutogradsNumbersAtEveryLayerOfTheReportsNetworks) {
  for (const char* name : {"leaky4", "plain6", "dnn3"}) {
    const Network network = lively(network::load_graph(name));
    EXPECT_GT(worst_difference(network, network::random_images(network.graph(), 4)), 0) << name;
  }
}

TEST(UnitObjective, GivesAutogradsNumbersForEveryKindOfLayer) {
  const std::vector<std::string> nets{
      // Odd sizes, strides, uneven 'same' padding, groups, several input channels, pools that overlap.
      R"({ conv = 6, kernel = 3, stride = 2, padding = "same" }, "silu", { conv = 8, kernel = 3, groups = 2 }, "sigmoid",
         { avg_pool = 2 }, "flatten", { dense = 5 }, "relu", "batch_norm", { dense = 3 })",
      R"({ depthwise = 3, padding = "same" }, "batch_norm", "relu", { conv = 4, kernel = 1 }, { max_pool = 3, stride = 2, padding = 1 },
         { depthwise = 3, padding = "same" }, "leaky_relu", { dropout = 0.5 }, "global_avg_pool", "flatten", { dense = 3 })",
      R"({ conv = 4, kernel = 3, padding = "same" },
         { residual = [{ conv = 4, kernel = 3, padding = "same" }, "batch_norm", "relu", { squeeze_excite = 2 }] }, "relu",
         "batch_norm", "flatten", { dropout = 0.5 }, { dense = 3 })",
      R"("batch_norm", "relu", { max_pool = 2 }, "flatten", { dense = 3 })"};
  for (const std::string& layers : nets) {
    const Network network = lively(network::graph_of(layers, "[2, 13, 11]"));
    EXPECT_GT(worst_difference(network, network::random_images(network.graph(), 4)), 0) << layers;
  }
}

TEST(UnitObjective, HasTheGradientOfFiniteDifferences) {
  const Network network = lively(network::graph_of(
      R"({ conv = 4, kernel = 3, padding = "same" }, "silu", "batch_norm", { conv = 6, kernel = 3 }, "sigmoid", "flatten", { dense = 3 })"));
  const at::Tensor images = network::random_images(network.graph(), 1);
  const UnitObjective objective(network, network.graph().index_of("sigmoid1"), {4}, Reduction::sum);
  const at::Tensor gradient = objective.evaluate(images, true).gradient;
  for (const auto& [y, x] : std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {3, 4}, {7, 7}}) {
    const auto at_step = [&](double step) {
      at::Tensor moved = images.clone();
      moved[0][0][y][x] += step;
      return objective.evaluate(moved, false).values[0].item<double>();
    };
    const double slope = (at_step(1e-2) - at_step(-1e-2)) / 2e-2;
    EXPECT_NEAR(gradient[0][0][y][x].item<double>(), slope, 2e-3 * gradient.abs().max().item<double>())
        << y << "," << x;
  }
}

TEST(UnitObjective, KnowsThatAConvolutionIsAffineAndAnActivationIsNot) {
  const Network network = lively(network::load_graph("leaky4"));
  EXPECT_TRUE(UnitObjective(network, network.graph().index_of("conv3"), {0}, Reduction::mean).is_affine());
  EXPECT_FALSE(UnitObjective(network, network.graph().index_of("leaky_relu3"), {0}, Reduction::mean).is_affine());
}

TEST(UnitObjective, SaysWhichUnitsThereAre) {
  const Network network = lively(network::load_graph("leaky4"));
  EXPECT_EQ(network::error_of([&] { UnitObjective(network, 1, {32}, Reduction::mean); }),
            "usage: conv1 of leaky4 has no unit 32, expected 0 to 31");
  EXPECT_EQ(network::error_of([&] { UnitObjective(network, 0, {0}, Reduction::mean); }),
            "usage: cannot maximise units of layer 0 of leaky4, expected 1 to 21");
}

}  // namespace
}  // namespace mien::explain
