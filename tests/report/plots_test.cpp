#include "mien/report/plots.h"

#include <cmath>
#include <functional>
#include <limits>

#include "report/tools.h"

#include "mien/core/error.h"
#include "mien/report/canvas.h"
#include "mien/report/colors.h"

namespace mien::report {
namespace {

using test::contains;
using test::ScriptCatcher;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<EpochRow> history(int64_t epochs) {
  std::vector<EpochRow> rows;
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    const double progress = static_cast<double>(epoch) / static_cast<double>(epochs);
    rows.push_back({epoch, 2 - progress, 0.2 + 0.5 * progress, 1.9 - 0.5 * progress, 0.2 + 0.3 * progress, 0.001, 1});
  }
  return rows;
}

std::vector<evaluation::ReliabilityBin> reliability() {
  return {{0, 0.5, 0, kNaN, kNaN, {}}, {0.5, 1, 40, 0.8, 0.75, {0.6, 0.86}}};
}

/// Every kind of plot under a name, drawn to a path with a text wherever the caller supplies one.
struct Plot {
  std::string name;
  std::function<void(const std::filesystem::path&, const std::string& text)> draw;
};

std::vector<Plot> all_plots() {
  return {
      {"history",
       [](const auto& path, const auto& text) {
         plot_history(path, std::vector<NamedHistory>{{text, history(20)}, {"other", history(10)}}, text);
       }},
      {"loss_against_accuracy",
       [](const auto& path, const auto& text) { plot_loss_against_accuracy(path, history(20), text); }},
      {"confusion",
       [](const auto& path, const auto& text) {
         plot_confusion(path, {{3, 1}, {0, 0}}, std::vector<std::string>{text, "other"}, true, text);
       }},
      {"reliability", [](const auto& path, const auto& text) { plot_reliability(path, reliability(), 0.05, text); }},
      {"learning_rate_finder",
       [](const auto& path, const auto&) {
         plot_learning_rate_finder(path, std::vector<double>{1e-5, 1e-4, 1e-3}, std::vector<double>{2, 1, 3}, 1e-4);
       }},
      {"members",
       [](const auto& path, const auto& text) {
         const std::vector<evaluation::AccuracyAgainstMembers> points{{1, 3, 0.6, {0.5, 0.7}, 0.58, 0.62},
                                                                      {2, 3, 0.65, {0.6, 0.7}, 0.64, 0.66}};
         plot_members(path, points, text);
       }},
      {"scaling",
       [](const auto& path, const auto& text) {
         plot_scaling(
             path,
             std::vector<NamedCurve>{{text, {1, 2, 4}, {90, 170, 300}}, {"PyTorch", {1, 2, 4}, {60, kNaN, 200}}},
             text,
             text,
             text);
       }},
      {"bars",
       [](const auto& path, const auto& text) {
         plot_bars(path, std::vector<Bar>{{text, 0.6, evaluation::Interval{0.5, 0.7}}, {"b", 0.4, {}}}, {text, text});
       }},
      {"class_counts",
       [](const auto& path, const auto& text) {
         const std::vector<ClassCounts> parts{{text, {3995, 436}}, {"validation", {10, 0}}};
         plot_class_counts(path, parts, std::vector<std::string>{text, "disgust"}, text);
       }},
  };
}

TEST(Plots, AreWrittenAsPngAndSvg) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  for (const Plot& plot : all_plots()) {
    plot.draw(folder / (plot.name + ".png"), "leaky4");
    const auto [width, height] = test::png_size(folder / (plot.name + ".png"));
    EXPECT_GE(width, 500) << plot.name;
    EXPECT_GE(height, 250) << plot.name;
    plot.draw(folder / (plot.name + ".svg"), "leaky4");
    EXPECT_TRUE(contains(read_text(folder / (plot.name + ".svg")), "</svg>")) << plot.name;
  }
}

TEST(Plots, TakeNoOrdersFromNamesAndTitles) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  const std::string file = (folder / "made-by-gnuplot").string();
  const std::string evil[] = {"'; system('touch " + file + "'); '",
                              "\"; system(\"touch " + file + "\"); \"",
                              "`touch " + file + "`",
                              "a\nsystem('touch " + file + "')\n",
                              "'\nsystem(\"touch " + file + "\")\n#",
                              "\\'; system('touch " + file + "') #\\",
                              "{/Bold x}_1^2 @y ~a{.8-} <b>&amp;</b> 50%",
                              "%s %n %d %*d"};
  for (const Plot& plot : all_plots()) {
    for (const std::string& text : evil) {
      const auto path = folder / (plot.name + ".svg");
      plot.draw(path, text);
      EXPECT_FALSE(std::filesystem::exists(file)) << plot.name << " obeyed " << text;
      EXPECT_FALSE(contains(read_text(path), "<b>")) << plot.name << " let markup through";
    }
  }
}

