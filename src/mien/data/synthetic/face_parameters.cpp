#include "mien/data/synthetic/face_parameters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>

#include "mien/data/dataset.h"

namespace mien::data {
namespace {

using Unit = double ActionUnits::*;

constexpr int kLongestUnitList = 7;
struct UnitList {
  std::array<Unit, kLongestUnitList> units;
  int count;
};

constexpr UnitList units_of(std::initializer_list<Unit> units) {
  UnitList list{{}, static_cast<int>(units.size())};
  std::copy(units.begin(), units.end(), list.units.begin());
  return list;
}

using A = ActionUnits;
/// In the order of kExpressionNames.
constexpr std::array<UnitList, kExpressionNames.size()> kExpressionUnits{
    units_of({&A::brow_lowerer, &A::upper_lid_raiser, &A::lid_tightener, &A::lip_tightener}),
    units_of({&A::nose_wrinkler, &A::lip_corner_depressor, &A::lower_lip_depressor}),
    units_of({&A::inner_brow_raiser,
              &A::outer_brow_raiser,
              &A::brow_lowerer,
              &A::upper_lid_raiser,
              &A::lid_tightener,
              &A::lip_stretcher,
              &A::jaw_drop}),
    units_of({&A::cheek_raiser, &A::lip_corner_puller}),
    units_of({&A::inner_brow_raiser, &A::brow_lowerer, &A::lip_corner_depressor}),
    units_of({&A::inner_brow_raiser, &A::outer_brow_raiser, &A::upper_lid_raiser, &A::jaw_drop}),
    units_of({}),
};

bool chance(RandomStream& random, double probability) { return random.uniform() < probability; }

}  // namespace

ActionUnits draw_action_units(int32_t label, RandomStream& random) {
  ActionUnits units;
  const double strength = random.uniform(0.65, 1.0);
  const UnitList& list = kExpressionUnits.at(static_cast<size_t>(label));
  for (int i = 0; i < list.count; ++i) {
    units.*list.units[static_cast<size_t>(i)] = std::min(1.0, strength * random.uniform(0.8, 1.2));
  }
  const bool parts = chance(random, 0.65);
  const double width = random.uniform(0.6, 1.0);
  if (parts && (units.lip_corner_puller > 0 || units.lip_stretcher > 0)) units.lips_part = strength * width;
  return units;
}

Person draw_person(RandomStream& random) {
  Person person{};
  person.head_half_width = random.uniform(0.66, 0.78);
  person.crown_height = random.uniform(0.98, 1.08);
  person.chin_depth = random.uniform(0.92, 1.04);
  person.jaw_squareness = random.uniform(1.9, 2.9);
  person.skin = random.uniform(0.42, 0.88);
  person.lips = person.skin * random.uniform(0.62, 0.82);
  person.hair = chance(random, 0.7) ? random.uniform(0.05, 0.22) : random.uniform(0.3, 0.8);
  if (std::abs(person.hair - person.skin) < 0.15) person.hair = std::max(0.05, person.skin - 0.25);
  person.iris = random.uniform(0.1, 0.35);
  constexpr std::array kStyles{HairStyle::bald,
                               HairStyle::cropped,
                               HairStyle::cropped,
                               HairStyle::fringe,
                               HairStyle::side_part,
                               HairStyle::side_part,
                               HairStyle::long_hair,
                               HairStyle::long_hair};
  person.hair_style = kStyles[random.below(kStyles.size())];
  person.hairline = random.uniform(-0.74, -0.62);
  person.hair_parting = random.uniform(-0.4, 0.4);
  person.hair_seed = random.next();
  person.brow_y = random.uniform(-0.37, -0.31);
  person.brow_thickness = random.uniform(0.028, 0.052);
  person.brow_arch = random.uniform(0.02, 0.06);
  person.brow_tilt = random.uniform(-0.02, 0.025);
  person.eye_y = random.uniform(-0.15, -0.1);
  person.eye_spacing = random.uniform(0.28, 0.33);
  person.eye_half_width = random.uniform(0.125, 0.15);
  person.eye_openness = random.uniform(0.85, 1.12);
  person.eye_tilt = random.uniform(-0.015, 0.02);
  person.nose_width = random.uniform(0.85, 1.25);
  person.nose_tip_y = random.uniform(0.18, 0.24);
  person.mouth_y = random.uniform(0.5, 0.56);
  person.mouth_half_width = random.uniform(0.23, 0.28);
  person.lip_thickness = random.uniform(0.75, 1.3);
  person.mouth_curve = random.uniform(-0.015, 0.02);
  person.wrinkles = random.uniform(0.6, 1.3);
  const bool bearded = chance(random, 0.16);
  person.beard = bearded ? random.uniform(0.25, 0.8) : 0;
  person.moustache = chance(random, bearded ? 0.8 : 0.03);
  person.glasses = chance(random, 0.14);
  return person;
}

Scene draw_scene(double difficulty, RandomStream& random) {
  // Every number is drawn whatever the difficulty, so that the same person meets milder versions of the same scene.
  const auto around = [&](double deviation) { return difficulty * deviation * random.uniform(-1, 1); };
  const auto up_to = [&](double most) { return difficulty * most * random.uniform(); };
  Scene scene{};
  scene.roll = around(0.22);
  scene.yaw = around(0.3);
  scene.pitch = around(0.16);
  scene.scale = 0.95 + around(0.11);
  scene.shift_x = around(0.12);
  scene.shift_y = around(0.11);
  scene.light_x = -0.25 + around(0.6);
  scene.light_y = -0.4 + around(0.45);
  scene.ambient = 0.5 + around(0.15);
  scene.gain = 1.0 + around(0.25);
  scene.lift = around(0.06);
  scene.fall_off_x = around(0.25);
  scene.fall_off_y = around(0.2);
  scene.gaze_x = around(0.035);
  scene.gaze_y = around(0.012);
  scene.left_strength = 1 - up_to(0.2);
  scene.right_strength = 1 - up_to(0.2);
  scene.background = std::clamp(0.45 + around(0.42), 0.03, 0.97);
  scene.background_slope_x = around(0.2);
  scene.background_slope_y = around(0.2);
  scene.background_seed = random.next();
  scene.clothes = std::clamp(0.35 + around(0.35), 0.05, 0.9);
  const bool occluded = random.uniform() < 0.22 * difficulty;
  constexpr std::array kOccluders{Occluder::bar, Occluder::hand, Occluder::lock};
  const Occluder occluder = kOccluders[random.below(kOccluders.size())];
  scene.occluder = occluded ? occluder : Occluder::none;
  scene.occluder_x = random.uniform(-1, 1);
  scene.occluder_y = random.uniform(-1, 1);
  scene.occluder_angle = random.uniform(-1, 1);
  scene.occluder_size = random.uniform(0.7, 1.1);
  scene.occluder_shade = random.uniform(0.08, 0.75);
  scene.blur = up_to(0.75);
  scene.noise = up_to(6);
  return scene;
}

}  // namespace mien::data
