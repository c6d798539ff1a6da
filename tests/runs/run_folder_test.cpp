#include "mien/runs/run_folder.h"

#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "core/expect_error.h"
#include "support/small_experiment.h"

#include "mien/core/error.h"
#include "mien/core/files.h"

namespace mien::runs {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

TEST(RunFolder, CountsUpWhereTheNameIsTaken) {
  const auto project = fresh_folder("count");
  SmallExperiment small(project);
  for (const char* name : {"net", "net-2", "net-3"}) {
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
  EXPECT_EQ(RunFolder::choose(project, "net", false, false, other.options).path(), project / "net-2");
  EXPECT_EQ(RunFolder::choose(project, "net", false, false, other.options, "another recipe").path(), project / "net-3");
}

TEST(RunFolder, OfARunAtWorkIsNotShared) {
  const auto project = fresh_folder("lock");
  SmallExperiment small(project);
  {
    const RunFolder working = RunFolder::choose(project, "net", false, false, small.options);
    EXPECT_EQ(RunFolder::choose(project, "net", false, false, small.options).path(), project / "net-2");
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

TEST(RunFolder, OfAnUnfinishedRunIsFoundAnywhereInTheSeries) {
  const auto project = fresh_folder("series");
  SmallExperiment small(project);
  SmallExperiment other(project, {{"epochs", "3"}});
  RunFolder::choose(project, "net", false, false, small.options).save("finished");
  RunFolder::choose(project, "net", false, false, small.options).save("interrupted");
  RunFolder::choose(project, "net", false, false, other.options).save("finished");
  EXPECT_EQ(RunFolder::choose(project, "net", false, false, small.options).path(), project / "net-2");
  fs::rename(project / "net-2", project / "net2");  // as it was called once
  EXPECT_EQ(RunFolder::choose(project, "net", false, false, small.options).path(), project / "net2");
  EXPECT_EQ(RunFolder::choose(project, "net", false, true, other.options).path(), project / "net-3");
  RunFolder::choose(project, "network", false, false, other.options).save("interrupted");
  EXPECT_EQ(RunFolder::choose(project, "net", false, false, other.options).path(), project / "net-2")
      << "another name that begins alike is another series";
}

TEST(RunFolder, IsToldApartByContentNotByPath) {
  const auto project = fresh_folder("content");
  SmallExperiment here(project, {{"data", "a.csv"}});
  SmallExperiment there(project, {{"data", "b/a.csv"}});
  const auto choose = [&](const SmallExperiment& small, const RunContent& content) {
    return RunFolder::choose(project, "net", false, true, small.options, content);
  };
  RunContent content("faces and network");
  content.judging = "test faces";
  choose(here, content).save("finished");
  EXPECT_EQ(choose(there, content).state(), RunFolder::State::finished);
  content.judging = "other test faces";
  EXPECT_EQ(choose(there, content).state(), RunFolder::State::unfinished) << "judged again, not trained again";
  EXPECT_EQ(choose(there, content).path(), project / "net");
  content.training = "other faces";
  EXPECT_EQ(choose(there, content).path(), project / "net-2");
}

TEST(RunFolder, OfAStartThatWasKilledAtItsFirstFileIsFree) {
  const auto project = fresh_folder("killed");
  SmallExperiment small(project);
  write_atomic(project / "net" / "run.json.1-0.partial", "{");
  RunFolder folder = RunFolder::choose(project, "net", false, false, small.options);
  EXPECT_EQ(folder.path(), project / "net");
  EXPECT_FALSE(fs::exists(project / "net" / "run.json.1-0.partial"));
  write_atomic(project / "member02" / "run.json.1-0.partial", "{");
  EXPECT_EQ(RunFolder::choose(project, "member02", IfTaken::refuse, true, small.options).path(), project / "member02");
}

TEST(RunFolder, OfAFailureBeforeTheFirstStepGoesAway) {
  const auto project = fresh_folder("failure");
  SmallExperiment small(project);
  const auto fails = [&](bool has_begun, const char* name) {
    error_line(ErrorCode::failed, [&] {
      RunFolder folder = RunFolder::choose(project, name, false, false, small.options);
      if (has_begun) folder.begin();
      throw_failed("no memory");
    });
  };
  fails(false, "early");
  EXPECT_FALSE(fs::exists(project / "early"));
  fails(true, "late");
  EXPECT_TRUE(fs::exists(project / "late" / "run.json"));
  fails(false, "late");
  EXPECT_TRUE(fs::exists(project / "late" / "run.json")) << "it was there before";
  // A run that holds others that have begun stays.
  error_line(ErrorCode::failed, [&] {
    RunFolder outer = RunFolder::choose(project, "outer", false, false, small.options);
    RunFolder inner = RunFolder::choose(outer.path(), "inner", false, false, small.options);
    inner.begin();
    throw_failed("no memory");
  });
  EXPECT_TRUE(fs::exists(project / "outer" / "inner" / "run.json"));
  EXPECT_TRUE(fs::exists(project / "outer" / "run.json"));
}

TEST(RunFolder, IsReplacedWithoutTheUsersOwnFiles) {
  const auto project = fresh_folder("replace");
  SmallExperiment small(project);
  SmallExperiment other(project, {{"epochs", "3"}});
  RunFolder::choose(project, "net", false, false, small.options).save("finished");
  const char* const own[] = {"net/weights/best.safetensors",
                             "net/predictions_val.csv",
                             "net/sad_as_fear.png",
                             "net/checkpoint/last/state.safetensors",
                             "net/events.out.tfevents.1.h.2.0",
                             "net/explain/saliency_happy.png",
                             "net/explain/saliency_happy.npy"};
  const char* const users[] = {
      "net/thesis.txt", "net/weights/mine.safetensors", "net/explain/notes.png", "net/photos/run.json"};
  for (const char* name : own) write_atomic(project / name, "x");
  for (const char* name : users) write_atomic(project / name, "x");
  write_atomic(project / "net/explain/figures.json", R"({"figures": [{"file": "saliency_happy.png"}]})");
  RunFolder::choose(project, "net", true, false, other.options);
  for (const char* name : own) EXPECT_FALSE(fs::exists(project / name)) << name;
  for (const char* name : users) EXPECT_TRUE(fs::exists(project / name)) << name;
}

TEST(RunFolder, IsNotReplacedWhereNoMienWroteIt) {
  const auto project = fresh_folder("foreign");
  SmallExperiment small(project);
  for (const char* json : {R"({"status": "finished"})", R"({"options_hash": 7})", "[]", ""}) {
    write_atomic(project / "net" / "run.json", json);
    EXPECT_TRUE(
        contains(error_line(ErrorCode::usage, [&] { RunFolder::choose(project, "net", true, true, small.options); }),
                 "no run folder"))
        << json;
    EXPECT_EQ(read_text(project / "net" / "run.json"), json);
  }
}

TEST(RunFolder, OfManyStartsAtOnceIsOfOneOnly) {
  const auto project = fresh_folder("race");
  SmallExperiment small(project);
  std::vector<std::optional<RunFolder>> folders(8);
  std::vector<std::thread> threads;
  for (auto& folder : folders) {
    threads.emplace_back([&] { folder.emplace(RunFolder::choose(project, "net", false, false, small.options)); });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<fs::path> paths;
  for (const auto& folder : folders) paths.insert(folder->path());
  EXPECT_EQ(paths.size(), folders.size());
}

TEST(RunFolder, OfHostileFactsIsNobodys) {
  const auto project = fresh_folder("deep");
  SmallExperiment small(project);
  write_atomic(
      project / "net" / "run.json",
      R"({"options_hash": "x", "facts": {"a": )" + std::string(200'000, '[') + std::string(200'000, ']') + "}}");
  EXPECT_EQ(RunFolder::choose(project, "net", false, false, small.options).path(), project / "net-2");
  EXPECT_EQ(run_fact(project / "net", "a"), "");
}

TEST(RunFolder, OfATooLongNameIsRefusedInOneLine) {
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check_folder_name(std::string(300, 'n'), "--name"); }),
                       "--name is 300 bytes long"));
}

TEST(RunFolder, NamesAreNoPaths) {
  for (const char* name : {"", ".", "..", "a/b", "/"})
    EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check_folder_name(name, "--name"); }), "--name is"));
}

}  // namespace
}  // namespace mien::runs
