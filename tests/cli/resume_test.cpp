#include <algorithm>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "cli/cli_fixture.h"

namespace mien {
namespace {

using std::chrono::milliseconds;

class Resume : public CliTest {
 protected:
  /// A training of about two seconds in which every random choice plays a part.
  std::vector<std::string> long_training(const std::string& name) const {
    return {"train", "--network", "small.toml", "--data",  "drawn:420", "--epochs", "10",        "--batch-size",
            "16",    "--threads", "1",          "--name",  name,        "--sched",  "one-cycle", "--flip",
            "0.5",   "--rotate",  "10",         "--mixup", "0.2",       "--lr",     "0.003",     "--model-ema-decay",
            "0.9"};
  }
  std::string weights(const std::string& name) const {
    return read("runs/train/" + name + "/weights/best.safetensors");
  }
  size_t epochs_done(const std::string& name) const {
    const std::string csv = read("runs/train/" + name + "/results.csv");
    return csv.empty() ? 0 : static_cast<size_t>(std::count(csv.begin(), csv.end(), '\n')) - 1;
  }
};

TEST_F(Resume, AfterCtrlCEqualsAnUninterruptedRun) {
  ASSERT_EQ(mien(long_training("whole")).status, 0);
  Child child(long_training("stopped"), path("."), {});
  while (child.is_running() && epochs_done("stopped") < 3) std::this_thread::sleep_for(milliseconds(5));
  child.send(SIGINT);
  const Outcome stopped = child.wait();
  EXPECT_EQ(stopped.status, 130);
  EXPECT_NE(stopped.out.find("start the same command again"), std::string::npos) << stopped.out;
  EXPECT_NE(stopped.err.find("stopping; start the same command again to go on"), std::string::npos) << "said at once";
  EXPECT_NE(read("runs/train/stopped/run.json").find("\"interrupted\""), std::string::npos);
  const size_t kept = epochs_done("stopped");
  EXPECT_GE(kept, 3U);
  EXPECT_LT(kept, 10U);
  const Outcome again = mien(long_training("stopped"));
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_NE(again.out.find("going on in"), std::string::npos);
  EXPECT_EQ(epochs_done("stopped"), 10U);
  ASSERT_FALSE(weights("whole").empty());
  EXPECT_EQ(weights("stopped"), weights("whole"));
  EXPECT_EQ(read("runs/train/stopped/predictions_val.csv"), read("runs/train/whole/predictions_val.csv"));
}

TEST_F(Resume, AfterKillsAtRandomMomentsEqualsAnUninterruptedRun) {
  ASSERT_EQ(mien(long_training("whole")).status, 0);
  std::mt19937 random(testing::UnitTest::GetInstance()->random_seed());
  int kills = 0;
  // A kill can come after the last write, too: then there is nothing to go on with.
  while (read("runs/train/killed/run.json").find("\"finished\"") == std::string::npos) {
    Child child(long_training("killed"), path("."), {});
    // At first while it trains, then anywhere; after four kills it may finish.
    const size_t wanted = epochs_done("killed") + 1 + random() % 2;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (child.is_running() && epochs_done("killed") < wanted && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(milliseconds(2));
    std::this_thread::sleep_for(milliseconds(random() % 60));
    if (kills < 4 && child.is_running()) {
      child.send(SIGKILL);
      ++kills;
      EXPECT_EQ(child.wait().status, 128 + SIGKILL);
      continue;
    }
    const Outcome outcome = child.wait();
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  EXPECT_GE(kills, 2);
  EXPECT_FALSE(std::filesystem::exists(path("runs/train/killed-2"))) << "always the same folder";
  EXPECT_EQ(weights("killed"), weights("whole"));
  EXPECT_EQ(read("runs/train/killed/predictions_val.csv"), read("runs/train/whole/predictions_val.csv"));
  EXPECT_EQ(read("runs/train/killed/weights/last.safetensors"), read("runs/train/whole/weights/last.safetensors"));
}

TEST_F(Resume, AFinishedRunIsNotOverwritten) {
  for (int i = 0; i < 3; ++i) ASSERT_EQ(mien(training()).status, 0);
  for (const char* name : {"small", "small-2", "small-3"})
    EXPECT_TRUE(std::filesystem::exists(path(std::string("runs/train/") + name + "/report.html"))) << name;
  EXPECT_EQ(weights("small"), weights("small-2")) << "the same command gives the same bytes";
  write("runs/train/small/note.txt", "of the old run");
  ASSERT_EQ(mien(training({"--exist-ok"})).status, 0);
  EXPECT_EQ(read("runs/train/small/note.txt"), "of the old run") << "--exist-ok replaces what Mien wrote, only that";
  EXPECT_FALSE(std::filesystem::exists(path("runs/train/small-4")));
}

TEST_F(Resume, TwoAtOnceDoNotShareAFolder) {
  Child first(long_training("both"), path("."), {});
  while (first.is_running() && epochs_done("both") < 1) std::this_thread::sleep_for(milliseconds(5));
  write("elsewhere/small.toml", read("small.toml"));
  Child second(
      long_training("both") + std::vector<std::string>{"--project", path("runs/train")}, path("elsewhere"), {});
  EXPECT_EQ(second.wait().status, 0);
  EXPECT_EQ(first.wait().status, 0);
  EXPECT_FALSE(weights("both").empty());
  EXPECT_EQ(weights("both-2"), weights("both"));
}

TEST_F(Resume, AfterAKillBeforeAnyFileOperationEqualsAnUninterruptedRun) {
  const auto words = [](const std::string& name) {
    return std::vector<std::string>{
        "train", "--network", "small.toml", "--data", "drawn:70", "--epochs", "2", "--threads", "1", "--name", name};
  };
  ASSERT_EQ(mien(words("whole")).status, 0);
  int killed = 0;
  int step = 1;
  for (int at = 1; at < 400; at += step) {
    const std::string name = "killed" + std::to_string(at);
    const Outcome first = mien(words(name), {.kill_at = at});
    if (first.status == 0) break;  // it has fewer operations
    ASSERT_EQ(first.status, 128 + SIGKILL) << first.err;
    ++killed;
    const Outcome again = mien(words(name));
    ASSERT_EQ(again.status, 0) << at << ": " << again.err;
    EXPECT_EQ(weights(name), weights("whole")) << at;
    EXPECT_EQ(read("runs/train/" + name + "/predictions_val.csv"), read("runs/train/whole/predictions_val.csv")) << at;
    EXPECT_FALSE(std::filesystem::exists(path("runs/train/" + name + "-2"))) << at << ": always the same folder";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path("runs/train/" + name)))
      EXPECT_NE(entry.path().extension(), ".partial") << at << ": " << entry.path();
    if (at >= 8) step = 9;
  }
  EXPECT_GT(killed, 12);
}

TEST_F(Resume, OfAnEnsembleKilledWhileAMemberStartsGoesOn) {
  const auto words = training({"--members", "2", "--name", "pair", "--epochs", "1"});
  const Outcome first = mien(words, {.kill_at = 9});
  ASSERT_EQ(first.status, 128 + SIGKILL) << first.err;
  write("runs/train/pair/member02/run.json.1-0.partial", "{");
  const Outcome again = mien(words);
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_FALSE(std::filesystem::exists(path("runs/train/pair/member02/run.json.1-0.partial")));
}

TEST_F(Resume, OfARecipeWhoseNetworkFileHasChangedTrainsAnew) {
  write("r.toml",
        "network = \"small.toml\"\ndata = \"drawn:70\"\nepochs = 1\nthreads = 1\n"
        "[[run]]\nname = \"one\"\n[[run]]\nname = \"two\"\nlr = 0.002\n");
  ASSERT_EQ(mien({"run", "r.toml"}).status, 0);
  write("runs/r/two/thesis.txt", "mine");
  const std::string before = read("runs/r/two/weights/best.safetensors");
  // One run edited: the other is kept, and its own finished folder, too.
  write("r.toml", read("r.toml") + "momentum = 0.5\n");
  const Outcome edited = mien({"run", "r.toml"});
  EXPECT_EQ(edited.status, 0) << edited.err;
  EXPECT_NE(edited.out.find("runs/r/one is finished already"), std::string::npos) << edited.out;
  EXPECT_EQ(read("runs/r/two/weights/best.safetensors"), before);
  EXPECT_EQ(read("runs/r/two/thesis.txt"), "mine");
  EXPECT_TRUE(std::filesystem::exists(path("runs/r/two-2/weights/best.safetensors")));
  // The network: other weights, in another folder.
  std::string network = read("small.toml");
  network.replace(network.find("conv = 8"), 8, "conv = 6");
  write("small.toml", network);
  const Outcome changed = mien({"run", "r.toml"});
  EXPECT_EQ(changed.status, 0) << changed.err;
  EXPECT_EQ(changed.out.find("finished already"), std::string::npos) << changed.out;
  EXPECT_EQ(read("runs/r/two/weights/best.safetensors"), before);
  EXPECT_FALSE(read("runs/r-2/one/weights/best.safetensors").empty());
}

TEST_F(Resume, OfATypoInTestDataNeedsNoSecondTraining) {
  const Outcome typo = mien(training({"--test-data", "tset.csv"}));
  EXPECT_TRUE(refused(typo, 3, {"--test-data", "tset.csv"})) << "before anything is trained";
  EXPECT_FALSE(std::filesystem::exists(path("runs/train/small")));
}

}  // namespace
}  // namespace mien
