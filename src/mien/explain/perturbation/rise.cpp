#include "mien/explain/perturbation/rise.h"

#include <algorithm>
#include <cmath>
#include <span>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/explain/batches.h"
#include "mien/explain/methods.h"
#include "mien/explain/perturbation/perturbed_inputs.h"

namespace mien::explain {

RiseMasks::RiseMasks(int64_t height, int64_t width, int64_t cells, double keep, int64_t seed)
    : height_(height),
      width_(width),
      cells_(cells),
      keep_(keep),
      seed_(seed),
      cell_height_((height + cells - 1) / cells),
      cell_width_((width + cells - 1) / cells),
      rows_(enlarge(cells, cell_height_)),
      columns_(enlarge(cells, cell_width_)) {}

std::vector<RiseMasks::Between> RiseMasks::enlarge(int64_t cells, int64_t cell_size) {
  const int64_t size = (cells + 1) * cell_size;
  std::vector<Between> places;
  for (int64_t i = 0; i < size; ++i) {
    const double place = (static_cast<double>(i) + 0.5) * static_cast<double>(cells) / static_cast<double>(size) - 0.5;
    const double inside = std::clamp(place, 0.0, static_cast<double>(cells - 1));
    const auto first = static_cast<int64_t>(inside);
    places.push_back({.first = first,
                      .second = std::min(first + 1, cells - 1),
                      .share = static_cast<float>(inside - static_cast<double>(first))});
  }
  return places;
}

void RiseMasks::write(int64_t index, float* mask) const {
  RandomStream random(static_cast<uint64_t>(seed_), "rise", static_cast<uint64_t>(index));
  const auto top = static_cast<size_t>(random.below(static_cast<uint64_t>(cell_height_)));
  const auto left = static_cast<size_t>(random.below(static_cast<uint64_t>(cell_width_)));
  std::vector<float> cells(static_cast<size_t>(cells_ * cells_));
  for (float& cell : cells) cell = random.uniform() < keep_ ? 1.0F : 0.0F;
  // Rows of cells are stretched once; each row of pixels then lies between two of them.
  std::vector<float> stretched(static_cast<size_t>(cells_ * width_));
  for (int64_t row = 0; row < cells_; ++row) {
    const float* from = cells.data() + row * cells_;
    float* to = stretched.data() + row * width_;
    for (int64_t x = 0; x < width_; ++x) {
      const Between& between = columns_[left + static_cast<size_t>(x)];
      to[x] = from[between.first] + between.share * (from[between.second] - from[between.first]);
    }
  }
  for (int64_t y = 0; y < height_; ++y) {
    const Between& between = rows_[top + static_cast<size_t>(y)];
    const float* upper = stretched.data() + between.first * width_;
    const float* lower = stretched.data() + between.second * width_;
    float* to = mask + y * width_;
    for (int64_t x = 0; x < width_; ++x) to[x] = upper[x] + between.share * (lower[x] - upper[x]);
  }
}

Attributions explain_rise(const AttributionRequest& request, const MethodOptions& options) {
  const PerturbationOptions& how = options.perturbation;
  const at::Tensor rows = pixel_rows(request.images);
  const int64_t height = rows.size(1);
  const int64_t width = rows.size(2);
  const int64_t channels = rows.size(3);
  if (how.rise_cells > std::min(height, width))
    throw_usage(fmt::format(
        "rise-cells {} is more than the image of {}x{} has pixels along a side", how.rise_cells, height, width));
  // A mask has no regions of its own: "mean" is the whole image's.
  const MaskFill wish = hidden_kind(how.hide, MaskFill::black);
  const MaskFill hidden = wish == MaskFill::segment_mean ? MaskFill::image_mean : wish;
  const at::Tensor black = black_of(request);
  std::vector<at::Tensor> covers;
  for (int64_t image = 0; image < rows.size(0); ++image)
    covers.push_back(hidden_image(rows[image], {}, hidden, black[image].item<double>()).contiguous());

  const int64_t size = height * width;
  const RiseMasks random_masks(height, width, how.rise_cells, how.rise_keep, options.seed);
  std::vector<float> masks(static_cast<size_t>(std::min(options.batch_size, how.rise_samples * rows.size(0)) * size));
  const float* source = rows.data_ptr<float>();
  const auto write = [&](const PerturbedInput& variant, float* pixels) {
    float* mask = masks.data() + variant.slot * size;
    random_masks.write(variant.index, mask);
    const float* image = source + variant.image * size * channels;
    const float* cover = covers[static_cast<size_t>(variant.image)].data_ptr<float>();
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t c = i * channels; c < (i + 1) * channels; ++c)
        pixels[c] = cover[c] + mask[i] * (image[c] - cover[c]);
    }
  };
  at::Tensor weighted = at::zeros({rows.size(0), height, width}, at::kDouble);
  at::Tensor seen = at::zeros_like(weighted);
  double* weighted_sums = weighted.data_ptr<double>();
  double* seen_sums = seen.data_ptr<double>();
  const auto after_pass = [&](std::span<const PerturbedInput> variants, std::span<const float> scores) {
    at::parallel_for(0, size, 256, [&](int64_t begin, int64_t end) {
      for (const PerturbedInput& variant : variants) {
        const float* mask = masks.data() + variant.slot * size;
        const double score = scores[static_cast<size_t>(variant.slot)];
        double* weighted_sum = weighted_sums + variant.image * size;
        double* seen_sum = seen_sums + variant.image * size;
        for (int64_t i = begin; i < end; ++i) {
          weighted_sum[i] += score * mask[i];
          seen_sum[i] += mask[i];
        }
      }
    });
  };
  score_perturbed(request, request.score, how.rise_samples, options.batch_size, write, after_pass);
  Attributions maps{.values = (weighted / seen.clamp_min(1e-12)).to(at::kFloat)};
  const double expected = static_cast<double>(how.rise_samples) * how.rise_keep;
  for (int64_t image = 0; image < rows.size(0); ++image) {
    at::Tensor map = maps.values[image];  // mean scores: where they differ by rounding only, the map is constant
    const double largest = map.abs().max().item<double>();
    if ((map.max() - map.min()).item<double>() <= kRounding * largest) map.fill_(map.mean());
    maps.diagnostics.push_back({{"samples", static_cast<double>(how.rise_samples)},
                                {"least_seen", seen[image].min().item<double>() / expected}});
  }
  return maps;
}

}  // namespace mien::explain
