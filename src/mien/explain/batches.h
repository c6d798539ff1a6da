#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "mien/explain/attribution.h"

namespace mien::explain {

/// The one image of `request` two times. libtorch has other kernels for an image alone, which round differently, so
/// that a face's map would depend on its company wherever pixels of a max pool's window are equal but for rounding.
AttributionRequest twice(const AttributionRequest& request);

/// Attributions of `request` from maps of its parts: at most `batch_size` images at a time, in order. An image that is
/// left alone is given twice.
Attributions in_batches(const AttributionRequest& request,
                        int64_t batch_size,
                        const std::function<Attributions(const AttributionRequest& part)>& explain);

/// A number for each image that its pixels alone decide, so that what is random goes with the face and not with its
/// place in a list.
std::vector<uint64_t> face_keys(const at::Tensor& images);

/// Share of a score that float32 arithmetic may add to it: 64 steps of its precision.
inline constexpr double kRounding = 64 * 1.1920928955078125e-7;

/// What float32's rounding may add to each image's score, [N] float64: kRounding of its largest logit, or of the
/// probability.
at::Tensor score_rounding(const at::Tensor& logits, const at::Tensor& targets, Score score);

/// Makes 0 of maps that show nothing but rounding, and states as the diagnostic "below_rounding" how large they were:
/// - maps whose sizes add up to no more than score_rounding, times the input's range for slopes: whatever they say
///   could not be told from the score itself;
/// - maps with no larger value than what their method states as the diagnostic "rounding", which is taken out.
void drop_rounding_noise(const AttributionRequest& request, MapUnit unit, int64_t batch_size, Attributions& maps);

/// Logits [N,K] of any number of images without an autograd graph, at most `batch_size` at a time.
at::Tensor logits_of(const network::Network& network, const at::Tensor& images, int64_t batch_size);

}  // namespace mien::explain
