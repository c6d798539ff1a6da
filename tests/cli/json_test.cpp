#include "cli/cli_fixture.h"
#include <nlohmann/json.hpp>

namespace mien {
namespace {

class Json : public CliTest {
 protected:
  /// What the command prints with --json; standard output must hold nothing else.
  nlohmann::json of(const std::vector<std::string>& words) const {
    const Outcome outcome = mien(words + std::vector<std::string>{"--json"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    const auto json = nlohmann::json::parse(outcome.out, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << words.front() << ": " << outcome.out.substr(0, 300);
    return json;
  }
};

TEST_F(Json, IsPrintedByEveryCommandThatOnlyTells) {
  EXPECT_EQ(of({"networks", "list"}).at(0).at("name"), "box3");
  EXPECT_NE(of({"networks", "show", "box3"}).at("toml").get<std::string>().find("conv"), std::string::npos);
  EXPECT_EQ(of({"networks", "summary", "box3"}).at("parameters"), 2209059);
  EXPECT_NE(of({"networks", "twin", "box3"}).at("toml").get<std::string>().find("dense"), std::string::npos);
  EXPECT_EQ(of({"run", "list"}).at(0).at("name"), "demo");
  EXPECT_EQ(of({"train", "--print-config", "--epochs", "3"}).at("epochs"), 3);
  EXPECT_EQ(of({"demo", "--print-config"}).at("dnn3").at("network"), "dnn3");
  EXPECT_TRUE(of({"reference"}).contains("markdown"));
}

TEST_F(Json, IsPrintedForErrorsToo) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"trian"}, {"train", "--epochs", "0"}, {"data", "info", "none.csv"}, {"report", "none"}}) {
    const Outcome outcome = mien(words + std::vector<std::string>{"--json"});
    const auto json = nlohmann::json::parse(outcome.out, nullptr, false);
    ASSERT_TRUE(json.is_object()) << outcome.out << outcome.err;
    EXPECT_FALSE(json.at("error").get<std::string>().empty());
    EXPECT_EQ(json.at("status"), outcome.status);
    EXPECT_NE(outcome.status, 0);
    EXPECT_TRUE(outcome.err.starts_with("mien: ")) << outcome.err;
  }
}

TEST_F(Json, IsPrintedByTheDataCommandsWhateverTheNamesAre) {
  const std::string odd = "a \"quoted\" \\ name.csv";
  EXPECT_EQ(of({"data", "draw", "d", "--draw-count", "2"}).at("rows"), 14);
  EXPECT_EQ(of({"data", "convert", "d/faces.csv", odd}).at("file"), odd);
  const auto info = of({"data", "info", odd});
  EXPECT_EQ(info.at("source"), odd);
  EXPECT_EQ(info.at("classes").at("happy"), 2);
  EXPECT_EQ(of({"data", "check", odd, "--validation", "fraction:0.3"}).at("images"), 14);
}

TEST_F(Json, IsPrintedByTrainingJudgingAndComparing) {
  const auto trained = of(training());
  EXPECT_EQ(trained.at("folder"), "runs/train/small");
  EXPECT_GE(trained.at("best_epoch"), 1);
  EXPECT_EQ(trained.at("validation").at("accuracy_interval").size(), 2U);
  EXPECT_EQ(of(training({"--seed", "1"})).at("folder"), "runs/train/small-2");
  write("faces.csv", faces_csv());
  EXPECT_EQ(of({"predict", "runs/train/small,runs/train/small-2", "faces.csv", "--threads", "1"}).at("faces"), 21);
  EXPECT_EQ(of({"eval", "runs/train/small", "faces.csv", "--threads", "1"}).at("count"), 21);
  EXPECT_EQ(of({"compare", "runs/train/small", "runs/train/small-2"}).at("first_name"), "runs/train/small");
  EXPECT_EQ(of({"report", "runs/train/small"}).at("report"), "runs/train/small/report.html");
  EXPECT_GT(of({"lr-find", "--network", "small.toml", "--data", "drawn:140", "--threads", "1"}).at("lr"), 0);
}

}  // namespace
}  // namespace mien
