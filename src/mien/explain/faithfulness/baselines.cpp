#include "mien/explain/faithfulness/baselines.h"

#include <ATen/ATen.h>

#include "mien/core/random.h"
#include "mien/explain/batches.h"
#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

Attributions maps_of(const at::Tensor& values) {
  return {.values = values, .channels = {}, .at_layer = {}, .layer = -1, .diagnostics = {}};
}

Attributions random_maps(const AttributionRequest& request, const MethodOptions& options) {
  at::Tensor maps = at::empty({request.images.size(0), request.images.size(2), request.images.size(3)}, at::kFloat);
  const int64_t pixels = maps.size(1) * maps.size(2);
  const std::vector<uint64_t> keys = face_keys(request.images);
  for (int64_t image = 0; image < maps.size(0); ++image) {
    RandomStream random(static_cast<uint64_t>(options.seed), "random map", keys[static_cast<size_t>(image)]);
    float* row = maps.data_ptr<float>() + image * pixels;
    for (int64_t pixel = 0; pixel < pixels; ++pixel) row[pixel] = static_cast<float>(random.uniform());
  }
  return maps_of(maps);
}

/// exp(-distance^2 / 2) from the middle, in units of a quarter of the side.
at::Tensor bell(int64_t side) {
  const at::Tensor places = at::arange(side, at::kFloat) - static_cast<double>(side - 1) / 2;
  return at::exp(-0.5 * (places / (static_cast<double>(side) / 4)).pow(2));
}

Attributions gaussian_maps(const AttributionRequest& request, const MethodOptions&) {
  const int64_t height = request.images.size(2);
  const int64_t width = request.images.size(3);
  const at::Tensor blob = bell(height).unsqueeze(1) * bell(width).unsqueeze(0);
  return maps_of(blob.unsqueeze(0).expand({request.images.size(0), height, width}).contiguous());
}

Attributions sobel_maps(const AttributionRequest& request, const MethodOptions&) {
  const at::Tensor gray = request.images.detach().mean(1, /*keepdim=*/true).contiguous();
  const at::Tensor across = at::tensor({-1., 0., 1., -2., 0., 2., -1., 0., 1.}, at::kFloat).reshape({1, 1, 3, 3}) / 8;
  const at::Tensor kernels = at::cat({across, across.transpose(2, 3)});
  const at::Tensor slopes = at::conv2d(at::replication_pad2d(gray, {1, 1, 1, 1}), kernels);
  return maps_of(slopes.pow(2).sum(1).sqrt());
}

MethodSpec baseline(const char* name,
                    const char* summary,
                    const char* source,
                    bool is_random,
                    Attributions (*explain)(const AttributionRequest&, const MethodOptions&)) {
  return {.name = name,
          .family = Family::baseline,
          .summary = summary,
          .cost = "none",
          .source = source,
          .is_signed = false,
          .reads_layer = false,
          .is_random = is_random,
          .unsupported_reason = {},
          .explain = explain};
}

}  // namespace

std::vector<MethodSpec> baseline_methods() {
  return {baseline("random", "uniform noise, another for each face", "a floor that knows nothing", true, random_maps),
          baseline("gaussian",
                   "a bell around the middle, a quarter of the side wide",
                   "Judd, Durand, Torralba 2012, \"A benchmark of computational models of saliency\" (center baseline)",
                   false,
                   gaussian_maps),
          baseline("sobel",
                   "strength of the image's edges",
                   "Adebayo et al. 2018, \"Sanity checks for saliency maps\", section 5 (edge detector)",
                   false,
                   sobel_maps)};
}

}  // namespace mien::explain
