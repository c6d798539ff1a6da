#include "mien/runs/run_document.h"

#include <algorithm>
#include <numeric>

#include "core/expect_error.h"
#include "support/small_experiment.h"
#include <nlohmann/json.hpp>

#include "mien/core/files.h"
#include "mien/data/load.h"
#include "mien/data/readers/image_io.h"
#include "mien/recipes/run_recipe.h"
#include "mien/runs/face_sheets.h"

namespace mien::runs {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

class FaceSheetFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (!data::has_image_files()) GTEST_SKIP() << "needs picture files";
  }
};

TEST_F(FaceSheetFiles, KeepEveryPixelOfEveryFace) {
  const fs::path folder = fresh_folder("sheets");
  data::DataOptions options;
  options.data = "drawn:1050";
  const data::Dataset dataset = data::load(options, silent_listener());
  std::vector<int64_t> indices(static_cast<size_t>(dataset.size()));
  std::iota(indices.rbegin(), indices.rend(), 0);
  write_face_sheets(folder, "val", dataset, indices);
  const auto faces = read_face_sheets(folder, "val");
  ASSERT_TRUE(faces);
  EXPECT_EQ(faces->count, dataset.size());
  ASSERT_EQ(faces->sheets.size(), 2U);
  for (const int64_t i : {int64_t{0}, int64_t{33}, int64_t{1023}, int64_t{1024}, dataset.size() - 1}) {
    const data::RgbImage sheet = data::read_rgb_image(faces->sheets[static_cast<size_t>(i / faces->per_sheet)]);
    const int64_t inside = i % faces->per_sheet;
    const int64_t x0 = inside % faces->columns * faces->width;
    const int64_t y0 = inside / faces->columns * faces->height;
    const auto image = dataset.image(indices[static_cast<size_t>(i)]);
    int64_t different = 0;
    for (int64_t y = 0; y < 48; ++y) {
      for (int64_t x = 0; x < 48; ++x) {
        const size_t at = static_cast<size_t>(3 * ((y0 + y) * sheet.width + x0 + x));
        different += sheet.pixels[at] != image[static_cast<size_t>(y * 48 + x)];
      }
    }
    EXPECT_EQ(different, 0) << "face " << i;
  }
}

TEST_F(FaceSheetFiles, OutsideTheirFolderAreRefused) {
  const fs::path folder = fresh_folder("outside");
  write_atomic(folder / "faces" / "val.json",
               R"({"width":48,"height":48,"columns":32,"per_sheet":1024,"count":3,"sheets":["../../secret.webp"]})");
  EXPECT_TRUE(
      contains(error_line(ErrorCode::bad_data, [&] { read_face_sheets(folder, "val"); }), "expected a file beside it"));
}

TEST_F(FaceSheetFiles, ThatDoNotFitTheirDescriptionAreRefused) {
  const fs::path folder = fresh_folder("unfit");
  for (const char* text : {R"({"width":0,"height":48,"columns":32,"per_sheet":1024,"count":3,"sheets":["a.webp"]})",
                           R"({"width":48,"height":48,"columns":32,"per_sheet":1024,"count":3,"sheets":[]})",
                           R"({"width":"48"})",
                           "[",
                           "7"}) {
    write_atomic(folder / "faces" / "val.json", text);
    EXPECT_FALSE(error_line(ErrorCode::bad_data, [&] { read_face_sheets(folder, "val"); }).empty()) << text;
  }
}

class RunDocument : public testing::Test {
 protected:
  static nlohmann::json read(EmbeddedPictures& pictures) {
    return nlohmann::json::parse(run_document(read_run(small_leaky_run()), pictures));
  }
};

TEST_F(RunDocument, HoldsWhatWasPredictedOfEveryJudgedFace) {
  EmbeddedPictures pictures;
  const auto json = read(pictures);
  const auto& run = json.at("runs").at(0);
  EXPECT_EQ(run.at("best_epoch"), read_run(small_leaky_run()).best_epoch);
  ASSERT_FALSE(run.at("parts").empty());
  for (const auto& part : run.at("parts")) {
    const size_t count = part.at("rows").size();
    const size_t classes = part.at("classes").size();
    ASSERT_GT(count, 0U);
    EXPECT_EQ(part.at("predicted").size(), count);
    EXPECT_EQ(part.at("losses").size(), count);
    ASSERT_EQ(part.at("probabilities").size(), count * classes);
    int64_t sum = 0;
    for (size_t k = 0; k < classes; ++k) sum += part.at("probabilities").at(k).get<int64_t>();
    EXPECT_NEAR(static_cast<double>(sum), 10'000, 5);
    int64_t in_matrix = 0;
    for (const auto& row : part.at("metrics").at("confusion")) {
      for (const auto& cell : row) in_matrix += cell.get<int64_t>();
    }
    EXPECT_EQ(in_matrix, static_cast<int64_t>(count));
  }
  EXPECT_GT(run.at("network").at("layers").size(), 5U);
  EXPECT_EQ(run.at("class_counts").at("names").size(), 7U);
}

TEST_F(RunDocument, LeavesOutPicturesBeyondItsBudget) {
  const fs::path folder = fresh_folder("budget");
  if (!data::has_image_files()) GTEST_SKIP() << "needs picture files";
  std::vector<uint8_t> gray(64 * 64);
  for (int i = 0; i < 3; ++i) {
    std::fill(gray.begin(), gray.end(), static_cast<uint8_t>(60 * i));
    data::write_png_gray(folder / (std::to_string(i) + ".png"), gray, 64, 64);
  }
  EmbeddedPictures pictures(300);
  const std::string first = pictures.add(folder / "0.png");
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(pictures.add(folder / "0.png"), first) << "each picture once";
  for (int i = 1; i < 3; ++i) pictures.add(folder / (std::to_string(i) + ".png"));
  EXPECT_GT(pictures.left_out(), 0);
  EXPECT_LT(pictures.json().size(), 400U);
}

TEST_F(RunDocument, OfAFolderWithoutFacesIsStillWritten) {
  const fs::path run = fresh_folder("old") / "run";
  fs::copy(small_leaky_run(), run, fs::copy_options::recursive);
  fs::remove_all(run / "faces");
  EmbeddedPictures pictures;
  const auto json = nlohmann::json::parse(run_document(read_run(run), pictures));
  for (const auto& part : json.at("runs").at(0).at("parts")) EXPECT_TRUE(part.at("faces").is_null());
}

TEST_F(RunDocument, PlainPageHasNoScript) {
  const fs::path run = fresh_folder("plain") / "run";
  fs::copy(small_leaky_run(), run, fs::copy_options::recursive);
  recipes::report_task(run, silent_listener(), PageKind::plain);
  EXPECT_FALSE(contains(read_text(run / "report.html"), "<script"));
  recipes::report_task(run, silent_listener());
  EXPECT_TRUE(contains(read_text(run / "report.html"), "id=\"document\""));
}

}  // namespace
}  // namespace mien::runs
