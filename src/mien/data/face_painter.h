#pragma once

#include <cstdint>
#include <vector>

#include "mien/data/face_parameters.h"

namespace mien::data {

enum class FaceParts {
  all,
  without_features,  ///< no brows, eyes and mouth
};

/// Paints one face as grey levels [side, side] in [0, 255], supersampled; without the scene's blur and noise.
std::vector<float> paint_face(
    const Person& person, const ActionUnits& units, const Scene& scene, int64_t side, FaceParts parts = FaceParts::all);

}  // namespace mien::data
