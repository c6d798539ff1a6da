#include "mien/data/typical_face.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mien::data {
namespace {

struct Look {
  int64_t index = 0;
  double brightness = 0;
  double contrast = 0;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::optional<int64_t> typical_face(const Dataset& dataset, int32_t label) {
  std::vector<Look> looks;
  std::vector<double> brightness, contrast;
  for (int64_t index = 0; index < dataset.size(); ++index) {
    if (dataset.labels[static_cast<size_t>(index)] != label) continue;
    double sum = 0, squares = 0;
    for (const uint8_t value : dataset.image(index)) {
      sum += value;
      squares += static_cast<double>(value) * value;
    }
    const auto count = static_cast<double>(dataset.pixels_per_image());
    const double mean = sum / count;
    const double variance = squares / count - mean * mean;
    if (variance < 1e-6) continue;  // all pixels are equal
    looks.push_back({index, mean, std::sqrt(variance)});
    brightness.push_back(mean);
    contrast.push_back(looks.back().contrast);
  }
  if (looks.empty()) return std::nullopt;
  const double usual_brightness = median(std::move(brightness));
  const double usual_contrast = median(std::move(contrast));
  const auto distance = [&](const Look& look) {
    return std::abs(look.brightness - usual_brightness) + std::abs(look.contrast - usual_contrast);
  };
  return std::min_element(
             looks.begin(), looks.end(), [&](const Look& a, const Look& b) { return distance(a) < distance(b); })
      ->index;
}

}  // namespace mien::data
