#include "mien/explain/batches.h"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>

namespace mien::explain {
namespace {

/// All parts' tensors of one kind in one; undefined if the parts have none.
at::Tensor joined(const std::vector<Maps>& parts, at::Tensor Maps::*member) {
  if (!(parts.front().*member).defined()) return {};
  std::vector<at::Tensor> tensors;
  for (const Maps& part : parts) tensors.push_back(part.*member);
  return at::cat(tensors);
}

}  // namespace

Maps in_batches(const Question& question,
                int64_t batch_size,
                const std::function<Maps(const Question& part)>& explain) {
  const int64_t count = question.images.size(0);
  if (count <= batch_size) return explain(question);
  std::vector<Maps> parts;
  for (int64_t begin = 0; begin < count; begin += batch_size) {
    parts.push_back(explain(slice(question, begin, std::min(count, begin + batch_size))));
  }
  Maps all{.values = joined(parts, &Maps::values),
           .channels = joined(parts, &Maps::channels),
           .at_layer = joined(parts, &Maps::at_layer),
           .layer = parts.front().layer};
  for (const Maps& part : parts) all.facts.insert(all.facts.end(), part.facts.begin(), part.facts.end());
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
