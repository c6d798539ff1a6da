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
  add("validation/fear/a.png", 20);
  EXPECT_NE(std::string(error_of([&] { read(); }).what()).find("both a validation and a test folder"),
            std::string::npos);
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
