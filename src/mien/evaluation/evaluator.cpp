#include "mien/evaluation/evaluator.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/preprocess.h"
#include "mien/evaluation/predict_shared.h"

namespace mien::evaluation {

void check_image_size(const network::Graph& graph, const data::Dataset& dataset) {
  const network::Shape input = graph.input_shape();
  if (input.channels != dataset.channels || input.height != dataset.height || input.width != dataset.width) {
    throw_usage(fmt::format("network {} takes images of {}, {} has {}*{}*{}",
                            graph.name,
                            input.text(),
                            dataset.source,
                            dataset.channels,
                            dataset.height,
                            dataset.width),
                fmt::format("--image-side {} resizes pictures of folders and draws faces of that size; a csv needs "
                            "another `input` in the "
                            "network file",
                            input.height));
  }
}

void check_fits(const network::Graph& graph, const data::Dataset& dataset) {
  check_image_size(graph, dataset);
  if (graph.classes() != dataset.classes()) {
    throw_usage(
        fmt::format("network {} has {} classes, {} has {} ({})",
                    graph.name,
                    graph.classes(),
                    dataset.source,
                    dataset.classes(),
                    join(dataset.class_names, ", ")),
        fmt::format("--classes NAME,NAME,... says which classes the labels are; to train, write the network with `mien "
                    "networks show`, change its last dense layer to {} and name that file",
                    dataset.classes()));
  }
}

at::Tensor normalized_images(const data::Dataset& dataset,
                             const network::Normalization& normalization,
                             std::span<const int64_t> rows) {
  const auto count = static_cast<int64_t>(rows.size());
  const at::Tensor images = at::empty({count, dataset.channels, dataset.height, dataset.width}, at::kFloat);
  float* const values = images.data_ptr<float>();
  at::parallel_for(0, count, 16, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      data::normalize_image(
          dataset.image(rows[static_cast<size_t>(i)]), normalization, values + i * dataset.pixels_per_image());
    }
  });
  return images.contiguous(at::MemoryFormat::ChannelsLast);
}

std::vector<std::string> views_names() { return {"none", "flip", "shifts", "five-crop", "ten-crop"}; }

Views views_from_text(std::string_view name) {
  const std::vector<std::string> names = views_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw std::invalid_argument("views_from_text: " + std::string(name));
  return static_cast<Views>(found - names.begin());
}

int64_t count_of(Views views) {
  constexpr std::array<int64_t, 5> kCounts{1, 2, 5, 5, 10};
  return kCounts.at(static_cast<size_t>(views));
}

std::vector<at::Tensor> views_of(const at::Tensor& images, Views views) {
  const int64_t height = images.size(2);
  const int64_t width = images.size(3);
  const auto part = [&](const at::Tensor& of, int64_t top, int64_t left, int64_t rows, int64_t columns) {
    return of.slice(2, top, top + rows).slice(3, left, left + columns);
  };
  std::vector<at::Tensor> result;
  if (views == Views::face || views == Views::flip || views == Views::shifts) result.push_back(images);
  if (views == Views::shifts) {
    const int64_t down = std::max<int64_t>(1, height / 24);
    const int64_t right = std::max<int64_t>(1, width / 24);
    const at::Tensor padded = at::replication_pad2d(images, {right, right, down, down});
    for (const auto& [top, left] :
         {std::pair(down, int64_t{0}), {down, 2 * right}, {int64_t{0}, right}, {2 * down, right}})
      result.push_back(part(padded, top, left, height, width));
  }
  if (views == Views::five_crop || views == Views::ten_crop) {
    const int64_t rows = std::max<int64_t>(1, height * 11 / 12);
    const int64_t columns = std::max<int64_t>(1, width * 11 / 12);
    const int64_t down = height - rows;
    const int64_t right = width - columns;
    for (const auto& [top, left] : {std::pair(int64_t{0}, int64_t{0}),
                                    {int64_t{0}, right},
                                    {down, int64_t{0}},
                                    {down, right},
                                    {down / 2, right / 2}})
      result.push_back(at::upsample_bilinear2d(
          part(images, top, left, rows, columns).contiguous(), {height, width}, /*align_corners=*/false));
  }
  if (views == Views::flip || views == Views::ten_crop) {
    const size_t count = result.size();
    for (size_t i = 0; i < count; ++i) result.push_back(result[i].flip({3}));
  }
  for (at::Tensor& view : result) view = view.contiguous(at::MemoryFormat::ChannelsLast);
  return result;
}

