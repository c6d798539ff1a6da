#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <sstream>
#include <thread>

#include "cli/cli_fixture.h"
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace mien {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Processes of the real program that train one network together.
class Ranks : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    if (!MIEN_HAS_C10D) GTEST_SKIP() << "this libtorch has no c10d";
  }

  static std::vector<std::string> of_rank(int rank, int size, int port) {
    return {"RANK=" + std::to_string(rank),
            "WORLD_SIZE=" + std::to_string(size),
            "MASTER_ADDR=127.0.0.1",
            "MASTER_PORT=" + std::to_string(port)};
  }

  std::vector<std::unique_ptr<Child>> start(int size, const std::vector<std::string>& words) {
    const int port = 20000 + (::getpid() * 17 + 29 * starts_++) % 12000;
    std::vector<std::unique_ptr<Child>> children;
    for (int rank = 0; rank < size; ++rank) {
      children.push_back(std::make_unique<Child>(
          words,
          path("."),
          StartOptions{.environment = size == 1 ? std::vector<std::string>{} : of_rank(rank, size, port),
                       .log = std::to_string(rank)}));
    }
    return children;
  }

  static std::vector<Outcome> wait(std::vector<std::unique_ptr<Child>>& children) {
    std::vector<Outcome> outcomes;
    for (auto& child : children) outcomes.push_back(child->wait());
    return outcomes;
  }

  void train(int size, const std::vector<std::string>& words) {
    auto children = start(size, words);
    const std::vector<Outcome> outcomes = wait(children);
    for (size_t rank = 0; rank < outcomes.size(); ++rank) {
      EXPECT_EQ(outcomes[rank].status, 0) << "rank " << rank << ": " << outcomes[rank].err;
      if (rank > 0) {
        EXPECT_EQ(outcomes[rank].out + outcomes[rank].err, "") << "only rank 0 speaks";
      }
    }
  }

  /// Every kind of random choice, a last batch that is small, batch norm and dropout.
  static std::vector<std::string> words(const std::string& name, const std::vector<std::string>& more = {}) {
    return std::vector<std::string>{"train",
                                    "--network",
                                    "small.toml",
                                    "--data",
                                    "drawn:330",
                                    "--epochs",
                                    "3",
                                    "--threads",
                                    "1",
                                    "--name",
                                    name,
                                    "--batch-size",
                                    "32",
                                    "--flip",
                                    "0.5",
                                    "--rotate",
                                    "10",
                                    "--mixup",
                                    "0.2",
                                    "--lr",
                                    "0.002",
                                    "--model-ema-decay",
                                    "0.9",
                                    "--sync-batch-norm",
                                    "--class-weights",
                                    "balanced"} +
           more;
  }

  std::string weights(const std::string& name) const {
    return read("runs/train/" + name + "/weights/best.safetensors");
  }
  nlohmann::json facts(const std::string& name) const {
    return nlohmann::json::parse(read("runs/train/" + name + "/run.json")).at("facts");
  }
  /// Columns of results.csv but the seconds.
  std::vector<std::vector<double>> curve(const std::string& name) const {
    std::istringstream csv(read("runs/train/" + name + "/results.csv"));
    std::vector<std::vector<double>> rows;
    std::string line;
    std::getline(csv, line);
    while (std::getline(csv, line)) {
      std::istringstream cells(line);
      std::string cell;
      rows.emplace_back();
      while (std::getline(cells, cell, ',') && rows.back().size() < 5) rows.back().push_back(std::stod(cell));
    }
    return rows;
  }
  size_t epochs_done(const std::string& name) const {
    const std::string csv = read("runs/train/" + name + "/results.csv");
    return csv.empty() ? 0 : static_cast<size_t>(std::count(csv.begin(), csv.end(), '\n')) - 1;
  }

 private:
  int starts_ = 0;
};

