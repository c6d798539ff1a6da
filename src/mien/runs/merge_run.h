#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/runs/experiment.h"

namespace mien::runs {

/// `mien merge`: puts the finished shards of an ensemble together into the folder that one process would have made, and
/// lets its members vote. `experiment` and `options` are those of the shards. Throws Error(bad_data) naming shards that
/// are missing, double, unfinished or of another run. The shards' folders stay. Nothing if the user stopped it.
std::optional<std::filesystem::path> merge_task(const std::vector<std::filesystem::path>& shards,
                                                const Experiment& experiment,
                                                const OptionSet& options,
                                                ProgressListener& listener);

}  // namespace mien::runs
