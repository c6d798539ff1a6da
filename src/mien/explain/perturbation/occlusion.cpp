#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/explain/batches.h"
#include "mien/explain/methods.h"
#include "mien/explain/perturbation/perturbed_inputs.h"

namespace mien::explain {
namespace {

struct Window {
  int64_t top = 0, left = 0, bottom = 0, right = 0;
};

/// Windows every `stride` pixels; the last ones of a row or column may be cut off by the border.
std::vector<Window> windows_of(int64_t height, int64_t width, int64_t size, int64_t stride) {
  const auto places = [&](int64_t length) { return (length - size + stride - 1) / stride + 1; };
  std::vector<Window> windows;
  for (int64_t y = 0; y < places(height); ++y) {
    for (int64_t x = 0; x < places(width); ++x) {
      windows.push_back({.top = y * stride,
                         .left = x * stride,
                         .bottom = std::min(height, y * stride + size),
                         .right = std::min(width, x * stride + size)});
    }
  }
  return windows;
}

}  // namespace

Attributions explain_occlusion(const AttributionRequest& request, const MethodOptions& options) {
  const int64_t size = options.perturbation.occlusion_window;
  const int64_t stride = options.perturbation.occlusion_stride;
  const at::Tensor rows = pixel_rows(request.images);
  const int64_t height = rows.size(1);
  const int64_t width = rows.size(2);
  const int64_t channels = rows.size(3);
  if (size > std::min(height, width))
    throw_usage(fmt::format("occlusion-window {} is larger than the image of {}x{} pixels", size, height, width));
  if (stride > size)
    throw_usage(fmt::format("occlusion-stride {} is larger than the window of {}", stride, size),
                "pixels between two windows would never be hidden");
  const MaskFill hidden = hidden_kind(options.perturbation.hide, MaskFill::black);
  const std::vector<Window> windows = windows_of(height, width, size, stride);
  const at::Tensor black = black_of(request);
  std::vector<at::Tensor> covers;
  for (int64_t image = 0; image < rows.size(0); ++image) {
    covers.push_back(hidden == MaskFill::segment_mean
                         ? at::Tensor()
                         : hidden_image(rows[image], {}, hidden, black[image].item<double>()).contiguous());
  }

  const int64_t elements = height * width * channels;
  const float* source = rows.data_ptr<float>();
  const auto write = [&](const PerturbedInput& variant, float* pixels) {
    const float* image = source + variant.image * elements;
    std::copy(image, image + elements, pixels);
    if (variant.index == 0) return;
    const Window& window = windows[static_cast<size_t>(variant.index - 1)];
    std::vector<double> mean(static_cast<size_t>(channels), 0.0);
    const at::Tensor& cover = covers[static_cast<size_t>(variant.image)];
    if (!cover.defined()) {
      const auto count = static_cast<double>((window.bottom - window.top) * (window.right - window.left));
      for (int64_t y = window.top; y < window.bottom; ++y) {
        for (int64_t i = window.left * channels; i < window.right * channels; ++i)
          mean[static_cast<size_t>(i % channels)] += static_cast<double>(image[y * width * channels + i]) / count;
      }
    }
    for (int64_t y = window.top; y < window.bottom; ++y) {
      for (int64_t i = window.left * channels; i < window.right * channels; ++i) {
        const int64_t place = y * width * channels + i;
        pixels[place] = cover.defined() ? cover.data_ptr<float>()[place]
                                        : static_cast<float>(mean[static_cast<size_t>(i % channels)]);
      }
    }
  };
  const auto count = static_cast<int64_t>(windows.size());
  const at::Tensor scores = score_perturbed(request, request.score, 1 + count, options.batch_size, write);

  // Plain loops: tensor operations on hundreds of small windows would take longer than a fast network's passes.
  at::Tensor values = at::empty({rows.size(0), height, width}, at::kFloat);
  for (int64_t image = 0; image < rows.size(0); ++image) {
    const double* score = scores.data_ptr<double>() + image * (1 + count);
    std::vector<double> drops(static_cast<size_t>(height * width), 0.0);
    std::vector<double> window_counts(drops.size(), 0.0);
    for (int64_t i = 0; i < count; ++i) {
      const Window& window = windows[static_cast<size_t>(i)];
      for (int64_t y = window.top; y < window.bottom; ++y) {
        for (int64_t x = window.left; x < window.right; ++x) {
          drops[static_cast<size_t>(y * width + x)] += score[0] - score[1 + i];
          window_counts[static_cast<size_t>(y * width + x)] += 1;
        }
      }
    }
    float* map = values.data_ptr<float>() + image * height * width;
    for (size_t i = 0; i < drops.size(); ++i) map[i] = static_cast<float>(drops[i] / window_counts[i]);
  }
  Attributions maps{.values = values};
  for (int64_t image = 0; image < rows.size(0); ++image)
    maps.diagnostics.push_back({{"windows", static_cast<double>(count)},
                                {"score", scores[image][0].item<double>()},
                                {"rounding", kRounding * scores[image].abs().max().item<double>()}});
  return maps;
}

Attributions explain_feature_ablation(const AttributionRequest& request, const MethodOptions& options) {
  const SegmentedImages images(
      request, options.perturbation.segment, hidden_kind(options.perturbation.hide, MaskFill::black));
  const int64_t most = images.most();
  const at::Tensor scores = score_perturbed(
      request, request.score, 1 + most, options.batch_size, [&](const PerturbedInput& variant, float* pixels) {
        std::vector<uint8_t> keep(static_cast<size_t>(most), 1);
        if (variant.index > 0) keep[static_cast<size_t>(variant.index - 1)] = 0;
        images.write(variant.image, keep, pixels);
      });
  Attributions maps;
  std::vector<at::Tensor> values;
  for (int64_t image = 0; image < images.count(); ++image) {
    const double* row = scores.data_ptr<double>() + image * (1 + most);
    std::vector<double> drops;
    for (int64_t segment = 0; segment < images.total(image); ++segment) drops.push_back(row[0] - row[1 + segment]);
    values.push_back(images.paint(image, drops));
    maps.diagnostics.push_back({{"segments", static_cast<double>(images.total(image))},
                                {"score", row[0]},
                                {"rounding", kRounding * scores[image].abs().max().item<double>()}});
  }
  maps.values = at::stack(values);
  maps.regions = images.all_segments();
  return maps;
}

}  // namespace mien::explain
