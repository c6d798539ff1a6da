#include "mien/export/calibrate.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "mien/core/error.h"
#include "mien/evaluation/evaluator.h"
#include "mien/network/network.h"

namespace mien::exporting {
namespace {

constexpr size_t kBatch = 64;

}  // namespace

std::map<std::string, std::pair<float, float>> output_ranges(const network::LoadedWeights& weights,
                                                             const data::Dataset& dataset,
                                                             std::span<const int64_t> rows,
                                                             ProgressListener& listener) {
  const network::Graph& graph = weights.network.graph();
  evaluation::check_image_size(graph, dataset);
  const at::NoGradGuard no_grad;
  std::map<std::string, std::pair<float, float>> ranges;
  for (size_t begin = 0; begin < rows.size(); begin += kBatch) {
    if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "calibration was stopped");
    const auto batch = rows.subspan(begin, std::min(kBatch, rows.size() - begin));
    const at::Tensor images = evaluation::normalized_images(dataset, weights.info.normalization, batch);
    weights.network.forward_visit(images, network::Mode::evaluation, [&](int layer, const at::Tensor& output) {
      const auto [least, largest] = at::aminmax(output);
      const auto [found, is_new] =
          ranges.try_emplace(graph.layers[static_cast<size_t>(layer)].name, least.item<float>(), largest.item<float>());
      found->second.first = std::min(found->second.first, least.item<float>());
      found->second.second = std::max(found->second.second, largest.item<float>());
    });
  }
  return ranges;
}

}  // namespace mien::exporting
