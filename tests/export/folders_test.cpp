#include "mien/export/folders.h"

#include <cstdlib>

#include "core/temporary_folder.h"
#include "export/export_testing.h"
#include <nlohmann/json.hpp>

namespace mien::exporting {
namespace {

void write_folder(const std::filesystem::path& folder, const Files& files) {
  for (const auto& [name, content] : files) write_atomic(folder / name, content);
}

/// As a line of text a class: "happy 0.250000".
double probability_in(const std::string& text, const std::string& name) {
  const size_t at = text.find(name);
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size()));
}

class CFolder : public testing::Test {
 protected:
  CFolder() : weights_(drawn_weights(network::load_graph("leaky4"))) {
    weights_.info.class_names = {"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"};
    network::save_weights(folder_ / "w.safetensors", weights_.network, weights_.info);
    write_folder(folder_.path(), c_folder(read_text(folder_ / "w.safetensors")));
    levels_ = drawn_levels(weights_.network.graph(), 2);
    levels_.erase(levels_.begin(), levels_.begin() + 48 * 48);
    write_numbers<uint8_t>(folder_ / "face.gray", levels_);
  }

  void expect_miens_numbers(const std::string& text) {
    const at::Tensor expected = logits_of(weights_, levels_).softmax(1);
    for (int64_t i = 0; i < 7; ++i) {
      EXPECT_NEAR(
          probability_in(text, weights_.info.class_names[static_cast<size_t>(i)]), expected[0][i].item<double>(), 2e-6)
          << text;
    }
  }
  std::string in_folder(const std::string& command) { return "cd " + folder_.path().string() + " && " + command; }

  TemporaryFolder folder_;
  network::LoadedWeights weights_;
  std::vector<uint8_t> levels_;
};

TEST_F(CFolder, HoldsAnExampleInCThatPrintsMiensNumbers) {
  if (run_program("cc --version").status != 0) GTEST_SKIP() << "no C compiler";
  const Ran built = run_program(
      in_folder("cc -std=c99 -Wall -Wextra -Werror example.c ./libmien_infer.so.0 -Wl,-rpath,'$ORIGIN' -o example"));
  ASSERT_EQ(built.status, 0) << built.out;
  const Ran ran = run_program(in_folder("./example < face.gray"));
  ASSERT_EQ(ran.status, 0) << ran.out;
  expect_miens_numbers(ran.out);
}

TEST_F(CFolder, HoldsAnExampleInPythonThatPrintsMiensNumbers) {
  if (run_program("python3 --version").status != 0) GTEST_SKIP() << "no python3";
  const Ran ran = run_program(in_folder("python3 example.py < face.gray"));
  ASSERT_EQ(ran.status, 0) << ran.out;
  expect_miens_numbers(ran.out);
  const Ran refused = run_program(in_folder("head -c 100 face.gray | python3 example.py"));
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.out, "expected a multiple of 2304 bytes, found 100\n");
}

TEST(WebFolder, GivesMiensNumbersInChromiumAndTakesACamera) {
  const char* const chosen = std::getenv("MIEN_NODE_MODULES");
  const std::string packages = chosen != nullptr ? chosen : "node/node_modules";
  const std::string node = "NODE_PATH=" + packages + " node ";
  if (run_program(node + "-e 'require(\"playwright-core\")'").status != 0 ||
      run_program("chromium --version").status != 0) {
    GTEST_SKIP() << "no chromium, or no playwright-core: npm install --ignore-scripts --prefix node playwright-core";
  }
  const TemporaryFolder folder;
  network::LoadedWeights weights = drawn_weights(network::load_graph("tiny-mobile"));
  Files files;
  const std::string missing = network::error_of([&] { files = web_folder(freeze(weights)); });
  if (!missing.empty()) GTEST_SKIP() << missing;
  write_folder(folder / "page", files);
  std::vector<uint8_t> levels = drawn_levels(weights.network.graph(), 2);
  levels.erase(levels.begin(), levels.begin() + 48 * 48);
  write_numbers<uint8_t>(folder / "levels", levels);
  const char* const screenshot = std::getenv("MIEN_SCREENSHOT");
  const Ran ran = run_program(node + MIEN_SOURCE_DIR + "/tests/export/run_web.cjs " + (folder / "page").string() + " " +
                              (folder / "levels").string() + " " + folder.path().string() + " " +
                              (screenshot != nullptr ? screenshot : ""));
  ASSERT_EQ(ran.status, 0) << ran.out;
  const auto found = nlohmann::json::parse(ran.out);
  EXPECT_EQ(found["camera"]["error"], "");
  EXPECT_GE(found["camera"]["frames"].get<int>(), 3);
  EXPECT_GT(found["camera"]["places"].get<int>(), 0);
  EXPECT_TRUE(found["outside"].empty()) << "nothing leaves the browser: " << found["outside"];
  ASSERT_EQ(found["picture"]["error"], "");
  const at::Tensor expected = logits_of(weights, levels).softmax(1);
  for (int64_t i = 0; i < expected.size(1); ++i) {
    EXPECT_NEAR(
        found["picture"]["probabilities"][static_cast<size_t>(i)].get<double>(), expected[0][i].item<double>(), 1e-5);
  }
  bool is_flat = true;
  for (const auto& drop : found["picture"]["map"]) is_flat = is_flat && drop.get<double>() == 0;
  EXPECT_FALSE(is_flat) << "covering a place changes nothing";
}

}  // namespace
}  // namespace mien::exporting
