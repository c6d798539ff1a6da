#include <limits>
#include <string>
#include <vector>

#include "network/helpers.h"
#include <gtest/gtest.h>

#include "mien/network/graph/graph.h"

namespace mien::network {
namespace {

std::vector<std::string> names(const Graph& graph) {
  std::vector<std::string> result;
  for (const Layer& layer : graph.layers) result.push_back(layer.name);
  return result;
}

const Layer& layer(const Graph& graph, const std::string& name) {
  return graph.layers[static_cast<size_t>(graph.index_of(name))];
}

TEST(GraphParser, ReadsEverySpelling) {
  const Graph graph = graph_of(R"(
    { conv = 6, kernel = [3, 5], padding = "same", stride = 2, bias = false, groups = 2 }, "leaky_relu",
    { leaky_relu = 0.05 }, { batch_norm = true, epsilon = 0.001, momentum = 0.01 }, "batch_norm", "silu", "sigmoid",
    { depthwise = 3, padding = 1 }, { max_pool = [2, 1], stride = 1, padding = 0 },
    { avg_pool = 2, stride = 1, padding = 1 }, "global_avg_pool", "flatten", { dropout = 0.25 },
    { dense = 5, bias = false }, "relu", { dense = 3 })",
                               "[4, 8, 8]");
  EXPECT_EQ(names(graph),
            (std::vector<std::string>{"input",
                                      "conv1",
                                      "leaky_relu1",
                                      "leaky_relu2",
                                      "batch_norm1",
                                      "batch_norm2",
                                      "silu1",
                                      "sigmoid1",
                                      "conv2",
                                      "max_pool1",
                                      "avg_pool1",
                                      "global_avg_pool1",
                                      "flatten",
                                      "dropout1",
                                      "dense1",
                                      "relu1",
                                      "dense2"}));
  const Layer& conv = layer(graph, "conv1");
  EXPECT_EQ(conv.kernel_height, 3);
  EXPECT_EQ(conv.kernel_width, 5);
  EXPECT_EQ(conv.stride, 2);
  EXPECT_EQ(conv.groups, 2);
  EXPECT_FALSE(conv.bias);
  EXPECT_EQ(conv.output_shape.text(), "6*4*4");
  EXPECT_EQ(conv.trainable_parameters(), 6 * 2 * 3 * 5);
  EXPECT_EQ(conv.multiply_adds(), 6 * 2 * 3 * 5 * 4 * 4);
  EXPECT_EQ(layer(graph, "leaky_relu1").negative_slope, 0.01);
  EXPECT_EQ(layer(graph, "leaky_relu2").negative_slope, 0.05);
  EXPECT_EQ(layer(graph, "batch_norm1").epsilon, 0.001);
  EXPECT_EQ(layer(graph, "batch_norm1").momentum, 0.01);
  EXPECT_EQ(layer(graph, "batch_norm2").epsilon, 1e-5);
  EXPECT_EQ(layer(graph, "conv2").groups, 6);
  EXPECT_EQ(layer(graph, "conv2").trainable_parameters(), 6 * 9 + 6);
  EXPECT_EQ(layer(graph, "max_pool1").output_shape.text(), "6*3*4");
  EXPECT_EQ(layer(graph, "avg_pool1").output_shape.text(), "6*4*5");
  EXPECT_EQ(layer(graph, "dropout1").probability, 0.25);
  EXPECT_EQ(layer(graph, "dense1").trainable_parameters(), 30);
  EXPECT_EQ(graph.classes(), 3);
}

TEST(GraphParser, PadsSameAsKerasDoes) {
  // Keras: ceil(size / stride) outputs; an odd sum puts the extra row below and the extra column to the right.
  const Graph even = graph_of(R"({ conv = 1, kernel = 4, padding = "same" }, "flatten")");
  EXPECT_EQ(layer(even, "conv1").padding, (Padding{.top = 1, .left = 1, .bottom = 2, .right = 2}));
  EXPECT_EQ(layer(even, "conv1").output_shape.text(), "1*8*8");
  const Graph strided = graph_of(R"({ conv = 1, kernel = 3, stride = 2, padding = "same" }, "flatten")");
  EXPECT_EQ(layer(strided, "conv1").padding, (Padding{.top = 0, .left = 0, .bottom = 1, .right = 1}));
  EXPECT_EQ(layer(strided, "conv1").output_shape.text(), "1*4*4");
  const Graph skipping = graph_of(R"({ conv = 2, kernel = 1, stride = 3, padding = "same" }, "flatten")");
  EXPECT_EQ(layer(skipping, "conv1").padding, Padding{});
  EXPECT_EQ(layer(skipping, "conv1").output_shape.text(), "2*3*3");
  const Graph valid = graph_of(R"({ conv = 1, kernel = 5 }, "flatten")");
  EXPECT_EQ(layer(valid, "conv1").output_shape.text(), "1*4*4");
}

TEST(GraphParser, WritesOutBlocks) {
  const Graph graph = graph_of(R"(
    { repeat = 2, layers = [{ conv = 4, kernel = 3, padding = 1 }, "relu"] },
    { residual = [{ conv = 8, kernel = 1 }], shortcut = [{ conv = 8, kernel = 1, bias = false }] },
    { residual = ["relu"] }, { squeeze_excite = 4 }, "flatten")");
  EXPECT_EQ(names(graph),
            (std::vector<std::string>{"input",
                                      "conv1",
                                      "relu1",
                                      "conv2",
                                      "relu2",
                                      "conv3",
                                      "conv4",
                                      "add1",
                                      "relu3",
                                      "add2",
                                      "global_avg_pool1",
                                      "conv5",
                                      "relu4",
                                      "conv6",
                                      "sigmoid1",
                                      "multiply1",
                                      "flatten"}));
  const auto inputs = [&](const std::string& name) {
    std::vector<std::string> result;
    for (const int input : layer(graph, name).inputs) result.push_back(graph.layers[static_cast<size_t>(input)].name);
    return result;
  };
  EXPECT_EQ(inputs("conv3"), std::vector<std::string>{"relu2"});
  EXPECT_EQ(inputs("conv4"), std::vector<std::string>{"relu2"});
  EXPECT_EQ(inputs("add1"), (std::vector<std::string>{"conv3", "conv4"}));
  EXPECT_EQ(inputs("add2"), (std::vector<std::string>{"relu3", "add1"}));
  EXPECT_EQ(inputs("multiply1"), (std::vector<std::string>{"add2", "sigmoid1"}));
  EXPECT_EQ(layer(graph, "conv5").output_shape.channels, 2);
  EXPECT_EQ(layer(graph, "conv6").output_shape.text(), "8*1*1");
  EXPECT_EQ(layer(graph, "multiply1").output_shape.text(), "8*8*8");
}

TEST(GraphParser, ReadsNormalizationsActivationsAndGlobalPools) {
  const Graph graph = graph_of(R"(
    { conv = 6, kernel = 3 }, { group_norm = 3, epsilon = 0.01 }, "layer_norm", { elu = 0.5 }, "elu", "gelu", "hardswish",
    "softplus", "tanh", { global_max_pool = true }, "flatten", { layer_norm = true, epsilon = 0.1 }, { dense = 2 })");
  EXPECT_EQ(layer(graph, "group_norm1").groups, 3);
  EXPECT_EQ(layer(graph, "group_norm1").epsilon, 0.01);
  EXPECT_EQ(layer(graph, "group_norm1").trainable_parameters(), 12);
  EXPECT_EQ(layer(graph, "group_norm1").buffers(), 0);
  EXPECT_EQ(layer(graph, "layer_norm1").epsilon, 1e-5);
  EXPECT_EQ(layer(graph, "layer_norm1").trainable_parameters(), 12);
  EXPECT_EQ(layer(graph, "elu1").alpha, 0.5);
  EXPECT_EQ(layer(graph, "elu2").alpha, 1);
  EXPECT_EQ(layer(graph, "global_max_pool1").output_shape.text(), "6*1*1");
  EXPECT_EQ(layer(graph, "layer_norm2").epsilon, 0.1);
  EXPECT_EQ(graph.total_parameters(), 6 * 9 + 6 + 12 + 12 + 12 + 14);
  EXPECT_EQ(graph.multiply_adds(), 6 * 9 * 36 + 12);
}

TEST(GraphParser, JoinsBranchesAlongTheChannels) {
  const Graph graph = graph_of(R"({ concat = [
      [{ conv = 3, kernel = 1 }, "relu"], [{ conv = 5, kernel = 3, padding = "same" }], []
    ] }, "flatten", { concat = [[{ dense = 4 }], [{ dense = 2 }]], name = "both" }, { dense = 2 })");
  EXPECT_EQ(layer(graph, "concat1").output_shape.text(), "9*8*8");
  EXPECT_EQ(layer(graph, "concat1").inputs,
            (std::vector<int>{graph.index_of("relu1"), graph.index_of("conv2"), graph.index_of("input")}));
  EXPECT_EQ(layer(graph, "both").output_shape.text(), "6");
  EXPECT_EQ(layer(graph, "dense3").trainable_parameters(), 14);
}

