#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/evaluation/predictions.h"
#include "mien/network/network.h"

namespace mien::evaluation {

/// The views of a face whose mean logits are what a network says of it (test-time augmentation). Each view costs one
/// pass: 1, 2, 5, 5 or 10 times the time.
enum class Views {
  face,       ///< the face itself
  flip,       ///< and its mirror image
  shifts,     ///< and moved by a 24th of its side (2 pixels of 48) left, right, up and down, edges repeated
  five_crop,  ///< its four corners and its middle, 11/12 of its side (44 pixels of 48), enlarged to its size
  ten_crop,   ///< those and their mirror images
};

/// "none", "flip", "shifts", "five-crop", "ten-crop".
std::vector<std::string> views_names();
/// Throws std::invalid_argument for a name that is none of views_names().
Views views_from_text(std::string_view name);
/// Passes that `views` takes.
int64_t count_of(Views views);
/// The views of images [N,C,H,W] in turn, each [N,C,H,W] channels-last; the first of all but the crops is `images`.
std::vector<at::Tensor> views_of(const at::Tensor& images, Views views);

struct PredictOptions {
  int64_t batch_size = 256;
  Views views = Views::face;
};

/// Runs `network` in evaluation mode over `rows` (indices) of `dataset` (without building an autograd graph) and
/// returns logits and softmax probabilities beside the rows' labels. Deterministic: the same rows give the same numbers
/// for the same batch size and threads. Throws Error(usage) if image size, channels or class count do not fit the
/// network, Error(interrupted) when the user asks to stop.
Predictions predict(const network::Network& network,
                    const network::Normalization& normalization,
                    const data::Dataset& dataset,
                    std::span<const int64_t> rows,
                    const PredictOptions& options = {},
                    ProgressListener& listener = silent_listener());

/// Mean of Predictions::loss over the labeled rows, in nats; NaN if there are none.
double mean_log_loss(const Predictions& predictions);
/// Share of labeled rows whose label has the largest probability; NaN if there are none.
double accuracy(const Predictions& predictions);

/// The images of `rows` as a network takes them: [N,C,H,W] float32, normalized, channels-last, on the CPU.
at::Tensor normalized_images(const data::Dataset& dataset,
                             const network::Normalization& normalization,
                             std::span<const int64_t> rows);

/// Throws Error(usage) if the images of `dataset` are not of `graph`'s input size: sizes are named on both sides.
void check_image_size(const network::Graph& graph, const data::Dataset& dataset);
/// The same, and that the classes are as many.
void check_fits(const network::Graph& graph, const data::Dataset& dataset);

}  // namespace mien::evaluation
