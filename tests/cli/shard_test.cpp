#include <filesystem>

#include "cli/cli_fixture.h"

namespace mien {
namespace {

class Shards : public CliTest {
 protected:
  std::vector<std::string> ensemble(const std::string& name, const std::vector<std::string>& more = {}) const {
    return training({"--members", "3", "--name", name, "--epochs", "1"}) + more;
  }
  std::string folder(const std::string& name) const { return "runs/train/" + name; }
};

TEST_F(Shards, OfAnEnsembleAreMergedIntoWhatOneProcessMakes) {
  ASSERT_EQ(mien(ensemble("whole")).status, 0);
  for (const char* shard : {"1/2", "2/2"}) {
    const Outcome outcome = mien(ensemble("parts", {"--shard", shard}));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_NE(outcome.out.find("mien merge runs/train/parts.shard-*"), std::string::npos) << outcome.out;
  }
  EXPECT_FALSE(std::filesystem::exists(path(folder("parts.shard-1-of-2/member02"))));
  EXPECT_FALSE(std::filesystem::exists(path(folder("parts.shard-2-of-2/member01"))));
  const Outcome merged = mien({"merge", folder("parts.shard-2-of-2"), folder("parts.shard-1-of-2")});
  ASSERT_EQ(merged.status, 0) << merged.err;
  for (const char* file : {"votes.json",
                           "predictions_vote.csv",
                           "member01/weights/best.safetensors",
                           "member02/weights/best.safetensors",
                           "member03/predictions_public_test.csv"}) {
    const std::string one = read(folder("whole/") + file);
    EXPECT_FALSE(one.empty()) << file;
    EXPECT_EQ(read(folder("parts/") + file), one) << file;
  }
  EXPECT_TRUE(std::filesystem::exists(path(folder("parts.shard-1-of-2/member01")))) << "shards stay";
  // The unsharded command is done with it.
  const Outcome again = mien({"merge", folder("parts.shard-1-of-2"), folder("parts.shard-2-of-2")});
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_FALSE(std::filesystem::exists(path(folder("parts-2"))));
}

TEST_F(Shards, ThatAreLostDoubleOrOfAnotherRunAreNamed) {
  for (const char* shard : {"1/3", "3/3"}) ASSERT_EQ(mien(ensemble("parts", {"--shard", shard})).status, 0);
  const std::string one = folder("parts.shard-1-of-3");
  const std::string three = folder("parts.shard-3-of-3");
  EXPECT_TRUE(refused(mien({"merge", one, three}), 3, {"shard 2/3 is missing"}));
  std::filesystem::copy(path(one), path("copy"), std::filesystem::copy_options::recursive);
  EXPECT_TRUE(refused(mien({"merge", one, three, "copy"}), 3, {one, "copy", "are shard 1/3"}));
  ASSERT_EQ(mien(ensemble("others", {"--shard", "2/3", "--lr", "0.01"})).status, 0);
  EXPECT_TRUE(
      refused(mien({"merge", one, folder("others.shard-2-of-3"), three}), 3, {"shards of different runs", "others"}));
  EXPECT_TRUE(refused(mien({"merge", "small.toml"}), 3, {"small.toml", "no folder of a finished shard"}));
  EXPECT_FALSE(std::filesystem::exists(path(folder("parts"))));
}

TEST_F(Shards, OfASlurmArrayAreThoseOfItsTask) {
  const auto slurm = [&](const std::vector<std::string>& environment) {
    return mien(ensemble("array", {"--shard", "slurm"}), {.environment = environment});
  };
  EXPECT_TRUE(refused(slurm({}), 2, {"SLURM_ARRAY_TASK_COUNT is not in the environment"}));
  const Outcome outcome = slurm({"SLURM_ARRAY_TASK_COUNT=3", "SLURM_ARRAY_TASK_ID=7", "SLURM_ARRAY_TASK_MIN=5"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(std::filesystem::exists(path(folder("array.shard-3-of-3/member03/weights/best.safetensors"))));
}

TEST_F(Shards, AreRefusedWhereThereIsNothingToShare) {
  EXPECT_TRUE(refused(mien(training({"--shard", "1/2"})), 2, {"--shard", "this is one network"}));
  EXPECT_TRUE(refused(mien(ensemble("x", {"--shard", "3/2"})), 2, {"--shard 3/2 is none"}));
  EXPECT_TRUE(refused(mien(ensemble("x", {"--shard", "all"})), 2, {"--shard is", "expected K/N"}));
}

}  // namespace
}  // namespace mien