TEST_F(Ranks, OfAnyNumberGiveTheLossCurveOfOneProcess) {
  // Not Adam, which makes whole steps of rounding where a gradient is almost 0.
  const std::vector<std::string> more{"--opt", "sgd", "--lr", "0.02"};
  train(1, words("one", more));
  const auto one = curve("one");
  ASSERT_EQ(one.size(), 3U);
  for (const int size : {2, 4}) {
    const std::string name = "of" + std::to_string(size);
    train(size, words(name, more));
    const auto several = curve(name);
    ASSERT_EQ(several.size(), one.size());
    for (size_t epoch = 0; epoch < one.size(); ++epoch) {
      for (size_t column = 0; column < one[epoch].size(); ++column)
        EXPECT_NEAR(several[epoch][column], one[epoch][column], 1e-5)
            << size << " ranks, epoch " << epoch + 1 << ", column " << column;
    }
  }
}

TEST_F(Ranks, OfOneNumberGiveTheSameBytesTwice) {
  for (const char* name : {"first", "second"}) train(2, words(name));
  ASSERT_FALSE(weights("first").empty());
  EXPECT_EQ(weights("first"), weights("second"));
  EXPECT_EQ(read("runs/train/first/predictions_val.csv"), read("runs/train/second/predictions_val.csv"));
}

TEST_F(Ranks, AreRecordedWithTheirHostsAndRates) {
  train(2, words("two"));
  const auto ranks = facts("two").at("ranks");
  EXPECT_EQ(ranks.at("count"), 2);
  EXPECT_EQ(ranks.at("launcher"), "torchrun");
  EXPECT_GT(ranks.at("bytes_a_step"), 1000);
  ASSERT_EQ(ranks.at("ranks").size(), 2U);
  EXPECT_FALSE(ranks["ranks"][1].at("host").get<std::string>().empty());
  EXPECT_GT(ranks["ranks"][1].at("seconds_training"), 0.0);
}

TEST_F(Ranks, GoOnAfterOneIsKilledAsIfNothingHadHappened) {
  const std::vector<std::string> more{"--epochs", "12"};
  train(2, words("whole", more));
  auto children = start(2, words("killed", more));
  while (children[0]->is_running() && epochs_done("killed") < 2) std::this_thread::sleep_for(milliseconds(5));
  children[1]->send(SIGKILL);
  const auto killed_at = std::chrono::steady_clock::now();
  const std::vector<Outcome> outcomes = wait(children);
  EXPECT_LT(std::chrono::steady_clock::now() - killed_at, seconds(30));
  EXPECT_EQ(outcomes[0].status, 1);
  EXPECT_NE(outcomes[0].err.find("rank 1 of 2 on"), std::string::npos) << outcomes[0].err;
  EXPECT_EQ(std::count(outcomes[0].err.begin(), outcomes[0].err.end(), '\n'), 1) << outcomes[0].err;
  EXPECT_LT(epochs_done("killed"), 12U);
  train(2, words("killed", more));
  EXPECT_FALSE(std::filesystem::exists(path("runs/train/killed-2")));
  EXPECT_EQ(weights("killed"), weights("whole"));
}

TEST_F(Ranks, EndWhereTheFirstOneIsKilled) {
  auto children = start(3, words("killed", {"--epochs", "50"}));
  while (children[0]->is_running() && epochs_done("killed") < 1) std::this_thread::sleep_for(milliseconds(5));
  children[0]->send(SIGKILL);
  const auto killed_at = std::chrono::steady_clock::now();
  const std::vector<Outcome> outcomes = wait(children);
  EXPECT_LT(std::chrono::steady_clock::now() - killed_at, seconds(30));
  EXPECT_EQ(outcomes[1].status, 1);
  EXPECT_EQ(outcomes[2].status, 1);
  EXPECT_NE(outcomes[1].err.find("rank 0 of 3 on"), std::string::npos) << outcomes[1].err;
  EXPECT_EQ(outcomes[2].err, "") << "one line a host";
}

TEST_F(Ranks, EndWhereOneHangs) {
  auto children = start(2, words("hung", {"--epochs", "50"}));
  while (children[0]->is_running() && epochs_done("hung") < 1) std::this_thread::sleep_for(milliseconds(5));
  children[1]->send(SIGSTOP);
  const auto stopped_at = std::chrono::steady_clock::now();
  const Outcome outcome = children[0]->wait();
  EXPECT_LT(std::chrono::steady_clock::now() - stopped_at, seconds(30));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("rank 1 of 2 on"), std::string::npos) << outcome.err;
  children[1]->send(SIGCONT);
  EXPECT_NE(children[1]->wait().status, 0);
}

