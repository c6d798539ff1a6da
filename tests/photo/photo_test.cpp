#include <algorithm>
#include <set>
#include <string>

#include "photo/photo_testing.h"
#include <nlohmann/json.hpp>

#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/network/network.h"
#include "mien/photo/annotate.h"
#include "mien/photo/crop_run.h"
#include "mien/photo/photo_run.h"

namespace mien::photo {
namespace {

namespace fs = std::filesystem;
using test_support::Heard;

class Photo : public ReadsFaces<PhotoOptions> {
 protected:
  nlohmann::json result() const { return test_support::read_json(folder_ / "out" / "faces.json"); }
};

TEST_F(Photo, WritesAPictureACsvAJsonACropAndAMap) {
  options_.pictures = {astronaut().string()};
  options_.explain = {"saliency", "occlusion"};
  const PhotoSummary summary = photo_run(options_, heard_);
  EXPECT_EQ(summary.faces, 1);
  EXPECT_EQ(summary.not_reliable, 0);
  for (const char* file : {"astronaut.jpg", "astronaut-saliency.jpg", "astronaut-occlusion.jpg"}) {
    const data::RgbImage picture = data::read_rgb_image(folder_ / "out" / file);
    EXPECT_GE(picture.width, 900) << file;
  }
  const data::GrayImage crop = data::read_gray_image(folder_ / "out" / "crops" / "astronaut-1.png");
  EXPECT_EQ(crop.height, 48);
  const auto face = result()["pictures"][0]["faces"][0];
  double sum = 0;
  for (const auto& [name, probability] : face["probabilities"].items()) sum += probability.get<double>();
  EXPECT_NEAR(sum, 1, 1e-4);
  EXPECT_EQ(face["probabilities"].size(), 7U);
  EXPECT_NEAR(face["box"]["x"].get<double>() + face["box"]["width"].get<double>() / 2, 225, 12);
  const auto lines = split(read_text(folder_ / "out" / "faces.csv"), '\n');
  EXPECT_TRUE(lines[0].ends_with("p_sad,p_surprise,p_neutral")) << lines[0];
  EXPECT_EQ(split(lines[0], ',').size(), split(lines[1], ',').size());
}

TEST_F(Photo, FindsTheFaceInPicturesOfEveryKind) {
  write_odd_pictures(folder_ / "odd");
  options_.pictures = {(folder_ / "odd").string()};
  const PhotoSummary summary = photo_run(options_, heard_);
  EXPECT_EQ(summary.pictures, 7);
  EXPECT_EQ(heard_.warnings, "");
  for (const auto& picture : result()["pictures"]) {
    ASSERT_EQ(picture["faces"].size(), 1U) << picture["file"];
    const auto& box = picture["faces"][0]["box"];
    EXPECT_NEAR(box["x"].get<double>() + box["width"].get<double>() / 2, 225, 12) << picture["file"];
    EXPECT_NEAR(box["y"].get<double>() + box["height"].get<double>() / 2, 118, 15) << picture["file"];
    EXPECT_NEAR(picture["faces"][0]["quality"]["brightness"].get<double>(),
                result()["pictures"][0]["faces"][0]["quality"]["brightness"].get<double>(),
                12)
        << picture["file"];
  }
}

TEST_F(Photo, HasAWordForEveryPictureThatGivesNothingAndGoesOn) {
  write_bad_pictures(folder_ / "bad");
  for (const char* name : {"cut.jpg", "text.png", "empty.jpg", "moving.gif", "moving.webp", "wall.png", "none.png"})
    options_.pictures.push_back((folder_ / "bad" / name).string());
  options_.pictures.push_back(astronaut().string());
  const PhotoSummary summary = photo_run(options_, heard_);
  EXPECT_EQ(summary.failed, 6);
  EXPECT_EQ(summary.without_face, 1);
  EXPECT_EQ(summary.faces, 1);
  for (const char* words : {"cut.jpg: the jpg cannot be decoded whole",
                            "text.png: it is no picture",
                            "empty.jpg: it is empty",
                            "moving.gif: it is a gif",
                            "moving.webp: it is an animated webp",
                            "none.png"})
    EXPECT_NE(heard_.warnings.find(words), std::string::npos) << words << " is not in " << heard_.warnings;
  EXPECT_NE(heard_.lines.find("wall.png: no face found"), std::string::npos) << heard_.lines;
  EXPECT_EQ(result()["pictures"].size(), 8U);
}

TEST_F(Photo, IsBadDataOnlyIfNoPictureCanBeRead) {
  write_bad_pictures(folder_ / "bad");
  options_.pictures = {(folder_ / "bad" / "cut.jpg").string(), (folder_ / "bad" / "text.png").string()};
  EXPECT_EQ(code_of([&] { photo_run(options_, heard_); }), ErrorCode::bad_data);
  options_.pictures.push_back((folder_ / "bad" / "wall.png").string());
  EXPECT_EQ(photo_run(options_, heard_).without_face, 1);
}

TEST_F(Photo, MarksASmallBlurredFaceAsNotReliable) {
  const data::RgbImage small = data::resize_rgb(data::read_rgb_image(astronaut()), 100, 100);
  data::write_png_rgb(folder_ / "small.png", small.pixels, 100, 100);
  options_.pictures = {(folder_ / "small.png").string()};
  EXPECT_EQ(photo_run(options_, heard_).not_reliable, 1);
  EXPECT_NE(heard_.lines.find("not reliable: small ("), std::string::npos) << heard_.lines;
  EXPECT_FALSE(result()["pictures"][0]["faces"][0]["quality"]["reliable"].get<bool>());
}

TEST_F(Photo, PicturesOfTheSameNameDoNotReplaceEachOther) {
  const auto names = result_names({"a/face.png", "b/face.png", "b/FACE.jpg", "c.x/face.jpg"});
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 4U);
  EXPECT_EQ(names[0], "face");
  EXPECT_EQ(names[1], "face-2");
}

TEST_F(Photo, CalibratesByTheTemperatureThatTheWeightsCarryAndCropsByTheirRecipe) {
  const auto loaded = network::load_weights(test_support::small_leaky_run() / "weights" / "best.safetensors");
  network::WeightsInfo info = loaded.info;
  info.extra["mien.temperature"] = "4";
  info.extra[data::kCropKey] = data::CropRecipe{.scale = 1.3}.text();
  network::save_weights(folder_ / "warm.safetensors", loaded.network, info);
  info.extra.erase("mien.temperature");
  network::save_weights(folder_ / "plain.safetensors", loaded.network, info);
  const data::RgbImage picture = data::read_rgb_image(astronaut());
  const auto face = [&](const char* weights, double scale) {
    FaceReaderOptions options{.weights = {(folder_ / weights).string()}};
    options.crop.scale = scale;
    return FaceReader(options, heard_).read(picture).at(0);
  };
  const ReadFace warm = face("warm.safetensors", 0);
  const ReadFace plain = face("plain.safetensors", 0);
  EXPECT_EQ(warm.predicted, plain.predicted);
  EXPECT_LT(warm.confidence(), plain.confidence());
  EXPECT_DOUBLE_EQ(plain.square.side(), 1.3 * plain.found.box.side());
  EXPECT_DOUBLE_EQ(face("plain.safetensors", 0.9).square.side(), 0.9 * plain.found.box.side());
  info.extra["mien.temperature"] = "-1";
  network::save_weights(folder_ / "bad.safetensors", loaded.network, info);
  EXPECT_EQ(code_of([&] { face("bad.safetensors", 0); }), ErrorCode::bad_data);
}

TEST_F(Photo, RefusesAMethodThatDoesNotExistBeforeItReadsPictures) {
  options_.pictures = {astronaut().string()};
  options_.explain = {"salincy"};
  EXPECT_EQ(code_of([&] { photo_run(options_, heard_); }), ErrorCode::usage);
  EXPECT_FALSE(fs::exists(folder_ / "out" / "faces.csv"));
}

TEST_F(Photo, CropsBecomeADataSetInTheFoldersOfTheirPhotographs) {
  const fs::path photographs = folder_ / "photographs";
  for (const char* name : {"train/happy", "test/sad"}) fs::create_directories(photographs / name);
  fs::copy_file(astronaut(), photographs / "train/happy/a.jpg");
  fs::copy_file(astronaut(), photographs / "test/sad/b.jpg");
  write_bad_pictures(folder_ / "bad");
  fs::copy_file(folder_ / "bad/wall.png", photographs / "test/sad/wall.png");
  fs::copy_file(folder_ / "bad/cut.jpg", photographs / "test/sad/cut.jpg");
  const CropRunOptions crop{.source = photographs.string(), .out = (folder_ / "crops").string()};
  const CropSummary summary = crop_run(crop, heard_);
  EXPECT_EQ(summary.faces, 2);
  EXPECT_EQ(summary.left_out, 2);
  const std::string left_out = read_text(folder_ / "crops" / "left-out.csv");
  EXPECT_NE(left_out.find("wall.png,no face found"), std::string::npos) << left_out;
  EXPECT_NE(left_out.find("cut.jpg"), std::string::npos) << left_out;

  data::DataOptions options;
  options.data = crop.out;
  const data::Dataset faces = data::load(options, heard_);
  ASSERT_EQ(faces.size(), 2);
  EXPECT_EQ(faces.files[0], "faces/test/sad/b.jpg.png");
  options.data = photographs.string();
  options.find_faces = true;
  options.skip_bad_rows = true;
  EXPECT_EQ(data::load(options, heard_).pixels, faces.pixels) << "--find-faces crops as `mien data crop` does";
}

TEST(LayOver, ColorsTheSquareByMagnitudeAndNothingElse) {
  data::RgbImage picture{100, 100, std::vector<uint8_t>(30000, 100)};
  std::vector<float> values(16, 0);
  values[5] = 1;  // row 1, column 1: the part of the square from 30, 30 to 40, 40
  const report::MapRange range = report::measure_map(values);
  lay_over(picture, {20, 20, 40, 40}, values, 4, range, false);
  const auto at = [&](int64_t y, int64_t x) { return picture.pixels[static_cast<size_t>(3 * (y * 100 + x))]; };
  EXPECT_EQ(at(10, 10), 100);
  EXPECT_EQ(at(57, 57), 100);
  EXPECT_GT(at(35, 35), 180);
  EXPECT_EQ(at(61, 35), 100);
  lay_over(picture, {-20, 90, 40, 40}, values, 4, range, true);  // partly outside
}

TEST_F(Photo, ReplacesNeitherPhotographsNorFilesOfOthers) {
  const fs::path picture = folder_ / "me.jpg";
  fs::copy_file(astronaut(), picture);
  options_.pictures = {picture.string()};
  options_.out = folder_.string();
  EXPECT_EQ(code_of([&] { photo_run(options_, heard_); }), ErrorCode::usage);
  EXPECT_EQ(read_text(picture), read_text(astronaut()));
  write_atomic(folder_ / "data" / "faces.csv", "emotion,pixels\n");
  options_.out = (folder_ / "data").string();
  EXPECT_EQ(code_of([&] { photo_run(options_, heard_); }), ErrorCode::usage);
  EXPECT_EQ(read_text(folder_ / "data" / "faces.csv"), "emotion,pixels\n");
  options_.out = (folder_ / "out").string();
  photo_run(options_, heard_);
  EXPECT_EQ(photo_run(options_, heard_).faces, 1) << "its own earlier result may be replaced";
}

}  // namespace
}  // namespace mien::photo
