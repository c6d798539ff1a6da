#include "mien/data/faces/find_faces.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "data/data_testing.h"

#include "mien/data/faces/crop.h"
#include "mien/data/load.h"

namespace mien::data {
namespace {

const std::filesystem::path kAstronaut =
    std::filesystem::path(MIEN_SOURCE_DIR) / "tests" / "fixtures" / "photographs" / "astronaut.jpg";

class FindFaces : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_image_files()) GTEST_SKIP() << "this build has no support for picture files (MIEN_WITH_VISION is off)";
    try {
      finder_ = std::make_unique<FaceFinder>(FindFacesOptions{});
    } catch (const Error& error) {
      GTEST_SKIP() << error.line();
    }
    astronaut_ = read_gray_image(kAstronaut);
  }
  static GrayImage flat(int64_t height, int64_t width, uint8_t level) {
    return {height, width, std::vector<uint8_t>(static_cast<size_t>(height * width), level)};
  }

  const TemporaryFolder folder_;
  GrayImage astronaut_;
  std::unique_ptr<FaceFinder> finder_;
};

TEST_F(FindFaces, FindsTheAstronautAndHerEyes) {
  const auto faces = finder_->find(astronaut_);
  ASSERT_EQ(faces.size(), 1U);
  const FaceBox& box = faces[0].box;
  EXPECT_NEAR(box.center_x(), 225, 12);
  EXPECT_NEAR(box.center_y(), 118, 15);
  EXPECT_NEAR(box.side(), 105, 22);
  EXPECT_EQ(finder_->find(read_rgb_image(kAstronaut)).size(), 1U);
  ASSERT_TRUE(faces[0].eyes.has_value());
  EXPECT_LT(faces[0].eyes->left_x, faces[0].eyes->right_x);
  EXPECT_NEAR(faces[0].eyes->degrees(), 0, 12);
}

TEST_F(FindFaces, FindsTheSameFaceAtTwentyAndAtFourThousandPixels) {
  const FaceBox box = finder_->find(astronaut_).at(0).box;
  const double small = 20 / box.side();
  const auto side = std::llround(512 * small);
  const auto tiny = finder_->find(resize_gray(astronaut_, side, side));
  ASSERT_EQ(tiny.size(), 1U);
  EXPECT_NEAR(tiny[0].box.side(), 20, 4);
  EXPECT_NEAR(tiny[0].box.center_x(), box.center_x() * small, 3);

  const FaceBox around{
      box.center_x() - 0.8 * box.side(), box.center_y() - 0.8 * box.side(), 1.6 * box.side(), 1.6 * box.side()};
  const auto huge = finder_->find(crop_gray(astronaut_, around, 6400));
  ASSERT_EQ(huge.size(), 1U);
  EXPECT_NEAR(huge[0].box.side(), 4000, 500);
}

TEST_F(FindFaces, FindsNoneWhereThereIsNone) {
  EXPECT_TRUE(finder_->find(flat(300, 200, 128)).empty());
  EXPECT_TRUE(finder_->find(flat(1, 1, 0)).empty());
  EXPECT_TRUE(finder_->find(flat(3, 4000, 0)).empty());
  GrayImage noise = flat(200, 300, 0);
  for (size_t i = 0; i < noise.pixels.size(); ++i) noise.pixels[i] = static_cast<uint8_t>((i * 2654435761U) >> 13);
  EXPECT_TRUE(finder_->find(noise).empty());
}

TEST_F(FindFaces, NamesADetectorFileThatIsNone) {
  const auto refused = [&](const std::string& file) {
    const Error error = error_of([&] { FaceFinder finder({.detector = file}); });
    EXPECT_EQ(error.code(), ErrorCode::usage);
    return std::string(error.what());
  };
  EXPECT_NE(refused((folder_.path() / "none.xml").string()).find("there is no such file"), std::string::npos);
  testing::internal::CaptureStderr();
  EXPECT_NE(refused(folder_.write("text.xml", "this is no cascade").string()).find("no cascade"), std::string::npos);
  EXPECT_NE(refused(folder_.write("text.onnx", "this is no network").string()).find("no YuNet"), std::string::npos);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "OpenCV's own lines reach the terminal";
}

