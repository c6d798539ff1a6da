#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "mien/explain/segmentation/segmenters.h"

namespace mien::explain {
namespace {

constexpr int kRounds = 10;

/// Points of a regular grid along one axis: start, start + step, ...
struct Spacing {
  int64_t start = 0;
  int64_t step = 1;
};

/// About `count` points, equally far apart in both directions; an axis shorter than that distance gets one point.
std::array<Spacing, 2> regular_grid(int64_t height, int64_t width, int64_t count) {
  if (height * width <= count) return {};
  const double shorter = static_cast<double>(std::min(height, width));
  const double longer = static_cast<double>(std::max(height, width));
  double short_step = std::sqrt(shorter * longer / static_cast<double>(count));
  double long_step = short_step;
  if (shorter < short_step) {
    short_step = shorter;
    long_step = longer / static_cast<double>(count);
  }
  const auto spacing = [](double step) {
    return Spacing{.start = static_cast<int64_t>(std::floor(step / 2)), .step = std::max<int64_t>(1, std::lrint(step))};
  };
  const bool is_wide = height <= width;
  return {spacing(is_wide ? short_step : long_step), spacing(is_wide ? long_step : short_step)};
}

struct Center {
  double y = 0;
  double x = 0;
  std::vector<double> color;
  bool is_empty = false;
};

/// Gives every pixel the label of its nearest center within two steps; whether any pixel found one.
bool assign(const PixelGrid& image,
            const std::vector<Center>& centers,
            int64_t step_y,
            int64_t step_x,
            double place_weight,
            std::vector<double>& distance,
            Labels& labels) {
  std::fill(distance.begin(), distance.end(), std::numeric_limits<double>::max());
  const auto first = [](double center, int64_t step) {
    return static_cast<int64_t>(std::max(center - static_cast<double>(2 * step), 0.0));
  };
  const auto last = [](double center, int64_t step, int64_t size) {
    return static_cast<int64_t>(std::min(center + static_cast<double>(2 * step + 1), static_cast<double>(size)));
  };
  bool changed = false;
  for (size_t k = 0; k < centers.size(); ++k) {
    const Center& center = centers[k];
    if (center.is_empty) continue;
    for (int64_t y = first(center.y, step_y); y < last(center.y, step_y, image.height); ++y) {
      const double dy = center.y - static_cast<double>(y);
      for (int64_t x = first(center.x, step_x); x < last(center.x, step_x, image.width); ++x) {
        const double dx = center.x - static_cast<double>(x);
        const int64_t pixel = y * image.width + x;
        double total = (dy * dy + dx * dx) * place_weight;
        double color = 0;
        for (int64_t c = 0; c < image.channels; ++c) {
          const double difference = image.at(pixel)[c] - center.color[static_cast<size_t>(c)];
          color += difference * difference;
        }
        total += color;
        if (distance[static_cast<size_t>(pixel)] > total) {
          distance[static_cast<size_t>(pixel)] = total;
          labels[static_cast<size_t>(pixel)] = static_cast<int64_t>(k);
          changed = true;
        }
      }
    }
  }
  return changed;
}

void move_to_means(const PixelGrid& image, const Labels& labels, std::vector<Center>& centers) {
  std::vector<int64_t> sizes(centers.size(), 0);
  for (Center& center : centers) center = {.color = std::vector<double>(static_cast<size_t>(image.channels), 0.0)};
  for (int64_t pixel = 0; pixel < image.pixels(); ++pixel) {
    const int64_t label = labels[static_cast<size_t>(pixel)];
    if (label < 0) continue;
    Center& center = centers[static_cast<size_t>(label)];
    ++sizes[static_cast<size_t>(label)];
    center.y += static_cast<double>(pixel / image.width);
    center.x += static_cast<double>(pixel % image.width);
    for (int64_t c = 0; c < image.channels; ++c) center.color[static_cast<size_t>(c)] += image.at(pixel)[c];
  }
  for (size_t k = 0; k < centers.size(); ++k) {
    const auto size = static_cast<double>(sizes[k]);
    centers[k].is_empty = sizes[k] == 0;
    if (centers[k].is_empty) continue;
    centers[k].y /= size;
    centers[k].x /= size;
    for (double& value : centers[k].color) value /= size;
  }
}

/// Splits labels into connected regions in reading order; those under `least` pixels take a neighbor's label. A region
/// is followed up to `most` pixels.
Labels connect(const Labels& labels, int64_t height, int64_t width, int64_t least, int64_t most) {
  constexpr std::array<std::array<int64_t, 2>, 4> kSteps = {{{0, 1}, {0, -1}, {1, 0}, {-1, 0}}};
  Labels connected(labels.size(), -1);
  int64_t next = 0;
  std::vector<int64_t> region;
  for (size_t seed = 0; seed < labels.size(); ++seed) {
    if (connected[seed] >= 0) continue;
    int64_t neighbor = next;
    region.assign(1, static_cast<int64_t>(seed));
    connected[seed] = next;
    for (size_t visited = 0; visited < region.size() && static_cast<int64_t>(region.size()) < most; ++visited) {
      for (const auto& [dy, dx] : kSteps) {
        const int64_t y = region[visited] / width + dy;
        const int64_t x = region[visited] % width + dx;
        if (y < 0 || y >= height || x < 0 || x >= width) continue;
        const auto pixel = static_cast<size_t>(y * width + x);
        if (labels[pixel] == labels[seed] && connected[pixel] < 0) {
          connected[pixel] = next;
          region.push_back(static_cast<int64_t>(pixel));
          if (static_cast<int64_t>(region.size()) >= most) break;
        } else if (connected[pixel] >= 0 && connected[pixel] != next) {
          neighbor = connected[pixel];
        }
      }
    }
    if (static_cast<int64_t>(region.size()) < least) {
      for (const int64_t pixel : region) connected[static_cast<size_t>(pixel)] = neighbor;
    } else {
      ++next;
    }
  }
  return connected;
}

}  // namespace

Labels slic(const PixelGrid& lab, int64_t count, double compactness) {
  PixelGrid image = lab;
  for (double& value : image.values) value /= compactness;
  const auto [rows, columns] = regular_grid(lab.height, lab.width, count);
  std::vector<Center> centers;
  for (int64_t y = rows.start; y < lab.height; y += rows.step) {
    for (int64_t x = columns.start; x < lab.width; x += columns.step) {
      // The first round compares colors with black, as the package does.
      centers.push_back({.y = static_cast<double>(y),
                         .x = static_cast<double>(x),
                         .color = std::vector<double>(static_cast<size_t>(lab.channels), 0.0)});
    }
  }
  const auto step = static_cast<double>(std::max(rows.step, columns.step));
  std::vector<double> distance(static_cast<size_t>(lab.pixels()));
  Labels labels(static_cast<size_t>(lab.pixels()), -1);
  for (int round = 0; round < kRounds; ++round) {
    if (!assign(image, centers, rows.step, columns.step, 1 / (step * step), distance, labels)) break;
    move_to_means(image, labels, centers);
  }
  const double mean_size = static_cast<double>(lab.pixels()) / static_cast<double>(centers.size());
  return connect(
      labels, lab.height, lab.width, static_cast<int64_t>(0.5 * mean_size), static_cast<int64_t>(3 * mean_size));
}

}  // namespace mien::explain
