#pragma once

#include <cstdint>
#include <vector>

#include "mien/data/synthetic/face_parameters.h"

namespace mien::data {

/// One person in one scene, as gray levels [side, side] in [0, 255], without the scene's blur and noise.
struct FacePictures {
  std::vector<float> face;
  std::vector<float> without_evidence;  ///< the neutral face; of a neutral face, the one without brows, eyes and mouth
};

FacePictures paint_face(const Person& person, const ActionUnits& units, const Scene& scene, int64_t side);

}  // namespace mien::data
