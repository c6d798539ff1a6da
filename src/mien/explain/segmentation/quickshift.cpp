#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "mien/core/parallel.h"
#include "mien/core/random.h"
#include "mien/explain/segmentation/segmenters.h"

namespace mien::explain {
namespace {

/// Squared distance of two pixels in color and place.
double squared_distance(const PixelGrid& image, int64_t y, int64_t x, int64_t other_y, int64_t other_x) {
  const double* one = image.at(y * image.width + x);
  const double* other = image.at(other_y * image.width + other_x);
  double sum = 0;
  for (int64_t c = 0; c < image.channels; ++c) sum += (one[c] - other[c]) * (one[c] - other[c]);
  return sum + static_cast<double>((y - other_y) * (y - other_y) + (x - other_x) * (x - other_x));
}

/// Calls visit(y, x) for the pixels within `reach` of (y, x), itself included, in reading order.
template <class Visit>
void visit_window(const PixelGrid& image, int64_t y, int64_t x, int64_t reach, Visit visit) {
  for (int64_t row = std::max<int64_t>(0, y - reach); row < std::min(image.height, y + reach + 1); ++row) {
    for (int64_t column = std::max<int64_t>(0, x - reach); column < std::min(image.width, x + reach + 1); ++column)
      visit(row, column);
  }
}

}  // namespace

Labels quickshift(const PixelGrid& scaled_lab, double kernel, double max_distance) {
  const PixelGrid& image = scaled_lab;
  const auto reach = static_cast<int64_t>(std::ceil(3 * kernel));
  std::vector<double> density(static_cast<size_t>(image.pixels()));
  RandomStream random(0, "quickshift ties");
  for (double& value : density) value = 1e-5 * random.normal();
  parallel_for(
      image.pixels(),
      [&](int64_t begin, int64_t end) {
        for (int64_t pixel = begin; pixel < end; ++pixel) {
          const int64_t y = pixel / image.width;
          const int64_t x = pixel % image.width;
          visit_window(image, y, x, reach, [&](int64_t row, int64_t column) {
            density[static_cast<size_t>(pixel)] +=
                std::exp(-0.5 / (kernel * kernel) * squared_distance(image, y, x, row, column));
          });
        }
      },
      256);

  Labels parent(static_cast<size_t>(image.pixels()));
  std::iota(parent.begin(), parent.end(), 0);
  parallel_for(
      image.pixels(),
      [&](int64_t begin, int64_t end) {
        for (int64_t pixel = begin; pixel < end; ++pixel) {
          const int64_t y = pixel / image.width;
          const int64_t x = pixel % image.width;
          double closest = std::numeric_limits<double>::max();
          int64_t nearest = pixel;
          visit_window(image, y, x, reach, [&](int64_t row, int64_t column) {
            const int64_t other = row * image.width + column;
            if (density[static_cast<size_t>(other)] <= density[static_cast<size_t>(pixel)]) return;
            const double distance = squared_distance(image, y, x, row, column);
            if (distance < closest) {
              closest = distance;
              nearest = other;
            }
          });
          if (std::sqrt(closest) <= max_distance) parent[static_cast<size_t>(pixel)] = nearest;
        }
      },
      256);

  Labels root(parent.size());
  for (size_t pixel = 0; pixel < parent.size(); ++pixel) {
    int64_t node = static_cast<int64_t>(pixel);
    while (parent[static_cast<size_t>(node)] != node) node = parent[static_cast<size_t>(node)];
    root[pixel] = node;
  }
  return root;
}

}  // namespace mien::explain
