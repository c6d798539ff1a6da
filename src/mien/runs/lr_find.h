#pragma once

#include <filesystem>

#include "mien/core/progress.h"
#include "mien/runs/experiment.h"

namespace mien::runs {

/// Looks for a learning rate; writes csv and picture into `folder`; returns the suggestion.
double lr_find(const Experiment& experiment, const std::filesystem::path& folder, ProgressListener& listener);

}  // namespace mien::runs