TEST(Plots, ShowNamesAndTitlesAsTheyAre) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  for (const Plot& plot : all_plots()) {
    if (plot.name == "learning_rate_finder") continue;  // takes no text
    const auto path = folder / (plot.name + ".svg");
    plot.draw(path, "it's_a^2 {x} 5 %d \\n @y");
    EXPECT_TRUE(contains(read_text(path), "it's_a^2 {x} 5 %d \\n @y")) << plot.name;
  }
}

TEST(Plots, RefuseToDrawNothing) {
  EXPECT_THROW(plot_history("x.png", {}), Error);
  EXPECT_THROW(plot_history("x.png", std::vector<NamedHistory>{{"a", {}}}), Error);
  EXPECT_THROW(plot_loss_against_accuracy("x.png", {}), Error);
  EXPECT_THROW(plot_confusion("x.png", {}, {}, false, ""), Error);
  EXPECT_THROW(plot_reliability("x.png", {}, 0), Error);
  EXPECT_THROW(plot_learning_rate_finder("x.png", std::vector<double>{1e-3}, std::vector<double>{kNaN}, 1), Error);
  EXPECT_THROW(plot_members("x.png", {}), Error);
  EXPECT_THROW(plot_scaling("x.png", {}, "", ""), Error);
  EXPECT_THROW(plot_scaling("x.png", std::vector<NamedCurve>{{"a", {1, 2}, {kNaN, kNaN}}}, "", ""), Error);
  EXPECT_THROW(plot_scaling("x.png", std::vector<NamedCurve>{{"a", {1, 2}, {1}}}, "", ""), Error);
  EXPECT_THROW(plot_bars("x.png", {}), Error);
  EXPECT_THROW(plot_class_counts("x.png", {}, {}), Error);
}

TEST(PlotHistory, DrawsTrainingDashedValidationSolidAndMarksTheBestEpoch) {
  const ScriptCatcher gnuplot;
  std::vector<EpochRow> rows = history(20);
  rows[12].validation_accuracy = 0.683;
  plot_history(gnuplot.picture(), std::vector<NamedHistory>{{"leaky4", rows}});
  const std::string script = gnuplot.script();
  EXPECT_TRUE(contains(script, "$history0 using 1:($2*100) with lines linewidth 1.3 dashtype (10,6)")) << script;
  EXPECT_TRUE(contains(script, "$history0 using 1:($3*100) with lines linewidth 2 linecolor")) << script;
  EXPECT_TRUE(contains(script, "$history0 using 1:($4*1) with lines linewidth 1.3 dashtype (10,6)")) << script;
  EXPECT_TRUE(contains(script, "using (13):(68.3) with points")) << script;
  EXPECT_TRUE(contains(script, "'best 68.3 % at epoch 13'")) << script;
  EXPECT_TRUE(contains(script, "\n13 0.525 0.683 1.35 1.575\n")) << script;
}

TEST(PlotHistory, SaysNothingOfValidationWhereThereIsNone) {
  const ScriptCatcher gnuplot;
  std::vector<EpochRow> rows = history(1);
  rows[0].validation_loss = rows[0].validation_accuracy = kNaN;
  plot_history(gnuplot.picture(), std::vector<NamedHistory>{{"leaky4", rows}});
  EXPECT_FALSE(contains(gnuplot.script(), "'validation'"));
  EXPECT_FALSE(contains(gnuplot.script(), "best"));
  EXPECT_TRUE(contains(gnuplot.script(), "set xrange [0.5:1.5]"));
}

TEST(PlotConfusion, PutsTruthInRowsAndCountsIntoCells) {
  const ScriptCatcher gnuplot;
  plot_confusion(gnuplot.picture(), {{1000, 1}, {2, 3}}, std::vector<std::string>{"a", "b"}, false, "");
  const std::string script = gnuplot.script();
  EXPECT_TRUE(contains(script, "0 0 1000\n1 0 1\n0 1 2\n1 1 3\n")) << "columns: predicted, true, count";
  EXPECT_TRUE(contains(script, "set label '1,000' at 0,0 "));
  EXPECT_TRUE(contains(script, "set label '1' at 1,0 "));
  EXPECT_TRUE(contains(script, "set yrange [1.5:-0.5]")) << "the first class is not on top";
}

TEST(PlotConfusion, ShowsSharesOfTheTrueClassAndADashWhereItHasNoFaces) {
  const ScriptCatcher gnuplot;
  plot_confusion(gnuplot.picture(), {{3, 1}, {0, 0}}, std::vector<std::string>{"a", "b"}, true, "");
  EXPECT_TRUE(contains(gnuplot.script(), "set label '0.75' at 0,0 "));
  EXPECT_TRUE(contains(gnuplot.script(), "set label '0.25' at 1,0 "));
  EXPECT_TRUE(contains(gnuplot.script(), "set label '-' at 0,1 "));
}

TEST(PlotConfusion, RefusesNamesThatDoNotFitTheCounts) {
  EXPECT_THROW(plot_confusion("x.png", {{1, 2}, {3, 4}}, std::vector<std::string>{"a"}, false, ""), Error);
  EXPECT_THROW(plot_confusion("x.png", {{1, 2}, {3}}, std::vector<std::string>{"a", "b"}, false, ""), Error);
}

