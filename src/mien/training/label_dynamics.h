#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mien::training {

/// What the epochs of a training tell about each label: how far its score stood above the others while it was trained,
/// and how often it was learned and forgotten again. A wrong label is contradicted by the faces that are like it, so
/// its margin stays small or below zero.
/// @source Pleiss, Zhang, Elenberg, Weinberger 2020, "Identifying mislabeled data using the area under the margin
/// ranking", equation 1; Toneva et al. 2019, "An empirical study of example forgetting", section 3
class LabelDynamics {
 public:
  /// Of the faces of a data set with these labels, none of them trained so far.
  explicit LabelDynamics(std::vector<int32_t> labels);

  /// The logits [N,K] that faces `rows` (places in the data set) got in a step of training.
  void see(std::span<const int64_t> rows, const at::Tensor& logits);

  struct Face {
    int64_t epochs = 0;      ///< times that it was trained
    double mean_margin = 0;  ///< of the label's logit minus the largest other one, over those times; 0 of none
    int64_t forgotten = 0;   ///< times it went from right to wrong; `epochs` if it was never right
  };
  Face face(int64_t row) const;

  /// All of it, [5,rows] float32: what a checkpoint stores, and what it reads back in place.
  const at::Tensor& state() const { return state_; }

  /// Writes the state as safetensors, and reads it. Throws Error(bad_data) where `file` is not of as many faces.
  void write(const std::filesystem::path& file) const;
  void read(const std::filesystem::path& file);

 private:
  std::vector<int32_t> labels_;
  at::Tensor state_;
};

}  // namespace mien::training
