#include "mien/network/graph/layer_traits.h"

#include <filesystem>
#include <set>
#include <string>

#include "network/helpers.h"
#include <gtest/gtest.h>

#include "mien/core/files.h"
#include "mien/network/channel_affine.h"

namespace mien::network {
namespace {

TEST(LayerTraits, NameEveryKindOnce) {
  std::set<std::string_view> names;
  for (int kind = 0; kind <= static_cast<int>(LayerKind::concat); ++kind) {
    const LayerTraits& facts = traits(static_cast<LayerKind>(kind));
    EXPECT_EQ(static_cast<int>(facts.kind), kind);
    EXPECT_TRUE(names.insert(facts.name).second) << facts.name;
    EXPECT_EQ(to_text(facts.kind), facts.name);
  }
}

TEST(LayerTraits, SayWhatTheArithmeticDoes) {
  // Every kind that an image can pass alone: zero at zero, and affine or not, as computed.
  for (const LayerWord& word : layer_words()) {
    if (!word.kind || traits(*word.kind).reads == Reads::flat_values || word.value().type == KeyType::layers ||
        word.value().type == KeyType::branches || *word.kind == LayerKind::multiply) {
      continue;
    }
    const bool has_value = word.value().is_required();
    const std::string value = word.value().type == KeyType::number ? "0.5" : "2";
    const std::string more = word.word == "conv"        ? ", kernel = 2, bias = false"
                             : word.word == "depthwise" ? ", bias = false"
                                                        : "";
    const std::string layer =
        has_value ? fmt::format("{{ {} = {}{} }}", word.word, value, more) : fmt::format("\"{}\"", word.word);
    const bool is_flat = *word.kind == LayerKind::flatten;
    const Network network(graph_of(layer + (is_flat ? "" : ", \"flatten\""), "[4, 6, 6]"), 7);
    const at::NoGradGuard no_grad;
    const auto run = [&](const at::Tensor& x) { return network.run_layer(1, {x}, Mode::evaluation); };
    const at::Tensor a = random_images(network.graph(), 2, 1) * 6 - 3;
    const at::Tensor b = random_images(network.graph(), 2, 2) * 6 - 3;
    const LayerTraits& facts = traits(*word.kind);
    const at::Tensor zero = run(at::zeros_like(a));
    EXPECT_EQ(facts.is_zero_at_zero || facts.is_normalization, zero.abs().max().item<float>() == 0) << word.word;
    const float bend = (run(a) + run(b) - run(a + b) - zero).abs().max().item<float>();
    EXPECT_EQ(facts.is_affine, bend < 1e-4) << word.word << ' ' << bend;
    if (facts.is_channelwise) {
      at::Tensor other = a.clone();
      other.select(1, 3).fill_(1.5);
      EXPECT_TRUE(at::equal(run(a).narrow(1, 0, 3), run(other).narrow(1, 0, 3))) << word.word;
      EXPECT_FALSE(at::equal(run(a), run(other))) << word.word;
    }
    if (facts.is_activation) {
      // Up to rounding: libtorch 2 computes what fills no vector by another function than the rest.
      EXPECT_TRUE(at::allclose(run(a).slice(2, 1, 4), run(a.slice(2, 1, 4).contiguous()), 1e-5, 1e-6)) << word.word;
    }
  }
}

TEST(LayerTraits, GiveBatchNormAsScaleAndShift) {
  const Network network(graph_of("{ conv = 3, kernel = 3 }, \"batch_norm\", \"flatten\""), 2);
  const at::NoGradGuard no_grad;
  for (const char* ending : {"weight", "bias", "running_mean", "running_var"}) {
    network.tensor(std::string("batch_norm1.") + ending).uniform_(0.5, 2);
  }
  const at::Tensor x = at::randn({2, 3, 6, 6});
  const Layer& norm = network.graph().layers[2];
  const ChannelAffine affine = channel_affine(network, norm);
  const at::Tensor expected = network.run_layer(2, {x}, Mode::evaluation);
  EXPECT_LT(relative_difference(x * affine.scale.view({1, 3, 1, 1}) + affine.shift.view({1, 3, 1, 1}), expected), 1e-6);
  EXPECT_THROW(channel_affine(network, network.graph().layers[1]), std::logic_error);
}

TEST(LayerWords, HaveExamplesThatParse) {
  for (const LayerWord& word : layer_words()) {
    std::string example(word.example);
    for (size_t dots = example.find("..."); dots != std::string::npos; dots = example.find("...")) {
      example.replace(dots, 3, "\"relu\"");
    }
    const std::string before = word.kind == LayerKind::dense ? "\"flatten\", " : "";
    const bool is_flat = word.kind == LayerKind::dense || word.kind == LayerKind::flatten;
    EXPECT_NO_THROW(graph_of(before + example + (is_flat ? "" : ", \"flatten\""), "[32, 8, 8]")) << example;
    EXPECT_EQ(word.value().name, word.word);
    EXPECT_EQ(word.find("name") != nullptr, word.kind.has_value()) << word.word;
  }
}

TEST(LayerWords, HaveTheDefaultsThatTheParserGives) {
  // A key that stands there with its default is as good as one that is left out.
  for (const LayerWord& word : layer_words()) {
    for (const LayerKey& key : word.keys) {
      if (!key.fallback || key.name == word.word) continue;
      const std::string before = word.kind == LayerKind::dense ? "\"flatten\", " : "";
      const std::string end = word.kind == LayerKind::dense ? "" : ", \"flatten\"";
      const std::string example(word.example);
      const std::string table = example.front() == '{' ? example : "{ " + std::string(word.word) + " = true }";
      const std::string with_key =
          table.substr(0, table.size() - 2) + fmt::format(", {} = {} }}", key.name, key.default_text());
      const Graph plain = graph_of(before + table + end, "[32, 8, 8]");
      const Graph given = graph_of(before + with_key + end, "[32, 8, 8]");
      const auto facts = [](const Graph& graph) {
        std::string text;
        for (const Layer& l : graph.layers) {
          text += fmt::format("{} {} {} {} {} {} {}\n",
                              l.name,
                              l.output_shape.text(),
                              l.stride,
                              l.groups,
                              l.bias,
                              l.epsilon,
                              l.momentum);
        }
        return text;
      };
      EXPECT_EQ(facts(given), facts(plain)) << with_key;
    }
  }
}

TEST(LayerWords, StandInTheDocumentationWithEveryKeyRangeAndDefault) {
  const std::string page = read_text(std::filesystem::path(MIEN_SOURCE_DIR) / "docs/networks.md");
  EXPECT_NE(page.find(layer_reference()), std::string::npos)
      << "write the output of `mien networks layers` into docs/networks.md again";
}

}  // namespace
}  // namespace mien::network
