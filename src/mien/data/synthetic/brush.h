#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

/// Shapes and textures that the face painter works with. Distances are signed, negative inside.
namespace mien::data::brush {

struct Point {
  float x = 0, y = 0;
};

struct Box {
  float left, top, right, bottom;
  bool contains(Point p) const { return p.x >= left && p.x <= right && p.y >= top && p.y <= bottom; }
  void include(Point p) {
    left = std::min(left, p.x);
    top = std::min(top, p.y);
    right = std::max(right, p.x);
    bottom = std::max(bottom, p.y);
  }
  bool overlaps(const Box& o) const { return left <= o.right && right >= o.left && top <= o.bottom && bottom >= o.top; }
};

inline float squared(float x) { return x * x; }
inline float length(float x, float y) { return std::sqrt(x * x + y * y); }
inline float mix(float a, float b, float t) { return a + (b - a) * t; }
inline float smooth(float t) { return t * t * (3 - 2 * t); }

/// std::floor is a call where the processor may lack SSE 4.1.
inline int32_t floor_to_int(float x) {
  const auto whole = static_cast<int32_t>(x);
  return whole - (static_cast<float>(whole) > x ? 1 : 0);
}

/// A random number in [0, 1) for each point of a grid.
inline float lattice(int64_t x, int64_t y, uint64_t seed) {
  uint64_t z =
      seed + static_cast<uint64_t>(x) * 0x9e3779b97f4a7c15ULL + static_cast<uint64_t>(y) * 0xd1b54a32d192ed03ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1.0p-24F;
}

/// Smooth noise in [0, 1) whose grain is one unit wide.
inline float value_noise(float x, float y, uint64_t seed) {
  const int32_t column = floor_to_int(x);
  const int32_t row = floor_to_int(y);
  const float tx = smooth(x - static_cast<float>(column));
  const float ty = smooth(y - static_cast<float>(row));
  return mix(mix(lattice(column, row, seed), lattice(column + 1, row, seed), tx),
             mix(lattice(column, row + 1, seed), lattice(column + 1, row + 1, seed), tx),
             ty);
}

/// A brush stroke along a quadratic Bezier curve, with a radius at its start, middle and end.
class Stroke {
 public:
  /// The curve passes through `middle` at its half.
  Stroke(Point start, Point middle, Point end, float start_radius, float middle_radius, float end_radius) {
    const Point control{2 * middle.x - 0.5F * (start.x + end.x), 2 * middle.y - 0.5F * (start.y + end.y)};
    for (size_t i = 0; i < points_.size(); ++i) {
      const float t = static_cast<float>(i) / static_cast<float>(points_.size() - 1);
      const float s = 1 - t;
      points_[i] = {s * s * start.x + 2 * s * t * control.x + t * t * end.x,
                    s * s * start.y + 2 * s * t * control.y + t * t * end.y};
      radii_[i] = t < 0.5F ? mix(start_radius, middle_radius, 2 * t) : mix(middle_radius, end_radius, 2 * t - 1);
    }
  }

  /// Signed distance to the stroke's edge, negative inside.
  float distance(Point p) const {
    float nearest = std::numeric_limits<float>::max();
    for (size_t i = 0; i + 1 < points_.size(); ++i) {
      const float dx = points_[i + 1].x - points_[i].x;
      const float dy = points_[i + 1].y - points_[i].y;
      const float along = ((p.x - points_[i].x) * dx + (p.y - points_[i].y) * dy) / (dx * dx + dy * dy + 1e-9F);
      const float t = std::clamp(along, 0.0F, 1.0F);
      const float away = length(p.x - points_[i].x - t * dx, p.y - points_[i].y - t * dy);
      nearest = std::min(nearest, away - mix(radii_[i], radii_[i + 1], t));
    }
    return nearest;
  }

  Box box() const {
    Box box{points_[0].x, points_[0].y, points_[0].x, points_[0].y};
    for (size_t i = 0; i < points_.size(); ++i) {
      box.left = std::min(box.left, points_[i].x - radii_[i]);
      box.top = std::min(box.top, points_[i].y - radii_[i]);
      box.right = std::max(box.right, points_[i].x + radii_[i]);
      box.bottom = std::max(box.bottom, points_[i].y + radii_[i]);
    }
    return box;
  }

 private:
  std::array<Point, 9> points_;
  std::array<float, 9> radii_;
};

inline float ellipse_distance(Point p, Point center, float radius_x, float radius_y) {
  const float u = (p.x - center.x) / radius_x;
  const float v = (p.y - center.y) / radius_y;
  return (length(u, v) - 1) * std::min(radius_x, radius_y);
}

inline float rounded_box_distance(Point p, Point center, float half_width, float half_height, float corner) {
  const float u = std::abs(p.x - center.x) - half_width + corner;
  const float v = std::abs(p.y - center.y) - half_height + corner;
  return length(std::max(u, 0.0F), std::max(v, 0.0F)) + std::min(std::max(u, v), 0.0F) - corner;
}

}  // namespace mien::data::brush
