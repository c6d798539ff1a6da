#include "mien/explain/batches.h"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "mien/core/hash.h"

namespace mien::explain {
namespace {

/// All parts' tensors of one kind in one; undefined if the parts have none.
at::Tensor joined(const std::vector<Attributions>& parts, at::Tensor Attributions::*member) {
  if (!(parts.front().*member).defined()) return {};
  std::vector<at::Tensor> tensors;
  for (const Attributions& part : parts) tensors.push_back(part.*member);
  return at::cat(tensors);
}

Attributions first_of(Attributions maps) {
  for (at::Tensor* const tensor : {&maps.values, &maps.channels, &maps.at_layer})
    if (tensor->defined()) *tensor = tensor->slice(0, 0, 1);
  if (!maps.diagnostics.empty()) maps.diagnostics.resize(1);
  return maps;
}

/// Which maps' sizes add up to no more than the rounding of the score.
std::vector<bool> below_score_rounding(const AttributionRequest& request,
                                       MapUnit unit,
                                       int64_t batch_size,
                                       const Attributions& maps) {
  constexpr double kSmall = 1;  // above it no score of less than 131,072 could make the map by rounding
  const at::Tensor& shown = maps.at_layer.defined() ? maps.at_layer : maps.values;
  const at::Tensor range = request.images.abs().flatten(1).amax(1).clamp_min(1).to(at::kDouble);
  const at::Tensor sizes = shown.to(at::kDouble).abs().flatten(1);
  const at::Tensor total = unit == MapUnit::slope          ? sizes.sum(1) * range
                           : unit == MapUnit::slope_square ? sizes.sqrt().sum(1) * range
                                                           : sizes.sum(1);
  std::vector<bool> found(static_cast<size_t>(total.size(0)), false);
  const at::Tensor small = at::nonzero((total < kSmall).logical_and(total > 0)).flatten();
  if (unit == MapUnit::other || small.numel() == 0) return found;
  const at::Tensor logits = logits_of(request.network, request.images.index_select(0, small), batch_size);
  const at::Tensor limit = score_rounding(logits, request.targets.index_select(0, small), request.score);
  for (int64_t i = 0; i < small.size(0); ++i) {
    const auto image = small[i].item<int64_t>();
    found[static_cast<size_t>(image)] = total[image].item<double>() <= limit[i].item<double>();
  }
  return found;
}

}  // namespace

AttributionRequest twice(const AttributionRequest& request) {
  const auto both = [](const at::Tensor& row) { return row.defined() ? at::cat({row, row}) : row; };
  return {.network = request.network,
          .images = both(request.images),
          .targets = both(request.targets),
          .score = request.score,
          .black = both(request.black)};
}

Attributions in_batches(const AttributionRequest& request,
                        int64_t batch_size,
                        const std::function<Attributions(const AttributionRequest& part)>& explain) {
  const int64_t count = request.images.size(0);
  std::vector<Attributions> parts;
  for (int64_t begin = 0; begin < count; begin += batch_size) {
    const int64_t end = std::min(count, begin + batch_size);
    const bool is_alone = end == begin + 1;
    const AttributionRequest part = slice(request, begin, end);
    parts.push_back(is_alone ? first_of(explain(twice(part))) : explain(part));
  }
  if (parts.size() == 1) return std::move(parts.front());
  Attributions all{.values = joined(parts, &Attributions::values),
                   .channels = joined(parts, &Attributions::channels),
                   .at_layer = joined(parts, &Attributions::at_layer),
                   .layer = parts.front().layer};
  for (const Attributions& part : parts)
    all.diagnostics.insert(all.diagnostics.end(), part.diagnostics.begin(), part.diagnostics.end());
  return all;
}

std::vector<uint64_t> face_keys(const at::Tensor& images) {
  const at::Tensor rows = at::empty(images.sizes(), at::kFloat).copy_(images);  // row-major
  const auto size = static_cast<size_t>(rows[0].numel()) * sizeof(float);
  const auto* const bytes = reinterpret_cast<const char*>(rows.data_ptr<float>());
  std::vector<uint64_t> keys;
  for (size_t image = 0; image < static_cast<size_t>(rows.size(0)); ++image)
    keys.push_back(hash64({bytes + image * size, size}));
  return keys;
}

at::Tensor score_rounding(const at::Tensor& logits, const at::Tensor& targets, Score score) {
  const at::Tensor size = score == Score::probability ? score_of(logits, targets, score) : logits.abs().amax(1);
  return size.to(at::kDouble) * kRounding;
}

void drop_rounding_noise(const AttributionRequest& request, MapUnit unit, int64_t batch_size, Attributions& maps) {
  const std::vector<bool> is_noise = below_score_rounding(request, unit, batch_size, maps);
  if (maps.diagnostics.empty()) maps.diagnostics.resize(is_noise.size());
  for (size_t image = 0; image < is_noise.size(); ++image) {
    auto& facts = maps.diagnostics[image];
    const auto stated = facts.extract("rounding");
    const auto index = static_cast<int64_t>(image);
    const double largest = maps.values[index].abs().max().item<double>();
    if (largest == 0 || !(is_noise[image] || (!stated.empty() && largest <= stated.mapped()))) continue;
    for (const at::Tensor& tensor : {maps.values, maps.channels, maps.at_layer})
      if (tensor.defined()) tensor[index].zero_();
    facts["below_rounding"] = largest;
  }
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
