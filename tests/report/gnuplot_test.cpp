#include "mien/report/gnuplot.h"

#include <limits>

#include "report/tools.h"

#include "mien/core/error.h"

namespace mien::report {
namespace {

using test::contains;
using test::ScopedVariable;

TEST(GnuplotString, DoublesQuotesAndLeavesEverythingElseThatIsText) {
  EXPECT_EQ(gnuplot_string("it's"), "'it''s'");
  EXPECT_EQ(gnuplot_string(R"(a\n "b" `date` $x @y ü …)"), R"('a\n "b" `date` $x @y ü …')");
}

TEST(GnuplotString, KeepsQuotesAtItsStartFromEndingIt) {
  EXPECT_EQ(gnuplot_string("''a'"), R"("''".'a''')");
  SKIP_WITHOUT_GNUPLOT();
  for (const std::string text : {"'", "''", "'a'", "''; a", "a'", "'''"}) {
    EXPECT_EQ(run_gnuplot("set print '-'\nprint " + gnuplot_string(text) + "\n"), text + "\n");
  }
}

TEST(GnuplotString, HasNoLineBreakAndNoBrokenCharacter) {
  EXPECT_EQ(gnuplot_string("a\nb\rc\td"), "'a b c d'");
  EXPECT_EQ(gnuplot_string("a\xff"
                           "b\xc3"),
            "'a?b?'");
  EXPECT_EQ(gnuplot_string(std::string_view("a\0b", 3)), "'a b'");
}

TEST(GnuplotString, DoublesPerCentSignsOnlyInTicLabels) {
  EXPECT_EQ(gnuplot_tic_label("50 % of %g"), "'50 %% of %%g'");
  EXPECT_EQ(gnuplot_string("50 %"), "'50 %'");
}

TEST(GnuplotNumber, SaysNaNForWhatIsNotFinite) {
  EXPECT_EQ(gnuplot_number(std::numeric_limits<double>::quiet_NaN()), "NaN");
  EXPECT_EQ(gnuplot_number(-std::numeric_limits<double>::infinity()), "NaN");
  EXPECT_EQ(gnuplot_number(0.5), "0.5");
}

TEST(RunGnuplot, NamesThePackageWhereThereIsNoGnuplot) {
  const TemporaryFolder empty;
  const ScopedVariable path("PATH", empty.path().string());
  EXPECT_FALSE(gnuplot_available());
  try {
    run_gnuplot("plot x");
    FAIL() << "ran without gnuplot";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::failed);
    EXPECT_STREQ(error.what(), "cannot draw: the program gnuplot is not on PATH");
    EXPECT_TRUE(contains(error.hint(), "apt-get install gnuplot-nox")) << error.hint();
  }
}

TEST(RunGnuplot, PassesOnWhatGnuplotSaysIsWrong) {
  SKIP_WITHOUT_GNUPLOT();
  try {
    run_gnuplot("set terminal svg\nplot nothing_of_that_name\n");
    FAIL() << "an undefined variable was plotted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::failed);
    EXPECT_TRUE(contains(error.what(), "undefined variable: nothing_of_that_name")) << error.what();
    EXPECT_FALSE(contains(error.what(), "\n"));
  }
}

TEST(RunGnuplot, TakesMoreOutputOnBothStreamsThanPipesHold) {
  SKIP_WITHOUT_GNUPLOT();
  const std::string output = run_gnuplot(
      "do for [i=1:20000] { set print '-'\nprint 'to standard output'\nset print\nprint 'to standard error' }\n");
  EXPECT_EQ(output.size(), 20000 * std::string("to standard output\n").size());
}

TEST(RunGnuplot, SurvivesAProgramThatDoesNotReadItsScript) {
  SKIP_WITHOUT_GNUPLOT();
  EXPECT_EQ(run_gnuplot("exit\n" + std::string(4 << 20, '#')), "");
}

TEST(RunGnuplot, ReadsNoStartUpFile) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder home;
  write_atomic(home / ".gnuplot", "set print '-'\nprint 'from the start-up file'\n");
  const ScopedVariable variable("HOME", home.path().string());
  EXPECT_EQ(run_gnuplot("set print '-'\nprint 'from the script'\n"), "from the script\n");
}

TEST(WritePicture, MakesAPngOfTwiceAsManyPixelsAsUnits) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  write_picture(folder / "new/x.png", 300, 200, "plot x");
  EXPECT_EQ(test::png_size(folder / "new/x.png"), (std::pair<int64_t, int64_t>{600, 400}));
}

TEST(WritePicture, MakesAnSvgWhereThePathSaysSo) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  write_picture(folder / "x.svg", 300, 200, "plot x");
  const std::string picture = read_text(folder / "x.svg");
  EXPECT_TRUE(contains(picture, "<svg"));
  EXPECT_TRUE(contains(picture, "</svg>"));
}

TEST(WritePicture, TakesAnyFileName) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  const auto path = folder / "|cat 'x' `y` \"z\".png";
  write_picture(path, 300, 200, "plot x");
  EXPECT_EQ(test::png_size(path).first, 600);
}

TEST(WritePicture, KeepsTheOldPictureWhereGnuplotFails) {
  SKIP_WITHOUT_GNUPLOT();
  const TemporaryFolder folder;
  write_atomic(folder / "x.png", "old");
  EXPECT_THROW(write_picture(folder / "x.png", 300, 200, "plot x\nplot nothing_of_that_name"), Error);
  EXPECT_EQ(read_text(folder / "x.png"), "old");
  EXPECT_THROW(write_picture(folder / "x.png", 300, 200, "exit"), Error) << "no picture was drawn at all";
  EXPECT_EQ(read_text(folder / "x.png"), "old");
}

TEST(WritePicture, RefusesAnEndingItCannotWrite) {
  try {
    write_picture("x.bmp", 300, 200, "plot x");
    FAIL() << "wrote a bmp";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_STREQ(error.what(), "cannot draw x.bmp: its ending is '.bmp', expected .png or .svg");
  }
}

}  // namespace
}  // namespace mien::report