TEST_F(FindFaces, OfAFolderCropsFacesAndNamesPicturesWithoutOne) {
  std::filesystem::create_directories(folder_.path() / "happy");
  std::filesystem::create_directories(folder_.path() / "sad");
  std::filesystem::copy_file(kAstronaut, folder_.path() / "happy" / "a.jpg");
  write_png_gray(folder_.path() / "sad" / "wall.png", flat(60, 60, 90).pixels, 60, 60);
  struct : ProgressListener {
    void line(std::string_view) override {}
    void warning(std::string_view text) override { words += text; }
    void progress(std::string_view, int64_t, int64_t, std::string_view) override {}
    std::string words;
  } heard;
  DataOptions options;
  options.data = folder_.path().string();
  options.find_faces = true;
  const Dataset faces = load(options, heard);
  ASSERT_EQ(faces.size(), 1);
  EXPECT_EQ(faces.class_names[static_cast<size_t>(faces.labels[0])], "happy");
  EXPECT_NE(heard.words.find("left out 1 of 2 pictures, 1 of them without a face"), std::string::npos) << heard.words;
  EXPECT_NE(heard.words.find("wall.png"), std::string::npos) << heard.words;
  const FaceBox square = crop_square(finder_->find(astronaut_).at(0).box, {});
  const GrayImage crop = crop_gray(read_rgb_image(kAstronaut), square, 48);
  EXPECT_TRUE(std::equal(crop.pixels.begin(), crop.pixels.end(), faces.pixels.begin()));

  std::filesystem::remove(folder_.path() / "happy" / "a.jpg");
  EXPECT_EQ(error_of([&] { load(options, heard); }).code(), ErrorCode::bad_data);
}

class Crop : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_image_files()) GTEST_SKIP() << "this build has no support for picture files (MIEN_WITH_VISION is off)";
  }
  /// Gray level 2x + y.
  static GrayImage slope(int64_t height, int64_t width) {
    GrayImage image{height, width, {}};
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) image.pixels.push_back(static_cast<uint8_t>(2 * x + y));
    }
    return image;
  }
};

TEST_F(Crop, TakesTheSquareItself) {
  const GrayImage image = slope(60, 80);
  const GrayImage same = crop_gray(image, {10, 5, 48, 48}, 48);
  EXPECT_EQ(same.pixels[0], 2 * 10 + 5);
  EXPECT_EQ(same.pixels.back(), 2 * 57 + 52);
  const GrayImage half = crop_gray(image, {10, 5, 48, 48}, 24);  // means of 2 x 2
  EXPECT_EQ(half.pixels[0], 2 * 10 + 5 + 2);
  const GrayImage twice = crop_gray(image, {10, 5, 24, 24}, 48);  // bilinear at quarters
  EXPECT_NEAR(twice.pixels[48 * 20 + 20], 2 * 19.75 + 14.75, 0.76);
}

TEST_F(Crop, RepeatsTheEdgeBeyondThePicture) {
  const GrayImage image = slope(60, 80);
  const GrayImage corner = crop_gray(image, {-48, -48, 96, 96}, 48);
  EXPECT_EQ(corner.pixels[0], 0);
  EXPECT_NEAR(corner.pixels[48 * 47 + 10], 46.5, 0.5);  // left of the picture: the mean of rows 46 and 47
  EXPECT_EQ(crop_gray(image, {-10, -10, 20, 20}, 48).pixels[0], 0);
}

TEST_F(Crop, RefusesSquaresOutsideThePicture) {
  const GrayImage image = slope(60, 80);
  for (const FaceBox& box : {FaceBox{80, 0, 10, 10},
                             FaceBox{0, -20, 10, 10},
                             FaceBox{0, 0, 0, 0},
                             FaceBox{0, 0, 1e9, 1e9},
                             FaceBox{NAN, 0, 10, 10}})
    EXPECT_EQ(error_of([&] { crop_gray(image, box, 48); }).code(), ErrorCode::usage);
}

