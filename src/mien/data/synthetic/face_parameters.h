#pragma once

#include <cstdint>

#include "mien/core/random.h"

namespace mien::data {

/// Intensities in [0, 1] of facial action units, with their numbers in FACS.
struct ActionUnits {
  double inner_brow_raiser = 0;     ///< 1
  double outer_brow_raiser = 0;     ///< 2
  double brow_lowerer = 0;          ///< 4
  double upper_lid_raiser = 0;      ///< 5
  double cheek_raiser = 0;          ///< 6
  double lid_tightener = 0;         ///< 7
  double nose_wrinkler = 0;         ///< 9
  double lip_corner_puller = 0;     ///< 12
  double lip_corner_depressor = 0;  ///< 15
  double lower_lip_depressor = 0;   ///< 16
  double lip_stretcher = 0;         ///< 20
  double lip_tightener = 0;         ///< 23
  double lips_part = 0;             ///< 25, which comes and goes with 12 and 20
  double jaw_drop = 0;              ///< 26

  bool operator==(const ActionUnits&) const = default;
};

enum class HairStyle { bald, cropped, fringe, side_part, long_hair };

/// What makes two people differ. Lengths are in units of half a head's height, the origin lies between the eyes' and
/// the nose's height, x to the right and y downwards; shades are albedos in [0, 1].
struct Person {
  double head_half_width, crown_height, chin_depth;
  double jaw_squareness;  ///< exponent of the jaw's outline: 2 an ellipse, more is squarer
  double skin, lips, hair, iris;
  HairStyle hair_style;
  double hairline;      ///< y of the hair's edge above the nose
  double hair_parting;  ///< x where the hair parts
  uint64_t hair_seed;   ///< of the strands' texture
  double brow_y, brow_thickness, brow_arch, brow_tilt;
  double eye_y, eye_spacing, eye_half_width, eye_openness, eye_tilt;
  double nose_width, nose_tip_y;
  double mouth_y, mouth_half_width, lip_thickness;
  double mouth_curve;  ///< resting height of the mouth's corners, positive hangs
  double wrinkles;     ///< depth of folds, about 1
  double beard;        ///< 0 shaven to 1 full
  bool moustache;
  bool glasses;
};

enum class Occluder { none, bar, hand, lock };

/// How the face is seen. Angles in radians, lengths in the person's units.
struct Scene {
  double roll, yaw, pitch;
  double scale;  ///< half a head's height as a fraction of half the picture's side
  double shift_x, shift_y;
  double light_x, light_y;        ///< of the unit vector towards the light
  double ambient;                 ///< share of light that comes from everywhere
  double gain, lift;              ///< level = gain * level + lift, levels in [0, 1]
  double fall_off_x, fall_off_y;  ///< change of light over the picture's half
  double gaze_x, gaze_y;
  double left_strength, right_strength;  ///< factors on the action units of the two halves of the face
  double background, background_slope_x, background_slope_y;
  uint64_t background_seed;
  double clothes;
  Occluder occluder;
  double occluder_x, occluder_y, occluder_angle, occluder_size, occluder_shade;
  double blur;   ///< deviation in pixels of a 48-pixel picture
  double noise;  ///< deviation in gray levels of 255
};

/// The action units of the expression `label` (see kExpressionNames), each with its own intensity.
ActionUnits draw_action_units(int32_t label, RandomStream& random);
Person draw_person(RandomStream& random);
/// `difficulty` scales everything that varies; at 0 every scene is the same.
Scene draw_scene(double difficulty, RandomStream& random);

}  // namespace mien::data