Predictions predict(const network::Network& network,
                    const network::Normalization& normalization,
                    const data::Dataset& dataset,
                    std::span<const int64_t> rows,
                    const PredictOptions& options,
                    ProgressListener& listener) {
  return predict_shared(network, normalization, dataset, rows, options, listener, nullptr);
}

Predictions predict_shared(const network::Network& network,
                           const network::Normalization& normalization,
                           const data::Dataset& dataset,
                           std::span<const int64_t> rows,
                           const PredictOptions& options,
                           ProgressListener& listener,
                           ranks::Group* group) {
  check_fits(network.graph(), dataset);
  const at::NoGradGuard no_grad;
  const int64_t count = static_cast<int64_t>(rows.size());
  const int64_t classes = network.graph().classes();
  Predictions result{.class_names = dataset.class_names, .rows = {}, .labels = {}, .logits = {}, .probabilities = {}};
  result.labels.reserve(rows.size());
  for (const int64_t row : rows) {
    result.rows.push_back(dataset.row_of(row));
    result.labels.push_back(dataset.labels[static_cast<size_t>(row)]);
    if (!dataset.files.empty()) result.files.push_back(dataset.files[static_cast<size_t>(row)]);
  }
  result.logits.resize(static_cast<size_t>(count * classes));
  const at::Device device = network.tensors().empty() ? at::Device(at::kCPU) : network.tensors().front().device();

  for (int64_t begin = 0; begin < count; begin += options.batch_size) {
    if (group != nullptr && begin / options.batch_size % group->size() != group->rank()) continue;
    if (group == nullptr && listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while predicting");
    const int64_t n = std::min(options.batch_size, count - begin);
    const auto part = rows.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
    const at::Tensor images = normalized_images(dataset, normalization, part).to(device);
    at::Tensor logits;
    for (const at::Tensor& view : views_of(images, options.views)) {
      const at::Tensor of_view = network.forward(view, network::Mode::evaluation);
      logits = logits.defined() ? logits + of_view : of_view;
    }
    if (options.views != Views::face) logits = logits * (1.0 / static_cast<double>(count_of(options.views)));
    logits = logits.to(at::kCPU).to(at::kDouble).contiguous();
    std::copy_n(logits.data_ptr<double>(), n * classes, result.logits.begin() + begin * classes);
    listener.progress("predicting", begin + n, count, "");
  }
  if (group != nullptr) group->sum(result.logits);
  result.probabilities.resize(result.logits.size());
  softmax_rows(result.logits, classes, result.probabilities);
  return result;
}

double mean_log_loss(const Predictions& predictions) {
  double sum = 0;
  int64_t labeled = 0;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (!predictions.is_labeled(i)) continue;
    sum += predictions.loss(i);
    ++labeled;
  }
  return labeled > 0 ? sum / static_cast<double>(labeled) : std::numeric_limits<double>::quiet_NaN();
}

double accuracy(const Predictions& predictions) {
  int64_t correct = 0;
  int64_t labeled = 0;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (!predictions.is_labeled(i)) continue;
    ++labeled;
    correct += predictions.predicted(i) == predictions.labels[static_cast<size_t>(i)] ? 1 : 0;
  }
  return labeled > 0 ? static_cast<double>(correct) / static_cast<double>(labeled)
                     : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace mien::evaluation
