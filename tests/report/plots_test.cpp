#include "mien/report/plots.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "report/picture_reader.h"
#include "report/tools.h"

#include "mien/core/error.h"
#include "mien/report/canvas.h"
#include "mien/report/colors.h"
#include "mien/report/draw_or_warn.h"

namespace mien::report {
namespace {

using test::contains;

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
       [](const auto& path, const auto& text) {
         plot_learning_rate_finder(
             path, std::vector<double>{1e-5, 1e-4, 1e-3}, std::vector<double>{2, 1, 3}, 1e-4, text);
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

template <class Draw>
test::Shown drawn(Draw draw) {
  const TemporaryFolder folder;
  draw(folder / "x.svg");
  return test::read_svg(folder / "x.svg");
}

bool any_says(const test::Shown& page, const std::string& part) {
  const auto all = page.words();
  return std::any_of(all.begin(), all.end(), [&](const std::string& words) { return contains(words, part); });
}

TEST(Plots, AreWrittenInEveryFormatWithInkNearTheirEdges) {
  const TemporaryFolder folder;
  for (const Plot& plot : all_plots()) {
    for (const char* ending : {".png", ".svg", ".pdf", ".jpg"}) plot.draw(folder / (plot.name + ending), "leaky4");
    const Raster picture = test::read_png(folder / (plot.name + ".png"));
    const Box ink = test::ink_box(picture);
    EXPECT_GT(ink.width, 0.85 * static_cast<double>(picture.width)) << plot.name << " leaves its page empty";
    EXPECT_GT(ink.height, 0.8 * static_cast<double>(picture.height)) << plot.name;
    EXPECT_GT(ink.x, 2) << plot.name << " touches the edge";
    EXPECT_LT(ink.right(), static_cast<double>(picture.width) - 2) << plot.name << " touches the edge";
    EXPECT_LT(ink.bottom(), static_cast<double>(picture.height) - 2) << plot.name << " touches the edge";
    EXPECT_GE(picture.width, 350) << plot.name;
  }
}

TEST(Plots, HaveTheSameBytesTwice) {
  const TemporaryFolder folder;
  for (const Plot& plot : all_plots()) {
    for (const char* ending : {".png", ".svg", ".pdf"}) {
      plot.draw(folder / (std::string("a") + ending), "leaky4");
      plot.draw(folder / (std::string("b") + ending), "leaky4");
      EXPECT_TRUE(read_text(folder / (std::string("a") + ending)) == read_text(folder / (std::string("b") + ending)))
          << plot.name << ending;
    }
  }
}

TEST(Plots, KeepEveryTextOnThePageApartFromOthersAndFromLines) {
  const std::string texts[] = {
      "leaky4",
      "",
      "a name of so many words that it is wider than the picture which it stands above, and so "
      "goes on in a second line instead of being cut",
      std::string(150, 'W')};
  for (const Plot& plot : all_plots()) {
    for (const std::string& text : texts) {
      const test::Shown page = drawn([&](const auto& path) { plot.draw(path, text); });
      const std::string what = plot.name + " of '" + text.substr(0, 20) + "'";
      test::expect_readable(page, what);
      if (plot.name == "bars" || plot.name == "class_counts" || plot.name == "confusion") continue;  // numbers on bars
      for (const test::ShownShape& line : page.lines) {
        for (const test::ShownText& shown : page.texts)
          EXPECT_FALSE(test::crosses(line, shown.box)) << what << ": a line strikes through '" << shown.words << "'";
      }
    }
  }
}

TEST(Plots, ShowNamesAndTitlesAsTheyAre) {
  for (const Plot& plot : all_plots()) {
    const std::string text = "it's_a^2 {x} 5 %d \\n @y <b>&amp;";
    const test::Shown page = drawn([&](const auto& path) { plot.draw(path, text); });
    EXPECT_TRUE(any_says(page, text)) << plot.name;
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
  std::vector<EpochRow> rows = history(20);
  rows[12].validation_accuracy = 0.683;
  const test::Shown page = drawn([&](const auto& path) {
    plot_history(path, std::vector<NamedHistory>{{"leaky4", rows}}, "leaky4");
  });
  const auto dashed = page.lines_of("#0072b2", true);
  const auto solid = page.lines_of("#0072b2", false);
  ASSERT_EQ(dashed.size(), 3U) << "two curves and the legend";
  ASSERT_EQ(solid.size(), 3U);
  EXPECT_EQ(dashed[0].points.size(), 20U);
  EXPECT_LT(dashed[0].points.back().y, dashed[0].points.front().y) << "accuracy rises";
  EXPECT_GT(dashed[1].points.back().y, dashed[1].points.front().y) << "loss falls";
  EXPECT_TRUE(page.says("best 68.3 % at epoch 13"));
  const Point best = solid[0].points[12];
  const bool is_marked = std::any_of(page.circles.begin(), page.circles.end(), [&](const auto& circle) {
    return std::abs(circle.first.x + circle.first.width / 2 - best.x) < 0.01 &&
           std::abs(circle.first.y + circle.first.height / 2 - best.y) < 0.01;
  });
  EXPECT_TRUE(is_marked);
}

TEST(PlotHistory, SaysNothingOfValidationWhereThereIsNone) {
  std::vector<EpochRow> rows = history(1);
  rows[0].validation_loss = rows[0].validation_accuracy = kNaN;
  const test::Shown page = drawn([&](const auto& path) {
    plot_history(path, std::vector<NamedHistory>{{"leaky4", rows}});
  });
  EXPECT_FALSE(any_says(page, "validation"));
  EXPECT_FALSE(any_says(page, "best"));
  EXPECT_FALSE(page.circles.empty()) << "a single epoch shows as a dot";
}

TEST(PlotLossAgainstAccuracy, HasAnAxisOfNoNegativeLossOrImpossibleRate) {
  std::vector<EpochRow> rows = history(20);
  for (EpochRow& row : rows) row.train_loss = row.epoch == 20 ? 0.001 : row.train_loss, row.train_accuracy = 0.999;
  const test::Shown page = drawn([&](const auto& path) { plot_loss_against_accuracy(path, rows, "leaky4"); });
  for (const std::string& words : page.words()) {
    EXPECT_FALSE(words.starts_with("-")) << words;
    EXPECT_NE(words, "120");
  }
  EXPECT_TRUE(any_says(page, "best 50.0 % at epoch 20"));
}

TEST(PlotConfusion, PutsTruthInRowsAndCountsIntoCells) {
  const test::Shown page = drawn([](const auto& path) {
    plot_confusion(path, {{1000, 1}, {2, 3}}, std::vector<std::string>{"a", "b"}, false, "leaky4");
  });
  EXPECT_LT(page.text("1,000").box.x, page.text("1").box.x) << "predicted classes stand in columns";
  EXPECT_NEAR(page.text("1,000").box.y, page.text("1").box.y, 1);
  EXPECT_LT(page.text("1").box.y, page.text("3").box.y) << "the first class is on top";
  EXPECT_NEAR(page.text("2").box.y, page.text("3").box.y, 1);
  EXPECT_TRUE(page.says("leaky4"));
}

TEST(PlotConfusion, ShowsSharesOfTheTrueClassAndADashWhereItHasNoFaces) {
  const test::Shown page = drawn([](const auto& path) {
    plot_confusion(path, {{3, 1}, {0, 0}}, std::vector<std::string>{"a", "b"}, true, "");
  });
  EXPECT_TRUE(page.says("0.75"));
  EXPECT_TRUE(page.says("0.25"));
  EXPECT_TRUE(page.says("-"));
}

TEST(PlotConfusion, IsReadableWithManyClassesOfLongNames) {
  const std::vector<std::string> names(20, "a rather long class name");
  const std::vector<std::vector<int64_t>> counts(20, std::vector<int64_t>(20, 12345));
  const test::Shown page = drawn([&](const auto& path) { plot_confusion(path, counts, names, false, "many"); });
  for (const test::ShownText& text : page.texts) {
    EXPECT_GE(text.box.x, -0.5) << text.words;
    EXPECT_LE(text.box.bottom(), page.height + 0.5) << text.words;
  }
}

TEST(PlotConfusion, RefusesNamesThatDoNotFitTheCounts) {
  EXPECT_THROW(plot_confusion("x.png", {{1, 2}, {3, 4}}, std::vector<std::string>{"a"}, false, ""), Error);
  EXPECT_THROW(plot_confusion("x.png", {{1, 2}, {3}}, std::vector<std::string>{"a", "b"}, false, ""), Error);
}

TEST(PlotReliability, ShowsTheDiagonalOverTheBarsAndLeavesEmptyBinsOut) {
  const TemporaryFolder folder;
  plot_reliability(folder / "x.svg", reliability(), 0.083, "leaky4");
  const test::Shown page = test::read_svg(folder / "x.svg");
  EXPECT_TRUE(page.says("expected calibration error 8.3 %"));
  const auto diagonal = page.lines_of("#374151", true);
  ASSERT_FALSE(diagonal.empty());
  const std::string svg = read_text(folder / "x.svg");
  EXPECT_GT(svg.find("stroke-dasharray"), svg.find("#cfe3f1")) << "bars hide the diagonal";
  const auto bars = std::count_if(
      page.areas.begin(), page.areas.end(), [](const test::ShownShape& area) { return area.fill == "#cfe3f1"; });
  EXPECT_EQ(bars, 1);
}

TEST(PlotLearningRateFinder, KeepsADivergingLossFromHidingTheRest) {
  const test::Shown page = drawn([](const auto& path) {
    plot_learning_rate_finder(
        path, std::vector<double>{1e-4, 1e-3, 1e-2, 1e-1}, std::vector<double>{2, 1, 1e30, kNaN}, 2.5e-4);
  });
  EXPECT_TRUE(page.says("2.5")) << "the axis ends a little above the first loss";
  EXPECT_FALSE(any_says(page, "e+"));
  EXPECT_TRUE(page.says("suggested learning rate 0.00025"));
  EXPECT_TRUE(page.says("10⁻⁴"));
}

TEST(PlotMembers, HasALegendThatNothingHides) {
  const std::vector<evaluation::AccuracyAgainstMembers> points{
      {1, 3, 0.6, {0.5, 0.7}, 0.58, 0.62}, {2, 3, 0.65, {0.6, 0.7}, 0.64, 0.66}, {3, 3, 0.66, {0.62, 0.7}, 0.66, 0.66}};
  const test::Shown page = drawn([&](const auto& path) { plot_members(path, points, "Majority vote"); });
  for (const char* entry : {"95 % interval", "mean over subsets", "worst to best subset"}) {
    const Box box = page.text(entry).box;
    for (const test::ShownShape& area : page.areas) EXPECT_FALSE(test::overlap(area.box(), box)) << entry;
  }
}

TEST(PlotBars, ShowsRatesInPerCentWithTheirIntervals) {
  const test::Shown page = drawn([](const auto& path) {
    plot_bars(path, std::vector<Bar>{{"box3", 0.6, evaluation::Interval{0.5, 0.7}}, {"dnn3", 0.3, {}}});
  });
  EXPECT_LT(page.text("60.0").box.y, page.text("30.0").box.y) << "the first bar is on top";
  std::vector<Box> bars;
  for (const test::ShownShape& area : page.areas)
    if (area.fill == "#7fb8dd") bars.push_back(area.box());
  ASSERT_EQ(bars.size(), 2U);
  EXPECT_NEAR(bars[0].width, 2 * bars[1].width, 0.1) << "bars begin at 0";
  const auto whisker = page.lines_of("#1f2937", false);
  ASSERT_EQ(whisker.size(), 3U);
  EXPECT_NEAR(whisker[0].box().width, bars[0].width / 3, 0.1) << "20 of 60 points";
  EXPECT_GT(page.text("60.0").box.x, whisker[0].box().right()) << "the number stands behind the whisker";
}

TEST(PlotBars, ShowsReferencesInGrayAndTheMark) {
  const test::Shown page = drawn([](const auto& path) {
    plot_bars(path,
              std::vector<Bar>{{"lime", 0.5, {}}, {.name = "random", .value = 0.25, .is_reference = true}},
              {.title = "t", .axis = "a", .factor = 2, .mark = 0.125});
  });
  const auto gray = std::count_if(
      page.areas.begin(), page.areas.end(), [](const test::ShownShape& area) { return area.fill == "#c3c8d0"; });
  EXPECT_EQ(gray, 1);
  EXPECT_EQ(page.lines_of("#6b7280", true).size(), 1U);
}

TEST(PlotBars, RefusesAValueThatIsNotFinite) {
  EXPECT_THROW(plot_bars("x.png", std::vector<Bar>{{"a", kNaN, {}}}), Error);
}

TEST(PlotClassCounts, PutsEveryNumberAboveItsOwnBar) {
  const std::vector<ClassCounts> parts{{"training", {7215, 436}}, {"PublicTest", {895, 1234567}}, {"x", {0, 1}}};
  const test::Shown page = drawn([&](const auto& path) {
    plot_class_counts(path, parts, std::vector<std::string>{"happy", "disgust"}, "fer2013.csv");
  });
  test::expect_readable(page, "class counts");
  for (const char* number : {"7,215", "436", "895", "1,234,567"}) EXPECT_TRUE(page.says(number)) << number;
}

TEST(DrawOrWarn, MakesAPictureThatCannotBeDrawnAWarning) {
  struct Heard final : ProgressListener {
    void line(std::string_view) override {}
    void warning(std::string_view text) override { warnings += text; }
    void progress(std::string_view, int64_t, int64_t, std::string_view) override {}
    std::string warnings;
  } heard;
  const TemporaryFolder folder;
  write_atomic(folder / "file", "");
  draw_or_warn(heard, [&] {
    plot_class_counts(folder / "file/x.png", std::vector<ClassCounts>{{"all", {1}}}, std::vector<std::string>{"a"});
  });
  EXPECT_TRUE(contains(heard.warnings, "a picture of the run is missing: ")) << heard.warnings;
  EXPECT_TRUE(contains(heard.warnings, "x.png")) << heard.warnings;
  EXPECT_THROW(draw_or_warn(heard, [] { throw Error(ErrorCode::interrupted, "stopped"); }), Error);
  EXPECT_THROW(draw_or_warn(heard, [] { throw_bad_data("bad"); }), Error);
}

TEST(CanDraw, IsFalseWherePicturesAreOff) {
  EXPECT_TRUE(can_draw());
  EXPECT_EQ(why_no_pictures(), "");
  const test::ScopedVariable off("MIEN_PICTURES", "off");
  EXPECT_FALSE(can_draw());
  EXPECT_TRUE(contains(why_no_pictures(), "MIEN_PICTURES=off"));
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
