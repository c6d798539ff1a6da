#include <set>

#include "cli/cli_fixture.h"
#include <nlohmann/json.hpp>

namespace mien {
namespace {

class Explain : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    ASSERT_EQ(mien(training()).status, 0);
  }
  static constexpr const char* kRun = "runs/train/small";
};

TEST_F(Explain, WritesMapsIntoTheRunAndNamesTheLayer) {
  const Outcome outcome =
      mien({"explain", kRun, "drawn:70", "--method", "saliency,grad-cam", "--rows", "3,5", "--threads", "1"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("grad-cam looks at batch_norm1 (8*24*24)"), std::string::npos) << outcome.out;
  for (const char* file : {"saliency/row3", "saliency/row5", "grad-cam/row3", "grad-cam/row5"}) {
    for (const char* ending : {".npy", ".json"}) {
      EXPECT_TRUE(std::filesystem::exists(path(std::string(kRun) + "/explain/" + file + ending))) << file << ending;
    }
  }
}

TEST_F(Explain, EvaluatesMethodsIntoATable) {
  const Outcome outcome = mien({"explain",
                                kRun,
                                "drawn:70",
                                "--evaluate",
                                "--method",
                                "saliency,random",
                                "--faces",
                                "random:4",
                                "--out",
                                "test",
                                "--threads",
                                "1"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("saliency"), std::string::npos) << outcome.out;
  EXPECT_NE(read("test/evaluation.csv").find("\nrandom,"), std::string::npos);
  EXPECT_FALSE(nlohmann::json::parse(read("test/evaluation.json"), nullptr, false).is_discarded());
}

TEST_F(Explain, LooksInside) {
  for (const auto& [what, words] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"weights_conv1.npy", {"weights", kRun}},
           {"outputs_conv1_row2.npy", {"outputs", kRun, "drawn:70", "--rows", "2"}},
           {"ascent_relu1.npy", {"ascent", kRun, "--ascent-steps", "2"}},
           {"faces_conv1.json", {"faces", kRun, "drawn:70", "--unit-faces", "2"}}}) {
    const Outcome outcome = mien(std::vector<std::string>{"inside"} + words +
                                 std::vector<std::string>{"--out", "inside", "--threads", "1"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_TRUE(std::filesystem::exists(path("inside/" + what))) << what;
  }
}

/// For mistakes that are found after a warning (of pictures that are off, of a slow BLAS) could be printed.
bool fails_saying(const Outcome& outcome, int status, const std::string& text) {
  return outcome.status == status && ("\n" + outcome.err).find("\nmien: " + text) != std::string::npos;
}

TEST_F(Explain, SaysInOneLineWhatIsWrong) {
  EXPECT_TRUE(refused(mien({"explain", kRun, "drawn:70", "--method", "salience"}), 2, {"'salience'", "'saliency'"}));
  EXPECT_TRUE(fails_saying(
      mien({"explain", kRun, "drawn:70", "--rows", "70"}), 2, "row 70 does not exist: drawn:10:0 has rows 0 to 69"));
  EXPECT_TRUE(refused(mien({"explain", kRun, "drawn:70", "--faces", "corect-per-class"}), 2, {"correct-per-class"}));
  EXPECT_TRUE(refused(mien({"explain", "none", "drawn:70"}), 3, {"none", "No such file"}));
  EXPECT_TRUE(refused(mien({"explain", kRun, "none.csv"}), 3, {"none.csv"}));
  EXPECT_TRUE(refused(mien({"inside", "ascent", kRun, "--layers", "conv9"}), 2, {"conv9", "conv1"}));
  EXPECT_TRUE(refused(mien({"inside", "faces", kRun, "drawn:70", "--rows", "3"}), 2, {"--rows"}))
      << "it searches, it is not told";
  EXPECT_TRUE(fails_saying(mien({"run", "hw3-2017", "--data", "drawn:70", "--weights", kRun, "--out", "x"}),
                           2,
                           "--weights is of network small"));
}

class Methods : public CliTest {};

TEST_F(Methods, AreOneTableWithFamilyCostNeedsAndSource) {
  const Outcome outcome = mien({"methods"});
  ASSERT_EQ(outcome.status, 0);
  for (const char* text :
       {"saliency", "grad-cam", "lime", "a layer", "a seed", "1 forward, 1 backward", "Simonyan", "class activation"}) {
    EXPECT_NE(outcome.out.find(text), std::string::npos) << text;
  }
  const auto json = nlohmann::json::parse(mien({"methods", "--network", "leaky4", "--json"}).out);
  EXPECT_GE(json.size(), 30U);
  const std::set<std::string> undefined{"guided-backprop", "deconvnet", "guided-grad-cam", "cam"};  // for leaky4
  for (const auto& row : json)
    EXPECT_EQ(undefined.contains(row.at("name").get<std::string>()), !row.at("obstacle").get<std::string>().empty())
        << row;
}

}  // namespace
}  // namespace mien
