#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/explain/attribution.h"
#include "mien/explain/segmentation/segments.h"

namespace mien::explain {

/// What stands in for a hidden pixel.
enum class MaskFill {
  segment_mean,  ///< the mean of the hidden region, each channel by itself
  black,         ///< what a black pixel of the image becomes (AttributionRequest::black)
  zero,          ///< input 0: black where faces are x/255, the average gray where a mean was subtracted
  image_mean,    ///< the mean of the image
  blur,          ///< the image, smoothed. @source Fong and Vedaldi 2017: deviation 10 on 224 pixels
};

/// The option's value; "auto" gives `automatic`. Throws Error(usage) with a suggestion.
MaskFill hidden_kind(const std::string& text, MaskFill automatic);

/// Which changed image: variant `index` of image `image`, at place `slot` of the pass it is in.
struct PerturbedInput {
  int64_t image = 0;
  int64_t index = 0;
  int64_t slot = 0;
};

/// Scores of changed images in passes of at most `batch_size`: `count` variants of every image of `request`, [N,count]
/// float64 on the CPU. `write(variant, pixels)` fills height*width*channels floats, a pixel's channels side by side; it
/// is called from several threads. `after_pass(variants, scores)`, where given, sees every pass's scores, in order.
at::Tensor score_perturbed(
    const AttributionRequest& request,
    Score score,
    int64_t count,
    int64_t batch_size,
    const std::function<void(const PerturbedInput&, float*)>& write,
    const std::function<void(std::span<const PerturbedInput>, std::span<const float>)>& after_pass = {});

/// [N,C,H,W] -> [N,H,W,C] float32 on the CPU, contiguous: the layout that `score_perturbed` writes.
at::Tensor pixel_rows(const at::Tensor& images_nchw);

/// One image [H,W,C] with everything hidden; `segments` [H,W] int64 matter for segment_mean only, `black`, the image's
/// of `black_of`, for black.
at::Tensor hidden_image(const at::Tensor& image_hwc, const at::Tensor& segments_hw, MaskFill hidden, double black = 0);

/// Images cut into regions, to be written with some of the regions hidden.
class SegmentedImages {
 public:
  /// Shares `request`'s images; cuts each of them.
  SegmentedImages(const AttributionRequest& request, const SegmentOptions& options, MaskFill hidden);
  /// The same for given regions, one [H,W] int64 an image.
  SegmentedImages(const AttributionRequest& request, std::vector<at::Tensor> segments, MaskFill hidden);

  int64_t count() const { return static_cast<int64_t>(segments_.size()); }
  int64_t total(int64_t image) const { return totals_[static_cast<size_t>(image)]; }
  int64_t most() const;  ///< regions of the image that has most
  const at::Tensor& segments(int64_t image) const { return segments_[static_cast<size_t>(image)]; }
  at::Tensor all_segments() const;  ///< [N,H,W]

  /// Writes image `image`; region k is hidden where keep[k] is 0.
  void write(int64_t image, std::span<const uint8_t> keep, float* pixels) const;

  /// One value a region -> [H,W] float32.
  at::Tensor paint(int64_t image, std::span<const double> values) const;

 private:
  void prepare(const AttributionRequest& request, MaskFill hidden);

  at::Tensor rows_;                   // [N,H,W,C]
  std::vector<at::Tensor> hidden_;    // [H,W,C] an image
  std::vector<at::Tensor> segments_;  // [H,W] an image
  std::vector<int64_t> totals_;
};

}  // namespace mien::explain
