#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "cli/cli_fixture.h"
#include <sys/stat.h>

namespace mien {
namespace {

class Help : public CliTest {};

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    result.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return result;
}

/// Names of all commands, from the overview.
std::vector<std::string> command_names(const std::string& overview) {
  std::vector<std::string> names;
  for (const std::string& line : lines(overview)) {
    if (line.starts_with("  ") && line[2] != ' ') names.push_back(line.substr(2, line.find("  ", 2) - 2));
  }
  return names;
}

TEST_F(Help, OfEveryCommandExitsWithZeroAndNamesTheCommand) {
  const Outcome overview = mien({"--help"});
  ASSERT_EQ(overview.status, 0);
  const auto names = command_names(overview.out);
  EXPECT_GE(names.size(), 20U);
  for (const std::string& name : names) {
    const size_t space = name.find(' ');
    const std::vector<std::string> words =
        space == std::string::npos ? std::vector<std::string>{name}
                                   : std::vector<std::string>{name.substr(0, space), name.substr(space + 1)};
    const Outcome outcome = mien(words + std::vector<std::string>{"--help"});
    EXPECT_EQ(outcome.status, 0) << name << outcome.err;
    EXPECT_NE(outcome.out.find("usage: mien " + name), std::string::npos) << outcome.out;
    EXPECT_TRUE(outcome.err.empty());
  }
}

TEST_F(Help, ListsRangesUnitsAndDefaultsWithinTheLineWidth) {
  const Outcome outcome = mien({"help", "train"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, mien({"train", "-h"}).out);
  EXPECT_NE(outcome.out.find("(whole number, 1 to 100000, in epochs) [default: 50]"), std::string::npos);
  EXPECT_NE(outcome.out.find("--no-stratified"), std::string::npos);
  for (const std::string& line : lines(outcome.out)) EXPECT_LE(line.size(), 110U) << line;
}

TEST_F(Help, OfAFamilyListsItsCommands) {
  const Outcome outcome = mien({"data", "--help"});
  EXPECT_EQ(outcome.status, 0);
  for (const char* name : {"data info", "data check", "data convert", "data draw", "data preview"})
    EXPECT_NE(outcome.out.find(name), std::string::npos) << name;
}

TEST_F(Help, VersionIsOneLine) {
  const Outcome outcome = mien({"--version"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_TRUE(outcome.out.starts_with("mien "));
  EXPECT_EQ(lines(outcome.out).size(), 1U);
}

TEST_F(Help, TheReferenceInDocsIsUpToDate) {
  const Outcome outcome = mien({"reference"});
  ASSERT_EQ(outcome.status, 0);
  std::filesystem::copy_file(std::filesystem::path(MIEN_SOURCE_DIR) / "docs" / "cli.md", path("cli.md"));
  EXPECT_EQ(outcome.out, read("cli.md")) << "build/bin/mien reference > docs/cli.md";
}

/// What must be answered before libtorch is loaded.
const std::vector<std::vector<std::string>> kQuickQuestions{{"--help"},
                                                            {"train", "--help"},
                                                            {"bench", "--help"},
                                                            {"--version"},
                                                            {"networks", "list"},
                                                            {"run", "list"},
                                                            {"train", "--epoch", "3"},
                                                            {"trian"}};

TEST_F(Help, AndMistakesAreAnsweredAtOnce) {
  for (const auto& words : kQuickQuestions) {
    double best = 1e9;
    for (int run = 0; run < 5; ++run) {
      const auto start = std::chrono::steady_clock::now();
      mien(words);
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    EXPECT_LT(best, 0.25) << words.front();  // libtorch alone takes 0.7 s
  }
}

TEST_F(Help, TheProgramThatAnswersNeedsNeitherLibtorchNorOpenCv) {
  std::ifstream file(MIEN_PROGRAM, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  ASSERT_NE(bytes.str().find("libfmt.so"), std::string::npos) << "the names of needed libraries stand in the program";
  for (const char* library : {"libtorch.so", "libtorch_cpu.so", "libc10.so", "libopencv_core.so", "libopenblas.so"})
    EXPECT_EQ(bytes.str().find(library), std::string::npos) << library;
}

TEST_F(Help, DataFromACsvNeedsNoLibtorchAndSaysTheSameAsTheCompleteProgram) {
  write("faces.csv", faces_csv());
  const Outcome front = mien({"data", "info", "faces.csv"});
  const Outcome complete = Child({"data", "info", "faces.csv"}, path("."), {.program = MIEN_COMPLETE_PROGRAM}).wait();
  EXPECT_EQ(front.status, 0) << front.err;
  EXPECT_EQ(front.out, complete.out);
}

TEST_F(Help, AProgramWithoutItsOtherHalfSaysWhatIsMissing) {
  std::filesystem::copy_file(MIEN_PROGRAM, path("mien"));
  const std::string alone = path("mien").string();
  EXPECT_EQ(Child({"--help"}, path("."), {.program = alone.c_str()}).wait().status, 0);
  EXPECT_TRUE(
      refused(Child({"doctor"}, path("."), {.program = alone.c_str()}).wait(), 1, {"mien-compute", "beside mien"}));
}

TEST_F(Help, AConfigFromAPipeReachesTheProgramThatTrains) {
  const std::string pipe = path("pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::jthread writer([&] { std::ofstream(pipe) << "epochs = 3\n"; });
  const Outcome outcome = mien({"train", "--config", "pipe", "--print-config"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("epochs = 3  # config file: pipe:1"), std::string::npos) << outcome.out;
}

class Config : public CliTest {};

/// The lines of a printed config without comments.
std::string values(const std::string& toml) {
  std::string out;
  for (const std::string& line : lines(toml)) out += line.substr(0, line.find("  # ")) + "\n";
  return out;
}

TEST_F(Config, PrintedOptionsReadBackTheSame) {
  const std::vector<std::string> flags{"--lr",
                                       "0.0123",
                                       "--sched",
                                       "cosine",
                                       "--no-stratified",
                                       "--cells",
                                       "sad:neutral,fear:sad",
                                       "--name",
                                       "a \"b\" \\c",
                                       "--mixup",
                                       "1e-05"};
  const Outcome first = mien(std::vector<std::string>{"train", "--print-config"} + flags);
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_NE(first.out.find("lr = 0.0123  # command line"), std::string::npos) << first.out;
  write("c.toml", first.out);
  const Outcome second = mien({"train", "--config", "c.toml", "--print-config"});
  EXPECT_EQ(values(second.out), values(first.out)) << second.err;
  EXPECT_FALSE(std::filesystem::exists(path("runs"))) << "nothing was run";
}

TEST_F(Config, FlagsOverruleFilesAndLaterFilesEarlierOnes) {
  write("a.toml", "epochs = 3\n[optimizer]\nlr = 0.5\n");
  write("b.toml", "epochs = 4\n");
  const Outcome outcome =
      mien({"train", "--momentum", "0.7", "--config", "a.toml", "--config", "b.toml", "--lr=0.25", "--print-config"});
  EXPECT_NE(outcome.out.find("epochs = 4  # config file: b.toml:1"), std::string::npos) << outcome.out << outcome.err;
  EXPECT_NE(outcome.out.find("lr = 0.25  # command line"), std::string::npos);
  EXPECT_NE(outcome.out.find("momentum = 0.7"), std::string::npos);
}

TEST_F(Config, MistakesHaveTheirLine) {
  write("c.toml", "lr = 1\n\nepoch = 3\n");
  EXPECT_TRUE(refused(mien({"train", "--config", "c.toml"}), 2, {"c.toml:3", "'epoch'", "'epochs'"}));
  write("c.toml", "[train]\nepochs = 0\n");
  EXPECT_TRUE(refused(mien({"train", "--config", "c.toml"}), 2, {"c.toml:2", "1 to 100000"}));
  EXPECT_TRUE(refused(mien({"train", "--config", "none.toml"}), 2, {"--config", "none.toml"}));
}

TEST_F(Config, OfARecipesRunIsAFileForTrain) {
  const Outcome outcome = mien({"demo", "--only", "dnn3", "--print-config", "--epochs", "3"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  write("c.toml", outcome.out);
  const Outcome train = mien({"train", "--config", "c.toml", "--print-config"});
  EXPECT_EQ(values(train.out), values(outcome.out.substr(outcome.out.find('\n') + 1))) << train.err;
  EXPECT_NE(train.out.find("epochs = 3 "), std::string::npos);
  EXPECT_NE(train.out.find("lr = 0.001 "), std::string::npos) << "the run's own";
}

}  // namespace
}  // namespace mien
