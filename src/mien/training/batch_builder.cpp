#include "mien/training/batch_builder.h"

#include <ATen/ATen.h>

#include "mien/core/parallel.h"
#include "mien/data/preprocess.h"

namespace mien::training {

BatchBuilder::BatchBuilder(const data::Dataset& dataset,
                           const network::Normalization& normalization,
                           const data::AugmentOptions& augment,
                           double label_smoothing,
                           uint64_t seed)
    : dataset_(dataset),
      normalization_(normalization),
      augment_(augment),
      augmenter_(augment, dataset.height, dataset.width),
      label_smoothing_(label_smoothing),
      seed_(seed) {}

Batch BatchBuilder::make(std::span<const int64_t> rows, int64_t epoch, int64_t position, int64_t step) const {
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t classes = dataset_.classes();
  const int64_t pixels = dataset_.pixels_per_image();
  Batch batch{.images = at::empty({count, dataset_.channels, dataset_.height, dataset_.width}, at::kFloat),
              .targets = at::empty({count, classes}, at::kFloat)};
  float* const images = batch.images.data_ptr<float>();
  float* const targets = batch.targets.data_ptr<float>();
  const auto even_share = static_cast<float>(label_smoothing_ / static_cast<double>(classes));
  const auto kept_share = static_cast<float>(1 - label_smoothing_);

  parallel_for(
      count,
      [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t row = rows[static_cast<size_t>(i)];
          if (augment_.any_per_image()) {
            augmenter_.apply(dataset_.image(row), seed_, epoch, position + i, normalization_, images + i * pixels);
          } else {
            data::normalize_image(dataset_.image(row), normalization_, images + i * pixels);
          }
          float* const target = targets + i * classes;
          for (int64_t c = 0; c < classes; ++c) {
            const float value = dataset_.label_distribution.empty()
                                    ? (dataset_.labels[static_cast<size_t>(row)] == c ? 1.0F : 0.0F)
                                    : dataset_.label_distribution[static_cast<size_t>(row * classes + c)];
            target[c] = kept_share * value + even_share;
          }
        }
      },
      16);
  if (augment_.any_per_batch()) {
    data::mix_batch(images,
                    targets,
                    count,
                    dataset_.channels,
                    dataset_.height,
                    dataset_.width,
                    classes,
                    augment_,
                    seed_,
                    epoch,
                    step);
  }
  batch.images = batch.images.contiguous(at::MemoryFormat::ChannelsLast);
  return batch;
}

}  // namespace mien::training
