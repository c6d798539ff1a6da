#include "mien/export/pytorch.h"

#include "core/temporary_folder.h"
#include "export/export_testing.h"

#include "mien/export/torchscript.h"
#include "mien/network/import.h"

namespace mien::exporting {
namespace {

using network::Normalization;

std::string python() {
  const std::string system = "/usr/bin/python3";
  return run_program(system + " -c 'import torch'").status == 0 ? system : "";
}

TEST(PytorchModule, GivesMiensNumbersAndItsStateDictComesBack) {
  if (python().empty()) GTEST_SKIP() << "no torch in /usr/bin/python3: apt-get install python3-torch";
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, network::LoadedWeights>> cases;
  const std::vector<Normalization> normalizations{
      {},
      {.kind = Normalization::Kind::per_image},
      {.kind = Normalization::Kind::dataset, .mean = 0.5, .deviation = 0.25}};
  for (const char* const name : {"leaky4", "resnet18-48", "tiny-mobile"}) {
    cases.emplace_back(name, drawn_weights(network::load_graph(name), normalizations[cases.size() % 3]));
  }
  for (const LayerCase& one : layer_cases()) {
    cases.emplace_back(one.name, drawn_weights(graph_of(one), normalizations[cases.size() % 3]));
  }
  for (const auto& [name, weights] : cases) {
    network::save_weights(folder / name / "weights.safetensors", weights.network, weights.info);
    write_atomic(folder / name / "model.py", pytorch_module(freeze(weights)));
    write_atomic(folder / name / "model.pt", torchscript_model(freeze(weights)));
    const network::Shape shape = weights.network.graph().input_shape();
    write_numbers<uint8_t>(folder / name / "levels", drawn_levels(weights.network.graph(), 3));
    write_atomic(folder / name / "shape.json", fmt::format("[{}, {}, {}]", shape.channels, shape.height, shape.width));
  }
  const Ran ran = run_program(python() + " " MIEN_SOURCE_DIR "/tests/export/run_torch.py " + folder.path().string());
  ASSERT_EQ(ran.status, 0) << ran.out;
  for (const auto& [name, weights] : cases) {
    const at::Tensor expected = logits_of(weights, drawn_levels(weights.network.graph(), 3));
    for (const char* const file : {"logits", "script-logits"}) {
      const at::Tensor found = read_floats(folder / name / file, expected.sizes());
      const double scale = expected.abs().max().clamp_min(1).item<double>();
      EXPECT_LE((found - expected).abs().max().item<double>() / scale, 1e-5) << name << ": " << file;
    }
    const network::ImportedWeights back =
        network::import_weights(folder / name / "back.safetensors", weights.network.graph());
    for (size_t i = 0; i < weights.network.tensors().size(); ++i) {
      EXPECT_TRUE(back.network.tensors()[i].equal(weights.network.tensors()[i])) << name << ' ' << i;
    }
    for (const auto& layer : back.layers) EXPECT_EQ(layer.how, "name") << layer.from;
  }
}

TEST(PytorchModule, KeepsTheWordsOfTheSourceOutOfTheCode) {
  FrozenNetwork network = freeze(drawn_weights(network::load_graph("box3")));
  network.graph.source = "a\"\"\"\nimport os\\";
  const std::string text = pytorch_module(network);
  EXPECT_TRUE(text.starts_with("\"\"\"box3: a    import os . Written by"));
}

}  // namespace
}  // namespace mien::exporting
