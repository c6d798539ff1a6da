#include "mien/data/readers/folder_reader.h"

#include <algorithm>
#include <fstream>

#include "data/data_testing.h"

#include "mien/data/readers/image_io.h"

namespace mien::data {
namespace {

class FolderReader : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_image_files()) GTEST_SKIP() << "this build has no support for picture files (MIEN_WITH_VISION is off)";
  }

  /// A picture of 2 x side by 2 x side pixels whose 2x2 blocks have the means `level`, level + 1, ...
  void add(const std::string& name, uint8_t level, int64_t side = 4) const {
    std::vector<uint8_t> pixels;
    for (int64_t y = 0; y < 2 * side; ++y) {
      for (int64_t x = 0; x < 2 * side; ++x) {
        const auto mean = level + y / 2 * side + x / 2;
        pixels.push_back(static_cast<uint8_t>(mean + ((x + y) % 2 == 0 ? 10 : -10)));
      }
    }
    write_png_gray(folder_.path() / name, pixels, 2 * side, 2 * side);
  }

  Dataset read(FolderOptions options = {.side = 4}, ProgressListener& listener = silent_listener()) const {
    return read_folder(folder_.path(), options, listener);
  }

  const TemporaryFolder folder_;
};

TEST_F(FolderReader, ShrinksToTheMeanOfEachPixelsArea) {
  add("happy/a.png", 20);
  const Dataset dataset = read();
  ASSERT_EQ(dataset.pixels.size(), 16U);
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(dataset.pixels[i], 20 + i);
}

