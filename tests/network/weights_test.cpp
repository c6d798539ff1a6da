#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>

#include "core/temporary_folder.h"
#include "network/helpers.h"
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/network/network.h"

namespace mien::network {
namespace {

constexpr const char* kLayers = R"({ conv = 3, kernel = 3 }, "batch_norm", "relu", { conv = 4, kernel = [1, 3] },
  "flatten", { dense = 2 })";

class Weights : public testing::Test {
 protected:
  std::filesystem::path path(const std::string& name) const { return folder_ / name; }

  WeightsInfo info_{.normalization = {.kind = Normalization::Kind::dataset, .mean = 0.507, .deviation = 0.255},
                    .class_names = {"sad", "h\"appy"},
                    .extra = {{"epoch", "12"}, {"mien.version", "0.1.0"}}};

 private:
  TemporaryFolder folder_;
};

TEST_F(Weights, ComeBackBitForBitWithTheirFacts) {
  const Network network(graph_of(kLayers), 3);
  network.forward(random_images(network.graph(), 4), Mode::training);  // moves the running statistics
  save_weights(path("w.safetensors"), network, info_);
  const LoadedWeights loaded = load_weights(path("w.safetensors"));
  EXPECT_EQ(loaded.network.graph().toml, network.graph().toml);
  ASSERT_EQ(loaded.network.tensors().size(), network.tensors().size());
  for (size_t i = 0; i < network.tensors().size(); ++i) {
    EXPECT_TRUE(at::equal(loaded.network.tensors()[i], network.tensors()[i])) << i;
    EXPECT_EQ(loaded.network.tensors()[i].strides(), network.tensors()[i].strides()) << i;
    EXPECT_EQ(loaded.network.tensors()[i].requires_grad(), network.tensors()[i].requires_grad()) << i;
  }
  EXPECT_EQ(loaded.info.class_names, info_.class_names);
  EXPECT_EQ(loaded.info.normalization.text(), "dataset(0.507,0.255)");
  EXPECT_EQ(loaded.info.extra, info_.extra);
  EXPECT_EQ(loaded.hash, checksum(read_text(path("w.safetensors"))));
  save_weights(path("again.safetensors"), loaded.network, loaded.info);
  EXPECT_EQ(read_text(path("again.safetensors")), read_text(path("w.safetensors")));
}

TEST_F(Weights, AreStoredRowMajor) {
  const Network network(graph_of(kLayers, "[2, 8, 8]"), 3);
  ASSERT_FALSE(network.tensor("conv1.weight").is_contiguous()) << "kept channels-last";
  save_weights(path("w.safetensors"), network, {});
  const SafetensorsFile file = SafetensorsFile::open(path("w.safetensors"));
  const auto stored = file.floats("conv1.weight");
  EXPECT_EQ(file.find("conv1.weight")->shape, (std::vector<int64_t>{3, 2, 3, 3}));
  EXPECT_EQ(stored[((1 * 2 + 1) * 3 + 2) * 3 + 0], network.tensor("conv1.weight").index({1, 1, 2, 0}).item<float>());
}

TEST_F(Weights, OfAPyTorchStateDictLoadIntoANetworkOnly) {
  Network network(load_graph("leaky4"), 0);
  const auto state_dict = fixtures() / "leaky4/weights.safetensors";
  load_weights_into(state_dict, network);
  const SafetensorsFile file = SafetensorsFile::open(state_dict);
  EXPECT_TRUE(at::equal(network.tensor("conv3.weight"), tensor_of(file, "conv3.weight")));
  EXPECT_EQ(error_of([&] { load_weights(state_dict); }),
            "bad data: cannot load " + state_dict.string() +
                ": its metadata has no 'mien.format', expected weights that Mien wrote. hint: `mien import " +
                state_dict.string() +
                " --network NAME --classes A,B,...` writes weights with the four keys mien.format, mien.network, "
                "mien.classes, mien.normalization");
}

TEST_F(Weights, ThatAreNotNumbersAreRefused) {
  const std::string file = path("w.safetensors").string();
  const auto error_with = [&](const char* tensor, float value) {
    Network network(graph_of(kLayers), 3);
    network.tensor(tensor).detach().view(-1)[1].fill_(value);
    save_weights(file, network, info_);
    Network other(graph_of(kLayers), 4);
    const std::string message = error_of([&] { load_weights(file); });
    EXPECT_EQ(error_of([&] { load_weights_into(file, other); }), message);
    return message;
  };
  const std::string begin = "bad data: cannot load " + file + " into network n: tensor ";
  const std::string hint =
      ". hint: the training that wrote it diverged, or the file is damaged; take the weights of another epoch";
  EXPECT_EQ(error_with("conv1.bias", NAN), begin + "'conv1.bias' holds nan, expected finite numbers" + hint);
  EXPECT_EQ(error_with("dense1.weight", -INFINITY),
            begin + "'dense1.weight' holds -inf, expected finite numbers" + hint);
  EXPECT_EQ(error_with("batch_norm1.running_mean", INFINITY),
            begin + "'batch_norm1.running_mean' holds inf, expected finite numbers" + hint);
  EXPECT_EQ(error_with("batch_norm1.running_var", -0.5F),
            begin + "'batch_norm1.running_var' holds -0.5, expected variances, at least 0" + hint);
  EXPECT_EQ(error_with("conv1.bias", 0), "");
}

TEST_F(Weights, OfAHugeNetworkAreRefusedBeforeItIsMade) {
  // 8 GB of parameters that the file names and does not hold
  const std::string huge =
      file_of("{ conv = 8, kernel = 3 }, \"flatten\", { dense = 1000000 }, { dense = 2 }", "[1, 16, 16]");
  write_safetensors(
      path("w"),
      {},
      {{"mien.format", "1"}, {"mien.network", huge}, {"mien.classes", "[]"}, {"mien.normalization", "scale"}});
  EXPECT_EQ(
      error_of([&] {
        load_weights(path("w"));
      }).find("bad data: cannot load " + path("w").string() + " into network n: the file has no tensor 'conv1.weight'"),
      0U);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 2'000'000) << "KiB";
}

