#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/network/network.h"
#include "mien/recipes/recipe.h"
#include "mien/runs/run_summary.h"

namespace mien::recipes {

/// Draws the figures of `run` from `weights` into `folder`, see figures::draw_figure. `dataset` is split as the run
/// splits it; test rows are those of `test-data` where the data set has none. With `left_out`, a figure that cannot be
/// drawn is a warning, and its file name is added there.
std::vector<runs::DrawnPicture> draw_figures(const ResolvedRun& run,
                                             const network::LoadedWeights& weights,
                                             const data::Dataset& dataset,
                                             const std::filesystem::path& folder,
                                             bool raw,
                                             ProgressListener& listener,
                                             std::vector<std::string>* left_out = nullptr);

/// Draws the figures of `run`, which has finished in `run_folder`, into its explain/, unless they are there already
/// from the same weights and figures, records them there and writes the run's report again. Returns the pictures.
std::vector<runs::DrawnPicture> explain_run(const ResolvedRun& run,
                                            const data::Dataset& dataset,
                                            const std::filesystem::path& run_folder,
                                            ProgressListener& listener);

}  // namespace mien::recipes