TEST(PlotReliability, LeavesEmptyBinsOut) {
  const ScriptCatcher gnuplot;
  plot_reliability(gnuplot.picture(), reliability(), 0.083);
  EXPECT_TRUE(contains(gnuplot.script(), "0 50 NaN NaN NaN NaN 0\n50 100 80 75 60 86 40\n")) << gnuplot.script();
  EXPECT_TRUE(contains(gnuplot.script(), "'expected calibration error 8.3 %'"));
}

TEST(PlotLearningRateFinder, KeepsADivergingLossFromHidingTheRest) {
  const ScriptCatcher gnuplot;
  plot_learning_rate_finder(
      gnuplot.picture(), std::vector<double>{1e-4, 1e-3, 1e-2, 1e-1}, std::vector<double>{2, 1, 1e30, kNaN}, 2.5e-4);
  EXPECT_TRUE(contains(gnuplot.script(), "set yrange [0.9:2.6]")) << gnuplot.script();
  EXPECT_TRUE(contains(gnuplot.script(), "'suggested learning rate 0.00025'"));
  EXPECT_TRUE(contains(gnuplot.script(), "'10⁻⁴' 1e-4"));
  EXPECT_FALSE(contains(gnuplot.script(), "0.1 NaN"));
}

TEST(PlotBars, ShowsRatesInPerCentWithTheirIntervals) {
  const ScriptCatcher gnuplot;
  plot_bars(gnuplot.picture(),
            std::vector<Bar>{{"box3", 0.605, evaluation::Interval{0.589, 0.621}}, {"dnn3", 0.4, {}}});
  EXPECT_TRUE(contains(gnuplot.script(), "$bars << EOD\n60.5 0\n40 1\nEOD\n")) << gnuplot.script();
  EXPECT_TRUE(contains(gnuplot.script(), "$whiskers << EOD\n60.5 0 58.9 62.1\nEOD\n")) << gnuplot.script();
  EXPECT_TRUE(contains(gnuplot.script(), "set label '60.5' at 62.1,0 "));
}

TEST(PlotBars, ShowsReferencesInGrayAndTheMark) {
  const ScriptCatcher gnuplot;
  plot_bars(gnuplot.picture(),
            std::vector<Bar>{{"lime", 0.5, {}}, {.name = "random", .value = 0.25, .is_reference = true}},
            {.title = "t", .axis = "a", .factor = 2, .mark = 0.125});
  EXPECT_TRUE(contains(gnuplot.script(), "$bars << EOD\n1 0\nEOD\n")) << gnuplot.script();
  EXPECT_TRUE(contains(gnuplot.script(), "$references << EOD\n0.5 1\nEOD\n")) << gnuplot.script();
  EXPECT_TRUE(contains(gnuplot.script(), "set arrow from 0.25,graph 0 to 0.25,graph 1 ")) << gnuplot.script();
}

TEST(PlotBars, IsWideEnoughForItsTitle) {
  const ScriptCatcher gnuplot;
  const std::string title(100, 'm');
  plot_bars(gnuplot.picture(), std::vector<Bar>{{"a", 0.5, {}}}, {.title = title});
  const std::string script = gnuplot.script();
  const size_t at = script.find("size ");
  ASSERT_NE(at, std::string::npos) << script;
  EXPECT_GE(std::stod(script.substr(at + 5)) / 2, text_width(title, 12));
}

TEST(PlotBars, DrawsReferencesAlone) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  plot_bars(folder / "a.png", std::vector<Bar>{{.name = "random", .value = 0.25, .is_reference = true}});
  EXPECT_TRUE(std::filesystem::exists(folder / "a.png"));
}

TEST(PlotBars, RefusesAValueThatIsNotFinite) {
  EXPECT_THROW(plot_bars("x.png", std::vector<Bar>{{"a", kNaN, {}}}), Error);
}

TEST(Colors, GrowDarkerAlongTheScaleInEqualSteps) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_GT(sequential_color(i / 20.0).luminance(), sequential_color((i + 1) / 20.0).luminance()) << i;
  }
  EXPECT_GT(sequential_color(0).luminance(), 0.9);
  EXPECT_LT(sequential_color(1).luminance(), 0.05);
}

TEST(Colors, MatchKnownPointsOfOkLab) {
  EXPECT_EQ(oklch(1, 0, 0).hex(), "#ffffff");
  EXPECT_EQ(oklch(0, 0, 0).hex(), "#000000");
  EXPECT_EQ(oklch(0.6279554, 0.2576833, 29.2338).hex(), "#ff0000");
}

TEST(Colors, LetTextStandOutFromEveryShade) {
  for (int i = 0; i <= 100; ++i) {
    const Color shade = sequential_color(i / 100.0);
    const double high = std::max(shade.luminance(), text_color_on(shade).luminance());
    const double low = std::min(shade.luminance(), text_color_on(shade).luminance());
    EXPECT_GE((high + 0.05) / (low + 0.05), 4) << "contrast at " << i << " %";
  }
}

}  // namespace
}  // namespace mien::report
