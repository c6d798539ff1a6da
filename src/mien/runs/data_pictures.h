#pragma once

#include <filesystem>
#include <functional>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"

namespace mien::runs {

/// Draws pictures of a run: nothing without gnuplot, and a warning where drawing fails, because what is computed must
/// not be lost for a picture.
void draw_or_warn(ProgressListener& listener, const std::function<void()>& draw);

/// Writes classes.png (faces of each class, by usage) and examples.png (the first labeled face of each class, with its
/// row) into `folder`. Does nothing without gnuplot or without labels.
void write_data_pictures(const data::Dataset& dataset, const std::filesystem::path& folder);

}  // namespace mien::runs
