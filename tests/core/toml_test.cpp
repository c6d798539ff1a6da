#include "mien/core/toml.h"

#include "core/expect_error.h"
#include <gtest/gtest.h>

namespace mien {
namespace {

class TomlOptions : public testing::Test {
 protected:
  TomlOptions() {
    options_.group("training");
    options_.add(&epochs_, {.name = "epochs", .help = "passes over the data", .minimum = 1});
    options_.add(&rate_, {.name = "learning-rate", .help = "step size"});
    options_.group("explain");
    options_.add(&methods_, {.name = "methods", .help = "what to draw"});
    options_.add(&resume_, {.name = "resume", .help = "go on"});
  }

  void read(const std::string& text, const std::vector<std::string>& skip = {}) {
    set_from_toml(options_, text, "run.toml", Origin::config_file, skip);
  }
  std::string error_of(const std::string& text) {
    return error_line(ErrorCode::usage, [&] { read(text); });
  }

  int64_t epochs_ = 5;
  double rate_ = 0.1;
  std::vector<std::string> methods_;
  bool resume_ = false;
  OptionSet options_;
};

TEST_F(TomlOptions, AreReadFromTheTopLevelAndFromTheirTable) {
  read("epochs = 3\n[training]\nlearning-rate = 2\n[explain]\nmethods = [\"lime\", \"cam\"]\nresume = true\n");
  EXPECT_EQ(epochs_, 3);
  EXPECT_EQ(rate_, 2.0);
  EXPECT_EQ(methods_, (std::vector<std::string>{"lime", "cam"}));
  EXPECT_TRUE(resume_);
  EXPECT_EQ(options_.find("methods")->origin, Origin::config_file);
  EXPECT_EQ(options_.find("methods")->origin_detail, "run.toml:5");
}

TEST_F(TomlOptions, ReportTheLineOfAnUnknownKey) {
  EXPECT_EQ(error_of("# comment\n[training]\nepoch = 3\n"),
            "run.toml:3: unknown option 'epoch'. hint: did you mean 'epochs'?");
}

TEST_F(TomlOptions, ReportTheLineOfAnUnknownTable) {
  EXPECT_EQ(error_of("\n[trainin]\nepochs = 3\n"),
            "run.toml:2: unknown table [trainin]. hint: did you mean 'training'?");
}

TEST_F(TomlOptions, ReportAKeyInTheWrongTable) {
  EXPECT_EQ(error_of("[explain]\nepochs = 3\n"), "run.toml:2: epochs stands in [explain], expected in [training]");
}

TEST_F(TomlOptions, ReportAValueOutOfRangeWithItsLine) {
  EXPECT_EQ(error_of("[training]\n\nepochs = 0\n"), "run.toml:3: epochs is '0', expected whole number, at least 1");
  EXPECT_TRUE(contains(error_of("epochs = 1.5"), "run.toml:1: epochs is '1.5'"));
  EXPECT_TRUE(contains(error_of("learning-rate = nan"), "expected number"));
}

TEST_F(TomlOptions, ReportWhatIsNotAValue) {
  EXPECT_TRUE(contains(error_of("epochs = 2020-01-01"), "run.toml:1: epochs has a value of an unknown kind"));
  EXPECT_TRUE(contains(error_of("methods = [[\"a\"]]"), "methods has a value of an unknown kind"));
  EXPECT_TRUE(contains(error_of("[epochs]\nx = 1"), "run.toml:1: epochs is a table, expected whole number"));
  EXPECT_TRUE(contains(error_of("methods = [\"a,b\"]"), "methods has the item 'a,b', expected items without a comma"));
  EXPECT_TRUE(contains(error_of("methods = [\"a\", \"\", \"b\"]"), "methods is 'a,,b', expected list"));
}

TEST_F(TomlOptions, ReportTheLineOfMalformedToml) {
  EXPECT_TRUE(contains(error_of("epochs = 3\nlearning-rate = = 2\n"), "run.toml:2: not valid TOML: "));
  EXPECT_TRUE(contains(error_of("epochs = 3\nepochs = 4\n"), "run.toml:2: not valid TOML: "));
  EXPECT_TRUE(contains(error_of("note = \"\xff\""), "run.toml:1: not valid TOML: "));
}

TEST_F(TomlOptions, RefuseDeeplyNestedTextInsteadOfCrashing) {
  EXPECT_TRUE(contains(error_of("methods = " + std::string(100'000, '[')), "not valid TOML"));
  EXPECT_TRUE(contains(error_of("a = " + std::string(100'000, '{')), "not valid TOML"));
}

TEST_F(TomlOptions, RefuseKeysOfThousandsOfPartsInsteadOfCrashing) {
  std::string dots;
  for (int i = 0; i < 200'000; ++i) dots += "a.";
  const std::string expected = "a key has more than 16 parts";
  EXPECT_TRUE(contains(error_of(dots + "b=1"), "run.toml:1: " + expected));
  EXPECT_TRUE(contains(error_of("\n[" + dots + "b]"), "run.toml:2: " + expected));
  EXPECT_TRUE(contains(error_of("x = { " + dots + "b = 1 }"), expected));
  EXPECT_TRUE(contains(error_of("x = \"\"\"\na\"\\\"\"\"\"\n'b'.\"c\"." + dots + "b=1"), expected));
  EXPECT_TRUE(contains(error_of("x = " + std::string(101, '[')), "more than 100 lists and tables"));
  EXPECT_TRUE(contains(error_of("#" + std::string(1 << 20, ' ')), "run.toml:1: the file has 1,048,577 bytes"));
}

TEST_F(TomlOptions, MayHoldAnyNumberOfDotsInValuesTextsAndComments) {
  std::string numbers = "0.5";
  for (int i = 0; i < 200; ++i) numbers += ", 0.5";
  const std::string dots(100, '.');
  read("[data]\nx = [" + numbers + "]\ny = \"" + dots + "\\\"" + dots + "\" # " + dots + "\nz = '" + dots +
           "\\'\nw = \"\"\"" + dots + "\n\"" + dots + "\"\"\"\"\nv = '''\n" + dots + "''''\n",
       {"data"});
}

TEST_F(TomlOptions, SayThatALineMayNotEndInsideATable) {
  const std::string end = ": not valid TOML: the line ends inside { }. hint: write a table in one line";
  EXPECT_TRUE(contains(error_of("a = [\n  1, { x = 1,\n y = 2 } ]"), "run.toml:2" + end));
  EXPECT_TRUE(contains(error_of("a = { x = \"}\", # {\n y = 2 }"), "run.toml:1" + end));
  read("[data]\na = { x = [\n1,\n2 ], y = \"\"\"\n}\"\"\" }\n", {"data"});
}

TEST_F(TomlOptions, GiveAHintForEveryMistakeOfTheLanguage) {
  for (const char* text : {"a = ", "a = [1 2]", "a", "a = b", "[a", "= 1", "a = \"x", "a = 1\na = 2", "\xff"}) {
    EXPECT_TRUE(contains(error_of(text), ". hint: ")) << text;
  }
}

TEST_F(TomlOptions, LeaveSkippedTablesToTheCaller) {
  read("epochs = 4\n[data]\nanything = 1\n[[network]]\nname = \"x\"\n", {"data", "network"});
  EXPECT_EQ(epochs_, 4);
}

}  // namespace
}  // namespace mien
