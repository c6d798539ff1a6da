#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"

namespace mien::network {
struct LoadedWeights;
}

namespace mien::exporting {

/// Least and largest output of every layer, by its name, over `rows` (indices) of `dataset`; "input" is the normalized
/// image. Throws Error(usage) if the faces do not fit the network, Error(interrupted) when the user asks to stop.
std::map<std::string, std::pair<float, float>> output_ranges(const network::LoadedWeights& weights,
                                                             const data::Dataset& dataset,
                                                             std::span<const int64_t> rows,
                                                             ProgressListener& listener);

}  // namespace mien::exporting
