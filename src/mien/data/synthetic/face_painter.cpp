#include "mien/data/synthetic/face_painter.h"

#include <algorithm>
#include <cmath>

#include "mien/data/synthetic/brush.h"
#include "mien/data/synthetic/face_canvas.h"

namespace mien::data {
namespace {

using brush::Box;
using brush::mix;
using brush::Point;
using brush::squared;
using brush::Stroke;

constexpr Box kEverywhere{-9, -9, 9, 9};

enum class FaceParts {
  all,
  without_features,  ///< no brows, eyes and mouth
};

/// Paints one person in one scene, with one expression after another.
class FacePainter {
 public:
  FacePainter(const Person& person, const Scene& scene, int64_t side)
      : person_(person), scene_(scene), canvas_(scene, side) {
    texture_samples();
  }

  std::vector<float> paint(const ActionUnits& units, FaceParts parts) {
    units_ = units;
    canvas_.start(backdrop_);
    outline_head();
    paint_background();
    paint_hair_behind();
    paint_skin();
    shape_relief();
    paint_beard();
    paint_folds();
    paint_nose();
    if (parts == FaceParts::all) {
      paint_mouth();
      for (const float side : {-1.0F, 1.0F}) {
        paint_eye(side);
        paint_brow(side);
      }
    }
    paint_hair();
    if (person_.glasses) paint_glasses();
    canvas_.light(to_float(person_.head_half_width));
    paint_occluder();
    return canvas_.levels();
  }

 private:
  void texture_samples();
  void outline_head();
  void paint_background();
  void paint_hair_behind();
  void paint_skin();
  void shape_relief();
  void paint_beard();
  void paint_folds();
  void paint_nose();
  void paint_mouth();
  void paint_eye(float side);
  void paint_brow(float side);
  void paint_hair();
  void paint_glasses();
  void paint_occluder();

  float strength(float side) const { return to_float(side < 0 ? scene_.left_strength : scene_.right_strength); }
  float unit(double ActionUnits::*unit) const { return to_float(units_.*unit); }
  float unit(double ActionUnits::*unit, float side) const { return to_float(units_.*unit) * strength(side); }
  /// How far the jaw lowers the chin.
  float jaw_drop() const { return 0.16F * unit(&ActionUnits::jaw_drop); }
  float mouth_y() const { return to_float(person_.mouth_y) + 0.2F * jaw_drop(); }
  float mouth_half_width() const;
  float corner_rise(float side) const;

  /// Distance to the outline of the head.
  float head_distance(Point p) const {
    const float a = to_float(person_.head_half_width);
    const bool jaw = p.y > 0;
    const float b = jaw ? to_float(person_.chin_depth) + jaw_drop() : to_float(person_.crown_height);
    const float power = jaw ? to_float(person_.jaw_squareness) : 2;
    const float v = std::pow(std::abs(p.y) / b, power - 1);
    const float value = squared(p.x / a) + v * std::abs(p.y) / b - 1;
    const float slope = brush::length(2 * p.x / (a * a), power * v / b);
    return value / std::max(slope, 0.5F);
  }

