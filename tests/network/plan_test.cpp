#include "mien/network/plan.h"

#include <string>
#include <vector>

#include "network/helpers.h"
#include <gtest/gtest.h>

namespace mien::network {
namespace {

const Step& step_of(const Graph& graph, const Plan& plan, const std::string& layer) {
  return plan.steps[static_cast<size_t>(graph.index_of(layer)) - 1];
}

TEST(Plan, ReleasesEveryOutputAfterItsLastReaderAndKeepsTheScores) {
  for (const BuiltinNetwork& builtin : builtin_networks()) {
    const Graph graph = load_graph(builtin.name);
    const Plan plan = make_plan(graph, Fusion::none);
    std::vector<bool> alive(graph.layers.size(), false);
    alive[0] = true;
    for (const Step& step : plan.steps) {
      for (const int input : step.inputs) EXPECT_TRUE(alive[static_cast<size_t>(input)]) << builtin.name;
      for (const int layer : step.layers) alive[static_cast<size_t>(layer)] = true;
      for (const int dead : step.release) {
        EXPECT_TRUE(alive[static_cast<size_t>(dead)]) << builtin.name << " releases twice";
        alive[static_cast<size_t>(dead)] = false;
      }
    }
    for (size_t i = 0; i < alive.size(); ++i) EXPECT_EQ(alive[i], i + 1 == alive.size()) << builtin.name << ' ' << i;
  }
}

TEST(Plan, OverwritesOnlyMemoryThatNobodyReadsLater) {
  const Graph graph = graph_of(R"(
    "relu", { conv = 2, kernel = 1 }, "relu", { residual = ["silu"] }, "relu",
    { residual = [{ dropout = 0.5 }, "sigmoid"] }, "flatten", "silu", { dense = 2 })");
  const Plan plan = make_plan(graph, Fusion::none);
  const auto may = [&](const std::string& layer) { return step_of(graph, plan, layer).may_overwrite; };
  EXPECT_FALSE(may("relu1")) << "the images are the caller's";
  EXPECT_TRUE(may("relu2")) << "nobody else reads conv1";
  EXPECT_FALSE(may("silu1")) << "add1 reads relu2 as well";
  EXPECT_TRUE(may("add1"));
  EXPECT_TRUE(may("relu3"));
  EXPECT_FALSE(may("sigmoid1")) << "dropout1 passes on relu3's memory, which add2 reads";
  EXPECT_TRUE(may("add2"));
  EXPECT_TRUE(may("silu2")) << "flatten is a view of add2, which nobody else reads";
  EXPECT_FALSE(may("dense1"));
}

TEST(Plan, PadsBeforehandOnlyWhereTheSidesDiffer) {
  const Graph graph = graph_of(R"(
    { conv = 1, kernel = [4, 3], padding = "same" }, { conv = 1, kernel = [5, 3], padding = "same" }, "flatten")");
  const Plan plan = make_plan(graph, Fusion::none);
  EXPECT_EQ(step_of(graph, plan, "conv1").pad_before, (std::vector<int64_t>{1, 1, 1, 2}));
  EXPECT_EQ(step_of(graph, plan, "conv1").padding, (std::vector<int64_t>{0, 0}));
  EXPECT_TRUE(step_of(graph, plan, "conv2").pad_before.empty());
  EXPECT_EQ(step_of(graph, plan, "conv2").padding, (std::vector<int64_t>{2, 1}));
}

}  // namespace
}  // namespace mien::network