TEST_F(Ranks, StopTogetherAndGoOnWithAnotherNumber) {
  const std::vector<std::string> more{"--epochs", "6"};
  auto children = start(2, words("moved", more));
  while (children[0]->is_running() && epochs_done("moved") < 2) std::this_thread::sleep_for(milliseconds(5));
  children[1]->send(SIGINT);
  for (const Outcome& outcome : wait(children)) EXPECT_EQ(outcome.status, 130) << outcome.err;
  ASSERT_LT(epochs_done("moved"), 6U);
  auto four = start(4, words("moved", more));
  const std::vector<Outcome> outcomes = wait(four);
  EXPECT_EQ(outcomes[0].status, 0) << outcomes[0].err;
  EXPECT_NE(outcomes[0].err.find("ranks 4 instead of 2"), std::string::npos) << outcomes[0].err;
  EXPECT_EQ(facts("moved").at("ranks").at("counts_so_far"), "2, 4");
}

TEST_F(Ranks, ThatHaveOtherDataAreNamed) {
  const std::string csv = faces_csv();
  write("a/faces.csv", csv);
  std::string other = csv;
  other[other.rfind(' ') + 1] = other[other.rfind(' ') + 1] == '1' ? '2' : '1';
  write("b/faces.csv", other);
  write("a/small.toml", read("small.toml"));
  write("b/small.toml", read("small.toml"));
  std::vector<std::unique_ptr<Child>> children;
  for (const int rank : {0, 1}) {
    children.push_back(std::make_unique<Child>(
        std::vector<std::string>{"train", "--network", "small.toml", "--data", "faces.csv", "--validation", "none"},
        path(rank == 0 ? "a" : "b"),
        StartOptions{.environment = of_rank(rank, 2, 33123 + ::getpid() % 1000)}));
  }
  const std::vector<Outcome> outcomes = wait(children);
  EXPECT_EQ(outcomes[0].status, 2);
  EXPECT_NE(outcomes[0].err.find("rank 1 on"), std::string::npos) << outcomes[0].err;
  EXPECT_NE(outcomes[1].status, 0);
}

TEST_F(Ranks, ThatWouldHaveTooFewFacesAreTold) {
  auto children = start(2, words("few", {"--batch-size", "3"}));
  const std::vector<Outcome> outcomes = wait(children);
  EXPECT_NE(outcomes[0].err.find("--batch-size 3 leaves fewer than two faces"), std::string::npos) << outcomes[0].err;
  EXPECT_EQ(outcomes[0].status, 2);
  EXPECT_EQ(outcomes[1].status, 2);
}

TEST_F(Ranks, AreRefusedByWhatOneProcessComputes) {
  EXPECT_TRUE(refused(mien({"run", "hw4-2019", "--data", "drawn:70"}, {.environment = of_rank(0, 2, 9)}),
                      2,
                      {"a recipe is computed by one process", "torchrun started 2"}));
}

TEST_F(Ranks, OfMpirunTrainTogether) {
  if (!std::filesystem::exists("/usr/bin/mpirun")) GTEST_SKIP() << "OpenMPI's mpirun is not installed";
  train(2, words("by-hand"));
  const std::vector<std::string> start{
      "--allow-run-as-root", "--oversubscribe", "--mca", "btl", "self,tcp", "-n", "2", MIEN_PROGRAM};
  Child child(start + words("by-mpirun"),
              path("."),
              {.program = "/usr/bin/mpirun", .environment = {"PATH=/usr/bin:/bin", "TMPDIR=/tmp"}});
  const Outcome outcome = child.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(facts("by-mpirun").at("ranks").at("launcher"), "mpirun");
  EXPECT_EQ(weights("by-mpirun"), weights("by-hand")) << "who starts the ranks makes no difference";
}

}  // namespace
}  // namespace mien
