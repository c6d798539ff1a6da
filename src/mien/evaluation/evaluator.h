#pragma once

#include <cstdint>
#include <span>

#include <ATen/core/Tensor.h>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/evaluation/predictions.h"
#include "mien/network/network.h"

namespace mien::evaluation {

struct PredictOptions {
  int64_t batch_size = 256;
  bool flip_average = false;  ///< mean of the logits of each face and its mirror image
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
