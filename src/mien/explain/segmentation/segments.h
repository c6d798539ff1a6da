#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "mien/core/options.h"

namespace mien::explain {

/// How an image is cut into the regions that LIME, KernelSHAP and feature ablation hide. The defaults suit 48x48 faces:
/// the packages' own are made for photographs.
struct SegmentOptions {
  std::string segments = "slic";    ///< grid, slic, quickshift or felzenszwalb
  int64_t segment_size = 8;         ///< side of a grid cell, pixels
  int64_t segment_count = 50;       ///< regions that SLIC starts from
  double slic_compactness = 10;     ///< weight of place against color (Lab units)
  double quickshift_kernel = 2;     ///< deviation of the density's Gaussian, pixels
  double quickshift_distance = 6;   ///< longest link, in pixels and scaled Lab units
  double quickshift_ratio = 0.5;    ///< factor of the Lab values
  double felzenszwalb_scale = 50;   ///< the paper's k, in 1/255 of the value range
  double felzenszwalb_sigma = 0.5;  ///< smoothing beforehand, pixels
  int64_t felzenszwalb_least = 10;  ///< least size of a region, pixels

  void bind(OptionSet& options);
};

/// Regions of one image [C,H,W] float32, as [H,W] int64 labels 0 to K-1 without gaps. One channel is taken as gray
/// (three equal channels), three as RGB, of any other number the mean; values outside [0,1], as normalized images have,
/// are first scaled to fill it. Depends on nothing random: quickshift's tie-breaking noise is always the same. Throws
/// Error(usage) for an unknown segmenter, or an image without pixels.
at::Tensor segment(const at::Tensor& image_chw, const SegmentOptions& options);

/// Number of regions: the highest label plus 1.
int64_t segment_total(const at::Tensor& segments_hw);

/// [H,W] uint8: 1 where the pixel to the right or below belongs to another region, for drawing outlines.
at::Tensor segment_borders(const at::Tensor& segments_hw);

}  // namespace mien::explain
