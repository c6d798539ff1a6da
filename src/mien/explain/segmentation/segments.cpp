#include "mien/explain/segmentation/segments.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/explain/segmentation/segmenters.h"

namespace mien::explain {
namespace {

/// [C,H,W] as an RGB image in [0,1].
PixelGrid rgb_of(const at::Tensor& image_chw) {
  at::Tensor image = image_chw.detach().to(at::kCPU, at::kDouble);
  if (image.size(0) != 1 && image.size(0) != 3) image = image.mean(0, /*keepdim=*/true);
  const double low = image.min().item<double>();
  const double high = image.max().item<double>();
  if (!std::isfinite(low) || !std::isfinite(high))
    throw_bad_data("cannot cut an image into segments: it holds values that are not finite");
  if (low < 0 || high > 1) image = (image - low) / std::max(high - low, 1e-12);
  image = image.expand({3, image.size(1), image.size(2)}).permute({1, 2, 0}).contiguous();
  const double* values = image.data_ptr<double>();
  return {.height = image.size(0),
          .width = image.size(1),
          .channels = 3,
          .values = std::vector<double>(values, values + image.numel())};
}

Labels grid(int64_t height, int64_t width, int64_t size) {
  const int64_t columns = (width + size - 1) / size;
  Labels labels;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) labels.push_back(y / size * columns + x / size);
  }
  return labels;
}

/// scikit-image scales before SLIC, so that the compactness means the same for dark and bright images.
void fill_range(PixelGrid& image) {
  const auto [low, high] = std::minmax_element(image.values.begin(), image.values.end());
  const double lowest = *low;
  const double range = *high - lowest;
  for (double& value : image.values) value = (value - lowest) / (range > 0 ? range : 1);
}

}  // namespace

void SegmentOptions::bind(OptionSet& options) {
  options.group("explain");
  options.add(&segments,
              {.name = "segments",
               .help = "how lime, kernel-shap and feature-ablation cut an image into regions",
               .choices = {"grid", "slic", "quickshift", "felzenszwalb"},
               .source = "Achanta et al. 2012; Vedaldi and Soatto 2008; Felzenszwalb and Huttenlocher 2004"});
  options.add(
      &segment_size,
      {.name = "segment-size", .help = "side of a cell of grid", .unit = "pixels", .minimum = 1, .maximum = 4096});
  options.add(&segment_count,
              {.name = "segment-count",
               .help = "regions that slic starts from; it keeps about four fifths of them",
               .minimum = 1,
               .maximum = 4096});
  options.add(&slic_compactness,
              {.name = "slic-compactness",
               .help = "weight of place against brightness: higher gives squarer regions",
               .minimum = 1e-6,
               .maximum = 1e6,
               .source = "scikit-image's default"});
  options.add(&quickshift_kernel,
              {.name = "quickshift-kernel",
               .help = "width of the Gaussian that measures density: higher gives fewer regions",
               .unit = "pixels",
               .minimum = 1,
               .maximum = 64,
               .source = "2 on 48x48; lime's 4 with distance 200 makes one region of a whole face"});
  options.add(&quickshift_distance,
              {.name = "quickshift-distance",
               .help = "longest link between pixels of a region: higher gives fewer regions",
               .minimum = 0,
               .maximum = 1e6});
  options.add(&quickshift_ratio,
              {.name = "quickshift-ratio", .help = "weight of brightness against place", .minimum = 0, .maximum = 1});
  options.add(
      &felzenszwalb_scale,
      {.name = "felzenszwalb-scale", .help = "higher gives fewer, larger regions", .minimum = 0, .maximum = 1e6});
  options.add(&felzenszwalb_sigma,
              {.name = "felzenszwalb-sigma",
               .help = "smoothing before felzenszwalb",
               .unit = "pixels",
               .minimum = 0,
               .maximum = 64});
  options.add(&felzenszwalb_least,
              {.name = "felzenszwalb-least",
               .help = "least size of a region of felzenszwalb",
               .unit = "pixels",
               .minimum = 1,
               .maximum = 1e6});
}

at::Tensor segment(const at::Tensor& image_chw, const SegmentOptions& options) {
  if (image_chw.dim() != 3 || image_chw.numel() == 0)
    throw_usage("cannot cut an image into segments: expected [channels, height, width] with pixels");
  const std::array<std::string, 4> choices = {"grid", "slic", "quickshift", "felzenszwalb"};
  Labels labels;
  if (options.segments == "grid") {
    labels = grid(image_chw.size(1), image_chw.size(2), options.segment_size);
  } else if (options.segments == "slic") {
    PixelGrid image = rgb_of(image_chw);
    fill_range(image);
    labels = slic(to_lab(image), options.segment_count, options.slic_compactness);
  } else if (options.segments == "quickshift") {
    PixelGrid lab = to_lab(rgb_of(image_chw));
    for (double& value : lab.values) value *= options.quickshift_ratio;
    labels = quickshift(lab, options.quickshift_kernel, options.quickshift_distance);
  } else if (options.segments == "felzenszwalb") {
    labels = felzenszwalb(
        smooth(rgb_of(image_chw), options.felzenszwalb_sigma), options.felzenszwalb_scale, options.felzenszwalb_least);
  } else {
    throw_usage(fmt::format("unknown segments {}, expected grid, slic, quickshift or felzenszwalb",
                            quote_sample(options.segments)),
                suggestion(options.segments, choices));
  }
  // Masks have one column a region: labels with gaps, or from 1 on, would leave a column that hides nothing.
  Labels used = labels;
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  at::Tensor segments = at::empty({image_chw.size(1), image_chw.size(2)}, at::kLong);
  std::transform(labels.begin(), labels.end(), segments.data_ptr<int64_t>(), [&](int64_t label) {
    return std::lower_bound(used.begin(), used.end(), label) - used.begin();
  });
  return segments;
}

int64_t segment_total(const at::Tensor& segments_hw) { return segments_hw.max().item<int64_t>() + 1; }

at::Tensor segment_borders(const at::Tensor& segments_hw) {
  const int64_t height = segments_hw.size(0);
  const int64_t width = segments_hw.size(1);
  at::Tensor borders = at::zeros({height, width}, at::kByte);
  borders.slice(1, 0, width - 1)
      .bitwise_or_(segments_hw.slice(1, 1, width).ne(segments_hw.slice(1, 0, width - 1)).to(at::kByte));
  borders.slice(0, 0, height - 1)
      .bitwise_or_(segments_hw.slice(0, 1, height).ne(segments_hw.slice(0, 0, height - 1)).to(at::kByte));
  return borders;
}

}  // namespace mien::explain
