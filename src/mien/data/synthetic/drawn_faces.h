#pragma once

#include <cstdint>

#include "mien/core/options.h"
#include "mien/data/dataset.h"

namespace mien::data {

/// What to draw: the embedded data set, whose evidence is known because the drawer put it there.
struct DrawOptions {
  int64_t count_per_class = 400;
  int64_t draw_seed = 0;
  int64_t side = 48;        ///< pixels
  double difficulty = 1.0;  ///< scales pose, light, occlusion, blur and noise; 0 is a frontal, evenly lit, clean face

  void bind(OptionSet& options);
};

/// Draws faces from parameters. Each expression is a set of facial action units of varied intensity: angry 4+5+7+23,
/// disgust 9+15+16, fear 1+2+4+5+7+20+26, happy 6+12, sad 1+4+15, surprise 1+2+5+26, neutral none.
///
/// Rows go around the classes (row r has label r mod 7), one in five of each class is Usage::public_test, the others
/// Usage::training. `evidence` is 255 where the face differs from the same person's neutral face under the same pose,
/// light and occlusion (for neutral faces: where brows, eyes and mouth are). Face r depends on the options and r alone,
/// bit for bit, whatever the threads; `checksum` is of the pixels. Throws Error(usage) for options out of range.
/// @source Ekman, Friesen, Hager 2002, "Facial Action Coding System"; Friesen, Ekman 1983, "EMFACS-7" (the unit sets).
Dataset draw_faces(const DrawOptions& options);

}  // namespace mien::data
