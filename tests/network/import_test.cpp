#include "mien/network/import.h"

#include <filesystem>
#include <map>
#include <string>

#include "core/temporary_folder.h"
#include "network/helpers.h"
#include <gtest/gtest.h>

namespace mien::network {
namespace {

constexpr const char* kLayers = R"({ conv = 3, kernel = 3, padding = 1 }, "batch_norm", "relu",
  { conv = 3, kernel = 3, padding = 1 }, "batch_norm", "relu", "flatten", { dense = 2 })";
constexpr const char* kHint =
    ". hint: shapes are [outputs, inputs, height, width]; a layer without a bias says bias = false";

class Import : public testing::Test {
 protected:
  Import() : source_(graph_of(kLayers, "[3, 4, 4]"), 5) {}

  std::filesystem::path path() const { return folder_ / "foreign.safetensors"; }

  /// The source's tensors under other names of layers, as a PyTorch program would save them.
  void save(const std::map<std::string, std::string>& names,
            at::ScalarType type = at::kFloat,
            const char* dtype = "F32") {
    std::vector<at::Tensor> kept;
    std::vector<NamedArray> arrays;
    const auto specs = source_.graph().parameter_specs();
    for (size_t i = 0; i < specs.size(); ++i) {
      const size_t dot = specs[i].name.rfind('.');
      const auto found = names.find(specs[i].name.substr(0, dot));
      if (found == names.end()) continue;
      kept.push_back(source_.tensors()[i]
                         .detach()
                         .contiguous(at::MemoryFormat::Contiguous)
                         .to(type)
                         .clone(at::MemoryFormat::Contiguous));
      arrays.push_back({found->second + specs[i].name.substr(dot),
                        dtype,
                        specs[i].shape,
                        {static_cast<const std::byte*>(kept.back().data_ptr()), kept.back().nbytes()}});
    }
    const int64_t batches = 9;
    arrays.push_back({"bn.num_batches_tracked", "I64", {}, std::as_bytes(std::span(&batches, 1))});
    write_safetensors(path(), arrays, {});
  }

  void expect_source(const ImportedWeights& found, double tolerance = 0) {
    for (size_t i = 0; i < source_.tensors().size(); ++i) {
      const at::Tensor difference = (found.network.tensors()[i] - source_.tensors()[i]).abs().max();
      EXPECT_LE(difference.item<double>(), tolerance) << source_.graph().parameter_specs()[i].name;
    }
  }

  std::string error(const std::map<std::string, std::string>& given = {}) {
    const std::string line = error_of([&] { import_weights(path(), source_.graph(), given); });
    const std::string begin = "bad data: cannot import " + path().string() + " into network n: ";
    return line.starts_with(begin) ? line.substr(begin.size()) : line;
  }

  Network source_;
  TemporaryFolder folder_;
};

const std::map<std::string, std::string> kSequential{{"conv1", "features.0"},
                                                     {"batch_norm1", "features.1"},
                                                     {"conv2", "features.3"},
                                                     {"batch_norm2", "features.10"},
                                                     {"dense1", "classifier.0"}};

TEST_F(Import, MeetsLayersByShapeInTheNaturalOrderOfTheirNames) {
  save(kSequential);
  const ImportedWeights found = import_weights(path(), source_.graph());
  expect_source(found);
  ASSERT_EQ(found.layers.size(), 5U);
  EXPECT_EQ(found.layers[3].from, "features.10");
  EXPECT_EQ(found.layers[3].to, "batch_norm2");
  EXPECT_EQ(found.layers[3].how, "shape and order");
}

TEST_F(Import, MeetsLayersByNameBehindASharedPrefix) {
  // conv2 comes first in the file's order; its name says where it belongs
  save({{"conv1", "module.conv2"},
        {"conv2", "module.conv1"},
        {"batch_norm1", "module.batch_norm1"},
        {"batch_norm2", "module.batch_norm2"},
        {"dense1", "module.dense1"}});
  const ImportedWeights found = import_weights(path(), source_.graph());
  EXPECT_EQ(found.layers[0].from, "module.conv1");
  EXPECT_EQ(found.layers[0].how, "name");
  EXPECT_TRUE(at::equal(found.network.tensor("conv1.weight"), source_.tensor("conv2.weight")));
}

TEST_F(Import, FollowsTheGivenMapFirst) {
  save(kSequential);
  const ImportedWeights found = import_weights(path(), source_.graph(), {{"features.3", "conv1"}});
  EXPECT_TRUE(at::equal(found.network.tensor("conv1.weight"), source_.tensor("conv2.weight")));
  EXPECT_EQ(found.layers[0].how, "given");
  EXPECT_EQ(found.layers[2].from, "features.0");
  EXPECT_EQ(error({{"features.2", "conv1"}}).substr(0, 7), "usage: ");
  EXPECT_EQ(error({{"features.0", "conv3"}}).substr(0, 7), "usage: ");
  EXPECT_EQ(error({{"features.0", "dense1"}}).substr(0, 69),
            "features.0 (bias [3], weight [3,3,3,3]) does not fit dense1 (bias [2]");
}

TEST_F(Import, ReadsOtherFloatingPointTypes) {
  save(kSequential, at::kDouble, "F64");
  expect_source(import_weights(path(), source_.graph()));
  save(kSequential, at::kHalf, "F16");
  expect_source(import_weights(path(), source_.graph()), 1e-3);
  save(kSequential, at::kBFloat16, "BF16");
  expect_source(import_weights(path(), source_.graph()), 1e-2);
  save(kSequential, at::kInt, "I32");
  EXPECT_NE(error().find("is I32, expected F32, F64, F16 or BF16"), std::string::npos);
}

TEST_F(Import, ListsTheLayersThatFindNoPartner) {
  auto names = kSequential;
  names.erase("dense1");
  save(names);
  EXPECT_EQ(error(),
            std::string("layers of the network without tensors: dense1 (bias [2], weight [2,48]); layers of the file "
                        "left over: none") +
                kHint);
  save(kSequential);
  const Graph other = graph_of(R"({ conv = 3, kernel = 3, padding = 1, bias = false }, "batch_norm", "flatten",
                               { dense = 2 })",
                               "[3, 4, 4]");
  const std::string line = error_of([&] { import_weights(path(), other); });
  EXPECT_NE(
      line.find("without tensors: conv1 (weight [3,3,3,3]); layers of the file left over: features.0 (bias [3], "
                "weight [3,3,3,3]), features.3 (bias [3], weight [3,3,3,3]), features.10 (bias [3], running_mean"),
      std::string::npos)
      << line;
}

TEST_F(Import, RefusesValuesThatAreNotFinite) {
  source_.tensor("conv1.bias").detach().fill_(NAN);
  save(kSequential);
  EXPECT_NE(error().find("tensor 'conv1.bias' holds nan"), std::string::npos);
}

}  // namespace
}  // namespace mien::network
