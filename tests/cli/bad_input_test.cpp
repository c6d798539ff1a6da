#include "cli/cli_fixture.h"
#include <unistd.h>

namespace mien {
namespace {

class BadInput : public CliTest {
 protected:
  /// The faces with one text of the given line (counted from 1) replaced.
  std::string with(int line, const std::string& from, const std::string& to) const {
    std::string csv = faces_csv();
    size_t begin = 0;
    for (int i = 1; i < line; ++i) begin = csv.find('\n', begin) + 1;
    const size_t place = csv.find(from, begin);
    return csv.replace(place, from.size(), to);
  }
  Outcome train_on(const std::string& csv) const {
    write("faces.csv", csv);
    return mien({"data", "info", "faces.csv"});
  }
};

TEST_F(BadInput, AMissingCsvIsBadData) {
  EXPECT_TRUE(refused(mien({"data", "info", "none.csv"}), 3, {"cannot read none.csv", "No such file", "hint:"}));
}

TEST_F(BadInput, AnEmptyCsvSaysWhichColumnsAreExpected) {
  EXPECT_TRUE(refused(train_on(""), 3, {"faces.csv", "empty", "pixels"}));
}

TEST_F(BadInput, AWrongHeaderIsQuoted) {
  EXPECT_TRUE(refused(train_on("color,shape\n1,2\n"), 3, {"'color'", "pixels"}));
}

TEST_F(BadInput, AShortRowIsNamedWithBothCounts) {
  const std::string csv = faces_csv();
  const size_t second = csv.find('\n') + 1;
  const size_t space = csv.find(' ', second);
  const std::string short_row = csv.substr(0, space) + csv.substr(csv.find(' ', space + 1));
  EXPECT_TRUE(refused(train_on(short_row), 3, {"row 0 (line 2)", "2303", "2304", "--skip-bad-rows"}));
}

TEST_F(BadInput, APixelOf256IsNamedWithItsRow) {
  EXPECT_TRUE(refused(train_on(with(3, " ", " 256 256")), 3, {"row 1 (line 3)", "256", "0 to 255"}))
      << "a joined pixel";
}

TEST_F(BadInput, TextAmongPixelsIsQuoted) {
  EXPECT_TRUE(refused(train_on(with(3, " ", " abc")), 3, {"row 1 (line 3)", "abc", "0 to 255"}));
}

TEST_F(BadInput, ALabelOf7IsNamedWithTheClasses) {
  EXPECT_TRUE(refused(train_on(with(3, ",", "7,")), 3, {"row 1 (line 3)", "7'", "6 neutral"}));
}

TEST_F(BadInput, ACutLastLineIsRecognizedAsSuch) {
  const std::string csv = faces_csv();
  EXPECT_TRUE(refused(train_on(csv.substr(0, csv.size() - 1000)), 3, {"row 20 (line 22)", "cut"}));
}

TEST_F(BadInput, AByteOrderMarkIsTolerated) {
  const Outcome outcome = train_on("\xef\xbb\xbf" + faces_csv());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("21 faces"), std::string::npos);
}

TEST_F(BadInput, AFolderWithoutClassFoldersSaysWhatIsExpected) {
  write("folder/faces.csv", faces_csv());
  EXPECT_TRUE(refused(mien({"data", "info", "folder"}), 3, {"folder", "CLASS"}));
}

TEST_F(BadInput, AnUnreadablePictureIsNamed) {
  write("faces/happy/1.png", "nonsense");
  EXPECT_TRUE(refused(mien({"data", "info", "faces"}), 3, {"faces/happy/1.png", "hint: --skip-bad-rows"}));
}

TEST_F(BadInput, AnUnknownKeyOfANetworkHasItsLineAndASuggestion) {
  write("net.toml",
        "name = \"n\"\ninput = [1, 48, 48]\nlayers = [ { conv = 4, kernal = 3 }, \"flatten\", { dense = 7 } ]\n");
  EXPECT_TRUE(refused(mien({"networks", "summary", "net.toml"}), 2, {"net.toml:3", "conv1", "kernal", "'kernel'"}));
}

TEST_F(BadInput, AnImpossibleShapeHasItsLineAndLayer) {
  write("net.toml",
        "name = \"n\"\ninput = [1, 48, 48]\nlayers = [ { conv = 4, kernel = 49 }, \"flatten\", { dense = 7 } ]\n");
  EXPECT_TRUE(refused(mien({"networks", "summary", "net.toml"}), 2, {"net.toml:3", "conv1", "49x49", "48x48"}));
}

TEST_F(BadInput, WeightsOfAnotherNetworkAreRefusedBeforeAFolderIsMade) {
  ASSERT_EQ(mien(training()).status, 0);
  const Outcome outcome =
      mien({"train", "--network", "dnn3", "--data", "drawn:140", "--weights", "runs/train/small", "--threads", "1"});
  EXPECT_TRUE(refused(outcome, 3, {"small/weights/best.safetensors", "dnn3", "another network"}));
  EXPECT_FALSE(std::filesystem::exists(path("runs/train/dnn3")));
}

TEST_F(BadInput, DamagedWeightsAreRefused) {
  ASSERT_EQ(mien(training()).status, 0);
  write("faces.csv", faces_csv());
  write("cut.safetensors", read("runs/train/small/weights/best.safetensors").substr(0, 500));
  EXPECT_TRUE(refused(mien({"predict", "cut.safetensors", "faces.csv"}), 3, {"cut.safetensors", "header length"}));
  write("huge.safetensors", std::string("\0\0\0\0\0\0\0\x80{}", 10));
  EXPECT_TRUE(
      refused(mien({"predict", "huge.safetensors", "faces.csv"}), 3, {"huge.safetensors", "9223372036854775808"}));
  EXPECT_TRUE(refused(mien({"predict", ".", "faces.csv"}), 3, {"weights/best.safetensors", "hint:"}));
}

TEST_F(BadInput, MistakesOfARecipeHaveTheirLine) {
  write("r.toml", "title = \"t\"\nepoch = 3\n");
  EXPECT_TRUE(refused(mien({"run", "r.toml", "--data", "drawn:140"}), 2, {"r.toml:2", "'epoch'", "'epochs'"}));
  write("r.toml", "[optimiser]\nlr = 3\n");
  EXPECT_TRUE(refused(mien({"run", "r.toml", "--data", "drawn:140"}), 2, {"r.toml:1", "[optimiser]", "'optimizer'"}));
}

TEST_F(BadInput, UnknownNamesComeWithTheNearestOne) {
  EXPECT_TRUE(refused(mien({"tran"}), 2, {"'tran'", "did you mean 'train'?"}));
  EXPECT_TRUE(refused(mien({"networks", "sumary"}), 2, {"sumary", "'summary'"}));
  EXPECT_EQ(mien({"data"}).status, 0) << "lists its commands";
  EXPECT_TRUE(refused(mien({"train", "--epoch", "3"}), 2, {"'--epoch'", "did you mean --epochs?"}));
  EXPECT_TRUE(refused(mien({"train", "--network", "leeky4", "--data", "drawn:20"}), 2, {"'leeky4'", "'leaky4'"}));
  EXPECT_TRUE(refused(mien({"run", "hw3-2018"}), 2, {"'hw3-2018'", "'hw3-2017'"}));
  EXPECT_TRUE(refused(mien({"demo", "--only", "dnn"}), 2, {"'dnn'", "'dnn3'"}));
  EXPECT_TRUE(refused(mien({"train", "--sched", "cosin", "--data", "drawn:20"}), 2, {"'cosin'", "'cosine'"}));
}

TEST_F(BadInput, AValueOutOfRangeComesWithTheRange) {
  EXPECT_TRUE(refused(mien({"train", "--epochs", "0"}), 2, {"--epochs 0", "1 to 100000"}));
  EXPECT_TRUE(refused(mien({"train", "--epochs", "many"}), 2, {"'many'", "whole number"}));
  EXPECT_TRUE(refused(mien({"train", "--data-seed", "-5"}), 2, {"'-5'", "at least 0"}));
  EXPECT_TRUE(refused(mien({"train", "--epochs"}), 2, {"--epochs needs a value", "whole number"}));
}

TEST_F(BadInput, AMissingWordIsExplained) {
  EXPECT_TRUE(refused(mien({"run"}), 2, {"recipe", "mien run list"}));
  EXPECT_TRUE(refused(mien({"predict", "w.safetensors"}), 2, {"data", "csv or folder"}));
  EXPECT_TRUE(refused(mien({"train", "data"}), 2, {"'data'", "--data"}));
  EXPECT_TRUE(refused(mien({"train"}), 2, {"no data", "--data drawn"}));
}

TEST_F(BadInput, FoldersOfOtherClassesThanTheNetworksSayWhatToDo) {
  ASSERT_EQ(mien({"data", "draw", "d", "--draw-count", "2", "--pictures"}).status, 0);
  for (const char* name : {"angry", "happy", "sad"})
    std::filesystem::rename(path(std::string("d/pictures/") + name), path(std::string("own-") + name));
  std::filesystem::create_directories(path("own"));
  for (const char* name : {"angry", "happy", "sad"})
    std::filesystem::rename(path(std::string("own-") + name), path(std::string("own/my-") + name));
  EXPECT_TRUE(refused(mien({"train", "--network", "small.toml", "--data", "own"}),
                      2,
                      {"7 classes", "own has 3", "my-angry", "hint:", "dense"}));
  ASSERT_EQ(mien(training()).status, 0);
  EXPECT_TRUE(refused(mien({"eval", "runs/train/small", "own"}), 3, {"neutral", "my-happy"}));
  EXPECT_EQ(mien({"predict", "runs/train/small", "own"}).status, 0) << "labels are not asked for";
}

TEST_F(BadInput, APlaceThatCannotBeWrittenIsNamed) {
  EXPECT_TRUE(refused(mien(training({"--project", "/proc/none"})), 1, {"/proc/none/small", "--project"}));
  write("file", "text");
  EXPECT_TRUE(refused(mien(training({"--project", "file"})), 1, {"file/small", "--project"}));
}

TEST_F(BadInput, ExistOkDoesNotEmptyAFolderThatIsNoRun) {
  write("runs/train/small/thesis.txt", "years of work");
  EXPECT_TRUE(refused(mien(training({"--exist-ok"})), 2, {"runs/train/small", "no run folder", "--name"}));
  EXPECT_EQ(read("runs/train/small/thesis.txt"), "years of work");
}

TEST_F(BadInput, AFullDiskKeepsWhatWasSavedAndASecondStartGoesOn) {
  ASSERT_EQ(mien(training({"--name", "whole"})).status, 0);
  // The weights (8 kB) fit, the checkpoint with Adam's moments does not.
  const Outcome outcome = mien(training({"--name", "full"}), {.largest_file_bytes = 12000});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("File too large"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("free some space"), std::string::npos);
  const Outcome again = mien(training({"--name", "full"}));
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(read("runs/train/full/weights/best.safetensors"), read("runs/train/whole/weights/best.safetensors"));
}

TEST_F(BadInput, AFileThatIsReadIsNotReplaced) {
  write("faces.csv", faces_csv());
  for (const char* out : {"faces.csv", "./faces.csv"}) {
    EXPECT_TRUE(refused(mien({"data", "convert", "faces.csv", out}), 2, {out, "would be replaced"}));
    EXPECT_TRUE(refused(mien({"data", "preview", "faces.csv", "--out", out}), 2, {out, "would be replaced"}));
  }
  EXPECT_EQ(read("faces.csv"), faces_csv());
}

TEST_F(BadInput, AFileOfAnotherTaskIsNotReplaced) {
  write("faces.csv", faces_csv());
  write("thesis.txt", "a year's work");
  EXPECT_TRUE(refused(mien({"data", "convert", "drawn:7", "faces.csv"}), 2, {"faces.csv exists", "--exist-ok"}));
  EXPECT_TRUE(refused(mien({"data", "draw", ".", "--draw-count", "1"}), 2, {"faces.csv exists", "--exist-ok"}));
  EXPECT_TRUE(
      refused(mien({"predict", "small", "drawn:7", "--out", "thesis.txt"}), 2, {"thesis.txt", "stays as it is"}));
  EXPECT_TRUE(refused(mien({"explain", "small", "drawn:7", "--out", "thesis.txt"}), 1, {"--out: cannot write into"}));
  EXPECT_EQ(read("faces.csv"), faces_csv());
  EXPECT_EQ(read("thesis.txt"), "a year's work");
  EXPECT_EQ(mien({"data", "convert", "drawn:7", "faces.csv", "--exist-ok"}).status, 0);
}

TEST_F(BadInput, ANameLongerThanAFileSystemTakesIsRefusedBeforeDataIsRead) {
  EXPECT_TRUE(refused(mien(training({"--name", std::string(300, 'n')})), 2, {"--name is 300 bytes long", "240"}));
}

TEST_F(BadInput, OptionsWithoutEffectAreRefused) {
  const auto train = [&](const std::vector<std::string>& more) {
    return mien(std::vector<std::string>{"train", "--data", "drawn:70"} + more);
  };
  EXPECT_TRUE(refused(train({"--momentum", "0.5"}), 2, {"--momentum has no effect with --opt adam", "sgd or rmsprop"}));
  EXPECT_TRUE(refused(train({"--decay-epochs", "3"}), 2, {"--decay-epochs", "--sched step"}));
  EXPECT_TRUE(refused(train({"--patience", "3", "--validation", "none"}), 2, {"--patience", "--validation none"}));
  EXPECT_TRUE(refused(train({"--vote", "weighted"}), 2, {"--vote", "--members"}));
  EXPECT_TRUE(refused(train({"--holdout", "0.2", "--members", "1"}), 2, {"--holdout", "--members 1"}));
  EXPECT_TRUE(refused(train({"--class-weight-beta", "0.9"}), 2, {"--class-weight-beta", "effective"}));
  EXPECT_TRUE(refused(train({"--ferplus-labels", "distribution"}), 2, {"--ferplus-labels", "without --ferplus"}));
  EXPECT_TRUE(refused(mien({"data", "preview", "drawn:70"}), 2, {"no augmentation", "--flip"}));
  EXPECT_TRUE(refused(mien({"data", "info", "drawn:70", "--drop-leaks"}), 2, {"no option"}));
  EXPECT_TRUE(refused(mien({"data", "preview", "drawn:70", "--mixup", "0.4"}), 2, {"no option"}));
}

TEST_F(BadInput, AHintNamesOnlyOptionsThatTheCommandHas) {
  ASSERT_EQ(mien(training()).status, 0);
  write("bad.csv", with(3, " ", " 256 256"));
  const std::vector<std::vector<std::string>> mistakes{{"data", "info", "none.csv"},
                                                       {"data", "info", "bad.csv"},
                                                       {"data", "check", "bad.csv"},
                                                       {"predict", "runs/train/small", "bad.csv"},
                                                       {"predict", "none", "faces.csv"},
                                                       {"eval", "runs/train/small", "bad.csv"},
                                                       {"eval", "runs/train/small", "none.csv"},
                                                       {"explain", "runs/train/small", "bad.csv"},
                                                       {"inside", "outputs", "runs/train/small", "bad.csv"},
                                                       {"train"},
                                                       {"lr-find"},
                                                       {"run", "demo", "--data", "none.csv"},
                                                       {"report", "none"},
                                                       {"compare", "runs/train/small", "none"}};
  for (const std::vector<std::string>& words : mistakes) {
    const Outcome outcome = mien(words);
    EXPECT_NE(outcome.status, 0) << words.front();
    const size_t hint = outcome.err.find("hint: ");
    if (hint == std::string::npos) continue;
    const bool has_two_words = words.front() == "data" || words.front() == "inside";
    std::vector<std::string> ask(words.begin(), words.begin() + (has_two_words ? 2 : 1));
    const std::string help = mien(ask + std::vector<std::string>{"--help-all"}).out;
    for (size_t i = outcome.err.find("--", hint); i != std::string::npos; i = outcome.err.find("--", i + 2)) {
      const size_t end = outcome.err.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-", i);
      const std::string option = outcome.err.substr(i, end - i);
      EXPECT_TRUE(help.find("  " + option) != std::string::npos ||
                  help.find("--[no-]" + option.substr(2)) != std::string::npos)
          << words.front() << ": " << outcome.err;
    }
  }
}

TEST_F(BadInput, AFullStandardOutputIsAnError) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  for (const char* words :
       {"--help", "networks show leaky4", "networks list", "train --help", "reference", "--version"}) {
    const std::string command = std::string(MIEN_PROGRAM) + " " + words + " > /dev/full";
    const Outcome outcome = Child({"-c", command}, path("."), {.program = "/bin/sh"}).wait();
    EXPECT_TRUE(refused(outcome, 1, {"cannot write to standard output: No space left on device"})) << words;
    const Outcome closed =
        Child({"-c", std::string(MIEN_PROGRAM) + " " + words + " >&-"}, path("."), {.program = "/bin/sh"}).wait();
    EXPECT_TRUE(refused(closed, 1, {"cannot write to standard output"})) << words;
  }
}

TEST_F(BadInput, AReaderThatIsGoneEndsWithoutAWord) {
  const std::string command = "(sleep 0.3; " + std::string(MIEN_PROGRAM) + " reference; echo $? > status) | true";
  const Outcome outcome = Child({"-c", command}, path("."), {.program = "/bin/sh"}).wait();
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(read("status"), "1\n");
}

}  // namespace
}  // namespace mien
