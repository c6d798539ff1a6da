#include "mien/runs/run_folder.h"

#include "core/expect_error.h"
#include "support/small_experiment.h"

#include "mien/core/files.h"

namespace mien::runs {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

TEST(RunFolder, CountsUpWhereTheNameIsTaken) {
  const auto project = fresh_folder("count");
  SmallExperiment small(project);
  for (const char* name : {"net", "net2", "net3"}) {
    RunFolder folder = RunFolder::choose(project, "net", false, false, small.options);
    EXPECT_EQ(folder.path(), project / name);
    EXPECT_EQ(folder.state(), RunFolder::State::fresh);
    folder.save("finished");
  }
}

TEST(RunFolder, OfAnUnfinishedRunIsTakenAgainByTheSameOptionsOnly) {
  const auto project = fresh_folder("again");
  SmallExperiment small(project);
  RunFolder::choose(project, "net", false, false, small.options).record("fact", "1");
  {
    RunFolder again = RunFolder::choose(project, "net", false, false, small.options);
    EXPECT_EQ(again.path(), project / "net");
    EXPECT_EQ(again.state(), RunFolder::State::unfinished);
  }
  SmallExperiment other(project, {{"epochs", "3"}});
  EXPECT_EQ(RunFolder::choose(project, "net", false, false, other.options).path(), project / "net2");
  EXPECT_EQ(RunFolder::choose(project, "net", false, false, other.options, "another recipe").path(), project / "net3");
}

TEST(RunFolder, OfARunAtWorkIsNotShared) {
  const auto project = fresh_folder("lock");
  SmallExperiment small(project);
  {
    const RunFolder working = RunFolder::choose(project, "net", false, false, small.options);
    EXPECT_EQ(RunFolder::choose(project, "net", false, false, small.options).path(), project / "net2");
    EXPECT_TRUE(
        contains(error_line(ErrorCode::usage, [&] { RunFolder::choose(project, "net", true, false, small.options); }),
                 "at work"));
  }
}

TEST(RunFolder, KeepsItsFactsAcrossStarts) {
  const auto project = fresh_folder("facts");
  SmallExperiment small(project);
  {
    RunFolder folder = RunFolder::choose(project, "net", false, false, small.options);
    folder.record_text("text", "a \"b\"\n");
    folder.record("number", "0.25");
    folder.save("interrupted");
  }
  RunFolder::choose(project, "net", false, false, small.options).save("finished");
  EXPECT_EQ(run_fact(project / "net", "text"), R"("a \"b\"\n")");
  EXPECT_EQ(run_fact(project / "net", "number"), "0.25");
  EXPECT_EQ(run_fact(project / "net", "none"), "");
  EXPECT_EQ(run_fact(project / "none", "text"), "");
}

TEST(RunFolder, NamesAreNoPaths) {
  for (const char* name : {"", ".", "..", "a/b", "/"})
    EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check_folder_name(name, "--name"); }), "--name is"));
}

}  // namespace
}  // namespace mien::runs
