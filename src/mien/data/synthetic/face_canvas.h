#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mien/data/synthetic/brush.h"
#include "mien/data/synthetic/face_parameters.h"

namespace mien::data {

inline float to_float(double value) { return static_cast<float>(value); }

/// One sample of the canvas: where it is on the upright head, which spot of the turned face it shows, and its distance
/// to the outline of the head.
struct Sample {
  brush::Point head, face;
  float outline = 0;
};

/// A supersampled picture that is painted in albedos and lit at the end, so that every feature is lit as the skin
/// around it.
class FaceCanvas {
 public:
  /// Places the samples of a picture of side x side pixels on the head as `scene` poses it. Keeps a reference to
  /// `scene`.
  FaceCanvas(const Scene& scene, int64_t side);

  std::span<Sample> samples() { return samples_; }

  /// Begins a picture: `backdrop` [samples] everywhere, no head, a flat face.
  void start(const std::vector<float>& backdrop);

  /// Paints `albedo` [samples] within the samples' outline; what is there is lit as a head.
  void cover_head(const std::vector<float>& albedo);

  /// Covers what `distance(sample)` says is inside with `shade(sample, level beneath)`. `softness` widens the edge.
  template <class Distance, class Shade>
  void cover(brush::Box box, float softness, const Distance& distance, const Shade& shade) {
    const float width = std::max(softness, pixel_);
    box = {box.left - width, box.top - width, box.right + width, box.bottom + width};
    visit(box, [&](size_t i) {
      const float inside = 0.5F - distance(samples_[i]) / width;
      if (inside <= 0) return;
      const float coverage = inside >= 1 ? 1.0F : brush::smooth(inside);
      albedo_[i] = brush::mix(albedo_[i], shade(samples_[i], albedo_[i]), coverage);
    });
  }

  /// Darkens (depth > 0) or brightens (depth < 0) along a stroke.
  void fold(const brush::Stroke& stroke, float softness, float depth) {
    if (depth == 0) return;
    cover(
        stroke.box(),
        softness,
        [&](const Sample& s) { return stroke.distance(s.face); },
        [&](const Sample&, float level) { return level * (1 - depth); });
  }

  /// Raises a round hill of the given height on the face, or a hollow if it is negative.
  void hill(brush::Point center, float radius_x, float radius_y, float height) {
    const brush::Box box{center.x - radius_x, center.y - radius_y, center.x + radius_x, center.y + radius_y};
    visit(box, [&](size_t i) {
      const brush::Point p = samples_[i].face;
      const float u = (p.x - center.x) / radius_x;
      const float v = (p.y - center.y) / radius_y;
      const float inside = 1 - u * u - v * v;  // the hill is height * inside^2
      if (inside <= 0) return;
      slope_x_[i] -= 4 * height * inside * u / radius_x;
      slope_y_[i] -= 4 * height * inside * v / radius_y;
    });
  }

  /// Lights the picture with the scene's lamp; the head is a ball of that half width with the hills on it.
  void light(float head_half_width);

  /// Gray levels [side, side] in [0, 255].
  std::vector<float> levels() const;

 private:
  /// A square of samples, and the box of the face that they show: most brushes touch few of them.
  struct Tile {
    int64_t left, top;
    brush::Box shown;
  };
  static constexpr int64_t kTileSide = 8;

  /// Calls visitor(index) for every sample that shows a spot within `box` of the face.
  template <class Visitor>
  void visit(const brush::Box& box, const Visitor& visitor) const {
    for (const Tile& tile : tiles_) {
      if (!box.overlaps(tile.shown)) continue;
      for (int64_t row = tile.top; row < std::min(tile.top + kTileSide, fine_side_); ++row) {
        for (int64_t column = tile.left; column < std::min(tile.left + kTileSide, fine_side_); ++column) {
          const auto i = static_cast<size_t>(row * fine_side_ + column);
          if (box.contains(samples_[i].face)) visitor(i);
        }
      }
    }
  }

  const Scene& scene_;
  int64_t side_;
  int64_t fine_side_;
  float pixel_;  // width of one sample
  std::vector<Sample> samples_;
  std::vector<Tile> tiles_;
  std::vector<float> albedo_;
  std::vector<float> on_head_;            // share of the light that depends on the head's shape
  std::vector<float> slope_x_, slope_y_;  // of the hills
};

}  // namespace mien::data
