#pragma once

#include <cstdint>
#include <optional>

#include "mien/data/dataset.h"

namespace mien::data {

/// The face that stands for a class in a picture: of the faces with this label that are not constant, the one whose
/// brightness (mean) and contrast (standard deviation) are nearest to the class's medians, the first of equals. Nothing
/// where the class has no such face.
std::optional<int64_t> typical_face(const Dataset& dataset, int32_t label);

}  // namespace mien::data