TEST_F(FolderReader, GivesKnownExpressionsTheirLabelsInFer2013) {
  add("Happiness/a.png", 20);
  add("ANGER/b.png", 30);
  add("sad/c.png", 40);
  add("sad/a.png", 50);
  folder_.write("sad/notes.txt", "no picture");
  folder_.write("readme.md", "no class");
  const Dataset dataset = read();
  EXPECT_EQ(dataset.labels, (std::vector<int32_t>{0, 3, 4, 4}));  // ANGER, Happiness, sad/a, sad/c
  EXPECT_EQ(dataset.pixels[2 * 16], 50);
  EXPECT_EQ(dataset.classes(), 7);
  EXPECT_EQ(dataset.class_names[3], "happy");
  EXPECT_EQ(dataset.ids, (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST_F(FolderReader, TakesUnknownFolderNamesAsClassesOfTheirOwn) {
  add("happy/a.png", 20);
  add("bored/a.png", 30);
  const Dataset dataset = read();
  EXPECT_EQ(dataset.class_names, (std::vector<std::string>{"bored", "happy"}));
  EXPECT_EQ(dataset.labels, (std::vector<int32_t>{0, 1}));
}

TEST_F(FolderReader, TakesUsageFromTrainAndTestFolders) {
  add("test/fear/a.png", 20);
  add("train/neutral/a.png", 30);
  const Dataset dataset = read();
  EXPECT_TRUE(dataset.usages == (std::vector{Usage::public_test, Usage::training}));
  EXPECT_EQ(dataset.labels, (std::vector<int32_t>{2, 6}));
}

TEST_F(FolderReader, TakesTrainValidationAndTestAsThreeParts) {
  for (const char* validation : {"val", "Valid", "validation_set"}) {
    const TemporaryFolder folder;
    std::vector<uint8_t> pixels(64, 100);
    for (const std::string part : {"train", validation, "test"}) {
      write_png_gray(folder.path() / part / "fear/a.png", pixels, 8, 8);
    }
    const Dataset dataset = read_folder(folder.path(), {.side = 4}, silent_listener());
    ASSERT_EQ(dataset.size(), 3) << validation;
    for (int64_t i = 0; i < 3; ++i) {
      const auto at = static_cast<size_t>(i);
      const std::string& file = dataset.files[at];
      EXPECT_EQ(dataset.usages[at],
                file.starts_with("train")  ? Usage::training
                : file.starts_with("test") ? Usage::private_test
                                           : Usage::public_test);
    }
  }
}

TEST_F(FolderReader, PassesOverAndNamesFoldersBesideTrainAndTest) {
  add("train/happy/a.png", 20);
  add("test/sad/a.png", 30);
  add("__MACOSX/train/happy/b.png", 40);
  add("models/preview.png", 50);
  add("runs/train/leaky4/train_batch0.png", 60);
  folder_.write("runs/train/leaky4/run.json", "{}");
  add(".ipynb_checkpoints/c.png", 70);
  RecordingListener listener;
  const Dataset dataset = read({.side = 4}, listener);
  EXPECT_EQ(dataset.files, (std::vector<std::string>{"test/sad/a.png", "train/happy/a.png"}));
  EXPECT_EQ(dataset.classes(), 7);
  ASSERT_EQ(listener.warnings.size(), 1U);
  for (const char* name : {"__MACOSX", "models", "runs", ".ipynb_checkpoints"}) {
    EXPECT_NE(listener.warnings[0].find(name), std::string::npos) << name;
  }
}

TEST_F(FolderReader, NeverTakesWhatMienWroteAsData) {
  add("leaky4/confusion_matrix.png", 20);
  folder_.write("leaky4/run.json", "{}");
  EXPECT_NE(std::string(error_of([&] { read_folder(folder_.path() / "leaky4", {}, silent_listener()); }).what())
                .find("mien wrote this folder"),
            std::string::npos);
  EXPECT_EQ(error_of([&] { read(); }).code(), ErrorCode::bad_data);
}

TEST_F(FolderReader, FindsDataOneLevelBelowTheNamedFolder) {
  add("archive/train/happy/a.png", 20);
  add("archive/train/sad/a.png", 20);
  EXPECT_EQ(read().files[0], "archive/train/happy/a.png");
  add("other/happy/a.png", 20);
  add("other/sad/a.png", 20);
  EXPECT_NE(std::string(error_of([&] { read(); }).what()).find("expected one data set"), std::string::npos);
}

TEST_F(FolderReader, AsksWhatNumberedFoldersMean) {
  for (const char* number : {"1", "2", "6"}) add(std::string(number) + "/a.png", 20);
  EXPECT_NE(error_of([&] { read(); }).hint().find("--classes"), std::string::npos);
  const Dataset fer = read({.side = 4, .classes = "fer2013"});
  EXPECT_EQ(fer.labels, (std::vector<int32_t>{1, 2, 6}));
  const Dataset raf =
      read({.side = 4, .classes = "1=Surprise,2=Fear,3=Disgust,4=Happiness,5=Sadness,6=Anger,7=Neutral"});
  EXPECT_EQ(raf.labels, (std::vector<int32_t>{5, 2, 0})) << "in FER2013's order";
  EXPECT_EQ(raf.class_names[0], "angry");
  EXPECT_EQ(read({.side = 4, .labels = false}).labels, (std::vector<int32_t>{-1, -1, -1}))
      << "predictions ask for none";
}

TEST_F(FolderReader, KeepsSynonymsAndLetterCaseBesideAnUnknownClass) {
  add("train/Anger/a.png", 20);
  add("train/Contempt/a.png", 20);
  add("train/Happiness/a.png", 20);
  add("test/happy/a.png", 20);
  add("test/contempt/a.png", 20);
  const Dataset dataset = read();
  EXPECT_EQ(dataset.class_names, (std::vector<std::string>{"angry", "Contempt", "happy"}));
  EXPECT_EQ(dataset.labels, (std::vector<int32_t>{1, 2, 0, 1, 2}));
}

TEST_F(FolderReader, ReadsAFlatFolderAndOnePictureAsUnlabeledFaces) {
  add("a.png", 20);
  add("b.png", 30);
  const Dataset flat = read();
  EXPECT_EQ(flat.labels, (std::vector<int32_t>{kUnlabeled, kUnlabeled}));
  EXPECT_EQ(flat.files, (std::vector<std::string>{"a.png", "b.png"}));
  const Dataset one = read_folder(folder_.path() / "b.png", {.side = 4}, silent_listener());
  EXPECT_EQ(one.size(), 1);
  EXPECT_EQ(one.files[0], "b.png");
}

TEST_F(FolderReader, ReadsPicturesByTheirContentAndCountsWhatItPassesOver) {
  add("happy/a.png", 20);
  std::filesystem::copy_file(folder_.path() / "happy/a.png", folder_.path() / "happy/no_ending");
  folder_.write("happy/b.gif", "GIF89a");
  folder_.write("happy/c.gif", "GIF89a");
  folder_.write("happy/notes.txt", "text");
  RecordingListener listener;
  EXPECT_EQ(read({.side = 4}, listener).size(), 2);
  ASSERT_EQ(listener.warnings.size(), 1U);
  EXPECT_NE(listener.warnings[0].find("2 .gif files"), std::string::npos) << listener.warnings[0];
  EXPECT_NE(listener.warnings[0].find("1 .txt file"), std::string::npos);
}

TEST_F(FolderReader, RefusesAClassFolderWhoseNameIsNotUtf8) {
  add("happy/a.png", 20);
  add("sad\xff/a.png", 20);
  EXPECT_NE(std::string(error_of([&] { read(); }).what()).find("not UTF-8"), std::string::npos);
}

TEST_F(FolderReader, ReadsColorIntoThreePlanes) {
  std::filesystem::create_directories(folder_.path() / "happy");
  write_png_rgb(folder_.path() / "happy/a.png",
                std::vector<uint8_t>{200, 100, 50, 200, 100, 50, 200, 100, 50, 200, 100, 50},
                2,
                2);
  const Dataset dataset = read({.side = 2, .channels = 3});
  EXPECT_EQ(dataset.channels, 3);
  EXPECT_EQ(dataset.pixels, (std::vector<uint8_t>{200, 200, 200, 200, 100, 100, 100, 100, 50, 50, 50, 50}));
}

TEST_F(FolderReader, NamesThePictureThatCannotBeRead) {
  add("happy/a.png", 20);
  folder_.write("happy/b.png", "this is no picture");
  folder_.write("sad/c.jpg", "");
  const Error error = error_of([&] { read(); });
  EXPECT_EQ(error.code(), ErrorCode::bad_data);
  EXPECT_NE(std::string(error.what()).find("happy/b.png"), std::string::npos);
  RecordingListener listener;
  const Dataset dataset = read({.skip_bad_images = true, .side = 4}, listener);
  EXPECT_EQ(dataset.size(), 1);
  ASSERT_EQ(listener.warnings.size(), 1U);
  EXPECT_NE(listener.warnings[0].find("left out 2 of 3 pictures"), std::string::npos);
}

TEST_F(FolderReader, SaysWhichPicturesItStretchesAndWhatPhotographsNeed) {
  const std::vector<uint8_t> gray(12 * 8, 90);
  write_png_gray(folder_.path() / "happy/face.png", std::span(gray).first(64), 8, 8);
  write_png_gray(folder_.path() / "sad/portrait.png", gray, 12, 8);
  RecordingListener listener;
  read({.side = 4}, listener);
  ASSERT_EQ(listener.warnings.size(), 1U);
  EXPECT_NE(listener.warnings[0].find("1 of 2 pictures are not square"), std::string::npos) << listener.warnings[0];
  EXPECT_NE(listener.warnings[0].find("sad/portrait.png. Photographs"), std::string::npos);
  EXPECT_NE(listener.warnings[0].find("--find-faces"), std::string::npos);
}

TEST_F(FolderReader, ReportsFoldersWithoutPictures) {
  EXPECT_NE(std::string(error_of([&] { read(); }).what()).find("no pictures found"), std::string::npos);
  EXPECT_EQ(error_of([&] { read_folder(folder_.path() / "none", {}, silent_listener()); }).code(), ErrorCode::bad_data);
}

TEST_F(FolderReader, GivesTheSameWhateverTheThreads) {
  for (int i = 0; i < 40; ++i) add("happy/" + std::to_string(i) + ".png", static_cast<uint8_t>(20 + i));
  set_threads(1);
  const Dataset one = read();
  const ThreadCount use(2);
  const Dataset two = read();
  expect_same(one, two);
  EXPECT_EQ(one.checksum, two.checksum);
}

TEST_F(FolderReader, PngKeepsEveryPixelAndTheOrderOfColors) {
  std::vector<uint8_t> gray;
  for (int i = 0; i < 6 * 5; ++i) gray.push_back(static_cast<uint8_t>(i * 8));
  write_png_gray(folder_.path() / "gray.png", gray, 6, 5);
  const GrayImage back = read_gray_image(folder_.path() / "gray.png");
  EXPECT_EQ(back.height, 6);
  EXPECT_EQ(back.width, 5);
  EXPECT_EQ(back.pixels, gray);
  write_png_rgb(folder_.path() / "red.png", std::vector<uint8_t>{255, 0, 0}, 1, 1);
  write_png_rgb(folder_.path() / "blue.png", std::vector<uint8_t>{0, 0, 255}, 1, 1);
  // gray of pure red and blue: 0.299 and 0.114 of white
  EXPECT_NEAR(read_gray_image(folder_.path() / "red.png").pixels[0], 76, 1);
  EXPECT_NEAR(read_gray_image(folder_.path() / "blue.png").pixels[0], 29, 1);
}

TEST_F(FolderReader, SurvivesDamagedPictures) {
  add("happy/a.png", 20);
  const std::string good = read_text(folder_.path() / "happy/a.png");
  RandomStream random(3, "png damage");
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bytes = good;
    for (uint64_t edits = 1 + random.below(4); edits > 0; --edits) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    }
    if (random.below(3) == 0) bytes.resize(random.below(bytes.size()));
    const auto path = folder_.path() / "damaged.png";
    std::ofstream(path, std::ios::binary) << bytes;
    try {
      const GrayImage image = read_gray_image(path);
      ASSERT_EQ(image.pixels.size(), static_cast<size_t>(image.height * image.width));
    } catch (const Error& error) {
      ++refused;
      ASSERT_EQ(error.code(), ErrorCode::bad_data);
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(FolderReaderWithoutVision, SaysThatTheBuildLacksIt) {
  if (has_image_files()) GTEST_SKIP() << "this build reads picture files";
  const Error error = error_of([] { read_folder(".", {}, silent_listener()); });
  EXPECT_EQ(error.code(), ErrorCode::usage);
  EXPECT_NE(error.hint().find("MIEN_WITH_VISION"), std::string::npos);
}

}  // namespace
}  // namespace mien::data
