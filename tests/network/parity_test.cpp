// Against PyTorch's numbers: leaky4 from the fixtures; more from the folder that MIEN_REFERENCE names, where it is set.
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "network/helpers.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "mien/core/files.h"
#include "mien/network/network.h"

namespace mien::network {
namespace {

constexpr double kTolerance = 1e-4;  // of the largest absolute value

Network relu6() {
  const std::string path = (fixtures() / "relu6.toml").string();
  return Network(load_graph(path), 0);
}

/// Compares logits and stored activations (of the first images) of `network` with those in `path`.
void expect_same_outputs(const Network& network, const std::filesystem::path& path) {
  const at::NoGradGuard no_grad;
  const SafetensorsFile file = SafetensorsFile::open(path);
  const at::Tensor input = tensor_of(file, "input");
  EXPECT_LT(relative_difference(network.forward(input, Mode::evaluation), tensor_of(file, "logits")), kTolerance);
  int compared = 0;
  network.forward_visit(input, Mode::evaluation, [&](int layer, const at::Tensor& output) {
    const std::string name = "activation." + network.graph().layers[static_cast<size_t>(layer)].name;
    if (file.find(name) == nullptr) return;
    const at::Tensor expected = tensor_of(file, name);
    EXPECT_LT(relative_difference(output.slice(0, 0, expected.size(0)), expected), kTolerance) << name;
    ++compared;
  });
  EXPECT_EQ(compared, 4);
}

/// Before the first training step: values as stored, or sin-generated where the file leaves a large tensor out.
void set_start(const Network& network, const SafetensorsFile& file) {
  const at::NoGradGuard no_grad;
  for (const ParameterSpec& spec : network.graph().parameter_specs()) {
    at::Tensor values = network.tensor(spec.name);
    if (file.find("before." + spec.name) != nullptr) {
      values.copy_(tensor_of(file, "before." + spec.name));
    } else {
      const at::Tensor index = at::arange(values.numel(), at::kDouble);
      values.copy_((0.05 * at::sin(0.7 * index)).to(at::kFloat).reshape(values.sizes()));
    }
  }
}

/// The first step's loss and gradients in training mode, without dropout. In float64: the generated weights make the
/// batch norm after dense1 ill-conditioned, and libtorch 1.13 sums channels-last batch statistics in float32, which
/// alone moves these gradients by 0.5 % of their largest (row-major it sums in float64). The reference is float32,
/// hence twice the tolerance.
void expect_same_gradients(Graph graph, const std::filesystem::path& path) {
  for (Layer& layer : graph.layers) layer.probability = 0;
  const Network network(std::move(graph), 0);
  const SafetensorsFile file = SafetensorsFile::open(path);
  set_start(network, file);
  for (const at::Tensor& tensor : network.tensors()) tensor.set_data(tensor.to(at::kDouble));
  const NamedArray* label = file.find("batch.label");
  const at::Tensor labels = at::from_blob(const_cast<std::byte*>(label->bytes.data()), label->shape, at::kLong).clone();
  const at::Tensor loss =
      at::cross_entropy_loss(network.forward(tensor_of(file, "batch.input").to(at::kDouble), Mode::training), labels);
  EXPECT_NEAR(loss.item<double>(), file.floats("loss")[0], kTolerance * file.floats("loss")[0]);
  loss.backward();
  for (const std::string& name : network.trainable_names()) {
    const at::Tensor gradient = network.tensor(name).grad();
    if (file.find("gradient." + name) == nullptr) {
      const double norm = file.floats("gradient_norm." + name)[0];
      EXPECT_NEAR(gradient.norm().item<double>(), norm, kTolerance * norm) << name;
      continue;
    }
    const at::Tensor expected = tensor_of(file, "gradient." + name);
    EXPECT_LT((gradient - expected).abs().max().item<double>(), 2 * kTolerance * expected.abs().max().item<double>())
        << name;
  }
}

std::filesystem::path reference_folder() {
  const char* folder = std::getenv("MIEN_REFERENCE");
  return folder == nullptr ? "" : folder;
}

TEST(Parity, Leaky4GivesPyTorchsLogitsAndActivations) {
  Network network(load_graph("leaky4"), 0);
  load_weights_into(fixtures() / "leaky4/weights.safetensors", network);
  expect_same_outputs(network, fixtures() / "leaky4/activations.safetensors");
}

TEST(Parity, Relu6GivesPyTorchsLogitsAndActivations) {
  if (reference_folder().empty()) GTEST_SKIP() << "set MIEN_REFERENCE to the folder of reference numbers";
  Network network = relu6();
  load_weights_into(reference_folder() / "relu6/weights.safetensors", network);
  expect_same_outputs(network, reference_folder() / "relu6/explanations.safetensors");
}

TEST(Parity, FirstStepHasPyTorchsLossAndGradients) {
  if (reference_folder().empty()) GTEST_SKIP() << "set MIEN_REFERENCE to the folder of reference numbers";
  expect_same_gradients(load_graph("leaky4"), reference_folder() / "leaky4/training.safetensors");
  expect_same_gradients(relu6().graph(), reference_folder() / "relu6/training.safetensors");
}

}  // namespace
}  // namespace mien::network
