#pragma once

#include <cstdint>
#include <vector>

#include "mien/data/dataset.h"

namespace mien::data {

/// Two different images that show the same picture.
struct NearCopy {
  int64_t first = 0;       ///< row, the lower one of two
  int64_t second = 0;      ///< row
  double correlation = 0;  ///< Pearson's, over all pixels
  bool mirrored = false;   ///< one is the other's left-right mirror image

  bool operator==(const NearCopy&) const = default;
};

/// What find_near_copies found.
struct NearCopies {
  std::vector<NearCopy> pairs;   ///< ordered by first, second
  std::vector<int64_t> crowded;  ///< rows with more near copies than are kept, ascending
};

/// Near copies of one row that are kept, of each kind (as it is, mirrored). FER2013's largest group is far below.
inline constexpr int64_t kMostNearCopies = 64;

/// Every pair among `rows` whose images correlate with at least `least_correlation` (in (0, 1)), both over all pixels
/// and over 8x8 means (at least 8x8 pixels are needed); with `mirrored`, pairs of which only the left-right mirror
/// image does, too. Constant images correlate with nothing. Runs on mien::threads() threads; the time grows with the
/// number of pairs whose leading cosine coefficients are close, not with all pairs. Where many images resemble each
/// other (frames of a video), each row keeps its first kMostNearCopies and is listed as crowded: time and memory stay
/// bounded, and the pairs that are kept still join the whole group.
NearCopies find_near_copies(const Dataset& dataset,
                            const std::vector<int64_t>& rows,
                            double least_correlation,
                            bool mirrored);

}  // namespace mien::data
