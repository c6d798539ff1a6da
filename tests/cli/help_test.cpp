#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "cli/cli_fixture.h"
#include <sys/stat.h>

namespace mien {
namespace {

class Help : public CliTest {};

std::vector<std::string> words_of(const std::string& name) {
  const size_t space = name.find(' ');
  if (space == std::string::npos) return {name};
  return {name.substr(0, space), name.substr(space + 1)};
}

/// With every run of blanks and line ends as one blank.
std::string unwrapped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool is_blank = c == ' ' || c == '\n';
    if (!is_blank) out += c;
    if (is_blank && !out.ends_with(' ')) out += ' ';
  }
  return out;
}

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
    const Outcome outcome = mien(words_of(name) + std::vector<std::string>{"--help"});
    EXPECT_EQ(outcome.status, 0) << name << outcome.err;
    EXPECT_NE(outcome.out.find("usage: mien " + name), std::string::npos) << outcome.out;
    EXPECT_TRUE(outcome.err.empty());
  }
}

TEST_F(Help, ListsRangesUnitsAndDefaultsWithinTheLineWidth) {
  const Outcome outcome = mien({"help", "train"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, mien({"train", "-h"}).out);
  EXPECT_NE(unwrapped(outcome.out).find("(whole number, 1 to 100000, in epochs) [default: 50]"), std::string::npos);
  for (const std::string& line : lines(outcome.out)) EXPECT_LE(line.size(), 80U) << line;
}

TEST_F(Help, OfManyOptionsShowsTheCommonOnesAndSaysHowToSeeAll) {
  const Outcome common = mien({"train", "--help"});
  EXPECT_NE(common.out.find("--epochs"), std::string::npos);
  EXPECT_EQ(common.out.find("--beta1"), std::string::npos);
  EXPECT_NE(common.out.find("--help-all"), std::string::npos);
  EXPECT_LE(lines(common.out).size(), 120U);
  const Outcome all = mien({"train", "--help-all"});
  EXPECT_EQ(all.status, 0);
  EXPECT_NE(all.out.find("--beta1"), std::string::npos);
  EXPECT_NE(unwrapped(all.out).find("only with --opt sgd or rmsprop"), std::string::npos) << all.out;
  EXPECT_NE(mien({"data", "draw", "--help"}).out.find("--draw-seed"), std::string::npos) << "few options: all";
}

TEST_F(Help, AFlagThatIsOnIsShownWithBothItsFormsAndItsOwnMeaning) {
  const std::string help = unwrapped(mien({"train", "--help-all"}).out);
  EXPECT_NE(help.find("--[no-]stratified draw validation rows from every class"), std::string::npos) << help;
  EXPECT_EQ(help.find("--no-stratified "), std::string::npos);
}

TEST_F(Help, OldNamesAreAcceptedAndNotShown) {
  const Outcome outcome = mien({"train", "--time", "3", "--cells", "sad:neutral", "--print-config"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("max-time = 3.0"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("gallery-cells = [\"sad:neutral\"]"), std::string::npos);
  EXPECT_EQ(mien({"train", "--help-all"}).out.find("--time"), std::string::npos);
  write("old.toml", "[judge]\ncells = [\"sad:neutral\"]\n");
  EXPECT_EQ(mien({"train", "--config", "old.toml", "--print-config"}).status, 0);
}

TEST_F(Help, HasNoColorsWhereItIsNoTerminal) {
  EXPECT_EQ(mien({"train", "--help"}).out.find('\x1b'), std::string::npos);
}

TEST_F(Help, OfAFamilyListsItsCommands) {
  const Outcome outcome = mien({"data", "--help"});
  EXPECT_EQ(outcome.status, 0);
  for (const char* name : {"data info", "data check", "data convert", "data draw", "data preview"})
    EXPECT_NE(outcome.out.find(name), std::string::npos) << name;
}

TEST_F(Help, OfABareFamilyIsItsListAndNoError) {
  for (const char* family : {"data", "networks", "inside", "bench"}) {
    const Outcome outcome = mien({family});
    EXPECT_EQ(outcome.status, 0) << family << outcome.err;
    EXPECT_EQ(outcome.out, mien({family, "--help"}).out);
  }
}

TEST_F(Help, VersionIsOneLineWithCommitAndLibraries) {
  for (const char* word : {"--version", "version", "-v", "-V"}) {
    const Outcome outcome = mien({word});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_TRUE(outcome.out.starts_with("mien "));
    EXPECT_NE(outcome.out.find("commit "), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("libtorch "), std::string::npos) << outcome.out;
    EXPECT_EQ(lines(outcome.out).size(), 1U);
  }
}

TEST_F(Help, SuggestsWhatNearWordsMean) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"evaluate"}, "`mien eval`"},
      {{"summary"}, "`mien networks summary`"},
      {{"benchmark"}, "`mien bench`"},
      {{"trian"}, "'train'"},
      {{"train", "--batch", "16"}, "--batch-size"},
      {{"train", "--batch_size", "16"}, "--batch-size"},
      {{"train", "--learning-rate", "1"}, "--lr"},
      {{"train", "--optimizer", "sgd"}, "--opt"},
      {{"train", "drawn:70"}, "--data drawn:70"},
      {{"train", "leaky4"}, "--network leaky4"},
      {{"data", "info", "drawn:70", "--data", "x.csv"}, "`mien data info "}};
  for (const auto& [words, hint] : cases) EXPECT_TRUE(refused(mien(words), 2, {hint})) << words.back();
}

