#pragma once

#include <cstdint>
#include <vector>

namespace mien::explain {

/// RISE's random masks: a coarse grid of cells, each seen with probability `keep`, enlarged bilinearly to one cell more
/// than the image and cut out at a random place. Every pixel is seen with mean `keep`.
/// @source Petsiuk, Das, Saenko 2018, section 3.2: cells of ceil(size / cells) pixels
class RiseMasks {
 public:
  RiseMasks(int64_t height, int64_t width, int64_t cells, double keep, int64_t seed);

  /// Fills `mask` [height*width] with mask number `index`, values in [0,1]. Depends on seed and index alone.
  void write(int64_t index, float* mask) const;

 private:
  /// Where a place of the enlarged grid lies between two cells.
  struct Between {
    int64_t first = 0;
    int64_t second = 0;
    float share = 0;  ///< of the second
  };
  static std::vector<Between> enlarge(int64_t cells, int64_t cell_size);

  int64_t height_, width_, cells_;
  double keep_;
  int64_t seed_;
  int64_t cell_height_, cell_width_;
  std::vector<Between> rows_;
  std::vector<Between> columns_;
};

}  // namespace mien::explain
