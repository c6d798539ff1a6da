#include <memory>
#include <thread>

#include "core/temporary_folder.h"
#include "export/export_testing.h"

#include "mien/infer/mien_infer.h"

namespace mien::infer {
namespace {

using exporting::drawn_levels;
using exporting::drawn_weights;
using exporting::logits_of;
using exporting::Ran;
using exporting::run_program;
using network::Normalization;

struct Free {
  void operator()(MienModel* model) const { mien_infer_free(model); }
};
using Model = std::unique_ptr<MienModel, Free>;

Model saved_and_loaded(const TemporaryFolder& folder, const network::LoadedWeights& weights) {
  network::save_weights(folder / "w.safetensors", weights.network, weights.info);
  return Model(mien_infer_load((folder / "w.safetensors").c_str()));
}

/// Of logits, as a share of the largest where they are beyond 1.
double largest_difference(const network::LoadedWeights& weights, int64_t faces) {
  const TemporaryFolder folder;
  const Model model = saved_and_loaded(folder, weights);
  EXPECT_NE(model, nullptr) << mien_infer_last_error();
  if (model == nullptr) return 1e9;
  const std::vector<uint8_t> levels = drawn_levels(weights.network.graph(), faces);
  const at::Tensor expected = logits_of(weights, levels);
  const at::Tensor found = at::empty_like(expected);
  EXPECT_EQ(mien_infer_logits(model.get(), levels.data(), faces, found.data_ptr<float>()), 0);
  return ((found - expected).abs().max() / expected.abs().max().clamp_min(1)).item<double>();
}

TEST(Infer, GivesMiensNumbersForEveryNetwork) {
  const std::vector<Normalization> normalizations{
      {},
      {.kind = Normalization::Kind::per_image},
      {.kind = Normalization::Kind::dataset, .mean = 0.5, .deviation = 0.25}};
  size_t i = 0;
  for (const auto& one : network::builtin_networks()) {
    EXPECT_LE(largest_difference(drawn_weights(network::load_graph(one.name), normalizations[i++ % 3]), 3), 1e-5)
        << one.name;
  }
}

TEST(Infer, GivesMiensNumbersForEveryLayer) {
  for (const auto& one : exporting::layer_cases()) {
    EXPECT_LE(largest_difference(drawn_weights(exporting::graph_of(one)), 3), 1e-5) << one.name;
  }
}

TEST(Infer, TakesABatchOfAnySize) {
  const auto weights = drawn_weights(network::load_graph("tiny-mobile"));
  for (const int64_t faces : {1, 16, 17, 40}) EXPECT_LE(largest_difference(weights, faces), 1e-5) << faces;
}

TEST(Infer, SaysWhatAFaceIsAndWhatTheClassesAreCalled) {
  const TemporaryFolder folder;
  auto weights = drawn_weights(network::load_graph("box3"));
  weights.info.class_names = {"a", "b", "c", "d", "e", "f", "g"};
  const Model model = saved_and_loaded(folder, weights);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(mien_infer_channels(model.get()), 1);
  EXPECT_EQ(mien_infer_height(model.get()), 48);
  EXPECT_EQ(mien_infer_width(model.get()), 48);
  EXPECT_EQ(mien_infer_classes(model.get()), 7);
  EXPECT_STREQ(mien_infer_class_name(model.get(), 6), "g");
  EXPECT_EQ(mien_infer_class_name(model.get(), 7), nullptr);
}

TEST(Infer, GivesProbabilitiesThatSumToOne) {
  const TemporaryFolder folder;
  const auto weights = drawn_weights(network::load_graph("leaky4"));
  const Model model = saved_and_loaded(folder, weights);
  ASSERT_NE(model, nullptr);
  const std::vector<uint8_t> levels = drawn_levels(weights.network.graph(), 2);
  const at::Tensor found = at::empty({2, 7}, at::kFloat);
  ASSERT_EQ(mien_infer_predict(model.get(), levels.data(), 2, found.data_ptr<float>()), 0);
  EXPECT_LE((found - logits_of(weights, levels).softmax(1)).abs().max().item<double>(), 1e-5);
}

TEST(Infer, GivesProbabilitiesAtTheTemperatureOfTheWeights) {
  const TemporaryFolder folder;
  auto weights = drawn_weights(network::load_graph("leaky4"));
  weights.info.extra["mien.temperature"] = "0.5";
  const Model model = saved_and_loaded(folder, weights);
  ASSERT_NE(model, nullptr);
  const std::vector<uint8_t> levels = drawn_levels(weights.network.graph(), 2);
  const at::Tensor found = at::empty({2, 7}, at::kFloat);
  ASSERT_EQ(mien_infer_predict(model.get(), levels.data(), 2, found.data_ptr<float>()), 0);
  EXPECT_LE((found - (logits_of(weights, levels) / 0.5).softmax(1)).abs().max().item<double>(), 1e-5);
  weights.info.extra["mien.temperature"] = "0";
  EXPECT_EQ(saved_and_loaded(folder, weights), nullptr);
  EXPECT_NE(std::string(mien_infer_last_error()).find("temperature is"), std::string::npos);
}

TEST(Infer, SaysInOneLineWhyAFileCannotBeLoaded) {
  const TemporaryFolder folder;
  const auto refused = [](const std::string& path) {
    EXPECT_EQ(mien_infer_load(path.c_str()), nullptr);
    return std::string(mien_infer_last_error());
  };
  EXPECT_NE(refused((folder / "none").string()).find("none"), std::string::npos);
  EXPECT_NE(refused(folder.write("junk.safetensors", "junk").string()).find("junk.safetensors"), std::string::npos);
  const float one = 1;
  write_safetensors(folder / "foreign.safetensors",
                    std::vector<NamedArray>{{"w", "F32", {1}, std::as_bytes(std::span(&one, 1))}},
                    {});
  EXPECT_NE(refused((folder / "foreign.safetensors").string()).find("expected weights that Mien wrote"),
            std::string::npos);
  EXPECT_EQ(mien_infer_load(nullptr), nullptr);
  EXPECT_STREQ(mien_infer_last_error(), "the path is NULL");
  float out = 0;
  EXPECT_EQ(mien_infer_predict(nullptr, nullptr, 1, &out), 1);
}

TEST(Infer, ServesSeveralThreadsWithOneModel) {
  const TemporaryFolder folder;
  const auto weights = drawn_weights(network::load_graph("leaky4"));
  const Model model = saved_and_loaded(folder, weights);
  ASSERT_NE(model, nullptr);
  const std::vector<uint8_t> levels = drawn_levels(weights.network.graph(), 4);
  const auto logits = [&] {
    std::vector<float> found(4 * 7);
    EXPECT_EQ(mien_infer_logits(model.get(), levels.data(), 4, found.data()), 0);
    return found;
  };
  const std::vector<float> expected = logits();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) EXPECT_EQ(logits(), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Infer, NeedsNoLibraryBesideTheSystemsOwn) {
  const Ran ran = run_program("ldd " MIEN_INFER_LIBRARY);
  if (ran.status != 0) GTEST_SKIP() << "no ldd";
  for (const char* library : {"torch", "opencv", "fmt", "blas", "gomp"}) {
    EXPECT_EQ(ran.out.find(library), std::string::npos) << ran.out;
  }
  EXPECT_LT(std::filesystem::file_size(MIEN_INFER_LIBRARY), 5'000'000);
}

TEST(Infer, ShowsItsOwnFunctionsAlone) {
  const Ran ran = run_program("nm -D --defined-only " MIEN_INFER_LIBRARY);
  if (ran.status != 0) GTEST_SKIP() << "no nm";
  EXPECT_NE(ran.out.find("mien_infer_predict"), std::string::npos);
  EXPECT_EQ(ran.out.find("_ZN4mien"), std::string::npos) << ran.out;
}

}  // namespace
}  // namespace mien::infer
