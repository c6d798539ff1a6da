#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "network/helpers.h"
#include <gtest/gtest.h>

#include "mien/core/files.h"
#include "mien/network/graph/graph.h"

namespace mien::network {
namespace {

TEST(BuiltinNetworks, HaveTheReportsParameterCounts) {
  const auto expect = [](const std::string& name, int64_t total, int64_t trainable) {
    const Graph graph = load_graph(name);
    EXPECT_EQ(graph.total_parameters(), total) << name;
    EXPECT_EQ(graph.trainable_parameters(), trainable) << name;
    EXPECT_EQ(graph.buffers(), total - trainable) << name;
  };
  expect("box3", 2'209'059, 2'207'893);
  expect("dnn3", 2'242'083, 2'237'973);
  expect("plain6", 462'055, 460'711);
  expect("leaky4", 540'167, 538'951);
}

TEST(BuiltinNetworks, HaveThePublishedCountsOfTheirFamilies) {
  // torchvision: vgg11_bn, vgg16_bn and vgg19_bn train 9,225,984, 14,723,136 and 20,035,392 parameters in `features` on
  // three channels with biases. One channel less two leaves out 2*64*9 weights, no bias the convolutions' widths.
  const int64_t classifier = 512 * 4096 + 4096 * 4096 + 2 * (3 * 4096) + 4096 * 7 + 7;
  EXPECT_EQ(load_graph("vgg48-a").trainable_parameters(), 9'225'984 - 1'152 - 2'752 + classifier);
  EXPECT_EQ(load_graph("vgg48-d").trainable_parameters(), 14'723'136 - 1'152 - 4'224 + classifier);
  EXPECT_EQ(load_graph("vgg48-e").trainable_parameters(), 20'035'392 - 1'152 - 5'504 + classifier);
  // The widely used ResNet-18 for CIFAR-10 (three channels, ten classes) trains 11,173,962.
  EXPECT_EQ(load_graph("resnet18-48").trainable_parameters(), 11'173'962 - 2 * 64 * 9 - 3 * 513);
  EXPECT_NEAR(static_cast<double>(load_graph("tiny-mobile").total_parameters()), 100'000, 15'000);
  EXPECT_LE(load_graph("mien-nano").total_parameters(), 105'000);
}

TEST(BuiltinNetworks, AllTakeFacesAndGiveSevenScores) {
  const std::vector<BuiltinNetwork> networks = builtin_networks();
  std::vector<std::string> names;
  for (const BuiltinNetwork& builtin : networks) {
    const Graph graph = load_graph(builtin.name);
    EXPECT_EQ(graph.name, builtin.name) << "the file's name and the network's differ";
    EXPECT_EQ(graph.input_shape(), (Shape{.channels = 1, .height = 48, .width = 48})) << builtin.name;
    EXPECT_EQ(graph.classes(), 7) << builtin.name;
    EXPECT_FALSE(builtin.source.empty()) << builtin.name;
    names.push_back(builtin.name);
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"box3",
                                      "dnn3",
                                      "plain6",
                                      "leaky4",
                                      "conv3",
                                      "alexnet48",
                                      "vgg48-a",
                                      "vgg48-d",
                                      "vgg48-e",
                                      "stage5",
                                      "resnet18-48",
                                      "tiny-mobile",
                                      "mien-nano",
                                      "mien-small",
                                      "mien-large"}));
  EXPECT_EQ(load_graph("vgg48").name, "vgg48-a");
}

TEST(BuiltinNetworks, AreTheirFilesByteForByte) {
  for (const BuiltinNetwork& builtin : builtin_networks()) {
    const auto path = std::filesystem::path(MIEN_SOURCE_DIR) / "networks" / (builtin.name + ".toml");
    EXPECT_EQ(load_graph(builtin.name).toml, read_text(path)) << builtin.name;
  }
}

TEST(BuiltinNetworks, NameTheirLayersAsTheReferenceDoes) {
  const Graph leaky4 = load_graph("leaky4");
  std::vector<std::string> names;
  for (const Layer& layer : leaky4.layers) names.push_back(layer.name);
  EXPECT_EQ(names, (std::vector<std::string>{"input",       "conv1",       "leaky_relu1", "batch_norm1", "max_pool1",
                                             "conv2",       "leaky_relu2", "batch_norm2", "max_pool2",   "conv3",
                                             "leaky_relu3", "batch_norm3", "max_pool3",   "conv4",       "leaky_relu4",
                                             "batch_norm4", "max_pool4",   "flatten",     "dense1",      "relu1",
                                             "batch_norm5", "dense2"}));
}

TEST(BuiltinNetworks, KeepTheReportsShapes) {
  const auto shape = [](const std::string& network, const std::string& layer) {
    const Graph graph = load_graph(network);
    return graph.layers[static_cast<size_t>(graph.index_of(layer))].output_shape.text();
  };
  EXPECT_EQ(shape("box3", "flatten"), "9216");
  EXPECT_EQ(shape("plain6", "flatten"), "512");
  EXPECT_EQ(shape("leaky4", "conv1"), "32*48*48");
  EXPECT_EQ(shape("vgg48", "flatten"), "512");
  EXPECT_EQ(shape("stage5", "max_pool5"), "512*1*1");
  EXPECT_EQ(shape("alexnet48", "max_pool3"), "128*5*5");
  EXPECT_EQ(shape("resnet18-48", "add8"), "512*6*6");
}

TEST(LoadGraph, SuggestsTheNearestNetworkForAnUnknownName) {
  EXPECT_EQ(
      error_of([] { load_graph("leaky5"); }),
      "usage: cannot load network 'leaky5': it is neither a built-in network nor a file. hint: did you mean 'leaky4'?");
  EXPECT_EQ(error_of([] { load_graph("no/such/net.toml"); }).substr(0, 65),
            "usage: cannot load network 'no/such/net.toml': there is no such f");
  EXPECT_EQ(load_graph((fixtures() / "relu6.toml").string()).total_parameters(), 1'510'631);
}

TEST(Graph, SuggestsTheNearestLayerForAnUnknownName) {
  const Graph graph = load_graph("leaky4");
  EXPECT_EQ(graph.layers[static_cast<size_t>(graph.index_of("leaky_relu2"))].name, "leaky_relu2");
  EXPECT_EQ(error_of([&] { graph.index_of("leakyrelu2"); }),
            "usage: network leaky4 has no layer 'leakyrelu2'. hint: did you mean 'leaky_relu2'?");
}

TEST(SummaryTable, ListsLayersAndTotals) {
  const std::string table = summary_table(graph_of(R"({ conv = 4, kernel = 3, padding = 1 },
    { residual = ["batch_norm"] }, "flatten", { dense = 3 })"));
  EXPECT_EQ(table, R"(network: n

layer (kind)              output shape  parameters  multiply-adds  connected to
-------------------------------------------------------------------------------------
input (input)                    1*8*8           0              0
conv1 (conv)                     4*8*8          40          2,304  input
batch_norm1 (batch_norm)         4*8*8          16              0  conv1
add1 (add)                       4*8*8           0              0  batch_norm1, conv1
flatten (flatten)                  256           0              0  add1
dense1 (dense)                       3         771            768  flatten
-------------------------------------------------------------------------------------
parameters                           827
trainable                            819
not trainable                          8
multiply-adds                      3,072
)");
}

double twin_error(const Graph& graph) {
  const Graph twin = parse_graph(dense_twin_toml(graph), "twin.toml");
  EXPECT_EQ(twin.input_shape(), graph.input_shape());
  EXPECT_EQ(twin.classes(), graph.classes());
  for (const Layer& layer : twin.layers) EXPECT_NE(layer.kind, LayerKind::conv);
  const auto wanted = static_cast<double>(graph.trainable_parameters());
  return std::abs(static_cast<double>(twin.trainable_parameters()) - wanted) / wanted;
}

TEST(DenseTwin, TrainsAsManyParametersAsEveryBuiltinNetwork) {
  for (const BuiltinNetwork& builtin : builtin_networks()) {
    EXPECT_LE(twin_error(load_graph(builtin.name)), 0.015) << builtin.name;
  }
}

TEST(DenseTwin, KeepsTheProportionsWhereTheyFit) {
  EXPECT_EQ(parse_graph(dense_twin_toml(load_graph("dnn3")), "twin.toml").trainable_parameters(), 2'237'973);
}

TEST(DenseTwin, ReachesSmallNetworksByAnotherMiddleWidth) {
  for (const int width : {3, 5, 8, 13, 21, 34, 55}) {
    EXPECT_LE(twin_error(graph_of(fmt::format(R"("flatten", {{ dense = {} }}, {{ dense = 2 }})", width))), 0.015)
        << width;
  }
}

TEST(DenseTwin, SaysWhenNoneIsSmallEnough) {
  const Graph graph = graph_of(R"({ conv = 2, kernel = 3 }, "global_avg_pool", "flatten")");
  EXPECT_EQ(error_of([&] { dense_twin_toml(graph); }),
            "usage: cannot find a dense twin of n: it trains 20 parameters, the nearest dense network on 64 inputs "
            "trains 83, "
            "expected one within 1.5 %");
}

}  // namespace
}  // namespace mien::network