  const Person& person_;
  const Scene& scene_;
  FaceCanvas canvas_;
  ActionUnits units_;
  float outlined_jaw_drop_ = -1;        // what the samples' outlines were measured with
  std::vector<float> backdrop_, skin_;  // albedos that no expression changes
};

void FacePainter::texture_samples() {
  const float slope_x = to_float(scene_.background_slope_x);
  const float slope_y = to_float(scene_.background_slope_y);
  for (const Sample& sample : canvas_.samples()) {
    const Point p = sample.head;
    const float blotches = brush::value_noise(1.7F * p.x + 50, 1.7F * p.y + 50, scene_.background_seed) - 0.5F;
    const float level = to_float(scene_.background) + slope_x * p.x + slope_y * p.y + 0.3F * blotches;
    backdrop_.push_back(std::clamp(level, 0.02F, 1.0F));
    const Point spot = sample.face;
    const float mottle = 0.05F * (brush::value_noise(5 * spot.x, 5 * spot.y, person_.hair_seed + 1) - 0.5F);
    skin_.push_back(to_float(person_.skin) * (1 + mottle));
  }
}

void FacePainter::outline_head() {
  if (outlined_jaw_drop_ == jaw_drop()) return;
  outlined_jaw_drop_ = jaw_drop();
  for (Sample& sample : canvas_.samples()) sample.outline = head_distance(sample.head);
}

void FacePainter::paint_background() {
  const float clothes = to_float(scene_.clothes);
  const auto shoulders = [&](const Sample& s) { return 1.05F + 0.35F * squared(s.head.x) - s.head.y; };
  canvas_.cover(kEverywhere, 0, shoulders, [&](const Sample&, float) { return clothes; });
  const auto neck = [&](const Sample& s) {
    const float half = 0.42F * to_float(person_.head_half_width) / 0.7F;
    return std::max(std::abs(s.head.x) - half, std::max(0.5F - s.head.y, s.head.y - 1.25F));
  };
  canvas_.cover(kEverywhere, 0.03F, neck, [&](const Sample&, float) { return 0.6F * to_float(person_.skin); });
}

void FacePainter::paint_hair_behind() {
  if (person_.hair_style != HairStyle::long_hair) return;
  const float hair = to_float(person_.hair);
  const float half_width = to_float(person_.head_half_width) + 0.13F;
  const auto mane = [&](const Sample& s) {
    return std::min(s.outline - 0.1F, brush::rounded_box_distance(s.head, {0, 0.35F}, half_width, 0.75F, 0.25F));
  };
  canvas_.cover(kEverywhere, 0.03F, mane, [&](const Sample& s, float) {
    return hair * (0.6F + 0.5F * brush::value_noise(16 * s.head.x, 1.5F * s.head.y, person_.hair_seed));
  });
}

void FacePainter::paint_skin() {
  const float skin = to_float(person_.skin);
  const float ear_x = to_float(person_.head_half_width) + 0.02F;
  for (const float side : {-1.0F, 1.0F}) {
    const auto ear = [&](const Sample& s) { return brush::ellipse_distance(s.head, {side * ear_x, 0}, 0.09F, 0.19F); };
    canvas_.cover(kEverywhere, 0, ear, [&](const Sample&, float) { return 0.8F * skin; });
  }
  canvas_.cover_head(skin_);
}

void FacePainter::shape_relief() {
  const float eye_x = to_float(person_.eye_spacing);
  const float eye_y = to_float(person_.eye_y);
  const float tip_y = to_float(person_.nose_tip_y);
  const float nose = to_float(person_.nose_width);
  canvas_.hill({0, 0.5F * tip_y - 0.08F}, 0.13F * nose, 0.36F, 0.10F);  // bridge
  canvas_.hill({0, tip_y}, 0.14F * nose, 0.13F, 0.10F);                 // tip
  const float smile = unit(&ActionUnits::lip_corner_puller);
  const float cheek = std::max(unit(&ActionUnits::cheek_raiser), 0.8F * smile);
  const float sneer = unit(&ActionUnits::nose_wrinkler);
  for (const float side : {-1.0F, 1.0F}) {
    canvas_.hill({side * 0.12F * nose, tip_y + 0.02F - 0.04F * sneer}, 0.09F, 0.09F, 0.045F);  // wings
    canvas_.hill({side * eye_x, eye_y}, 0.23F, 0.17F, -0.07F);                                 // sockets
    canvas_.hill({side * eye_x, eye_y}, 0.15F, 0.1F, 0.03F);                                   // eyeballs
    canvas_.hill({side * eye_x, to_float(person_.brow_y) - 0.03F}, 0.27F, 0.12F, 0.035F);      // brow bones
    canvas_.hill({side * 0.43F, 0.2F - 0.05F * cheek}, 0.3F, 0.24F, 0.035F + 0.06F * cheek);   // cheeks
    canvas_.hill({side * 0.13F, 0.06F}, 0.1F, 0.16F, 0.03F * sneer);  // beside the wrinkled nose
  }
  canvas_.hill({0, mouth_y()}, 0.34F, 0.2F, 0.04F);                                           // round of the mouth
  canvas_.hill({0, to_float(person_.chin_depth) - 0.16F + jaw_drop()}, 0.24F, 0.17F, 0.05F);  // chin
  canvas_.hill({0, to_float(person_.brow_y) + 0.02F}, 0.12F, 0.13F, 0.03F * unit(&ActionUnits::brow_lowerer));
}

void FacePainter::paint_beard() {
  const float hair = 0.7F * to_float(person_.hair) + 0.05F;
  const auto stubble = [&](const Sample& s) {
    return brush::value_noise(22 * s.face.x, 14 * s.face.y, person_.hair_seed + 2);
  };
  if (person_.beard > 0) {
    const float density = to_float(person_.beard);
    const float top = mouth_y() - 0.02F;
    const auto region = [&](const Sample& s) {
      const float edge = top + 0.12F - 0.55F * squared(s.face.x / 0.7F);
      return std::max(edge - s.face.y, s.outline);
    };
    canvas_.cover(kEverywhere, 0.12F, region, [&](const Sample& s, float level) {
      return mix(level, hair, density * (0.7F + 0.3F * stubble(s)));
    });
  }
  if (person_.moustache) {
    const float y = mouth_y() - 0.115F;
    const float width = 0.9F * mouth_half_width();
    for (const float side : {-1.0F, 1.0F}) {
      const Stroke half({side * 0.02F, y},
                        {side * 0.5F * width, y + 0.005F},
                        {side * width, y + 0.06F - 0.5F * corner_rise(side)},
                        0.035F,
                        0.035F,
                        0.015F);
      canvas_.cover(
          half.box(),
          0.03F,
          [&](const Sample& s) { return half.distance(s.face); },
          [&](const Sample& s, float level) { return mix(level, hair, 0.7F + 0.3F * stubble(s)); });
    }
  }
}

void FacePainter::paint_folds() {
  const float depth = to_float(person_.wrinkles);
  const float brow_y = to_float(person_.brow_y);
  const float eye_y = to_float(person_.eye_y);
  const float raised = 0.5F * (unit(&ActionUnits::inner_brow_raiser) + unit(&ActionUnits::outer_brow_raiser));
  for (const float line : {0.0F, 1.0F}) {  // forehead
    const float y = brow_y - 0.19F - 0.09F * line;
    canvas_.fold(Stroke({-0.34F, y + 0.02F}, {0, y - 0.01F}, {0.34F, y + 0.02F}, 0.002F, 0.012F, 0.002F),
                 0.04F,
                 0.3F * depth * raised);
  }
  const float frown = unit(&ActionUnits::brow_lowerer) * (1 - 0.6F * unit(&ActionUnits::inner_brow_raiser));
  const float sneer = unit(&ActionUnits::nose_wrinkler);
  for (const float side : {-1.0F, 1.0F}) {
    canvas_.fold(Stroke({side * 0.055F, brow_y - 0.06F},
                        {side * 0.045F, brow_y + 0.02F},
                        {side * 0.06F, brow_y + 0.1F},
                        0.004F,
                        0.014F,
                        0.004F),
                 0.035F,
                 0.5F * depth * frown);
    // crow's feet and the bag under a raised cheek
    const float eye_x = to_float(person_.eye_spacing);
    const float raised_cheek = unit(&ActionUnits::cheek_raiser, side);
    const float outer = side * (eye_x + 0.17F);
    for (const float fan : {-1.0F, 1.0F}) {
      canvas_.fold(Stroke({outer, eye_y + 0.015F * fan},
                          {outer + side * 0.05F, eye_y + 0.035F * fan},
                          {outer + side * 0.1F, eye_y + 0.065F * fan},
                          0.008F,
                          0.008F,
                          0.002F),
                   0.03F,
                   0.3F * depth * raised_cheek);
    }
    canvas_.fold(Stroke({side * (eye_x - 0.12F), eye_y + 0.09F},
                        {side * eye_x, eye_y + 0.12F},
                        {side * (eye_x + 0.14F), eye_y + 0.07F},
                        0.004F,
                        0.014F,
                        0.004F),
                 0.04F,
                 depth * (0.08F + 0.25F * std::max(raised_cheek, 0.6F * unit(&ActionUnits::lid_tightener, side))));
    // nasolabial folds: faint at rest, deep in a smile or a sneer
    const float smile = unit(&ActionUnits::lip_corner_puller, side);
    const float bend = 0.06F * smile;
    const float nose_y = to_float(person_.nose_tip_y) + 0.01F - 0.05F * sneer;
    const float end_x = mouth_half_width() + 0.07F;
    canvas_.fold(Stroke({side * 0.16F, nose_y},
                        {side * (0.25F + bend), nose_y + 0.13F},
                        {side * end_x, mouth_y() - 0.02F - 0.5F * corner_rise(side)},
                        0.006F,
                        0.016F,
                        0.004F),
                 0.05F,
                 depth * (0.07F + 0.3F * std::max(smile, sneer)));
    // wrinkles over the root of the nose
    for (const float line : {0.0F, 1.0F, 2.0F}) {
      const float y = eye_y - 0.07F + 0.075F * line;
      canvas_.fold(
          Stroke({side * 0.012F, y}, {side * 0.06F, y + 0.012F}, {side * 0.125F, y - 0.035F}, 0.012F, 0.012F, 0.004F),
          0.03F,
          0.5F * depth * sneer);
    }
    // the lines that hang from lowered corners of the mouth
    const float lowered = unit(&ActionUnits::lip_corner_depressor, side);
    const float corner_y = mouth_y() - corner_rise(side);
    canvas_.fold(Stroke({side * (mouth_half_width() + 0.01F), corner_y + 0.01F},
                        {side * (mouth_half_width() + 0.045F), corner_y + 0.07F},
                        {side * (mouth_half_width() + 0.04F), corner_y + 0.14F},
                        0.01F,
                        0.012F,
                        0.003F),
                 0.035F,
                 0.4F * depth * lowered);
  }
}

void FacePainter::paint_nose() {
  const float tip_y = to_float(person_.nose_tip_y) - 0.035F * unit(&ActionUnits::nose_wrinkler);
  const float width = to_float(person_.nose_width);
  canvas_.fold(
      Stroke({-0.15F * width, tip_y + 0.06F}, {0, tip_y + 0.12F}, {0.15F * width, tip_y + 0.06F}, 0.01F, 0.016F, 0.01F),
      0.06F,
      0.28F);
  for (const float side : {-1.0F, 1.0F}) {
    const Point nostril{side * 0.066F * width, tip_y + 0.075F};
    const auto hole = [&](const Sample& s) { return brush::ellipse_distance(s.face, nostril, 0.042F, 0.026F); };
    canvas_.cover({nostril.x - 0.06F, nostril.y - 0.05F, nostril.x + 0.06F, nostril.y + 0.05F},
                  0.02F,
                  hole,
                  [](const Sample&, float level) { return 0.35F * level; });
    canvas_.fold(Stroke({side * 0.155F * width, tip_y - 0.04F},
                        {side * 0.175F * width, tip_y + 0.02F},
                        {side * 0.14F * width, tip_y + 0.075F},
                        0.004F,
                        0.01F,
                        0.004F),
                 0.03F,
                 0.25F);
  }
}

float FacePainter::mouth_half_width() const {
  const float open = unit(&ActionUnits::jaw_drop) * (1 - unit(&ActionUnits::lip_stretcher));
  return to_float(person_.mouth_half_width) *
         (1 + 0.32F * unit(&ActionUnits::lip_corner_puller) + 0.35F * unit(&ActionUnits::lip_stretcher) -
          0.28F * std::max(0.0F, open) - 0.1F * unit(&ActionUnits::lip_tightener));
}

/// How much higher a corner of the mouth is than its middle.
float FacePainter::corner_rise(float side) const {
  return -to_float(person_.mouth_curve) + 0.13F * unit(&ActionUnits::lip_corner_puller, side) -
         0.13F * unit(&ActionUnits::lip_corner_depressor, side) - 0.03F * unit(&ActionUnits::lip_stretcher, side);
}

void FacePainter::paint_mouth() {
  const float half_width = mouth_half_width();
  const float middle_y = mouth_y();
  const float left_rise = corner_rise(-1);
  const float right_rise = corner_rise(1);
  const float drop = unit(&ActionUnits::jaw_drop);
  const float stretch = unit(&ActionUnits::lip_stretcher);
  const float part = unit(&ActionUnits::lips_part);
  const float smile = unit(&ActionUnits::lip_corner_puller);
  const float sneer = unit(&ActionUnits::nose_wrinkler);
  const float lowered_lip = unit(&ActionUnits::lower_lip_depressor);
  const float thin = (1 - 0.75F * unit(&ActionUnits::lip_tightener)) * (1 - 0.3F * stretch) * (1 - 0.2F * smile);
  const float upper_lip = 0.06F * to_float(person_.lip_thickness) * thin;
  const float lower_lip = 0.075F * to_float(person_.lip_thickness) * thin;
  const float open_up = 0.09F * drop * (1 - 0.4F * stretch) + 0.05F * sneer + 0.015F * part;
  const float open_down =
      0.30F * drop * (1 - 0.55F * stretch) + 0.05F * lowered_lip + 0.03F * stretch * part + 0.11F * part * smile;
  const bool is_open = open_up + open_down > 0.02F;

  struct Lips {
    float along;  // -1 at the left corner, 1 at the right one
    float line, top, upper_inner, lower_inner, bottom;
  };
  const auto lips_at = [&](float x) {
    const float along = x / half_width;
    const float inside = std::max(0.0F, 1 - squared(along));
    const float bow = std::sqrt(inside);
    const float line = middle_y - (x < 0 ? left_rise : right_rise) * (squared(along) - 0.35F);
    const float cupid = 1 - 0.3F * std::exp(-squared(along / 0.16F));
    const float upper_inner = line - open_up * bow;
    const float lower_inner = line + open_down * bow;
    return Lips{along,
                line,
                upper_inner - upper_lip * cupid * std::pow(inside, 0.6F),
                upper_inner,
                lower_inner,
                lower_inner + lower_lip * std::pow(inside, 0.55F)};
  };
  const Box box{-half_width - 0.05F, middle_y - 0.45F, half_width + 0.05F, middle_y + 0.6F};
  const auto lips = [&](const Sample& s) {
    const Lips at = lips_at(s.face.x);
    return std::max({at.top - s.face.y, s.face.y - at.bottom, half_width * (std::abs(at.along) - 1)});
  };
  const float lip_shade = to_float(person_.lips);
  canvas_.cover(box, 0.015F, lips, [&](const Sample& s, float) {
    const Lips at = lips_at(s.face.x);
    const bool upper = s.face.y < at.line;
    const float down = (s.face.y - at.lower_inner) / std::max(lower_lip, 0.01F);
    return lip_shade * (upper ? 0.85F : 1.08F - 0.2F * squared(down - 0.4F));
  });
  if (is_open) {
    const auto cavity = [&](const Sample& s) {
      const Lips at = lips_at(s.face.x);
      return std::max({at.upper_inner - s.face.y, s.face.y - at.lower_inner, half_width * (std::abs(at.along) - 1)});
    };
    const float upper_teeth = std::min(0.085F, 0.03F * drop + 0.09F * part * smile + 0.06F * sneer + 0.05F * stretch);
    const float lower_teeth = 0.045F * stretch + 0.03F * lowered_lip;
    canvas_.cover(box, 0, cavity, [&](const Sample& s, float) {
      const Lips at = lips_at(s.face.x);
      const float beneath = s.face.y - at.upper_inner;
      const float above = at.lower_inner - s.face.y;
      const float dim = 1 - 0.35F * squared(at.along);
      if (beneath < upper_teeth || above < lower_teeth) return 0.86F * dim;
      const float tongue = std::clamp(1 - above / 0.14F, 0.0F, 1.0F) * std::clamp(5 * (open_down - 0.08F), 0.0F, 1.0F);
      return 0.05F + 0.2F * tongue;
    });
  }
  const Stroke line({-half_width - 0.005F, lips_at(-half_width).line},
                    {0, lips_at(0).line},
                    {half_width + 0.005F, lips_at(half_width).line},
                    0.014F,
                    0.009F,
                    0.014F);
  if (!is_open) canvas_.fold(line, 0.015F, 0.62F);
  for (const float side : {-1.0F, 1.0F}) {
    const Point corner{side * half_width, lips_at(side * half_width).line};
    const float turn = 0.6F * corner_rise(side);
    canvas_.fold(Stroke(corner,
                        {corner.x + side * 0.015F, corner.y - 0.5F * turn * 0.15F},
                        {corner.x + side * 0.03F, corner.y - turn * 0.3F},
                        0.016F,
                        0.012F,
                        0.006F),
                 0.025F,
                 0.5F);
  }
  const float under = lips_at(0).bottom + 0.05F;
  canvas_.fold(
      Stroke({-0.14F, under - 0.01F}, {0, under}, {0.14F, under - 0.01F}, 0.006F, 0.02F, 0.006F), 0.07F, 0.16F);
}

void FacePainter::paint_eye(float side) {
  const auto raise_lid = unit(&ActionUnits::upper_lid_raiser, side);
  const auto tighten = unit(&ActionUnits::lid_tightener, side);
  const auto cheek = unit(&ActionUnits::cheek_raiser, side);
  const auto sneer = unit(&ActionUnits::nose_wrinkler, side);
  const auto frown = unit(&ActionUnits::brow_lowerer, side) * (1 - raise_lid);
  const float sorrow = frown * unit(&ActionUnits::inner_brow_raiser, side);
  const float half_width = to_float(person_.eye_half_width);
  const float openness = to_float(person_.eye_openness);
  const Point center{side * to_float(person_.eye_spacing), to_float(person_.eye_y)};
  const float up = 0.074F * openness *
                   std::max(0.1F,
                            1 + 0.75F * raise_lid - 0.3F * tighten * (1 - 0.6F * raise_lid) - 0.3F * cheek -
                                0.45F * sneer - 0.3F * sorrow);
  const float low = 0.05F * openness *
                    (1 + 0.2F * raise_lid - 0.5F * tighten * (1 - 0.4F * raise_lid) - 1.15F * cheek - 0.7F * sneer);
  const float tilt = to_float(person_.eye_tilt);
  struct Lids {
    float along, top, bottom;
  };
  const auto lids_at = [&](float x) {
    const float along = side * (x - center.x) / half_width;  // -1 at the nose, 1 at the temple
    const float inside = std::max(0.0F, 1 - squared(along));
    const float axis = center.y - tilt * along;
    const float droop = sorrow * 0.03F * along;  // a sad lid hangs towards the temple
    return Lids{along, axis - up * std::pow(inside, 0.65F) + droop, axis + low * std::pow(inside, 0.8F) + droop};
  };
  const Box box{center.x - half_width - 0.05F, center.y - 0.25F, center.x + half_width + 0.05F, center.y + 0.2F};
  const auto opening = [&](const Sample& s) {
    const Lids at = lids_at(s.face.x);
    return std::max({at.top - s.face.y, s.face.y - at.bottom, half_width * (std::abs(at.along) - 1)});
  };
  const Point pupil{center.x + to_float(scene_.gaze_x), center.y - 0.012F + to_float(scene_.gaze_y)};
  const float iris_radius = 0.066F;
  canvas_.cover(box, 0, opening, [&](const Sample& s, float) {
    const float away = brush::length(s.face.x - pupil.x, s.face.y - pupil.y);
    const float lid_shadow = std::clamp((s.face.y - lids_at(s.face.x).top) / 0.05F, 0.0F, 1.0F);
    float shade = mix(0.6F, 0.92F, lid_shadow);
    shade = mix(to_float(person_.iris), shade, std::clamp((away - iris_radius) / 0.02F + 0.5F, 0.0F, 1.0F));
    if (away < 0.03F) shade = 0.03F;
    const float glint = brush::length(s.face.x - pupil.x + 0.02F, s.face.y - pupil.y + 0.025F);
    return glint < 0.014F ? 0.95F : shade;
  });
  const Point inner{center.x - side * half_width, lids_at(center.x - side * half_width).top};
  const Point outer{center.x + side * half_width, lids_at(center.x + side * half_width).top};
  const float top = lids_at(center.x).top;
  const float bottom = lids_at(center.x).bottom;
  canvas_.fold(Stroke(inner, {center.x, top}, {outer.x + side * 0.02F, outer.y - 0.005F}, 0.008F, 0.017F, 0.013F),
               0.015F,
               0.75F);
  canvas_.fold(Stroke(inner, {center.x, bottom}, outer, 0.005F, 0.007F, 0.008F), 0.02F, 0.38F);
  canvas_.fold(Stroke({inner.x, inner.y - 0.03F},
                      {center.x, top - 0.045F + 0.015F * raise_lid},
                      {outer.x + side * 0.02F, outer.y - 0.03F},
                      0.004F,
                      0.009F,
                      0.004F),
               0.03F,
               0.28F);
}

void FacePainter::paint_brow(float side) {
  const float inner_up = unit(&ActionUnits::inner_brow_raiser, side);
  const float outer_up = unit(&ActionUnits::outer_brow_raiser, side);
  const float lower = unit(&ActionUnits::brow_lowerer, side);
  const float sneer = unit(&ActionUnits::nose_wrinkler, side);
  const float y = to_float(person_.brow_y);
  const float tilt = to_float(person_.brow_tilt);
  const float net_lower = lower * (1 - 0.85F * inner_up);
  const Point inner{side * (0.13F - 0.045F * lower),
                    y + 0.02F + tilt - 0.13F * inner_up - 0.02F * outer_up + 0.13F * net_lower + 0.06F * sneer};
  const Point middle{side * (0.3F - 0.015F * lower),
                     y - to_float(person_.brow_arch) - 0.045F * inner_up - 0.11F * outer_up +
                         0.07F * lower * (1 - 0.5F * inner_up) + 0.045F * sneer};
  const Point outer{
      side * 0.48F,
      y + 0.03F - tilt - 0.09F * outer_up + 0.01F * lower + 0.02F * sneer + 0.03F * inner_up * (1 - outer_up)};
  const float radius = to_float(person_.brow_thickness);
  const Stroke brow(inner, middle, outer, 0.95F * radius, radius, 0.35F * radius);
  const float shade = std::min(0.8F * to_float(person_.hair), 0.62F * to_float(person_.skin));
  canvas_.cover(
      brow.box(),
      0.03F,
      [&](const Sample& s) { return brow.distance(s.face); },
      [&](const Sample& s, float level) {
        const float hairs = brush::value_noise(30 * s.face.x, 18 * s.face.y, person_.hair_seed + 3);
        return mix(level, shade, 0.75F + 0.25F * hairs);
      });
}

void FacePainter::paint_hair() {
  if (person_.hair_style == HairStyle::bald) return;
  const float hairline = to_float(person_.hairline);
  const float parting = to_float(person_.hair_parting);
  const float half_width = to_float(person_.head_half_width);
  const uint64_t seed = person_.hair_seed;
  const auto edge_at = [&](float x) {
    const float temple = std::pow(std::abs(x) / half_width, 4.0F);
    switch (person_.hair_style) {
      case HairStyle::bald:
      case HairStyle::cropped:
        return hairline + 0.06F + 0.55F * temple;
      case HairStyle::fringe:
        return hairline + 0.17F + 0.08F * brush::value_noise(9 * x, 3, seed) + 0.35F * temple;
      case HairStyle::side_part: {
        const float away = x - parting;
        return hairline + (away * parting < 0 ? 0.22F : 0.1F) * std::min(1.0F, std::sqrt(std::abs(away))) +
               0.45F * temple;
      }
      case HairStyle::long_hair:
        return hairline - 0.02F + 0.2F * std::sqrt(std::abs(x - parting)) + 0.9F * temple;
    }
    return hairline;
  };
  const float growth = person_.hair_style == HairStyle::cropped ? 0.04F : 0.09F;
  const auto cap = [&](const Sample& s) { return std::max(s.outline - growth, s.face.y - edge_at(s.face.x)); };
  const float hair = to_float(person_.hair);
  canvas_.cover(kEverywhere, 0.035F, cap, [&](const Sample& s, float) {
    const float strands = brush::value_noise(14 * (s.face.x - 0.3F * parting), 2.5F * s.face.y, seed);
    const float gloss = std::exp(-squared((s.face.y + 0.82F) / 0.12F));
    return hair * (0.65F + 0.6F * strands) + 0.12F * gloss * strands;
  });
}

void FacePainter::paint_glasses() {
  const float eye_x = to_float(person_.eye_spacing) + 0.01F;
  const float eye_y = to_float(person_.eye_y) + 0.01F;
  const auto frame = [&](const Sample& s) {
    const Point mirrored{std::abs(s.face.x), s.face.y};
    const float rim = std::abs(brush::rounded_box_distance(mirrored, {eye_x, eye_y}, 0.19F, 0.135F, 0.09F)) - 0.014F;
    const float bridge = std::max(std::abs(s.face.y - eye_y + 0.04F) - 0.014F, std::abs(s.face.x) - eye_x + 0.19F);
    const float temples =
        std::max({std::abs(s.face.y - eye_y + 0.04F) - 0.014F, eye_x + 0.19F - std::abs(s.face.x), s.outline});
    return std::min({rim, bridge, temples});
  };
  canvas_.cover(kEverywhere, 0.01F, frame, [](const Sample&, float level) { return 0.2F * level; });
}

void FacePainter::paint_occluder() {
  const float x = to_float(scene_.occluder_x);
  const float y = to_float(scene_.occluder_y);
  const float size = to_float(scene_.occluder_size);
  const float shade = to_float(scene_.occluder_shade);
  const float angle = 0.7F * to_float(scene_.occluder_angle);
  const float cosine = std::cos(angle);
  const float sine = std::sin(angle);
  switch (scene_.occluder) {
    case Occluder::none:
      break;
    case Occluder::bar: {  // a rail or a phone across a corner of the picture
      const auto bar = [&](const Sample& s) {
        return std::abs(cosine * (s.head.y - (y < 0 ? -0.75F : 0.85F)) + sine * s.head.x) - 0.1F * size;
      };
      canvas_.cover(kEverywhere, 0.01F, bar, [&](const Sample&, float) { return shade; });
      break;
    }
    case Occluder::hand: {  // fingers on a cheek
      const float from = x < 0 ? -1.0F : 1.0F;
      for (int finger = 0; finger < 4; ++finger) {
        const float offset = 0.15F * static_cast<float>(finger);
        const Point tip{from * (0.4F + 0.03F * static_cast<float>(finger * (3 - finger))), 0.25F + 0.15F * y + offset};
        const Stroke stroke({from * 1.15F, tip.y + 0.35F + 0.2F * angle},
                            {from * 0.8F, tip.y + 0.14F},
                            tip,
                            0.085F * size,
                            0.08F * size,
                            0.065F * size);
        canvas_.cover(
            kEverywhere,
            0.01F,
            [&](const Sample& s) { return from * s.head.x < 0.25F ? 1.0F : stroke.distance(s.head); },
            [&](const Sample& s, float) {
              const float depth = std::clamp(-stroke.distance(s.head) / 0.06F, 0.0F, 1.0F);
              return to_float(person_.skin) * mix(0.45F, 0.85F, depth);
            });
      }
      break;
    }
    case Occluder::lock: {  // a lock of hair over the forehead and temple
      const float from = x < 0 ? -1.0F : 1.0F;
      const Stroke lock({from * 0.1F, -1.0F},
                        {from * 0.48F, -0.55F},
                        {from * 0.62F, 0.05F + 0.25F * y},
                        0.16F * size,
                        0.13F * size,
                        0.03F);
      canvas_.cover(
          kEverywhere,
          0.03F,
          [&](const Sample& s) { return lock.distance(s.head); },
          [&](const Sample& s, float) {
            return to_float(person_.hair) *
                   (0.6F + 0.6F * brush::value_noise(16 * s.head.x, 3 * s.head.y, person_.hair_seed + 4));
          });
      break;
    }
  }
}

}  // namespace

FacePictures paint_face(const Person& person, const ActionUnits& units, const Scene& scene, int64_t side) {
  FacePainter painter(person, scene, side);
  const bool is_neutral = units == ActionUnits{};
  return {painter.paint(units, FaceParts::all),
          painter.paint(ActionUnits{}, is_neutral ? FaceParts::without_features : FaceParts::all)};
}

}  // namespace mien::data
