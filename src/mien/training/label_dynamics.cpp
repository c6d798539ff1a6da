#include "mien/training/label_dynamics.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/safetensors.h"

namespace mien::training {
namespace {

constexpr const char* kName = "label_dynamics";
enum Line : uint8_t { kEpochs, kMarginSum, kForgotten, kIsRight, kWasRight, kLines };

}  // namespace

LabelDynamics::LabelDynamics(std::vector<int32_t> labels)
    : labels_(std::move(labels)), state_(at::zeros({kLines, static_cast<int64_t>(labels_.size())}, at::kFloat)) {}

void LabelDynamics::see(std::span<const int64_t> rows, const at::Tensor& logits) {
  const at::Tensor scores = logits.detach().to(at::kCPU, at::kFloat).contiguous();
  const int64_t classes = scores.size(1);
  const auto faces = static_cast<int64_t>(labels_.size());
  float* const state = state_.data_ptr<float>();
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t row = rows[i];
    const int64_t label = labels_[static_cast<size_t>(row)];
    const float* const score = scores.data_ptr<float>() + static_cast<int64_t>(i) * classes;
    float other = -std::numeric_limits<float>::infinity();
    for (int64_t k = 0; k < classes; ++k) {
      if (k != label) other = std::max(other, score[k]);
    }
    const float margin = score[label] - other;
    const bool is_right = margin > 0;
    const auto at = [&](Line line) -> float& { return state[line * faces + row]; };
    at(kEpochs) += 1;
    at(kMarginSum) += margin;
    if (at(kIsRight) != 0 && !is_right) at(kForgotten) += 1;
    at(kIsRight) = is_right ? 1.0F : 0.0F;
    if (is_right) at(kWasRight) = 1;
  }
}

LabelDynamics::Face LabelDynamics::face(int64_t row) const {
  const auto faces = static_cast<int64_t>(labels_.size());
  const auto at = [&](Line line) { return state_.data_ptr<float>()[line * faces + row]; };
  const auto epochs = static_cast<int64_t>(at(kEpochs));
  return {.epochs = epochs,
          .mean_margin = epochs > 0 ? at(kMarginSum) / static_cast<double>(epochs) : 0,
          .forgotten = at(kWasRight) != 0 ? static_cast<int64_t>(at(kForgotten)) : epochs};
}

void LabelDynamics::write(const std::filesystem::path& file) const {
  const NamedArray array{.name = kName,
                         .dtype = "F32",
                         .shape = state_.sizes().vec(),
                         .bytes = {static_cast<const std::byte*>(state_.data_ptr()), state_.nbytes()}};
  write_safetensors(file, {&array, 1}, {});
}

void LabelDynamics::read(const std::filesystem::path& file) {
  const SafetensorsFile stored = SafetensorsFile::open(file);
  const auto values = stored.floats(kName);
  if (static_cast<int64_t>(values.size()) != state_.numel()) {
    throw_bad_data(fmt::format(
        "{} has {} numbers, expected {} for {} faces", file.string(), values.size(), state_.numel(), labels_.size()));
  }
  std::copy(values.begin(), values.end(), state_.data_ptr<float>());
}

}  // namespace mien::training
