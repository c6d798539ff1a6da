#pragma once

#include <cstdint>
#include <vector>

#include "mien/data/dataset.h"
#include "mien/data/leak_check.h"

namespace mien::data {

/// Labeled faces (indices, ascending) of which a copy, exact or near, has another label. In a crowd, where not all
/// pairs are listed, all faces that pairs join count as copies of one another.
std::vector<int64_t> faces_with_another_label(const Dataset& dataset, const ImageCopies& copies);

}  // namespace mien::data
