#include "cli/cli_fixture.h"
#include <nlohmann/json.hpp>

namespace mien {
namespace {

class Export : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    ASSERT_EQ(mien(training()).status, 0);
  }
  Outcome exported(const std::vector<std::string>& more) const {
    return mien(std::vector<std::string>{"export", "runs/train/small"} + more);
  }
};

TEST_F(Export, WritesWhatItSays) {
  const auto json = nlohmann::json::parse(exported({"--to", "onnx", "--json"}).out);
  EXPECT_EQ(json.at("format"), "onnx");
  const std::string file = json.at("files").at(0).at("file");
  EXPECT_EQ(std::filesystem::file_size(path(file)), json.at("files").at(0).at("bytes").get<uint64_t>());
  EXPECT_EQ(exported({"--to", "safetensors-torch", "--out", "torch"}).status, 0);
  EXPECT_EQ(read("torch/weights.safetensors"), read("runs/train/small/weights/best.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(path("torch/model.py")));
}

TEST_F(Export, MeasuresTheRangesOfInt8OnGivenFaces) {
  const Outcome outcome = exported({"--to", "onnx", "--int8", "--data", "drawn:70", "--out", "8.onnx"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(exported({"--to", "onnx", "--out", "32.onnx"}).status, 0);
  EXPECT_LT(std::filesystem::file_size(path("8.onnx")), std::filesystem::file_size(path("32.onnx")));
}

TEST_F(Export, RefusesInOneLineWhatItCannotDo) {
  write("taken", "mine");
  EXPECT_TRUE(refused(exported({}), 2, {"export needs --to", "onnx"}));
  EXPECT_TRUE(refused(exported({"--to", "onxx"}), 2, {"--to", "onnx"}));
  EXPECT_TRUE(refused(exported({"--to", "onnx", "--out", "taken"}), 2, {"--out: taken exists", "--overwrite"}));
  EXPECT_TRUE(refused(exported({"--to", "c", "--out", "taken"}), 2, {"taken is a file", "a folder"}));
  EXPECT_TRUE(refused(exported({"--to", "safetensors-torch", "--out", "runs"}), 2, {"--out: runs exists"}));
  EXPECT_TRUE(refused(exported({"--to", "onnx", "--out", "taken/x.onnx"}), 1, {"--out", "taken"}));
  EXPECT_TRUE(refused(exported({"--to", "onnx", "--fp16", "--int8"}), 2, {"exclude each other"}));
  EXPECT_TRUE(refused(exported({"--to", "onnx", "--int8"}), 2, {"--int8 needs faces", "--data"}));
  EXPECT_TRUE(refused(mien({"export", "none", "--to", "onnx"}), 3, {"none"}));
  EXPECT_EQ(read("taken"), "mine");
}

TEST_F(Export, NeverReplacesTheWeightsThatItReads) {
  const std::string weights = "runs/train/small/weights/best.safetensors";
  const std::string before = read(weights);
  EXPECT_TRUE(
      refused(exported({"--to", "onnx", "--overwrite", "--out", weights}), 2, {weights, "read by this command"}));
  EXPECT_TRUE(refused(exported({"--to", "safetensors-torch", "--overwrite", "--out", "runs/train/small/weights"}),
                      2,
                      {"runs/train/small/weights"}));
  EXPECT_EQ(read(weights), before);
}

TEST_F(Export, ReplacesAnOutputWhenTold) {
  write("face.onnx", "old");
  EXPECT_EQ(exported({"--to", "onnx", "--out", "face.onnx", "--overwrite"}).status, 0);
  EXPECT_NE(read("face.onnx"), "old");
}

}  // namespace
}  // namespace mien
