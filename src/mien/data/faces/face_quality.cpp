// What needs no OpenCV: the recipe, and what is said of a face's quality.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/faces/crop.h"

namespace mien::data {
namespace {

constexpr double kLeastScale = 0.2;
constexpr double kMostScale = 4;

void measure_levels(const GrayImage& crop, FaceQuality& quality) {
  const auto count = static_cast<double>(crop.pixels.size());
  double sum = 0;
  double squares = 0;
  for (const uint8_t level : crop.pixels) {
    sum += level;
    squares += static_cast<double>(level) * level;
  }
  quality.brightness = sum / count;
  quality.contrast = std::sqrt(std::max(0.0, squares / count - quality.brightness * quality.brightness));
  double edges = 0;
  const auto at = [&](int64_t y, int64_t x) {
    return static_cast<int>(crop.pixels[static_cast<size_t>(y * crop.width + x)]);
  };
  for (int64_t y = 1; y + 1 < crop.height; ++y) {
    for (int64_t x = 1; x + 1 < crop.width; ++x)
      edges += std::abs(4 * at(y, x) - at(y - 1, x) - at(y + 1, x) - at(y, x - 1) - at(y, x + 1));
  }
  edges /= static_cast<double>((crop.height - 2) * (crop.width - 2));
  quality.sharpness = quality.contrast < 1 ? 0 : edges / quality.contrast;
}

}  // namespace

std::string CropRecipe::text() const { return fmt::format("{} scale {} down {}", detector, scale, down); }

CropRecipe CropRecipe::parse(const std::string& text) {
  const std::vector<std::string> words = split(text, ' ');
  CropRecipe recipe;
  if (words.size() == 5 && !words[0].empty() && words[1] == "scale" && words[3] == "down") {
    const auto scale = parse_double(words[2]);
    const auto down = parse_double(words[4]);
    if (scale && down && *scale >= kLeastScale && *scale <= kMostScale && std::abs(*down) <= 1)
      return {.detector = words[0], .scale = *scale, .down = *down};
  }
  throw_bad_data(fmt::format("the crop recipe {} is none, expected such as {}", quote_sample(text), recipe.text()),
                 "the weights are damaged or of a later version");
}

CropRecipe CropRecipe::of(const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find(kCropKey);
  return found == metadata.end() ? CropRecipe{} : parse(found->second);
}

void CropOptions::bind(OptionSet& options, const std::vector<OptionCondition>& condition) {
  options.add(&scale,
              {.name = "crop-scale",
               .help = "side of the square that is cropped, in sides of the detector's box; 0: as the weights were "
                       "trained, else 1",
               .minimum = 0,
               .maximum = kMostScale,
               .only_with = condition});
  options.add(&down,
              {.name = "crop-down",
               .help = "how much further down the square is cropped, in sides of the box",
               .minimum = -1,
               .maximum = 1,
               .only_with = condition});
}

CropRecipe CropOptions::resolve(const CropRecipe& of_weights, const std::string& detector) const {
  if (scale == 0) return {.detector = detector, .scale = of_weights.scale, .down = of_weights.down + down};
  return {.detector = detector, .scale = std::max(scale, kLeastScale), .down = down};
}

FaceBox crop_square(const FaceBox& box, const CropRecipe& recipe) {
  const double side = box.side() * recipe.scale;
  return {box.center_x() - side / 2, box.center_y() + recipe.down * box.side() - side / 2, side, side};
}

FaceQuality face_quality(const GrayImage& picture,
                         const FoundFace& face,
                         const FaceBox& square,
                         const QualityLimits& limits) {
  constexpr int64_t kSide = 48;
  FaceQuality quality{.side = square.side()};
  const FaceBox whole{0, 0, static_cast<double>(picture.width), static_cast<double>(picture.height)};
  const double width = std::min(square.x + square.width, whole.width) - std::max(square.x, 0.0);
  const double height = std::min(square.y + square.height, whole.height) - std::max(square.y, 0.0);
  quality.inside = std::max(0.0, width) * std::max(0.0, height) / (square.width * square.height);
  measure_levels(crop_gray(picture, square, kSide), quality);
  if (face.eyes) quality.eye_line = face.eyes->degrees();
  const auto note = [&](bool is_bad, std::string words) {
    if (is_bad) quality.problems.push_back(std::move(words));
  };
  note(quality.side < limits.least_side, fmt::format("small ({:.0f} pixels)", quality.side));
  note(quality.inside < limits.least_inside,
       fmt::format("cut off by the border ({:.0f} % inside)", 100 * quality.inside));
  note(quality.contrast < limits.least_contrast, fmt::format("low contrast ({:.0f})", quality.contrast));
  note(quality.sharpness < limits.least_sharpness, fmt::format("blurred ({:.2f})", quality.sharpness));
  note(quality.brightness < limits.least_brightness, fmt::format("dark ({:.0f})", quality.brightness));
  note(quality.brightness > limits.most_brightness, fmt::format("overexposed ({:.0f})", quality.brightness));
  note(quality.eye_line && std::abs(*quality.eye_line) > limits.most_eye_line,
       fmt::format("tilted ({:.0f} degrees)", quality.eye_line.value_or(0)));
  return quality;
}

}  // namespace mien::data
