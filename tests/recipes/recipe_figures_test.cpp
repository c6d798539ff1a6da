#include <algorithm>

#include "core/expect_error.h"
#include "support/small_experiment.h"

#include "mien/core/files.h"
#include "mien/recipes/run_recipe.h"
#include "mien/report/canvas.h"

namespace mien::recipes {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

TEST(Figures, MistakesInARecipeHaveFileAndLine) {
  const auto complaint = [](const std::string& figure) {
    const fs::path file = fresh_folder("figures") / "r.toml";
    write_atomic(file, "title = \"t\"\nnetwork = \"leaky4\"\n[[figure]]\n" + figure);
    return error_line(ErrorCode::usage, [&] { resolve(load_recipe(file.string())); });
  };
  EXPECT_TRUE(contains(complaint("file = \"a.png\"\n"), "r.toml:3: a [[figure]] has no kind"));
  EXPECT_TRUE(contains(complaint("kind = \"mapp\"\n"), "r.toml:3: unknown kind of figure 'mapp'"));
  EXPECT_TRUE(contains(complaint("kind = \"map\"\nfile = \"a.png\"\nmetod = \"lime\"\n"), "'metod'"));
  EXPECT_TRUE(contains(complaint("kind = \"map\"\nfile = \"a.png\"\nmethod = \"guided-backprop\"\n"),
                       "r.toml:3: guided-backprop for leaky4"));
  EXPECT_TRUE(contains(complaint("kind = \"ascent\"\nfile = \"a.png\"\nlayers = \"conv7\"\n"), "r.toml:3"));
  EXPECT_TRUE(
      contains(complaint("kind = \"map\"\nfile = \"a.png\"\nruns = \"x\"\n"), "r.toml:3: the recipe has no run 'x'"));
}

TEST(Figures, OfTheContractAreExactlyTheNamedFilesAndTheSameTwice) {
  if (!report::can_draw()) GTEST_SKIP() << "needs pictures";
  const fs::path folder = fresh_folder("contract");
  const Recipe recipe = load_recipe("hw4-2019");
  const std::vector<Override> flags{{"data", "drawn:140", Origin::command_line, ""},
                                    {"weights", small_leaky_run().string(), Origin::command_line, ""},
                                    {"threads", "1", Origin::command_line, ""}};
  for (const char* name : {"a", "b"}) {
    RecipeOptions wish;
    wish.out = folder / name;
    EXPECT_EQ(run_recipe(recipe, flags, wish, silent_listener()), folder / name);
  }
  std::vector<std::string> expected{"fig2_1.jpg", "fig2_2.jpg"};
  for (int c = 0; c < 7; ++c) {
    expected.push_back("fig1_" + std::to_string(c) + ".jpg");
    expected.push_back("fig3_" + std::to_string(c) + ".jpg");
    expected.push_back("fig4_" + std::to_string(c) + ".png");
  }
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "a"))
    found.push_back(fs::relative(entry.path(), folder / "a").string());
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, expected);
  for (const std::string& name : expected)
    EXPECT_TRUE(read_text(folder / "a" / name) == read_text(folder / "b" / name)) << name;
}

TEST(Figures, OfATrainedRunStandInItsReport) {
  if (!report::can_draw()) GTEST_SKIP() << "needs pictures";
  const fs::path folder = fresh_folder("report");
  const fs::path file = folder / "r.toml";
  write_atomic(
      file,
      "title = \"One\"\nepochs = 1\nbatch-size = 32\nnetwork = \"" + (folder / "small.toml").string() +
          "\"\n[[figure]]\nkind = \"map\"\nfile = \"look.png\"\nfaces = \"validation:0-1\"\nmeasure = false\n");
  const std::vector<Override> flags{{"data", "drawn:140", Origin::command_line, ""},
                                    {"project", (folder / "runs").string(), Origin::command_line, ""},
                                    {"threads", "1", Origin::command_line, ""}};
  const auto done = run_recipe(load_recipe(file.string()), flags, {}, silent_listener());
  ASSERT_TRUE(done);
  EXPECT_EQ(runs::read_figures(*done / "r").size(), 1U);
  EXPECT_TRUE(contains(read_text(*done / "report.html"), "\"file\":\"look.png\""));
  EXPECT_TRUE(contains(read_text(*done / "r" / "report.html"), "saliency of 2 faces"));
}

}  // namespace
}  // namespace mien::recipes
