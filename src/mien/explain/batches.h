#pragma once

#include <cstdint>
#include <functional>

#include "mien/explain/attribution.h"

namespace mien::explain {

/// Attributions of `request` from maps of its parts: at most `batch_size` images at a time, in order.
Attributions in_batches(const AttributionRequest& request,
                        int64_t batch_size,
                        const std::function<Attributions(const AttributionRequest& part)>& explain);

/// Logits [N,K] of any number of images without an autograd graph, at most `batch_size` at a time.
at::Tensor logits_of(const network::Network& network, const at::Tensor& images, int64_t batch_size);

}  // namespace mien::explain
