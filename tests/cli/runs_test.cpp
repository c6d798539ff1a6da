#include <sstream>

#include "cli/cli_fixture.h"
#include <nlohmann/json.hpp>

namespace mien {
namespace {

class Runs : public CliTest {
 protected:
  nlohmann::json json_of(const std::vector<std::string>& words) const {
    const Outcome outcome = mien(words + std::vector<std::string>{"--json"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }
};

TEST_F(Runs, AreListedWithNetworkDataRateAndState) {
  ASSERT_EQ(mien(training()).status, 0);
  ASSERT_EQ(mien(training({"--seed", "4", "--members", "2", "--name", "pair"})).status, 0);
  const auto list = json_of({"runs"});
  ASSERT_EQ(list.size(), 2U) << "an ensemble's members are part of it";
  EXPECT_EQ(list[0].at("folder"), "runs/train/pair");
  EXPECT_EQ(list[0].at("members"), 2);
  EXPECT_EQ(list[1].at("network"), "small");
  EXPECT_EQ(list[1].at("data"), "drawn:140");
  EXPECT_EQ(list[1].at("state"), "finished");
  EXPECT_EQ(list[1].at("accuracy_interval").size(), 2U);
  EXPECT_FALSE(list[1].at("saved_at").get<std::string>().empty());
  const Outcome text = mien({"runs", "--project", "runs/train"});
  EXPECT_NE(text.out.find("2 members of small"), std::string::npos) << text.out;
  EXPECT_TRUE(refused(mien({"runs", "--project", "none"}), 3, {"no folder none", "--project"}));
}

TEST_F(Runs, OfAnyNumberAreComparedAndSeedsHaveMeanAndDeviation) {
  for (const char* seed : {"0", "1", "2"})
    ASSERT_EQ(mien(training({"--seed", seed, "--name", std::string("s") + seed})).status, 0);
  ASSERT_EQ(mien(training({"--lr", "0.01", "--name", "other"})).status, 0);
  const std::string folder = "runs/train/";
  const auto all = json_of({"compare", folder + "s0", folder + "s1", folder + "s2", folder + "other"});
  ASSERT_EQ(all.at("runs").size(), 4U);
  EXPECT_FALSE(all.at("runs")[0].contains("difference"));
  EXPECT_TRUE(all.at("runs")[3].contains("mcnemar_p_value"));
  ASSERT_EQ(all.at("repetitions").size(), 1U) << "another rate is another configuration";
  const auto& seeds = all.at("repetitions")[0];
  EXPECT_EQ(seeds.at("runs").size(), 3U);
  double mean = 0;
  for (size_t i = 0; i < 3; ++i) mean += all.at("runs")[i].at("accuracy").get<double>() / 3;
  EXPECT_NEAR(seeds.at("mean_accuracy").get<double>(), mean, 1e-12);
  EXPECT_GE(seeds.at("standard_deviation").get<double>(), 0);
  const Outcome two = mien({"compare", folder + "s0", folder + "s1"});
  EXPECT_NE(two.out.find("(2 runs)"), std::string::npos) << two.out;
}

TEST_F(Runs, ATrainingIsComparedWithAnEvaluationOfItsData) {
  write("faces.csv", faces_csv());
  ASSERT_EQ(mien({"train",
                  "--network",
                  "small.toml",
                  "--data",
                  "faces.csv",
                  "--validation",
                  "fraction:0.3",
                  "--epochs",
                  "1",
                  "--threads",
                  "1"})
                .status,
            0);
  ASSERT_EQ(mien({"eval", "runs/train/small", "faces.csv", "--out", "judged", "--threads", "1"}).status, 0);
  const auto compared = json_of({"compare", "runs/train/small", "judged"});
  EXPECT_EQ(compared.at("accuracy").at("difference"), 0);
  EXPECT_GT(compared.at("count").get<int64_t>(), 0);
}

TEST_F(Runs, HelpOfARecipeShowsItsValues) {
  write("mine.toml",
        "title = \"mine\"\ndata = \"drawn:140\"\nnetwork = \"small.toml\"\nepochs = 7\n[[run]]\nname = \"slow\"\nlr = "
        "0.002\n"
        "[[run]]\nname = \"fast\"\nlr = 0.2\n");
  const Outcome help = mien({"run", "mine.toml", "--help"});
  EXPECT_EQ(help.status, 0) << help.err;
  EXPECT_NE(help.out.find("[recipe: 7]"), std::string::npos) << help.out;
  EXPECT_NE(help.out.find("in slow"), std::string::npos) << help.out;
  EXPECT_EQ(mien({"run", "--help"}).out.find("[recipe:"), std::string::npos);
}

TEST_F(Runs, DrawNoPicturesWhereNoneAreWanted) {
  const StartOptions with_pictures{.with_pictures = true};
  const auto count = [&](const std::string& folder) {
    int pictures = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path(folder)))
      pictures += entry.path().extension() == ".png" ? 1 : 0;
    return pictures;
  };
  const Outcome trained = mien(training({"--no-pictures"}), with_pictures);
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_EQ(trained.err.find("picture"), std::string::npos) << "what was asked for needs no warning: " << trained.err;
  EXPECT_EQ(count("runs"), 0);
  ASSERT_EQ(mien({"explain",
                  "runs/train/small",
                  "drawn:140",
                  "--method",
                  "saliency",
                  "--rows",
                  "3",
                  "--no-pictures",
                  "--threads",
                  "1"},
                 with_pictures)
                .status,
            0);
  EXPECT_EQ(count("runs"), 0);
  const Outcome again = mien(training(), with_pictures);
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_TRUE(std::filesystem::exists(path("runs/train/small-2"))) << "a finished run stays as it is";
  EXPECT_GT(count("runs/train/small-2"), 0);
}

TEST_F(Runs, GalleriesOfAnyOtherClassHoldEveryMistake) {
  ASSERT_EQ(mien(training()).status, 0);
  const StartOptions with_pictures{.with_pictures = true};
  const Outcome judged = mien({"eval",
                               "runs/train/small",
                               "drawn:70",
                               "--usage",
                               "all",
                               "--gallery-cells",
                               "fear:any,any:sad",
                               "--out",
                               "judged",
                               "--threads",
                               "1"},
                              with_pictures);
  ASSERT_EQ(judged.status, 0) << judged.err;
  int fear_as_other = 0;
  int other_as_sad = 0;
  std::istringstream lines(read("judged/predictions_eval.csv"));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream cells(line);
    std::string row, label, predicted;
    std::getline(std::getline(std::getline(cells, row, ','), label, ','), predicted, ',');
    fear_as_other += label == "fear" && predicted != "fear" ? 1 : 0;
    other_as_sad += label != "sad" && predicted == "sad" ? 1 : 0;
  }
  EXPECT_EQ(std::filesystem::exists(path("judged/fear_as_any.png")), fear_as_other > 0);
  EXPECT_EQ(std::filesystem::exists(path("judged/any_as_sad.png")), other_as_sad > 0);
  EXPECT_GT(fear_as_other + other_as_sad, 0) << "the test shows nothing";
  EXPECT_TRUE(refused(mien({"eval", "runs/train/small", "drawn:70", "--gallery-cells", "any:any", "--threads", "1"}),
                      2,
                      {"any:any names no class"}));
}

TEST_F(Runs, AreExplainedForTheClassThatIsNamedForEachFace) {
  ASSERT_EQ(mien(training()).status, 0);
  const std::vector<std::string> explain{"explain",
                                         "runs/train/small",
                                         "drawn:140",
                                         "--method",
                                         "saliency",
                                         "--rows",
                                         "3,5",
                                         "--threads",
                                         "1",
                                         "--target"};
  ASSERT_EQ(mien(explain + std::vector<std::string>{"sad,label"}).status, 0);
  const auto sidecar = [&](const std::string& row) {
    return nlohmann::json::parse(read("runs/train/small/explain/saliency/" + row + ".json"), nullptr, false);
  };
  EXPECT_EQ(sidecar("row3").at("target"), "sad");
  EXPECT_EQ(sidecar("row5").at("target"), sidecar("row5").at("label"));
  const StartOptions with_pictures{.with_pictures = true};  // without, a warning stands before the error
  EXPECT_TRUE(
      refused(mien(explain + std::vector<std::string>{"sad,fear,happy"}, with_pictures), 2, {"3 classes for 2 faces"}));
}

}  // namespace
}  // namespace mien