TEST(GraphParser, CallsLayersAsTheFileDoes) {
  const Graph graph = graph_of(R"(
    { conv = 4, kernel = 1, name = "stem" }, { batch_norm = true, name = "stem.norm" }, "relu",
    { residual = [{ conv = 4, kernel = 1 }], name = "block-1" }, { squeeze_excite = 2, name = "gate" }, "flatten",
    { dense = 2, name = "flat.scores_2" })");
  EXPECT_EQ(names(graph),
            (std::vector<std::string>{"input",
                                      "stem",
                                      "stem.norm",
                                      "relu1",
                                      "conv2",
                                      "block-1",
                                      "global_avg_pool1",
                                      "conv3",
                                      "relu2",
                                      "conv4",
                                      "sigmoid1",
                                      "gate",
                                      "flatten",
                                      "flat.scores_2"}));
  EXPECT_EQ(graph.parameter_specs()[0].name, "stem.weight");
  EXPECT_EQ(graph.parameter_specs()[4].name, "stem.norm.running_mean");
}

TEST(GraphParser, NumbersFlattensOnlyWhereThereAreSeveral) {
  const Graph graph = graph_of(R"({ residual = ["flatten"], shortcut = ["flatten"] }, { dense = 2 })");
  EXPECT_EQ(names(graph), (std::vector<std::string>{"input", "flatten1", "flatten2", "add1", "dense1"}));
}