TEST_F(Weights, OfAnotherNetworkAreRefusedAndChangeNothing) {
  const std::string file = path("w.safetensors").string();
  save_weights(file, Network(graph_of(kLayers), 3), info_);
  const auto error = [&](const std::string& layers) {
    Network other(graph_of(layers), 4);
    const Network before = other.clone();
    const std::string message = error_of([&] { load_weights_into(file, other); });
    for (size_t i = 0; i < other.tensors().size(); ++i) EXPECT_TRUE(at::equal(other.tensors()[i], before.tensors()[i]));
    return message;
  };
  const std::string begin = "bad data: cannot load " + file + " into network n: ";
  const std::string hint = ". hint: these are the weights of another network; `mien import` reads other names";
  EXPECT_EQ(error(R"({ conv = 3, kernel = 3 }, "batch_norm", { conv = 4, kernel = [1, 3] }, "flatten", { dense = 5 })"),
            begin + "tensor 'dense1.weight' has shape [2,96], expected [5,96]" + hint);
  EXPECT_EQ(error(R"({ conv = 3, kernel = 3 }, "batch_norm", { conv = 4, kernel = [1, 3] }, "flatten", { dense = 2 },
                     { dense = 2 })"),
            begin + "the file has no tensor 'dense2.weight'" + hint);
  EXPECT_EQ(error(R"({ conv = 3, kernel = 3 }, "batch_norm", { conv = 4, kernel = [1, 3] }, "flatten",
                     { dense = 2, bias = false })"),
            begin + "the file has the tensor 'dense1.bias' that the network does not" + hint);
}

TEST_F(Weights, ThatAreDamagedAreRefused) {
  const std::string file = path("w.safetensors").string();
  save_weights(file, Network(graph_of(kLayers), 3), info_);
  const std::string whole = read_text(file);
  for (const size_t length : {size_t{0}, size_t{7}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    write_atomic(file, std::string_view(whole).substr(0, length));
    EXPECT_EQ(error_of([&] { load_weights(file); }).find("bad data: cannot read " + file), 0U) << length;
  }
  EXPECT_EQ(error_of([&] { load_weights(path("absent")); }).find("bad data: "), 0U);
}

TEST_F(Weights, WithForeignMetadataAreRefused) {
  const std::string file = path("w.safetensors").string();
  const Network network(graph_of(kLayers), 3);
  save_weights(file, network, info_);
  const SafetensorsFile good = SafetensorsFile::open(file);
  const auto error_with = [&](const std::string& key, const std::string& value) {
    auto metadata = good.metadata();
    metadata[key] = value;
    const std::string changed = path("changed.safetensors").string();
    write_safetensors(changed, good.arrays(), metadata);
    const std::string message = error_of([&] { load_weights(changed); });
    const std::string begin = "bad data: cannot load " + changed + ": ";
    EXPECT_EQ(message.substr(0, begin.size()), begin);
    return message.substr(std::min(begin.size(), message.size()));
  };
  EXPECT_EQ(error_with("mien.format", "2"), "its format is '2', expected 1. hint: a newer Mien wrote it");
  EXPECT_EQ(error_with("mien.network", "name = \"n\"\ninput = [1, 8, 8]\nlayers = [\"flaten\"]"),
            "its network:3: unknown layer 'flaten'. hint: did you mean 'flatten'?");
  EXPECT_EQ(error_with("mien.classes", "[\"a\", \"b\", \"c\"]"), "it names 3 classes, its network has 2");
  EXPECT_EQ(error_with("mien.classes", "{"), "its class names are not a list of texts");
  EXPECT_EQ(error_with("mien.classes", "[1, 2]"), "its class names are not a list of texts");
  EXPECT_EQ(error_with("mien.normalization", "half"),
            "the normalization is 'half', expected 'scale', 'per-image' or 'dataset(MEAN,DEVIATION)' with a deviation "
            "above 0");
}

TEST_F(Weights, AreNotSavedWithContradictingFacts) {
  const Network network(graph_of(kLayers), 3);
  const std::string file = path("w.safetensors").string();
  EXPECT_EQ(error_of([&] {
              save_weights(file, network, {.class_names = {"a", "b", "c"}});
            }),
            "usage: cannot save " + file + ": 3 class names were given, network n has 2 classes");
  EXPECT_EQ(error_of([&] {
              save_weights(file, network, {.extra = {{"mien.network", "x"}}});
            }),
            "usage: cannot save " + file + ": the metadata key 'mien.network' is taken");
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(Normalization, IsReadBackFromItsText) {
  for (const char* text : {"scale", "per-image", "dataset(0.507,0.255)", "dataset(-1,1e-05)"}) {
    EXPECT_EQ(Normalization::parse(text).text(), text);
  }
  for (const char* text : {"",
                           "Scale",
                           "dataset",
                           "dataset(0.5)",
                           "dataset(0.5,0)",
                           "dataset(0.5,1,2)",
                           "dataset(nan,1)",
                           "dataset(0.5,1"}) {
    EXPECT_EQ(error_of([&] { Normalization::parse(text); }).find("bad data: the normalization is "), 0U) << text;
  }
}

}  // namespace
}  // namespace mien::network
