#include "mien/data/synthetic/face_canvas.h"

#include <algorithm>
#include <cmath>

namespace mien::data {

using brush::mix;
using brush::Point;
using brush::squared;

namespace {

constexpr int64_t kSupersampling = 2;  // edges are smoothed by their distance as well
constexpr float kSkullRadius = 0.85F;  // of the ball that the features lie on, for yaw and pitch

}  // namespace

FaceCanvas::FaceCanvas(const Scene& scene, int64_t side)
    : scene_(scene), side_(side), fine_side_(side * kSupersampling) {
  samples_.resize(static_cast<size_t>(fine_side_ * fine_side_));
  const float scale = to_float(scene_.scale);
  pixel_ = 2.0F / (static_cast<float>(fine_side_) * scale);
  const float cos_roll = std::cos(to_float(scene_.roll));
  const float sin_roll = std::sin(to_float(scene_.roll));
  const float cos_yaw = std::cos(to_float(scene_.yaw));
  const float sin_yaw = std::sin(to_float(scene_.yaw));
  const float cos_pitch = std::cos(to_float(scene_.pitch));
  const float sin_pitch = std::sin(to_float(scene_.pitch));
  // Undoes a turn of the ball that the features lie on, as seen from the front.
  const auto turned_back = [](float at, float cosine, float sine) {
    return at * cosine - std::sqrt(std::max(0.0F, squared(kSkullRadius) - at * at)) * sine;
  };
  for (int64_t row = 0; row < fine_side_; ++row) {
    for (int64_t column = 0; column < fine_side_; ++column) {
      const float x = (2 * (static_cast<float>(column) + 0.5F) / static_cast<float>(fine_side_) - 1) / scale -
                      to_float(scene_.shift_x);
      const float y = (2 * (static_cast<float>(row) + 0.5F) / static_cast<float>(fine_side_) - 1) / scale -
                      to_float(scene_.shift_y);
      Sample& sample = samples_[static_cast<size_t>(row * fine_side_ + column)];
      sample.head = {cos_roll * x + sin_roll * y, -sin_roll * x + cos_roll * y};
      sample.face = {turned_back(sample.head.x, cos_yaw, sin_yaw), turned_back(sample.head.y, cos_pitch, sin_pitch)};
    }
  }
  for (int64_t top = 0; top < fine_side_; top += kTileSide) {
    for (int64_t left = 0; left < fine_side_; left += kTileSide) {
      Tile tile{left, top, {9, 9, -9, -9}};
      for (int64_t row = top; row < std::min(top + kTileSide, fine_side_); ++row) {
        for (int64_t column = left; column < std::min(left + kTileSide, fine_side_); ++column) {
          tile.shown.include(samples_[static_cast<size_t>(row * fine_side_ + column)].face);
        }
      }
      tiles_.push_back(tile);
    }
  }
}

void FaceCanvas::start(const std::vector<float>& backdrop) {
  albedo_ = backdrop;
  on_head_.assign(samples_.size(), 0);
  slope_x_.assign(samples_.size(), 0);
  slope_y_.assign(samples_.size(), 0);
}

void FaceCanvas::cover_head(const std::vector<float>& albedo) {
  for (size_t i = 0; i < samples_.size(); ++i) {
    on_head_[i] = std::clamp(0.5F - samples_[i].outline / pixel_, 0.0F, 1.0F);
    albedo_[i] = mix(albedo_[i], albedo[i], on_head_[i]);
  }
}

void FaceCanvas::light(float head_half_width) {
  const float light_x = to_float(scene_.light_x);
  const float light_y = to_float(scene_.light_y);
  const float light_z = std::sqrt(std::max(0.1F, 1 - squared(light_x) - squared(light_y)));
  const float ambient = to_float(scene_.ambient);
  const float half_height = 1.02F;
  const float flat = ambient + (1 - ambient) * light_z;
  const float fall_off_x = to_float(scene_.fall_off_x);
  const float fall_off_y = to_float(scene_.fall_off_y);
  for (size_t i = 0; i < samples_.size(); ++i) {
    const Point p = samples_[i].head;
    const float u = p.x / head_half_width;
    const float v = p.y / half_height;
    const float height = std::sqrt(std::max(0.12F, 1 - 0.85F * (u * u + v * v)));
    const float slope_x = -0.6F * u / height + slope_x_[i];
    const float slope_y = -0.4F * v / height + slope_y_[i];
    const float facing =
        (light_z - light_x * slope_x - light_y * slope_y) / std::sqrt(1 + slope_x * slope_x + slope_y * slope_y);
    const float on_head = ambient + 1.15F * (1 - ambient) * std::max(0.0F, facing);
    albedo_[i] *= mix(flat, on_head, on_head_[i]) * (1 + fall_off_x * p.x + fall_off_y * p.y);
  }
}

std::vector<float> FaceCanvas::levels() const {
  std::vector<float> out(static_cast<size_t>(side_ * side_));
  for (int64_t row = 0; row < side_; ++row) {
    for (int64_t column = 0; column < side_; ++column) {
      float sum = 0;
      for (int64_t y = 0; y < kSupersampling; ++y) {
        for (int64_t x = 0; x < kSupersampling; ++x) {
          sum += albedo_[static_cast<size_t>((row * kSupersampling + y) * fine_side_ + column * kSupersampling + x)];
        }
      }
      const float level = sum / static_cast<float>(kSupersampling * kSupersampling);
      out[static_cast<size_t>(row * side_ + column)] =
          255 * std::clamp(to_float(scene_.gain) * level + to_float(scene_.lift), 0.0F, 1.0F);
    }
  }
  return out;
}

}  // namespace mien::data
