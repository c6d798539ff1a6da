#pragma once

#include <filesystem>

#include "mien/data/dataset.h"

namespace mien::runs {

/// Writes classes.png (faces of each class, by usage) and examples.png (a typical face of each class, with its name)
/// into `folder`. Does nothing without labels.
void write_data_pictures(const data::Dataset& dataset, const std::filesystem::path& folder);

}  // namespace mien::runs
