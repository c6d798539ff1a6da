#pragma once

#include <filesystem>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"

namespace mien::data {

/// Changes labels as a csv with the columns `row` (of the user's data, from 0: Dataset::row_of) and `label` (a class's
/// name or number, or "drop": the row is left out) says; other columns are passed over, as is a row that was left out
/// before. Says in a line how many labels changed and how many rows went. Throws Error(bad_data), naming the line, for
/// a file that is not of this form, a row that the data do not have or name twice, and a label that is no class.
void apply_corrections(Dataset& dataset, const std::filesystem::path& file, ProgressListener& listener);

}  // namespace mien::data
