#pragma once

#include <filesystem>

#include "mien/data/dataset.h"

namespace mien::runs {

/// Writes classes.png (faces of each class, by usage) and examples.png (the first labeled face of each class, with its
/// row) into `folder`. Does nothing without labels.
void write_data_pictures(const data::Dataset& dataset, const std::filesystem::path& folder);

}  // namespace mien::runs
