#include "mien/explain/units/unit_objective.h"

#include <algorithm>
#include <string>
#include <vector>

#include "explain/inside_testing.h"
#include <torch/csrc/autograd/autograd.h>

#include "mien/explain/units/evaluation_block.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Mode;
using network::Network;

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

/// Compares value and gradient of each image with autograd's through all outputs, at every layer. The two ways round
/// differently, and where a pool or an activation is at the edge of its choice, one image's gradient jumps: a few may.
void expect_autograds_numbers(const Network& network, const at::Tensor& images) {
  const Graph& graph = network.graph();
  int compared = 0;
  int jumped = 0;
  for (int layer = 1; layer < static_cast<int>(graph.layers.size()); ++layer) {
    const std::string& name = graph.layers[static_cast<size_t>(layer)].name;
    const int64_t count = graph.layers[static_cast<size_t>(layer)].output_shape.channels;
    const std::vector<int64_t> units{0, count - 1, count / 2, count - 1};
    for (const Reduction how : {Reduction::mean, Reduction::sum, Reduction::center}) {
      const auto expected = plainly(network, layer, units, how, images);
      const auto found = UnitObjective(network, layer, units, how).evaluate(images, true);
      const double scale = std::max(1.0, expected.values.abs().max().item<double>());
      EXPECT_LT((found.values - expected.values).abs().max().item<double>(), 2e-5 * scale) << graph.name << " " << name;
      const at::Tensor largest = expected.gradient.abs().flatten(1).amax(1);
      const at::Tensor error = (found.gradient - expected.gradient).abs().flatten(1).amax(1);
      jumped += (error > largest * 2e-5 + 1e-9).sum().item<int>();
      EXPECT_TRUE((error <= largest * 0.3 + 1e-9).all().item<bool>()) << graph.name << " " << name;
      compared += 4;
    }
  }
  EXPECT_LT(jumped, compared / 4) << graph.name;
}

TEST(UnitObjective, GivesAutogradsNumbersAtEveryLayerOfTheReportsNetworks) {
  for (const char* name : {"leaky4", "plain6", "dnn3"}) {
    const Network network = lively(network::load_graph(name));
    expect_autograds_numbers(network, network::random_images(network.graph(), 4));
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
      R"("batch_norm", "relu", { max_pool = 2 }, "flatten", { dense = 3 })",
      R"({ conv = 6, kernel = 3 }, { group_norm = 3 }, "gelu", { concat = [[{ conv = 3, kernel = 1 }, "elu"], ["tanh"], []] },
         "layer_norm", "hardswish", "softplus", "global_max_pool", "flatten", { concat = [[{ dense = 4 }], []] }, { dense = 3 })"};
  for (const std::string& layers : nets) {
    const Network network = lively(network::graph_of(layers, "[2, 13, 11]"));
    expect_autograds_numbers(network, network::random_images(network.graph(), 4));
  }
}

TEST(EvaluationBlock, GivesWhatItsLayersGiveOneByOne) {
  struct Case {
    std::string layers;
    int first, last;  // the nodes that one block is expected to hold
  };
  const std::vector<Case> cases{
      {R"({ conv = 11, kernel = 5, padding = "same" }, "relu", "batch_norm", { max_pool = 2 }, { dropout = 0.2 })",
       1,
       5},
      {R"({ conv = 8, kernel = 3, stride = 2, padding = "same" }, { leaky_relu = 0.1 }, { max_pool = 3 }, "batch_norm")",
       1,
       4},
      {R"({ conv = 20, kernel = 3 }, "batch_norm", "relu")", 1, 3},
      {R"({ conv = 5, kernel = 3 }, "silu")", 1, 1},
      {R"("batch_norm", { leaky_relu = 0.3 }, "batch_norm", { max_pool = 2 }, "batch_norm", { conv = 2, kernel = 1 })",
       1,
       5},
      {R"({ max_pool = 2 }, "relu")", 1, 1}};
  for (const Case& each : cases) {
    const Network network = lively(network::graph_of(each.layers + R"(, "flatten", { dense = 3 })", "[2, 13, 15]"));
    const auto block =
        EvaluationBlock::find(network, each.first, std::vector<bool>(network.graph().layers.size(), true));
    ASSERT_NE(block, nullptr) << each.layers;
    EXPECT_EQ(block->last(), each.last) << each.layers;
    const at::AutoGradMode with_gradient(true);
    const at::Tensor input = (network::random_images(network.graph(), 3) - 0.5).set_requires_grad(true);
    at::Tensor expected = input;
    for (int layer = each.first; layer <= each.last; ++layer)
      expected = network.run_layer(layer, {expected}, Mode::evaluation);
    const at::Tensor found = block->run(input);
    EXPECT_LT(network::relative_difference(found.detach(), expected.detach()), 2e-6) << each.layers;
    const at::Tensor seed =
        network::random_images(network.graph(), 400).flatten().slice(0, 0, found.numel()).view(found.sizes());
    const at::Tensor gradient = torch::autograd::grad({found}, {input}, {seed}).front();
    EXPECT_LT(network::relative_difference(gradient, torch::autograd::grad({expected}, {input}, {seed}).front()), 2e-6)
        << each.layers;
  }
}

TEST(EvaluationBlock, EndsWhereAnotherLayerReads) {
  const Network network = lively(network::load_graph("leaky4"));
  std::vector<bool> goes_on(network.graph().layers.size(), true);
  goes_on[2] = false;
  EXPECT_EQ(EvaluationBlock::find(network, 1, goes_on)->last(), 2);
  EXPECT_EQ(EvaluationBlock::find(network, network.graph().index_of("dense1"), goes_on), nullptr);
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
            "usage: cannot maximize units of layer 0 of leaky4, expected 1 to 21");
}

}  // namespace
}  // namespace mien::explain
