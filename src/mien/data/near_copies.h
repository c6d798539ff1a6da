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

/// Every pair among `rows` whose images correlate with at least `least_correlation` (in (0, 1)), both over all pixels
/// and over 8x8 means (at least 8x8 pixels are needed); with `mirrored`, pairs of which only the left-right mirror
/// image does, too. Constant images correlate with nothing. Ordered by first, second. Runs on mien::threads() threads;
/// the time grows with the number of pairs whose leading cosine coefficients are close, not with all pairs.
std::vector<NearCopy> find_near_copies(const Dataset& dataset,
                                       const std::vector<int64_t>& rows,
                                       double least_correlation,
                                       bool mirrored);

}  // namespace mien::data
