#include "mien/recipes/recipe.h"

#include "core/expect_error.h"
#include "support/small_experiment.h"

#include "mien/core/files.h"
#include "mien/runs/weights_tasks.h"

namespace mien::recipes {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

std::string complaint(const std::string& toml) {
  const fs::path file = fresh_folder("recipe") / "r.toml";
  write_atomic(file, toml);
  return error_line(ErrorCode::usage, [&] { load_recipe(file.string()); });
}

TEST(Recipe, EveryBuiltInOneLoadsAndSaysWhereItComesFrom) {
  const auto recipes = builtin_recipes();
  EXPECT_GE(recipes.size(), 4U);
  for (const auto& entry : recipes) {
    const Recipe recipe = load_recipe(entry.name);
    EXPECT_FALSE(recipe.title.empty()) << entry.name;
    EXPECT_FALSE(recipe.source.empty()) << entry.name;
    EXPECT_FALSE(recipe.description.empty()) << entry.name;
    EXPECT_FALSE(recipe.runs.empty()) << entry.name;
  }
}

TEST(Recipe, MistakesHaveFileAndLine) {
  EXPECT_TRUE(contains(complaint("title = \"t\"\n\nepoch = 3\n"), "r.toml:3: unknown option 'epoch'"));
  EXPECT_TRUE(contains(complaint("[optimizer]\nlr = 1\n"), "r.toml:1: unknown table [optimizer]"));
  EXPECT_TRUE(contains(complaint("title = 3\n"), "r.toml:1: title is no text"));
  EXPECT_TRUE(contains(complaint("[[run]]\nname = \"a\"\nlr = \"abc\"\n"), "r.toml:3: lr is 'abc'"));
  EXPECT_TRUE(
      contains(complaint("[[run]]\nname = \"a\"\nnetwork = \"leeky4\"\n"), "r.toml:3: cannot load network 'leeky4'"));
  EXPECT_TRUE(contains(complaint("[[run]]\nnetwork = \"leaky4\"\n"), "r.toml:1: a [[run]] has no name"));
  EXPECT_TRUE(contains(complaint("[[run]]\nname = \"a/b\"\n"), "r.toml:1: name is 'a/b'"));
  EXPECT_TRUE(
      contains(complaint("[[run]]\nname = \"a\"\n[[run]]\nname = \"a\"\n"), "r.toml:3: two runs are called 'a'"));
  EXPECT_TRUE(contains(complaint("[run]\nname = \"a\"\n"), "[[run]]"));
  EXPECT_TRUE(contains(complaint("title = \"t\n"), "r.toml:1: not valid TOML"));
}

TEST(Recipe, ARunsOptionsOverruleTheSharedOnesAndFlagsOverruleBoth) {
  const fs::path file = fresh_folder("layers") / "r.toml";
  write_atomic(file, "[train]\nepochs = 7\nbatch-size = 64\n[[run]]\nname = \"a\"\nepochs = 8\n");
  const Recipe recipe = load_recipe(file.string());
  runs::Experiment experiment;
  OptionSet options;
  experiment.bind(options);
  const std::vector<Override> flags{{"batch-size", "32", Origin::command_line, "--batch-size 32"}};
  apply_recipe(recipe, recipe.runs.front(), flags, options);
  EXPECT_EQ(experiment.train.loop.epochs, 8);
  EXPECT_EQ(experiment.train.loop.batch_size, 32);
}

TEST(Recipe, RunsResumesAndReportsAgain) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("run");
  const std::string network = (folder / "small.toml").string();
  write_atomic(folder / "r.toml",
               "title = \"Two\"\nepochs = 1\nbatch-size = 32\nvalidation = \"fraction:0.2\"\n[[run]]\nname = "
               "\"one\"\nnetwork = \"" +
                   network + "\"\n[[run]]\nname = \"two\"\nnetwork = \"" + network + "\"\nseed = 1\n");
  const Recipe recipe = load_recipe((folder / "r.toml").string());
  const std::vector<Override> flags{{"data", "drawn:140", Origin::command_line, ""},
                                    {"project", (folder / "runs").string(), Origin::command_line, ""},
                                    {"threads", "1", Origin::command_line, ""}};
  Heard heard;
  const auto done = run_recipe(recipe, flags, {}, heard);
  ASSERT_EQ(done, folder / "runs" / "r");
  for (const char* name : {"recipe.toml", "comparison.csv", "report.html", "one/report.html", "two/report.html"})
    EXPECT_TRUE(fs::exists(*done / name)) << name;
  EXPECT_EQ(read_json(*done / "run.json").at("status"), "finished");

  // As if it had been stopped in the second run.
  auto run = read_json(*done / "run.json");
  run["status"] = "interrupted";
  write_atomic(*done / "run.json", run.dump());
  fs::remove_all(*done / "two");
  Heard again;
  EXPECT_EQ(run_recipe(recipe, flags, {}, again), done);
  EXPECT_TRUE(contains(again.lines, "one is finished already"));
  EXPECT_TRUE(fs::exists(*done / "two" / "report.html"));

  const std::string page = read_text(*done / "report.html");
  fs::remove(*done / "report.html");
  report_task(*done, silent_listener());
  EXPECT_TRUE(read_text(*done / "report.html") == page) << "mien report writes the same page";
}

TEST(Recipe, TellsWhatCannotWorkBeforeAnythingIsTrained) {
  const fs::path folder = fresh_folder("early");
  const Recipe recipe = load_recipe("demo");
  const std::vector<Override> flags{{"data", "drawn:70", Origin::command_line, ""},
                                    {"project", (folder / "runs").string(), Origin::command_line, ""},
                                    {"cells", "sad:hapy", Origin::command_line, ""}};
  EXPECT_TRUE(
      contains(error_line(ErrorCode::usage, [&] { run_recipe(recipe, flags, {}, silent_listener()); }), "'happy'"));
  EXPECT_FALSE(fs::exists(folder / "runs"));
}

TEST(Recipe, TheDemoRunsOnAFewFaces) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("demo");
  const std::vector<Override> flags{{"data", "drawn:140", Origin::command_line, ""},
                                    {"project", (folder / "runs").string(), Origin::command_line, ""},
                                    {"epochs", "1", Origin::command_line, ""},
                                    {"threads", "1", Origin::command_line, ""}};
  Heard heard;
  const auto done = run_recipe(load_recipe("demo"), flags, {}, heard);
  ASSERT_TRUE(done);
  EXPECT_TRUE(contains(heard.lines, "dnn3"));
  EXPECT_TRUE(fs::exists(*done / "report.html"));
}

}  // namespace
}  // namespace mien::recipes
