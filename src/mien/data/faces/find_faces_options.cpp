// What needs no OpenCV.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "mien/data/faces/find_faces.h"

namespace mien::data {

double overlap(const FaceBox& first, const FaceBox& second) {
  const double width = std::min(first.x + first.width, second.x + second.width) - std::max(first.x, second.x);
  const double height = std::min(first.y + first.height, second.y + second.height) - std::max(first.y, second.y);
  if (width <= 0 || height <= 0) return 0;
  const double common = width * height;
  return common / (first.width * first.height + second.width * second.height - common);
}

double EyeLine::degrees() const { return std::atan2(left_y - right_y, right_x - left_x) * 180 / std::numbers::pi; }

std::string FindFacesOptions::detector_name() const {
  if (is_default_detector()) return "haarcascade_frontalface_default";
  std::string name = std::filesystem::path(detector).stem().string();
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

void FindFacesOptions::bind(OptionSet& options, const std::vector<OptionCondition>& condition) {
  options.add(&detector,
              {.name = "detector",
               .help = "finds the faces: haar (OpenCV's frontal cascade, with which FER2013 was cropped), or a file: "
                       "another cascade (.xml) or a YuNet (.onnx)",
               .only_with = condition});
  options.add(&least_face,
              {.name = "least-face",
               .help = "smallest face that is looked for, as a part of the picture's longer side",
               .minimum = 0.005,
               .maximum = 1,
               .only_with = condition});
  options.add(&neighbors,
              {.name = "neighbors",
               .help = "windows of the cascade that must agree on a face: more find fewer faces and fewer false ones",
               .minimum = 1,
               .maximum = 100,
               .only_with = condition});
}

GrayImage to_gray(const RgbImage& picture) {
  GrayImage gray{picture.height, picture.width, std::vector<uint8_t>(picture.pixels.size() / 3)};
  for (size_t i = 0; i < gray.pixels.size(); ++i) {
    const uint8_t* const color = picture.pixels.data() + 3 * i;
    gray.pixels[i] = static_cast<uint8_t>((299 * color[0] + 587 * color[1] + 114 * color[2] + 500) / 1000);
  }
  return gray;
}

}  // namespace mien::data
