#include <map>
#include <set>
#include <sstream>
#include <utility>

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

TEST_F(Json, OfEveryCommandOfTheTableIsNumbersOrAnError) {
  ASSERT_EQ(mien(training()).status, 0);
  write("faces.csv", faces_csv());
  write("small_recipe.toml", "title = \"small\"\ndata = \"drawn:140\"\nnetwork = \"small.toml\"\nepochs = 1\n");
  write("plain.safetensors", read("runs/train/small/weights/best.safetensors"));
  const std::string run = "runs/train/small";
  // A key that the command's result must have; the words behind the command's name.
  const std::map<std::string, std::pair<std::string, std::vector<std::string>>> calls{
      {"demo", {"dnn3", {"--print-config"}}},
      {"run", {"folder", {"small_recipe.toml", "--threads", "1"}}},
      {"doctor", {"threads", {}}},
      {"train", {"best_epoch", {"--network", "small.toml", "--data", "drawn:140", "--epochs", "1", "--threads", "1"}}},
      {"predict", {"faces", {run, "faces.csv", "--threads", "1"}}},
      {"eval", {"accuracy_interval", {run, "faces.csv", "--threads", "1"}}},
      {"compare", {"accuracy", {run, run}}},
      {"runs", {"", {}}},
      {"report", {"report", {run}}},
      {"lr-find", {"lr", {"--network", "small.toml", "--data", "drawn:140", "--threads", "1"}}},
      {"audit", {"error", {"--data", "none.csv"}}},
      {"calibrate", {"error", {"none.safetensors", "none.csv"}}},
      {"data crop", {"error", {"none", "out"}}},
      {"export", {"error", {"none.safetensors", "--to", "onnx"}}},
      {"merge", {"error", {"none", "nothing"}}},
      {"models", {"", {}}},
      {"pack", {"error", {"none", "none.csv", "--name", "x"}}},
      {"photo", {"error", {"none.safetensors", "none.png"}}},
      {"serve", {"error", {"none"}}},
      {"sweep", {"error", {"none.toml"}}},
      {"watch", {"error", {"none.safetensors", "none.mp4"}}},
      {"import", {"error", {"none.safetensors", "out.safetensors", "--network", "small.toml"}}},
      {"explain", {"pictures", {run, "faces.csv", "--method", "saliency", "--rows", "1", "--threads", "1"}}},
      {"methods", {"", {}}},
      {"inside weights", {"pictures", {run}}},
      {"inside outputs", {"pictures", {run, "faces.csv", "--rows", "1"}}},
      {"inside ascent", {"pictures", {run, "--ascent-steps", "1", "--units", "0"}}},
      {"inside faces", {"pictures", {run, "faces.csv", "--unit-faces", "1"}}},
      {"inside units", {"pictures", {run, "faces.csv"}}},
      {"data info", {"classes", {"faces.csv"}}},
      {"data check", {"images", {"faces.csv", "--validation", "fraction:0.3"}}},
      {"data convert", {"rows", {"faces.csv", "copy.csv"}}},
      {"data draw", {"rows", {"more", "--draw-count", "1"}}},
      {"data preview", {"error", {"faces.csv"}}},
      {"networks list", {"", {}}},
      {"networks layers", {"markdown", {}}},
      {"networks show", {"toml", {"box3"}}},
      {"networks summary", {"parameters", {"small.toml"}}},
      {"networks twin", {"toml", {"small.toml"}}},
      {"bench start", {"", {"--runs", "1", "--python", ""}}},
      {"bench csv", {"error", {"none.csv"}}},
      {"reference", {"markdown", {}}},
      {"completion", {"script", {"bash"}}},
      {"manual", {"roff", {}}}};
  std::set<std::string> commands;
  std::istringstream reference(mien({"reference"}).out);
  for (std::string line; std::getline(reference, line);) {
    if (line.starts_with("## mien ")) commands.insert(line.substr(8));
  }
  EXPECT_GE(commands.size(), calls.size());
  for (const std::string& name : commands) {
    const auto call = calls.find(name);
    if (call == calls.end()) {
      EXPECT_TRUE(name.starts_with("bench ") || name == "import") << name << " is a command without a test of --json";
      continue;
    }
    std::vector<std::string> words;
    std::istringstream parts(name);
    for (std::string part; parts >> part;) words.push_back(part);
    const Outcome outcome = mien(words + call->second.second + std::vector<std::string>{"--json"});
    const auto json = nlohmann::json::parse(outcome.out, nullptr, false);
    ASSERT_FALSE(json.is_discarded()) << name << ": " << outcome.out.substr(0, 300) << outcome.err;
    const std::string& key = call->second.first;
    if (!key.empty()) EXPECT_TRUE(json.is_object() && json.contains(key)) << name << ": " << outcome.out.substr(0, 300);
    if (name != "doctor") EXPECT_EQ(outcome.status == 0, key != "error") << name << ": " << outcome.err;
  }
}

}  // namespace
}  // namespace mien
