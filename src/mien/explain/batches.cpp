#include "mien/explain/batches.h"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace mien::explain {
namespace {

/// All parts' tensors of one kind in one; undefined if the parts have none.
at::Tensor joined(const std::vector<Attributions>& parts, at::Tensor Attributions::*member) {
  if (!(parts.front().*member).defined()) return {};
  std::vector<at::Tensor> tensors;
  for (const Attributions& part : parts) tensors.push_back(part.*member);
  return at::cat(tensors);
}

}  // namespace

Attributions in_batches(const AttributionRequest& request,
                        int64_t batch_size,
                        const std::function<Attributions(const AttributionRequest& part)>& explain) {
  const int64_t count = request.images.size(0);
  if (count <= batch_size) return explain(request);
  std::vector<Attributions> parts;
  for (int64_t begin = 0; begin < count; begin += batch_size) {
    parts.push_back(explain(slice(request, begin, std::min(count, begin + batch_size))));
  }
  Attributions all{.values = joined(parts, &Attributions::values),
                   .channels = joined(parts, &Attributions::channels),
                   .at_layer = joined(parts, &Attributions::at_layer),
                   .layer = parts.front().layer};
  for (const Attributions& part : parts)
    all.diagnostics.insert(all.diagnostics.end(), part.diagnostics.begin(), part.diagnostics.end());
  return all;
}

at::Tensor logits_of(const network::Network& network, const at::Tensor& images, int64_t batch_size) {
  const at::NoGradGuard no_gradient;
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0; begin < images.size(0); begin += batch_size) {
    const at::Tensor part = images.slice(0, begin, std::min(images.size(0), begin + batch_size));
    parts.push_back(network.forward(part, network::Mode::evaluation));
  }
  return at::cat(parts);
}

}  // namespace mien::explain