TEST_F(Help, EveryOptionIsInTheReferenceOfItsCommand) {
  const std::string reference = mien({"reference"}).out;
  const auto section = [&](const std::string& name) {
    const size_t begin = reference.find("\n## mien " + name + "\n");
    EXPECT_NE(begin, std::string::npos) << name;
    const size_t end = reference.find("\n## ", begin + 1);
    return reference.substr(begin, end - begin);
  };
  const std::string of_train = section("train");
  for (const std::string& name : command_names(mien({"--help"}).out)) {
    std::string own = section(name);
    if (own.find("those of `mien train`") != std::string::npos) own += of_train;
    const Outcome help = mien(words_of(name) + std::vector<std::string>{"--help-all"});
    for (const std::string& line : lines(help.out)) {
      if (!line.starts_with("  --")) continue;
      const std::string option = line.substr(2, line.find(' ', 2) - 2);
      if (option == "--json" || option == "--config" || option == "--print-config") continue;
      EXPECT_NE(own.find("| `" + option + "` |"), std::string::npos) << name << ' ' << option;
    }
  }
}

TEST_F(Help, CompletionInBashOffersCommandsOptionsAndChoices) {
  write("mien.bash", mien({"completion", "bash"}).out);
  const auto offered = [&](const std::string& words, int position) {
    const std::string script = "source " + path("mien.bash").string() + "; COMP_WORDS=(" + words +
                               "); COMP_CWORD=" + std::to_string(position) + "; _mien; echo \"${COMPREPLY[*]}\"";
    return " " + Child({"-c", script}, path("."), {.program = "/bin/bash"}).wait().out;
  };
  EXPECT_NE(offered("mien tr", 1).find(" train"), std::string::npos);
  EXPECT_NE(offered("mien networks su", 2).find(" summary"), std::string::npos);
  EXPECT_NE(offered("mien train --bat", 2).find(" --batch-size"), std::string::npos);
  EXPECT_NE(offered("mien train --opt rm", 3).find(" rmsprop"), std::string::npos);
  EXPECT_NE(offered("mien train --opt = rm", 4).find(" rmsprop"), std::string::npos);
  EXPECT_NE(offered("mien train --network bo", 3).find(" box3"), std::string::npos);
  EXPECT_NE(offered("mien run hw3", 2).find(" hw3-2017"), std::string::npos);
  EXPECT_NE(offered("mien data preview x.csv --no-f", 4), " --nothing\n");
}

