#pragma once

#include <cstdint>
#include <vector>

namespace mien::explain {

/// An image in memory, row-major, the channels of a pixel side by side.
struct PixelGrid {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  std::vector<double> values;

  int64_t pixels() const { return height * width; }
  const double* at(int64_t pixel) const { return values.data() + pixel * channels; }
};

/// One label a pixel, not necessarily without gaps.
using Labels = std::vector<int64_t>;

/// sRGB in [0,1] to CIE L*a*b* (L in [0,100]) under D65. @source IEC 61966-2-1 for sRGB; CIE 15:2004 for Lab
PixelGrid to_lab(const PixelGrid& rgb);

/// Gaussian smoothing of each channel, mirrored at the borders (the border pixel counts twice), cut off at 4
/// deviations.
PixelGrid smooth(const PixelGrid& image, double sigma);

/// Simple linear iterative clustering: k-means in (place, color) from about `count` centers on a regular grid, 10
/// rounds, then connected regions under half the mean size join a neighbor.
/// @source Achanta et al. 2012, "SLIC superpixels", TPAMI 34(11), algorithm 1; as scikit-image 0.19 has it
/// (skimage/segmentation/_slic.pyx), which divides color by the compactness; a center that loses all pixels is left
/// out
Labels slic(const PixelGrid& lab, int64_t count, double compactness);

/// Every pixel is linked to its nearest neighbor of higher density; links over `max_distance` are cut, trees are
/// regions.
/// @source Vedaldi and Soatto 2008, "Quick shift and kernel methods for mode seeking", equations 3 and 6; as
/// scikit-image 0.19 has it (skimage/segmentation/_quickshift_cy.pyx): window of 3 deviations, noise of 1e-5 against
/// ties
Labels quickshift(const PixelGrid& scaled_lab, double kernel, double max_distance);

/// Joins neighbors in the order of their difference while it is smaller than what either region has inside, plus
/// scale / size; then regions under `least` pixels join a neighbor.
/// @source Felzenszwalb and Huttenlocher 2004, "Efficient graph-based image segmentation", IJCV 59(2), algorithm 1; as
/// scikit-image 0.19 has it (skimage/segmentation/_felzenszwalb_cy.pyx): 8 neighbors, scale divided by 255
Labels felzenszwalb(const PixelGrid& smoothed, double scale, int64_t least);

}  // namespace mien::explain
