#include "mien/explain/perturbation/perturbed_inputs.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/core/work_steps.h"
#include "mien/explain/segmentation/segmenters.h"
#include "mien/explain/segmentation/segments.h"

namespace mien::explain {

MaskFill hidden_kind(const std::string& text, MaskFill automatic) {
  const std::array<std::string, 6> choices = {"auto", "mean", "black", "zero", "image-mean", "blur"};
  if (text == "auto") return automatic;
  if (text == "mean") return MaskFill::segment_mean;
  if (text == "black") return MaskFill::black;
  if (text == "zero") return MaskFill::zero;
  if (text == "image-mean") return MaskFill::image_mean;
  if (text == "blur") return MaskFill::blur;
  throw_usage(fmt::format("unknown value {} of hide", quote_sample(text)), suggestion(text, choices));
}

at::Tensor score_perturbed(
    const AttributionRequest& request,
    Score score,
    int64_t count,
    int64_t batch_size,
    const std::function<void(const PerturbedInput&, float*)>& write,
    const std::function<void(std::span<const PerturbedInput>, std::span<const float>)>& after_pass) {
  const at::NoGradGuard no_grad;
  const at::Tensor& images = request.images;
  const int64_t total = images.size(0) * count;
  const int64_t batch = std::min(batch_size, total);
  at::Tensor buffer = at::empty({batch, images.size(1), images.size(2), images.size(3)},
                                at::TensorOptions(at::kFloat),
                                at::MemoryFormat::ChannelsLast);
  const int64_t elements = images.size(1) * images.size(2) * images.size(3);
  const at::Tensor targets = request.targets.to(at::kLong);
  at::Tensor scores = at::empty({images.size(0), count}, at::kDouble);
  std::vector<PerturbedInput> variants;
  for (int64_t begin = 0; begin < total; begin += batch) {
    tell_step("samples", begin, total);
    const int64_t size = std::min(batch, total - begin);
    variants.clear();
    for (int64_t slot = 0; slot < size; ++slot)
      variants.push_back({.image = (begin + slot) / count, .index = (begin + slot) % count, .slot = slot});
    float* pixels = buffer.data_ptr<float>();
    at::parallel_for(0, size, 8, [&](int64_t first, int64_t last) {
      for (int64_t slot = first; slot < last; ++slot)
        write(variants[static_cast<size_t>(slot)], pixels + slot * elements);
    });
    const at::Tensor logits =
        request.network.forward(buffer.narrow(0, 0, size).to(images.device()), network::Mode::evaluation);
    const at::Tensor image_of_slot =
        at::arange(begin, begin + size, at::kLong).floor_divide(count).to(targets.device());
    const at::Tensor values =
        score_of(logits, targets.index_select(0, image_of_slot), score).to(at::kCPU, at::kFloat).contiguous();
    const std::span<const float> found(values.data_ptr<float>(), static_cast<size_t>(size));
    std::copy(found.begin(), found.end(), scores.data_ptr<double>() + begin);
    if (after_pass) after_pass(variants, found);
  }
  return scores;
}

at::Tensor pixel_rows(const at::Tensor& images_nchw) {
  return images_nchw.detach().to(at::kCPU, at::kFloat).permute({0, 2, 3, 1}).contiguous();
}

at::Tensor hidden_image(const at::Tensor& image_hwc, const at::Tensor& segments_hw, MaskFill hidden, double black) {
  const at::Tensor image = image_hwc.to(at::kDouble);
  switch (hidden) {
    case MaskFill::black:
      return at::full_like(image_hwc, black);
    case MaskFill::zero:
      return at::zeros_like(image_hwc);
    case MaskFill::image_mean:
      return image.mean(at::IntArrayRef{0, 1}, /*keepdim=*/true).expand_as(image).to(at::kFloat).contiguous();
    case MaskFill::segment_mean: {
      const at::Tensor labels = segments_hw.reshape({-1});
      const at::Tensor pixels = image.reshape({labels.size(0), image.size(2)});
      const at::Tensor sums =
          at::zeros({segment_total(segments_hw), image.size(2)}, at::kDouble).index_add(0, labels, pixels);
      const at::Tensor means = sums / at::bincount(labels).to(at::kDouble).unsqueeze(1);
      return means.index_select(0, labels).reshape(image.sizes()).to(at::kFloat).contiguous();
    }
    case MaskFill::blur: {
      const at::Tensor values = image.contiguous();
      const double* data = values.data_ptr<double>();
      const double deviation = 10.0 / 224 * static_cast<double>(std::min(image.size(0), image.size(1)));
      PixelGrid smoothed = smooth({.height = image.size(0),
                                   .width = image.size(1),
                                   .channels = image.size(2),
                                   .values = {data, data + values.numel()}},
                                  deviation);
      return at::from_blob(smoothed.values.data(), image.sizes(), at::kDouble).to(at::kFloat);
    }
  }
  return {};
}

SegmentedImages::SegmentedImages(const AttributionRequest& request, const SegmentOptions& options, MaskFill hidden)
    : rows_(pixel_rows(request.images)) {
  for (int64_t image = 0; image < rows_.size(0); ++image) segments_.push_back(segment(request.images[image], options));
  prepare(request, hidden);
}

SegmentedImages::SegmentedImages(const AttributionRequest& request, std::vector<at::Tensor> segments, MaskFill hidden)
    : rows_(pixel_rows(request.images)), segments_(std::move(segments)) {
  prepare(request, hidden);
}

void SegmentedImages::prepare(const AttributionRequest& request, MaskFill hidden) {
  const at::Tensor black = black_of(request);
  for (int64_t image = 0; image < count(); ++image) {
    at::Tensor& labels = segments_[static_cast<size_t>(image)];
    labels = labels.to(at::kLong).contiguous();
    totals_.push_back(segment_total(labels));
    hidden_.push_back(hidden_image(rows_[image], labels, hidden, black[image].item<double>()));
  }
}

at::Tensor SegmentedImages::all_segments() const { return at::stack(segments_); }

int64_t SegmentedImages::most() const { return *std::max_element(totals_.begin(), totals_.end()); }

void SegmentedImages::write(int64_t image, std::span<const uint8_t> keep, float* pixels) const {
  const int64_t* labels = segments(image).data_ptr<int64_t>();
  const int64_t size = segments(image).numel();
  const int64_t channels = rows_.size(3);
  const float* seen = rows_.data_ptr<float>() + image * size * channels;
  const float* unseen = hidden_[static_cast<size_t>(image)].data_ptr<float>();
  if (channels == 1) {
    for (int64_t i = 0; i < size; ++i) pixels[i] = keep[static_cast<size_t>(labels[i])] != 0 ? seen[i] : unseen[i];
    return;
  }
  for (int64_t i = 0; i < size; ++i) {
    const float* from = (keep[static_cast<size_t>(labels[i])] != 0 ? seen : unseen) + i * channels;
    std::copy(from, from + channels, pixels + i * channels);
  }
}

at::Tensor SegmentedImages::paint(int64_t image, std::span<const double> values) const {
  const at::Tensor& labels = segments(image);
  at::Tensor map = at::empty(labels.sizes(), at::kFloat);
  std::transform(labels.data_ptr<int64_t>(),
                 labels.data_ptr<int64_t>() + labels.numel(),
                 map.data_ptr<float>(),
                 [&](int64_t label) { return static_cast<float>(values[static_cast<size_t>(label)]); });
  return map;
}

}  // namespace mien::explain