TEST_F(Help, CompletionOfEveryShellNamesEveryCommand) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome outcome = mien({"completion", shell});
    EXPECT_EQ(outcome.status, 0);
    for (const std::string& name : command_names(mien({"--help"}).out)) {
      for (const std::string& word : words_of(name))
        EXPECT_NE(outcome.out.find(word), std::string::npos) << shell << ' ' << name;
    }
  }
  EXPECT_TRUE(refused(mien({"completion", "tcsh"}), 2, {"tcsh", "bash, zsh, fish"}));
}

TEST_F(Help, TheManualNamesEveryOptionOfTrain) {
  const std::string manual = mien({"manual"}).out;
  EXPECT_TRUE(manual.starts_with(".TH MIEN 1"));
  for (const std::string& line : lines(mien({"train", "--help-all"}).out)) {
    if (!line.starts_with("  --") || line.starts_with("  --json") || line.starts_with("  --config") ||
        line.starts_with("  --print-config"))
      continue;
    std::string option;
    for (const char c : line.substr(2, line.find(' ', 2) - 2))
      option += c == '-' ? std::string("\\-") : std::string(1, c);
    EXPECT_NE(manual.find(".B " + option + "\n"), std::string::npos) << option;
  }
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

/// Options named in the texts of a source file, comments left out: "--exist-ok" in "try --exist-ok".
std::set<std::string> options_in_texts(const std::string& source) {
  std::set<std::string> names;
  for (const std::string& line : lines(source)) {
    const std::string code = line.substr(0, line.find("//"));
    bool is_text = false;
    for (size_t i = 0; i < code.size(); ++i) {
      if (code[i] == '"' && (i == 0 || code[i - 1] != '\\')) is_text = !is_text;
      if (!is_text || code.compare(i, 2, "--") != 0 || (i > 0 && code[i - 1] == '-')) continue;
      const size_t end = std::min(code.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-", i + 2), code.size());
      if (end > i + 2) names.insert(code.substr(i + 2, end - i - 2));
    }
  }
  return names;
}

TEST_F(Help, EveryOptionThatAMessageNamesExists) {
  std::set<std::string> known{"json",
                              "help",
                              "help-all",
                              "config",
                              "print-config",
                              "version",
                              "name",
                              "no-name",
                              "epoch"};  // a bench mistypes it
  for (const std::string& name : command_names(mien({"--help"}).out)) {
    for (const std::string& line : lines(mien(words_of(name) + std::vector<std::string>{"--help-all"}).out)) {
      if (!line.starts_with("  --")) continue;
      std::string option = line.substr(4, line.find(' ', 4) - 4);
      if (option.starts_with("[no-]")) known.insert("no-" + (option = option.substr(5)));
      known.insert(option);
    }
  }
  int64_t found = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(MIEN_SOURCE_DIR "/src/mien")) {
    if (file.path().extension() != ".cpp" || file.path().filename() == "completion.cpp") continue;
    std::ifstream stream(file.path());
    std::ostringstream text;
    text << stream.rdbuf();
    for (const std::string& option : options_in_texts(text.str())) {
      if (option.find_first_not_of('-') == std::string::npos) continue;  // a line of dashes
      ++found;
      EXPECT_TRUE(known.contains(option)) << "--" << option << " in " << file.path();
    }
  }
  EXPECT_GT(found, 20);
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
                                       "--validation",
                                       "kfold:5:0",
                                       "--no-stratified",
                                       "--gallery-cells",
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
  const Outcome outcome = mien({"train",
                                "--opt",
                                "sgd",
                                "--momentum",
                                "0.7",
                                "--config",
                                "a.toml",
                                "--config",
                                "b.toml",
                                "--lr=0.25",
                                "--print-config"});
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
  const std::string experiment = train.out.substr(0, train.out.find("\n[machines]"));  // those are of train alone
  EXPECT_EQ(values(experiment), values(outcome.out.substr(outcome.out.find('\n') + 1))) << train.err;
  EXPECT_NE(train.out.find("epochs = 3 "), std::string::npos);
  EXPECT_NE(train.out.find("lr = 0.001 "), std::string::npos) << "the run's own";
}

}  // namespace
}  // namespace mien
