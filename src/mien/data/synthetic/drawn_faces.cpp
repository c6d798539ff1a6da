#include "mien/data/synthetic/drawn_faces.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"
#include "mien/core/parallel.h"
#include "mien/core/random.h"
#include "mien/data/synthetic/face_painter.h"
#include "mien/data/synthetic/face_parameters.h"

namespace mien::data {
namespace {

constexpr float kNoticeable = 10;  // gray levels of 255 by which evidence differs

/// Gaussian blur with repeated border pixels.
void blur(std::vector<float>& levels, int64_t side, double deviation) {
  if (deviation < 0.05) return;
  const auto radius = static_cast<int64_t>(std::ceil(3 * deviation));
  std::vector<float> weights(static_cast<size_t>(radius + 1));
  double total = 0;
  for (int64_t i = 0; i <= radius; ++i) {
    const double weight = std::exp(-0.5 * static_cast<double>(i * i) / (deviation * deviation));
    weights[static_cast<size_t>(i)] = static_cast<float>(weight);
    total += i == 0 ? weight : 2 * weight;
  }
  for (float& weight : weights) weight = static_cast<float>(weight / total);
  std::vector<float> across(levels.size());
  const auto pass = [&](const std::vector<float>& from, std::vector<float>& to, int64_t step, int64_t line_step) {
    for (int64_t line = 0; line < side; ++line) {
      for (int64_t at = 0; at < side; ++at) {
        float sum = 0;
        for (int64_t offset = -radius; offset <= radius; ++offset) {
          const int64_t near = std::clamp<int64_t>(at + offset, 0, side - 1);
          sum += weights[static_cast<size_t>(std::abs(offset))] *
                 from[static_cast<size_t>(line * line_step + near * step)];
        }
        to[static_cast<size_t>(line * line_step + at * step)] = sum;
      }
    }
  };
  pass(levels, across, 1, side);
  pass(across, levels, side, 1);
}

/// 255 at and next to the pixels where two pictures differ noticeably.
void mark_difference(const std::vector<float>& one, const std::vector<float>& other, int64_t side, uint8_t* evidence) {
  const int64_t reach = std::max<int64_t>(1, side / 48);
  std::fill(evidence, evidence + side * side, uint8_t{0});
  for (int64_t row = 0; row < side; ++row) {
    for (int64_t column = 0; column < side; ++column) {
      const auto at = static_cast<size_t>(row * side + column);
      if (std::abs(one[at] - other[at]) < kNoticeable) continue;
      for (int64_t y = std::max<int64_t>(0, row - reach); y <= std::min(side - 1, row + reach); ++y) {
        for (int64_t x = std::max<int64_t>(0, column - reach); x <= std::min(side - 1, column + reach); ++x) {
          evidence[y * side + x] = 255;
        }
      }
    }
  }
}

void draw_face(const DrawOptions& options, int64_t row, int32_t label, uint8_t* pixels, uint8_t* evidence) {
  RandomStream random(static_cast<uint64_t>(options.draw_seed), "face", static_cast<uint64_t>(row));
  const Person person = draw_person(random);
  const ActionUnits units = draw_action_units(label, random);
  const Scene scene = draw_scene(options.difficulty, random);
  const int64_t side = options.side;
  auto [levels, without_evidence] = paint_face(person, units, scene, side);
  mark_difference(levels, without_evidence, side, evidence);
  blur(levels, side, scene.blur * static_cast<double>(side) / 48);
  for (int64_t i = 0; i < side * side; ++i) {
    const double level = levels[static_cast<size_t>(i)] + scene.noise * random.normal();
    pixels[i] = static_cast<uint8_t>(std::clamp(std::lround(level), 0L, 255L));
  }
}

}  // namespace

void DrawOptions::bind(OptionSet& options) {
  options.group("draw");
  options.add(&count_per_class,
              {.name = "draw-count",
               .help = "how many faces of each class to draw",
               .unit = "faces",
               .minimum = 1,
               .maximum = 100000});
  options.add(&draw_seed, {.name = "draw-seed", .help = "seed of the drawn faces", .minimum = 0});
  options.add(&side,
              {.name = "draw-side",
               .help = "width and height of a drawn face",
               .unit = "pixels",
               .minimum = 24,
               .maximum = 512});
  options.add(&difficulty,
              {.name = "draw-difficulty",
               .help = "how much pose, light, occlusion, blur and noise vary; 0 is frontal and clean",
               .minimum = 0,
               .maximum = 2});
}

Dataset draw_faces(const DrawOptions& options) {
  if (options.count_per_class < 1 || options.side < 24 || options.difficulty < 0) {
    throw_usage(
        fmt::format("cannot draw {} faces a class of {} pixels with difficulty {}, expected at least 1 face, "
                    "24 pixels and difficulty 0",
                    options.count_per_class,
                    options.side,
                    options.difficulty));
  }
  Dataset faces;
  const int64_t classes = faces.classes();
  const int64_t count = classes * options.count_per_class;
  const int64_t area = options.side * options.side;
  faces.height = faces.width = options.side;
  faces.pixels.resize(static_cast<size_t>(count * area));
  faces.evidence.resize(static_cast<size_t>(count * area));
  for (int64_t row = 0; row < count; ++row) {
    faces.labels.push_back(static_cast<int32_t>(row % classes));
    faces.usages.push_back(row / classes % 5 == 4 ? Usage::public_test : Usage::training);
    faces.ids.push_back(row);
  }
  parallel_for(count, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      draw_face(options,
                row,
                faces.labels[static_cast<size_t>(row)],
                faces.pixels.data() + row * area,
                faces.evidence.data() + row * area);
    }
  });
  faces.source = fmt::format("drawn:{}:{}", options.count_per_class, options.draw_seed);
  faces.checksum = checksum({reinterpret_cast<const char*>(faces.pixels.data()), faces.pixels.size()});
  return faces;
}

}  // namespace mien::data
