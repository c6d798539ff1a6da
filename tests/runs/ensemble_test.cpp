#include "mien/runs/ensemble.h"

#include <algorithm>
#include <regex>
#include <set>

#include "core/expect_error.h"
#include "support/small_experiment.h"

#include "mien/core/files.h"
#include "mien/data/csv_writer.h"
#include "mien/data/load.h"
#include "mien/data/split.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/recipes/run_recipe.h"
#include "mien/runs/compare_runs.h"
#include "mien/runs/predict_run.h"
#include "mien/runs/train_run.h"

namespace mien::runs {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

/// Three members on faces without test rows.
class Ensemble : public testing::Test {
 protected:
  static std::vector<std::pair<std::string, std::string>> settings() {
    return {{"data", (folder_ / "faces.csv").string()}, {"members", "3"}, {"name", "three"}, {"holdout", "0.2"}};
  }
  static void SetUpTestSuite() {
    const WithoutPictures quick;
    folder_ = fresh_folder("ensemble");
    data::write_csv(
        data::load({.data = "drawn:210"}, silent_listener()), folder_ / "faces.csv", data::csv_style("kaggle-train"));
    SmallExperiment small(folder_, settings());
    run_ = train_task(small.experiment, small.options, silent_listener()).value();
  }
  static evaluation::Predictions member(int number) {
    return evaluation::read_predictions_csv(run_ / ("member0" + std::to_string(number)) /
                                            "predictions_public_test.csv");
  }
  static inline fs::path folder_;
  static inline fs::path run_;
};

TEST_F(Ensemble, VotesAsItsMembersPredict) {
  const std::vector<evaluation::Predictions> members{member(1), member(2), member(3)};
  // The majority, with ties for the class of the larger mean probability among the most voted.
  int64_t right = 0;
  int64_t undecided = 0;
  for (int64_t i = 0; i < members[0].size(); ++i) {
    std::vector<int> votes(7);
    for (const auto& m : members) ++votes[static_cast<size_t>(m.predicted(i))];
    const auto most = std::max_element(votes.begin(), votes.end());
    if (*most == 1) {
      ++undecided;
      continue;
    }
    right += most - votes.begin() == members[0].labels[static_cast<size_t>(i)];
  }
  const double accuracy = read_json(run_ / "votes.json").at("votes").at("majority").at("accuracy").get<double>();
  const auto count = static_cast<double>(members[0].size());
  EXPECT_GE(accuracy, static_cast<double>(right) / count - 1e-12);
  EXPECT_LE(accuracy, static_cast<double>(right + undecided) / count + 1e-12);
  EXPECT_LT(undecided, members[0].size() / 2) << "else the bounds say nothing";
}

TEST_F(Ensemble, JudgesItselfOnRowsThatNoMemberSaw) {
  const auto judged = member(1).rows;
  EXPECT_EQ(judged.size(), 42U);
  EXPECT_EQ(judged, member(2).rows);
  // Each member's split, made again from the rows that were hidden.
  auto faces = data::load({.data = (folder_ / "faces.csv").string()}, silent_listener());
  for (const int64_t row : judged) faces.usages[static_cast<size_t>(row)] = data::Usage::public_test;
  const std::set<int64_t> hidden(judged.begin(), judged.end());
  std::vector<int64_t> first_validation;
  for (int m = 1; m <= 3; ++m) {
    const auto validation =
        evaluation::read_predictions_csv(run_ / ("member0" + std::to_string(m)) / "predictions_val.csv").rows;
    for (const int64_t row : validation) EXPECT_FALSE(hidden.contains(row)) << "member " << m;
    const auto facts = read_json(run_ / ("member0" + std::to_string(m)) / "run.json").at("facts");
    EXPECT_TRUE(contains(facts.at("split").get<std::string>(), "42 test rows"));
    EXPECT_EQ(facts.at("seed"), m - 1);
    if (m > 1) EXPECT_NE(validation, first_validation) << "seeds choose the split";
    first_validation = validation;
  }
}

TEST_F(Ensemble, GoesOnMemberByMember) {
  const WithoutPictures quick;
  const std::string votes = read_text(run_ / "votes.json");
  auto run = read_json(run_ / "run.json");
  run["status"] = "interrupted";
  write_atomic(run_ / "run.json", run.dump());
  fs::remove_all(run_ / "member03");
  SmallExperiment small(folder_, settings());
  Heard heard;
  EXPECT_EQ(train_task(small.experiment, small.options, heard), run_);
  EXPECT_TRUE(contains(heard.lines, "member01 is finished already"));
  EXPECT_TRUE(contains(heard.lines, "member02 is finished already"));
  EXPECT_EQ(read_text(run_ / "votes.json"), votes) << "as if it had not been stopped";
}

TEST_F(Ensemble, IsReportedAgainWithTheSameBytes) {
  const std::string before = read_text(run_ / "report.html");
  fs::remove(run_ / "report.html");
  // run.json is saved again after the page, perhaps in another second.
  const std::string run = read_text(run_ / "run.json");
  write_atomic(
      run_ / "run.json",
      std::regex_replace(run, std::regex("\"saved_at\": \"[^\"]*\""), "\"saved_at\": \"2001-02-03T04:05:06Z\""));
  ASSERT_NE(read_text(run_ / "run.json"), run);
  recipes::report_task(run_, silent_listener());
  EXPECT_TRUE(read_text(run_ / "report.html") == before);
}

TEST_F(Ensemble, PredictsByItsFolderAsItsMembersDoByTheirs) {
  std::vector<std::string> members;
  for (int m = 1; m <= 3; ++m) members.push_back((run_ / ("member0" + std::to_string(m))).string());
  PredictRunOptions options{.weights = members, .data = {.data = "drawn:70"}, .out = (folder_ / "by3.csv").string()};
  options.probabilities = true;
  predict_run(options, silent_listener());
  options.weights = {run_.string()};
  options.out = (folder_ / "by1.csv").string();
  predict_run(options, silent_listener());
  EXPECT_EQ(read_text(folder_ / "by1.csv"), read_text(folder_ / "by3.csv"));
}

TEST_F(Ensemble, NeverCallsHeldOutRowsPublicTest) {
  EXPECT_TRUE(contains(read_text(run_ / "member01" / "report.html"), "\"judged_on\":\"held-out\""));
  EXPECT_FALSE(contains(read_text(run_ / "member01" / "report.html"), "\"judged_on\":\"PublicTest\""));
}

TEST_F(Ensemble, IsComparedWithAMember) {
  const auto json = nlohmann::json::parse(compare_runs(run_ / "member01", run_, "auto").json);
  EXPECT_EQ(json.at("first_name"), (run_ / "member01").string());
}

}  // namespace
}  // namespace mien::runs