TEST_F(Crop, RecipesTravelAsText) {
  const CropRecipe recipe{.detector = "yunet_2023", .scale = 1.25, .down = -0.05};
  EXPECT_EQ(CropRecipe::parse(recipe.text()), recipe);
  EXPECT_EQ(CropRecipe::of({{kCropKey, recipe.text()}}), recipe);
  EXPECT_EQ(CropRecipe::of({}), CropRecipe{});
  for (const char* text :
       {"", "a", "a scale 0 down 0", "a scale 1 down", "a scale 1 down 7", "a scale nan down 0", "a  scale 1 down 0"})
    EXPECT_EQ(error_of([&] { CropRecipe::parse(text); }).code(), ErrorCode::bad_data) << text;
}

TEST_F(Crop, TheUsersScaleOverrulesThatOfTheWeights) {
  const CropRecipe of_weights{.detector = "x", .scale = 1.2, .down = 0.1};
  EXPECT_EQ((CropOptions{}.resolve(of_weights, "haar")), (CropRecipe{"haar", 1.2, 0.1}));
  EXPECT_EQ((CropOptions{.scale = 0.9}.resolve(of_weights, "haar")), (CropRecipe{"haar", 0.9, 0}));
  const FaceBox square = crop_square({100, 100, 50, 50}, {.scale = 2, .down = 0.1});
  EXPECT_DOUBLE_EQ(square.x, 75);
  EXPECT_DOUBLE_EQ(square.y, 80);
  EXPECT_DOUBLE_EQ(square.side(), 100);
}

class Quality : public FindFaces {
 protected:
  std::string problems(const GrayImage& picture, const FoundFace& face) const {
    std::string words;
    for (const std::string& problem : face_quality(picture, face, crop_square(face.box, {})).problems)
      words += problem + "; ";
    return words;
  }
};

TEST_F(Quality, ASharpFaceIsReliable) {
  const FoundFace face = finder_->find(astronaut_).at(0);
  EXPECT_EQ(problems(astronaut_, face), "");
}

TEST_F(Quality, NamesWhatIsWrong) {
  const FoundFace face = finder_->find(astronaut_).at(0);
  const auto expect = [&](const GrayImage& picture, const FoundFace& one, const std::string& word) {
    const std::string words = problems(picture, one);
    EXPECT_NE(words.find(word), std::string::npos) << "'" << word << "' is not in '" << words << "'";
  };
  const auto changed = [&](double factor, double shift) {
    GrayImage image = astronaut_;
    for (uint8_t& level : image.pixels) level = static_cast<uint8_t>(std::clamp(level * factor + shift, 0.0, 255.0));
    return image;
  };
  expect(changed(0.15, 0), face, "dark");
  expect(changed(0.1, 229), face, "overexposed");
  expect(changed(0.1, 100), face, "low contrast");
  expect(crop_gray(resize_gray(astronaut_, 40, 40), {0, 0, 40, 40}, 512), face, "blurred");  // bilinear
  const GrayImage tiny = resize_gray(astronaut_, 100, 100);
  FoundFace small = face;
  for (double* place : {&small.box.x, &small.box.y, &small.box.width, &small.box.height}) *place *= 100.0 / 512;
  expect(tiny, small, "small (18 pixels)");
  FoundFace cut = face;
  cut.box.x = -cut.box.width / 2;
  expect(astronaut_, cut, "cut off by the border (50 % inside)");
  FoundFace tilted = face;
  tilted.eyes = EyeLine{200, 130, 240, 100};
  expect(astronaut_, tilted, "tilted (37 degrees)");
}

TEST(FaceBoxes, ShareTheirOverlap) {
  EXPECT_DOUBLE_EQ(overlap({0, 0, 10, 10}, {0, 0, 10, 10}), 1);
  EXPECT_DOUBLE_EQ(overlap({0, 0, 10, 10}, {5, 0, 10, 10}), 50.0 / 150);
  EXPECT_DOUBLE_EQ(overlap({0, 0, 10, 10}, {10, 0, 10, 10}), 0);
}

}  // namespace
}  // namespace mien::data
