#include "mien/data/load.h"

#include <algorithm>

#include "data/data_testing.h"

#include "mien/data/class_weights.h"
#include "mien/data/csv_writer.h"
#include "mien/data/leak_check.h"
#include "mien/data/readers/image_io.h"
#include "mien/data/split.h"
#include "mien/data/synthetic/drawn_faces.h"

namespace mien::data {
namespace {

TEST(Load, ReadsACsvAndKeepsAFractionOfEveryClassThatMayTrain) {
  const TemporaryFolder folder;
  Dataset dataset = random_dataset(280, 8);
  for (size_t row = 0; row < 280; ++row) dataset.usages[row] = row < 210 ? Usage::training : Usage::public_test;
  const auto path = folder.path() / "faces.csv";
  write_csv(dataset, path);
  DataOptions options{.data = path.string()};
  expect_same(load(options, silent_listener()), dataset);
  options.fraction = 0.1;
  const Dataset part = load(options, silent_listener());
  ASSERT_EQ(part.size(), 21 + 70);
  const Split split = make_split(part, {.validation = "none"});
  EXPECT_EQ(class_counts(part, split.training), std::vector<int64_t>(7, 3));
  EXPECT_EQ(split.test.size(), 70U);
  EXPECT_EQ(load(options, silent_listener()).ids, part.ids);
  options.data_seed = 1;
  EXPECT_NE(load(options, silent_listener()).ids, part.ids);
}

TEST(Load, DrawsAsManyFacesAsAsked) {
  const Dataset ten = load({.data = "drawn:10"}, silent_listener());
  EXPECT_EQ(ten.size(), 10);
  EXPECT_EQ(ten.evidence.size(), 10U * 48 * 48);
  const Dataset three = load({.data = "drawn:3"}, silent_listener());
  EXPECT_TRUE(std::equal(three.pixels.begin(), three.pixels.end(), ten.pixels.begin()));
  EXPECT_FALSE(load({.data = "drawn:3", .data_seed = 1}, silent_listener()).pixels == three.pixels);
}

TEST(Load, ReadsAFolderOfPictures) {
  if (!has_image_files()) GTEST_SKIP() << "this build has no support for picture files (MIEN_WITH_VISION is off)";
  const TemporaryFolder folder;
  write_png_gray(folder.path() / "sad" / "a.png", std::vector<uint8_t>(100, 9), 10, 10);
  const Dataset dataset = load({.data = folder.path().string(), .image_side = 16}, silent_listener());
  EXPECT_EQ(dataset.width, 16);
  EXPECT_EQ(dataset.labels, std::vector<int32_t>{4});
  EXPECT_EQ(dataset.face_name(0), "sad/a.png");
}

TEST(Load, ARowKeepsItsNumberInTheFileWhateverIsLeftOut) {
  const TemporaryFolder folder;
  Dataset dataset = random_dataset(70, 8);
  for (size_t row = 0; row < 70; ++row) dataset.usages[row] = row < 63 ? Usage::training : Usage::public_test;
  const auto path = folder.path() / "faces.csv";
  write_csv(dataset, path);
  std::string text = read_text(path);
  text.insert(text.find('\n', text.find('\n') + 1) + 1, "9,1 2 3,Training\n\n");  // a bad row, and a line that is none
  write_atomic(path, text);
  for (const double fraction : {1.0, 0.25}) {
    const Dataset part = load({.data = path.string(), .fraction = fraction, .skip_bad_rows = true}, silent_listener());
    ASSERT_EQ(part.size(), fraction == 1 ? 70 : 16 + 7);
    for (int64_t i = 0; i < part.size(); ++i) {
      const int64_t row = part.row_of(i) - (part.row_of(i) > 1 ? 1 : 0);  // in `dataset`, which has no bad row 1
      EXPECT_TRUE(std::ranges::equal(part.image(i), dataset.image(row))) << i;
      EXPECT_EQ(part.index_of(part.row_of(i)), i);
      EXPECT_EQ(part.face_name(i), "row " + std::to_string(part.row_of(i)));
    }
    EXPECT_EQ(part.index_of(1), std::nullopt);
  }
}

TEST(Load, ChecksumTellsFractionsAndFerPlusApartAndStillKnowsTheSource) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "faces.csv";
  write_csv(random_dataset(70, 8), path);
  std::string votes = "Usage,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n";
  for (int row = 0; row < 70; ++row)
    votes += row == 3 ? "Training,0,0,0,0,0,0,0,0,0,9\n" : "Training,9,0,0,0,0,0,0,0,0,0\n";
  const DataOptions plain{.data = path.string()};
  DataOptions part = plain;
  part.fraction = 0.5;
  DataOptions other_part = part;
  other_part.data_seed = 1;
  DataOptions voted = plain;
  voted.ferplus = folder.write("votes.csv", votes).string();
  std::vector<std::string> checksums;
  for (const DataOptions& options : {plain, part, other_part, voted}) {
    const Dataset dataset = load(options, silent_listener());
    checksums.push_back(dataset.checksum);
    EXPECT_EQ(dataset.source_checksum, checksums.front());
    EXPECT_EQ(dataset.label_source, options.ferplus.empty() ? "" : "FER+ majority");
  }
  std::sort(checksums.begin(), checksums.end());
  EXPECT_EQ(std::unique(checksums.begin(), checksums.end()), checksums.end());
  const Dataset kept = load(voted, silent_listener());
  EXPECT_EQ(kept.row_of(3), 4);
}

TEST(Load, PassesSkipBadRowsOn) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "faces.csv";
  write_csv(random_dataset(3, 8), path);
  write_atomic(path, read_text(path) + "9,1 2 3,\n");
  EXPECT_EQ(error_of([&] { load({.data = path.string()}, silent_listener()); }).code(), ErrorCode::bad_data);
  EXPECT_EQ(load({.data = path.string(), .skip_bad_rows = true}, silent_listener()).size(), 3);
}

TEST(Load, SaysWhatItCannotLoad) {
  const auto code = [](const char* data) { return error_of([&] { load({.data = data}, silent_listener()); }).code(); };
  EXPECT_EQ(code(""), ErrorCode::usage);
  EXPECT_EQ(code("drawn:"), ErrorCode::usage);
  EXPECT_EQ(code("drawn:0"), ErrorCode::usage);
  EXPECT_EQ(code("drawn:99999999999999"), ErrorCode::usage);
  EXPECT_EQ(code("/no/such/file.csv"), ErrorCode::bad_data);
}

TEST(Load, OptionsOfTheFolderBindWithoutClashes) {
  OptionSet options;
  DataOptions data;
  SplitOptions split;
  ClassWeightOptions weights;
  LeakOptions leaks;
  data.bind(options);
  split.bind(options);
  weights.bind(options);
  leaks.bind(options);
  options.set("data", "x.csv", Origin::command_line, "--data x.csv");
  options.set("class-weights", "effective", Origin::command_line, "");
  options.set("drop-leaks", "true", Origin::command_line, "");
  EXPECT_EQ(data.data, "x.csv");
  EXPECT_TRUE(data.drop_leaks);
  EXPECT_EQ(weights.class_weights, "effective");
  EXPECT_EQ(error_of([&] { options.set("fraction", "0", Origin::command_line, ""); }).code(), ErrorCode::usage);
}

}  // namespace
}  // namespace mien::data
