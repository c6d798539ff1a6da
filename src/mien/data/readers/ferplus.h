#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"

namespace mien::data {

/// What the ten votes of a FER+ row become.
enum class FerPlusMode {
  majority,      ///< the emotion with the most votes becomes the label
  distribution,  ///< as majority, and the shares of the votes become label_distribution
};

/// The mode named "majority" or "distribution"; throws Error(usage).
FerPlusMode ferplus_mode(std::string_view name);

/// Replaces FER2013's labels by those of FER+ (`fer2013new.csv`: ten votes a row over neutral, happiness, surprise,
/// sadness, anger, disgust, fear, contempt, unknown, NF).
///
/// Rows are joined by their order within each Usage (the file's image names are not row numbers). Rows that were left
/// out because they cannot be read count too: `rows_in_file` is the number of all. Data without a Usage
/// column must have as many rows as the votes have in all, or as they have for Training. Votes for contempt, unknown
/// and NF (not a face) are dropped. Rows are removed that have no other vote, or where one of these three has more
/// votes than every one of the seven emotions. Of emotions with equally many votes, FER2013's own label wins, else the
/// lowest. Rows of a usage for which the file has no votes (PrivateTest) stay as they are. Says in one line how many
/// labels changed and how many rows went; warns if labels and votes agree so rarely that the files do not belong
/// together. Throws Error(bad_data) if the file is not readable as votes or its rows do not match.
/// @source Barsoum, Zhang, Canton Ferrer, Zhang 2016, arXiv:1608.01041 (majority voting, probabilistic label drawing).
void apply_ferplus(Dataset& dataset,
                   const std::filesystem::path& fer2013new_csv,
                   FerPlusMode mode,
                   ProgressListener& listener,
                   int64_t rows_in_file = 0);

}  // namespace mien::data