struct Mistake {
  const char* what;
  std::string layers;
  std::string message;
};

void PrintTo(const Mistake& mistake, std::ostream* out) { *out << mistake.what; }

std::string nested_branches() {
  std::string layers = "\"relu\"";
  for (int i = 0; i < 20; ++i) layers = "{ concat = [[" + layers + "], []] }";
  return layers;
}

class GraphParserMistakes : public testing::TestWithParam<Mistake> {};

TEST_P(GraphParserMistakes, AreReportedWithFileLineAndLayer) {
  const std::string line = error_of([] { graph_of(GetParam().layers); });
  const std::string expected = "usage: n.toml:" + GetParam().message;
  const std::string hint = ". hint: ";
  if (expected.find(hint) != std::string::npos) {
    EXPECT_EQ(line, expected);
  } else {
    // every mistake has a hint; those that come from the table of keys are tested below
    EXPECT_EQ(line.substr(0, expected.size() + hint.size()), expected + hint);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each,
    GraphParserMistakes,
    testing::Values(
        Mistake{
            "zero stride", "\n\n{ conv = 2, kernel = 3, stride = 0 }", "5: conv1 has stride 0, expected at least 1"},
        Mistake{"the layer's own name and line",
                "{ conv = 2, kernel = 1 },\n{ conv = 2, kernel = 1 },\n{ conv = 2, kernel = 3, stride = 5000 }",
                "5: conv3 has stride 5000, expected at most 4096"},
        Mistake{"unknown word", "\n\"rel\"", "4: unknown layer 'rel'. hint: did you mean 'relu'?"},
        Mistake{"unknown table", "{ cnv = 64, kernel = 3 }", "3: unknown layer 'cnv'. hint: did you mean 'conv'?"},
        Mistake{"unknown option",
                "{ conv = 4, kernal = 3 }",
                "3: conv1 has the unknown option 'kernal'. hint: did you mean 'kernel'?"},
        Mistake{"option of another layer",
                "{ dropout = 0.5, stride = 2 }",
                "3: dropout1 has the unknown option 'stride'. hint: one of: name"},
        Mistake{"two layers in one",
                "{ conv = 4, kernel = 3, dense = 2 }",
                "3: a layer is both conv and dense, expected one of them. hint: give each braces of its own: { conv = "
                "... }, { dense = ... }"},
        Mistake{"missing value", "\"max_pool\"", "3: max_pool1 stands without a value, expected { max_pool = 2 }"},
        Mistake{"missing kernel", "{ conv = 4 }", "3: conv1 has no kernel, expected a size such as kernel = 3"},
        Mistake{"text for a number",
                "{ conv = \"4\", kernel = 3 }",
                "3: conv1 has value '4', expected a whole number at least 1"},
        Mistake{"fraction for a whole number",
                "{ dense = 1.5 }",
                "3: dense1 has value 1.5, expected a whole number at least 1"},
        Mistake{"huge number",
                "{ conv = 9223372036854775807, kernel = 3 }",
                "3: conv1 has value 9223372036854775807, expected at most 65536"},
        Mistake{"negative channels", "{ conv = -1, kernel = 3 }", "3: conv1 has value -1, expected at least 1"},
        Mistake{"kernel of three",
                "{ conv = 4, kernel = [3, 3, 3] }",
                "3: conv1 has a kernel of 3 numbers, expected a side or [height, width]"},
        Mistake{"kernel beyond the image",
                "{ conv = 4, kernel = 9 }",
                "3: conv1 has kernel 9x9 on 8x8 pixels, expected one that fits"},
        Mistake{"pool beyond the image",
                "{ max_pool = 4 }, { max_pool = 3 }",
                "3: max_pool2 has kernel 3x3 on 2x2 pixels, expected one that fits"},
        Mistake{"unknown padding",
                "{ conv = 4, kernel = 3, padding = \"full\" }",
                "3: conv1 has padding 'full', expected \"same\", \"valid\" or a number"},
        Mistake{"same for a pool",
                "{ max_pool = 3, padding = \"same\" }",
                "3: max_pool1 has padding 'same', expected \"valid\" or a number"},
        Mistake{"padding as wide as the kernel",
                "{ conv = 4, kernel = 3, padding = 3 }",
                "3: conv1 has padding 3, expected at most 2 for kernel 3x3"},
        Mistake{"padding of a pool",
                "{ avg_pool = 2, padding = 2 }",
                "3: avg_pool1 has padding 2, expected at most 1 for kernel 2x2"},
        Mistake{"groups",
                "{ conv = 4, kernel = 3, groups = 3 }",
                "3: conv1 has 3 groups, expected a divisor of its 1 input and 4 output channels"},
        Mistake{"oblong pool without stride",
                "{ max_pool = [2, 1] }",
                "3: max_pool1 has kernel 2x1 and no stride, expected one"},
        Mistake{"dropout of everything",
                "{ dropout = 1 }",
                "3: dropout1 has value 1, expected a probability from 0 to below 1"},
        Mistake{"slope that is no number",
                "{ leaky_relu = nan }",
                "3: leaky_relu1 has value nan, expected a slope from 0 to 1"},
        Mistake{"batch norm without epsilon",
                "{ batch_norm = true, epsilon = 0 }",
                "3: batch_norm1 has epsilon 0, expected from above 0 to 1"},
        Mistake{
            "batch norm false", "{ batch_norm = false }", "3: batch_norm1 is false, expected true. hint: leave it out"},
        Mistake{"bias as a number", "{ dense = 4, bias = 1 }", "3: dense1 has bias 1, expected true or false"},
        Mistake{"dense on an image",
                "{ dense = 4 }",
                "3: dense1 reads 1*8*8, expected a flat input. hint: put \"flatten\" before it"},
        Mistake{"dense on a pooled image",
                "\"global_avg_pool\", { dense = 4 }",
                "3: dense1 reads 1*1*1, expected a flat input. hint: put \"flatten\" before it"},
        Mistake{"conv on flat values",
                "\"flatten\", { conv = 4, kernel = 1 }",
                "3: conv1 reads 64 flat values, expected channels*height*width"},
        Mistake{"second flatten",
                "\"flatten\", \"flatten\"",
                "3: flatten2 reads 64 flat values, expected channels*height*width"},
        Mistake{
            "unequal sums",
            "{ residual = [{ conv = 4, kernel = 3, stride = 2 }] }",
            "3: add1 adds 4*3*3 and 1*8*8, expected equal shapes. hint: give the residual block a shortcut, such as "
            "shortcut = [{ conv = 128, kernel = 1, stride = 2 }]"},
        Mistake{"too strong a squeeze", "{ squeeze_excite = 2 }", "3: squeeze_excite has value 2, expected at most 1"},
        Mistake{"repeat without layers",
                "{ repeat = 2 }",
                "3: repeat has no layers, expected { repeat = 3, layers = [ ... ] }"},
        Mistake{"repeat of nothing",
                "{ repeat = 2, layers = [] }",
                "3: repeat has layers an empty list, expected a list of layers"},
        Mistake{"too many repeats",
                "{ repeat = 1001, layers = [\"relu\"] }",
                "3: repeat has value 1001, expected at most 1000"},
        Mistake{"repeats of repeats",
                "{ repeat = 1000, layers = [{ repeat = 1000, layers = [{ repeat = 1000, layers = [\"relu\"] }] }] }",
                "3: the network has more than 2000 layers after writing out its blocks"},
        Mistake{"residual of a number", "{ residual = 2 }", "3: residual has value 2, expected a list of layers"},
        Mistake{"number for a layer",
                "7",
                "3: a layer is 7, expected a word such as \"relu\" or a table such as { dense = 128 }"},
        Mistake{"image for scores",
                "\"relu\"",
                "3: the last layer, relu1, gives 1*8*8, expected a flat list of scores. hint: end the network in "
                "\"flatten\" and a dense layer with one output a class"},
        Mistake{"one score",
                "\"flatten\", { dense = 1 }",
                "3: the last layer, dense1, gives 1 score, expected one a class, at least 2"},
        Mistake{"groups that do not divide",
                "{ conv = 6, kernel = 1 }, { group_norm = 4 }",
                "3: group_norm1 has 4 groups, expected a divisor of its 6 channels"},
        Mistake{"a norm without groups",
                "\"group_norm\"",
                "3: group_norm1 stands without a value, expected { group_norm = 8 }"},
        Mistake{"one branch", "{ concat = [[\"relu\"]] }", "3: concat1 has 1 branch, expected at least 2"},
        Mistake{"branches without brackets",
                "{ concat = [\"relu\", \"silu\"] }",
                "3: concat1 has the branch 'relu', expected a list of layers"},
        Mistake{
            "no branches", "{ concat = [] }", "3: concat1 has value an empty list, expected a list of lists of layers"},
        Mistake{"branches of two sizes",
                "{ concat = [[{ conv = 2, kernel = 3 }], []] }",
                "3: concat1 joins 2*6*6 and 1*8*8, expected equal heights and widths"},
        Mistake{"an image beside flat values",
                "{ concat = [[\"flatten\"], []] }",
                "3: concat1 joins 64 and 1*8*8, expected equal heights and widths"},
        Mistake{
            "branches inside branches", nested_branches(), "3: concat stands inside 16 blocks, expected at most 15"},
        Mistake{"steepness of an ELU", "{ elu = 0 }", "3: elu1 has value 0, expected a limit from above 0 to 100"},
        Mistake{"a name with a blank",
                "{ relu = true, name = \"my layer\" }",
                "3: relu1 has the name 'my layer', expected 1 to 64 letters, digits, '-' and '_' and, inside, '.'"},
        Mistake{"a name that is a number",
                "{ relu = true, name = 3 }",
                "3: relu1 has the name 3, expected 1 to 64 letters, digits, '-' and '_' and, inside, '.'"},
        Mistake{"a name of Mien's",
                "{ relu = true, name = \"last\" }",
                "3: relu1 has the name 'last', which means something else to Mien"},
        Mistake{"a name twice",
                "{ relu = true, name = \"a\" },\n{ silu = true, name = \"a\" }",
                "4: two layers are called a. hint: give each its own name; layers inside repeat stand there several "
                "times, leave their names out"},
        Mistake{
            "a name that another layer gets",
            "{ relu = true, name = \"conv1\" },\n{ conv = 2, kernel = 1 }",
            "4: two layers are called conv1. hint: that is the name of conv number 1; call the other one otherwise"},
        Mistake{"a name for many",
                "{ repeat = 2, layers = [\"relu\"], name = \"a\" }",
                "3: repeat has the unknown option 'name'. hint: one of: layers"},
        Mistake{"a mistake of a named layer",
                "{ conv = 2, kernel = 9, name = \"stem\" }",
                "3: stem has kernel 9x9 on 8x8 pixels, expected one that fits"},
        Mistake{"no layers", "", "3: layers is an empty list, expected a list of layers"},
        Mistake{"too many parameters",
                "\"flatten\", { dense = 1000000 },\n{ dense = 3000 }",
                "4: dense2 brings the network to 3,065,003,000 parameters, expected at most 2,147,483,648"}));

TEST(GraphParser, SaysInAHintWhatAKeyIsAndWhatItMayBe) {
  const auto hint_of = [](const std::string& layers) {
    const std::string line = error_of([&] { graph_of(layers); });
    return line.substr(line.find(". hint: ") + 8);
  };
  EXPECT_EQ(
      hint_of("{ conv = 2, kernel = 3, stride = 0 }"),
      "for example { conv = 64, kernel = 3, padding = \"same\" }; stride: step from window to window in pixels, a "
      "whole number from 1 to 4,096, 1 if left out");
  EXPECT_EQ(
      hint_of("{ dropout = 1 }"),
      "for example { dropout = 0.25 }; dropout: share of values that a training step sets to zero; the others grow "
      "in proportion, a probability from 0 to below 1");
  EXPECT_EQ(hint_of("7").substr(0, 25), "one of: conv, depthwise, ");
}

TEST(GraphParser, ReportsMistakesOfTheFile) {
  const auto error = [](const std::string& text) {
    std::string line = error_of([&] { parse_graph(text, "x.toml"); });
    EXPECT_NE(line.find(". hint: "), std::string::npos) << line;
    return line;
  };
  const auto message = [&](const std::string& text) {
    const std::string line = error(text);
    return line.substr(0, line.find(". hint: "));
  };
  EXPECT_EQ(message("name = \"n\"\ninput = [1, 8"),
            "usage: x.toml:2: not valid TOML: Error while parsing array: encountered end-of-file");
  EXPECT_EQ(error("name = \"n\"\ninpt = [1, 8, 8]\n"),
            "usage: x.toml:2: unknown key 'inpt'. hint: did you mean 'input'?");
  EXPECT_EQ(error("input = [1, 8, 8]\nlayers = [\"flatten\"]"),
            "usage: x.toml:1: the network has no name. hint: begin with: name = \"my-network\"");
  EXPECT_EQ(message("name = \"../n\"\ninput = [1, 8, 8]\nlayers = [\"flatten\"]"),
            "usage: x.toml:1: the name is '../n', expected 1 to 64 letters, digits, '-' and '_'");
  EXPECT_EQ(error("name = \"n\"\nlayers = [\"flatten\"]"),
            "usage: x.toml:1: the network has no input. hint: add: input = [1, 48, 48]  # channels, height, width");
  EXPECT_EQ(message("name = \"n\"\ninput = [1, 8]\nlayers = [\"flatten\"]"),
            "usage: x.toml:2: input is a list of 2, expected three whole numbers, [channels, height, width]");
  EXPECT_EQ(message("name = \"n\"\ninput = [1, 0, 8]\nlayers = [\"flatten\"]"),
            "usage: x.toml:2: input has 0, expected a whole number from 1 to 4096");
  EXPECT_EQ(error("name = \"n\"\ninput = [1, 8, 8]"),
            "usage: x.toml:1: the network has no layers. hint: add: layers = [ ... ]");
  EXPECT_EQ(message("name = \"n\"\ninput = [60000, 4096, 4096]\nlayers = [\"flatten\"]"),
            "usage: x.toml:2: the input has 1,006,632,960,000 values, expected at most 268,435,456");
}

TEST(GraphParser, EndsOnHostileNestingInsteadOfExhaustingTheStack) {
  std::string open;
  std::string close;
  for (int i = 0; i < 40; ++i) {
    open += "{ residual = [";
    close += "] }";
  }
  EXPECT_EQ(
      error_of([&] { graph_of(open + "\"relu\"" + close); }),
      "usage: n.toml:3: residual stands inside 16 blocks, expected at most 15. hint: write inner blocks one after "
      "the other");
  std::string dotted;
  for (int i = 0; i < 30000; ++i) dotted += "a.";
  EXPECT_EQ(error_of([&] { parse_graph(dotted + "a = 1", "n.toml"); }),
            "usage: n.toml:1: a key has more than 16 parts. hint: a part is what stands between two dots");
  EXPECT_EQ(error_of([&] { parse_graph(std::string(70000, '#'), "n.toml"); }),
            "usage: n.toml:1: the file has 70,000 bytes, expected at most 65,536. hint: is it another file than you "
            "meant?");
  EXPECT_NE(error_of([&] { graph_of(std::string(5000, '[')); }), "");
}

TEST(GraphParser, RefusesLargeValuesBeforeTheyOverflow) {
  EXPECT_EQ(error_of([] { graph_of(R"({ conv = 65536, kernel = 1 }, "flatten")", "[1, 4096, 4096]"); }),
            "usage: n.toml:3: conv1 gives 65536*4096*4096 = 1,099,511,627,776 values a sample, expected at most "
            "268,435,456. hint: "
            "take fewer channels, or pool or stride before it");
  EXPECT_EQ(
      error_of([] { graph_of(R"({ conv = 65536, kernel = 64 }, "flatten")", "[4096, 64, 64]"); }),
      "usage: n.toml:3: conv1 brings the network to 1,099,511,693,312 parameters, expected at most 2,147,483,648. "
      "hint: take fewer channels or outputs; a pool before \"flatten\" makes the dense layer behind it small");
}

}  // namespace
}  // namespace mien::network
