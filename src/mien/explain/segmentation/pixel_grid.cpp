#include <algorithm>
#include <array>
#include <cmath>

#include "mien/explain/segmentation/segmenters.h"

namespace mien::explain {

PixelGrid to_lab(const PixelGrid& rgb) {
  constexpr std::array<std::array<double, 3>, 3> kXyzOfRgb = {
      {{0.412453, 0.357580, 0.180423}, {0.212671, 0.715160, 0.072169}, {0.019334, 0.119193, 0.950227}}};
  constexpr std::array<double, 3> kWhite = {0.95047, 1, 1.08883};
  PixelGrid lab = rgb;
  for (int64_t pixel = 0; pixel < rgb.pixels(); ++pixel) {
    std::array<double, 3> linear{};
    for (size_t c = 0; c < 3; ++c) {
      const double value = rgb.at(pixel)[c];
      linear[c] = value > 0.04045 ? std::pow((value + 0.055) / 1.055, 2.4) : value / 12.92;
    }
    std::array<double, 3> root{};
    for (size_t row = 0; row < 3; ++row) {
      const double xyz =
          (kXyzOfRgb[row][0] * linear[0] + kXyzOfRgb[row][1] * linear[1] + kXyzOfRgb[row][2] * linear[2]) / kWhite[row];
      root[row] = xyz > 0.008856 ? std::cbrt(xyz) : 7.787 * xyz + 16.0 / 116;
    }
    double* out = lab.values.data() + pixel * 3;
    out[0] = 116 * root[1] - 16;
    out[1] = 500 * (root[0] - root[1]);
    out[2] = 200 * (root[1] - root[2]);
  }
  return lab;
}

PixelGrid smooth(const PixelGrid& image, double sigma) {
  if (sigma <= 0) return image;
  const auto reach = static_cast<int64_t>(4 * sigma + 0.5);
  std::vector<double> kernel;
  for (int64_t i = -reach; i <= reach; ++i)
    kernel.push_back(std::exp(-0.5 * static_cast<double>(i * i) / (sigma * sigma)));
  double sum = 0;
  for (const double value : kernel) sum += value;
  for (double& value : kernel) value /= sum;
  const auto mirrored = [](int64_t index, int64_t size) {
    index = (index % (2 * size) + 2 * size) % (2 * size);
    return index < size ? index : 2 * size - 1 - index;
  };
  const auto along = [&](const PixelGrid& from, bool rows) {
    PixelGrid to = from;
    const int64_t size = rows ? from.height : from.width;
    for (int64_t y = 0; y < from.height; ++y) {
      for (int64_t x = 0; x < from.width; ++x) {
        double* out = to.values.data() + (y * from.width + x) * from.channels;
        std::fill(out, out + from.channels, 0.0);
        for (int64_t i = -reach; i <= reach; ++i) {
          const int64_t place = mirrored((rows ? y : x) + i, size);
          const double* in = from.at(rows ? place * from.width + x : y * from.width + place);
          for (int64_t c = 0; c < from.channels; ++c) out[c] += kernel[static_cast<size_t>(i + reach)] * in[c];
        }
      }
    }
    return to;
  };
  return along(along(image, true), false);
}

}  // namespace mien::explain
