#include "core/expect_error.h"
#include "support/small_experiment.h"

#include "mien/core/files.h"
#include "mien/recipes/run_recipe.h"

namespace mien::recipes {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

std::string complaint(const std::string& toml) {
  const fs::path file = fresh_folder("recipe") / "r.toml";
  write_atomic(file, toml);
  return error_line(ErrorCode::usage, [&] { resolve(load_recipe(file.string())); });
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
  EXPECT_TRUE(contains(complaint("[optimiser]\nlr = 1\n"), "r.toml:1: unknown table [optimiser]"));
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
  const std::vector<Override> flags{{"batch-size", "32", Origin::command_line, "--batch-size 32"}};
  const ResolvedRun run = resolve(recipe, flags).runs.front();
  EXPECT_EQ(run.experiment->train.loop.epochs, 8);
  EXPECT_EQ(run.experiment->train.loop.batch_size, 32);
  EXPECT_EQ(run.options.find("epochs")->text(), "8") << "a copy's options are those of its experiment";
}

TEST(Recipe, SaysWhichRunsAnOverrideChanges) {
  const fs::path folder = fresh_folder("overruled");
  const std::string network = (folder / "small.toml").string();
  const std::vector<Override> flags{{"network", network, Origin::command_line, "--network small.toml"}};
  Heard heard;
  resolve(load_recipe("demo"), flags, {}, heard);
  EXPECT_TRUE(contains(heard.lines, "--network small.toml overrules")) << heard.lines;
  EXPECT_TRUE(contains(heard.lines, "leaky4 (network leaky4 in the recipe), dnn3 (network dnn3 in the recipe)"))
      << heard.lines;
  write_atomic(folder / "r.toml",
               "[[run]]\nname = \"a\"\nnetwork = \"leaky4\"\n[[run]]\nname = \"b\"\nnetwork = \"box3\"\n");
  Heard same;
  resolve(load_recipe((folder / "r.toml").string()), flags, {}, same);
  EXPECT_TRUE(contains(same.warnings, "runs a and b are the same now; --only a")) << same.warnings;
}

TEST(Recipe, AnOverriddenNetworkLeavesOutTheFiguresThatItDoesNotAllow) {
  const fs::path folder = fresh_folder("left out");
  const std::vector<Override> flags{
      {"network", (folder / "small.toml").string(), Origin::command_line, "--network small.toml"}};
  Heard heard;
  const ResolvedRecipe resolved = resolve(load_recipe("hw4-2019"), flags, {}, heard);
  EXPECT_TRUE(contains(heard.warnings, "run leaky4 goes without a figure: recipes/hw4-2019.toml:")) << heard.warnings;
  EXPECT_TRUE(contains(heard.warnings, "leaky_relu1")) << heard.warnings;
  EXPECT_EQ(resolved.runs.front().figures.size(), 3U) << "saliency, lime and class activation need no layer of leaky4";
}

TEST(Recipe, RefusesInARunWhatDecidesAllRuns) {
  EXPECT_TRUE(contains(complaint("[[run]]\nname = \"a\"\nthreads = 2\n"), "r.toml:3: threads stands in a [[run]]"));
}

TEST(Recipe, ARunMayHaveDataOfItsOwn) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("own data");
  write_atomic(folder / "r.toml",
               "data = \"drawn:140\"\nepochs = 1\nbatch-size = 32\nnetwork = \"" + (folder / "small.toml").string() +
                   "\"\n[[run]]\nname = \"one\"\n[[run]]\nname = \"two\"\ndata = \"drawn:70\"\n");
  const std::vector<Override> flags{{"project", (folder / "runs").string(), Origin::command_line, ""},
                                    {"threads", "1", Origin::command_line, ""}};
  const auto done = run_recipe(load_recipe((folder / "r.toml").string()), flags, {}, silent_listener());
  ASSERT_TRUE(done);
  const auto checksum = [&](const char* run) {
    return read_json(*done / run / "run.json").at("facts").at("data").at("checksum").get<std::string>();
  };
  EXPECT_NE(checksum("one"), checksum("two"));
}

TEST(Recipe, QuickMakesDataEpochsAndFiguresSmallerButNotLarger) {
  RecipeOptions wish;
  wish.quick = true;
  const std::vector<Override> flags{{"lime-samples", "33", Origin::command_line, "--lime-samples 33"}};
  const ResolvedRecipe resolved = resolve(load_recipe("hw4-2019"), flags, wish);
  const ResolvedRun& run = resolved.runs.front();
  EXPECT_EQ(resolved.shared.experiment->run.name, "hw4-2019-quick");
  EXPECT_EQ(run.experiment->train.loop.epochs, 2);
  EXPECT_EQ(run.experiment->data.fraction, 0.1);
  EXPECT_EQ(resolve(load_recipe("demo"), {}, wish).runs.front().experiment->data.fraction, 1) << "drawn faces are few";
  const auto& ascent = std::get<figures::AscentFigure>(run.figures[1]);
  EXPECT_EQ(ascent.ascent.steps, 20);
  EXPECT_EQ(ascent.layers.units, "first 16");
  EXPECT_EQ(std::get<figures::MapFigure>(run.figures[3]).map.method.perturbation.lime_samples, 33) << "flags win";
  const std::vector<Override> more{{"epochs", "1", Origin::command_line, ""}};
  EXPECT_EQ(resolve(load_recipe("hw3-2017"), more, wish).runs.front().experiment->train.loop.epochs, 1);
  EXPECT_EQ(resolve(load_recipe("hw3-2017"), {}, wish).runs.front().experiment->split.validation, "fraction:0.2");
}

TEST(Recipe, FigureFlagsReachTheFiguresThatUseThem) {
  const std::vector<Override> flags{{"ascent-steps", "7", Origin::command_line, "--ascent-steps 7"}};
  const ResolvedRecipe resolved = resolve(load_recipe("hw3-2017"), flags);
  int64_t count = 0;
  for (const figures::Figure& figure : resolved.runs.front().figures) {
    if (const auto* ascent = std::get_if<figures::AscentFigure>(&figure)) {
      EXPECT_EQ(ascent->ascent.steps, 7);
      ++count;
    }
  }
  EXPECT_EQ(count, 1);
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { resolve(load_recipe("demo"), flags); }),
                       "--ascent-steps 7: no figure of recipe demo uses it"));
  RecipeOptions wish;
  wish.outputs_faces = "row:5607";
  EXPECT_EQ(std::get<figures::OutputFigure>(resolve(load_recipe("hw4-2019"), {}, wish).runs.front().figures[2]).faces,
            "row:5607");
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { resolve(load_recipe("demo"), {}, wish); }), "outputs"));
}

TEST(Recipe, DoesNotTrainForPicturesUnasked) {
  const fs::path folder = fresh_folder("unasked");
  const std::vector<Override> flags{{"data", "drawn:70", Origin::command_line, ""},
                                    {"project", (folder / "runs").string(), Origin::command_line, ""}};
  RecipeOptions wish;
  wish.out = (folder / "out").string();
  const auto complaint_of = [&](const char* recipe) {
    return error_line(ErrorCode::usage, [&] { run_recipe(load_recipe(recipe), flags, wish, silent_listener()); });
  };
  EXPECT_TRUE(contains(complaint_of("hw4-2019"), "would first train 15 epochs"));
  EXPECT_TRUE(contains(complaint_of("hw4-2019"), "--train trains first"));
  wish.out.clear();
  wish.train = true;
  EXPECT_TRUE(contains(complaint_of("hw4-2019"), "--train goes with --out"));
  EXPECT_FALSE(fs::exists(folder / "runs"));
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
