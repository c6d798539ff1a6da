#include "mien/explain/units/units.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/parallel.h"
#include "mien/evaluation/evaluator.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Layer;
using network::Mode;
using network::Network;

void check(const Graph& graph, const data::Dataset& dataset, std::span<const int64_t> rows, int layer) {
  evaluation::check_image_size(graph, dataset);
  if (rows.empty()) throw_usage(fmt::format("no face of {} was chosen to look at units with", dataset.source));
  if (layer <= 0 || layer >= static_cast<int>(graph.layers.size())) {
    throw_usage(fmt::format(
        "cannot look at units of layer {} of {}, expected 1 to {}", layer, graph.name, graph.layers.size() - 1));
  }
}

/// Activations of all faces: by the score [rows, units], and the strongest position of each.
struct Activations {
  at::Tensor scores;     // float32
  at::Tensor positions;  // int32: y * width + x
  at::Tensor largest;    // float32
};

Activations measure(const at::Tensor& output, bool by_mean) {
  const at::Tensor flat = output.dim() == 4 ? output.flatten(2) : output.unsqueeze(2);  // [n,units,positions]
  const auto [largest, positions] = flat.contiguous().max(2);
  return {.scores = by_mean ? flat.mean(2) : largest, .positions = positions.to(at::kInt), .largest = largest};
}

}  // namespace

void UnitOptions::bind(OptionSet& options, bool keeps_faces) {
  options.group("units");
  if (keeps_faces) {
    options.add(&faces,
                {.name = "unit-faces",
                 .help = "faces kept of those that activate a unit most, and of those that do least",
                 .unit = "faces",
                 .minimum = 1,
                 .maximum = 1000});
  }
  options.add(&score,
              {.name = "unit-score",
               .help = "a face's activation of a filter: the largest or the mean of its positions",
               .choices = {"max", "mean"},
               .source = "max: Zeiler and Fergus 2014, section 4; mean: report D's objective, Morcos et al. 2018"});
  options.add(&batch_size,
              {.name = "unit-batch", .help = "faces in one pass", .unit = "faces", .minimum = 1, .maximum = 4096});
}

UnitSurvey survey_units(const Network& network,
                        const network::Normalization& normalization,
                        const data::Dataset& dataset,
                        std::span<const int64_t> rows,
                        int layer,
                        const UnitOptions& options,
                        ProgressListener& listener) {
  const Graph& graph = network.graph();
  check(graph, dataset, rows, layer);
  const at::NoGradGuard no_grad;
  const Layer& node = graph.layers[static_cast<size_t>(layer)];
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t units = node.output_shape.channels;
  at::Tensor scores = at::empty({count, units}, at::kFloat);
  at::Tensor positions = at::empty({count, units}, at::kInt);
  at::Tensor active = at::zeros({units}, at::kLong);
  for (int64_t begin = 0; begin < count; begin += options.batch_size) {
    if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while looking at units");
    const int64_t end = std::min(count, begin + options.batch_size);
    const at::Tensor images = evaluation::normalized_images(
        dataset, normalization, rows.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    const at::Tensor output = network.forward_until(images, Mode::evaluation, layer)[static_cast<size_t>(layer)];
    const Activations found = measure(output, options.score == "mean");
    scores.slice(0, begin, end).copy_(found.scores);
    positions.slice(0, begin, end).copy_(found.positions);
    active += (found.largest > 0).sum(0);
    listener.progress("faces through " + node.name, end, count, "");
  }

  if (!scores.isfinite().all().item<bool>()) {
    throw_failed(fmt::format("{} of {} gives values that are not finite", node.name, graph.name),
                 "the weights may have diverged");
  }
  UnitSurvey survey{.layer = layer, .score = options.score};
  const int64_t classes = dataset.classes();
  survey.class_faces.assign(static_cast<size_t>(classes), 0);
  std::vector<int64_t> labels;
  std::vector<int64_t> labeled;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t label = dataset.labels[static_cast<size_t>(rows[static_cast<size_t>(i)])];
    if (label == data::kUnlabeled) continue;
    ++survey.class_faces[static_cast<size_t>(label)];
    labels.push_back(label);
    labeled.push_back(i);
  }
  const at::Tensor precise = scores.to(at::kDouble);
  at::Tensor sums = at::zeros({classes, units}, at::kDouble);
  sums.index_add_(0, at::tensor(labels, at::kLong), precise.index_select(0, at::tensor(labeled, at::kLong)));
  const at::Tensor class_faces = at::tensor(survey.class_faces, at::kDouble).unsqueeze(1);
  survey.class_means = (sums / class_faces).t().contiguous();  // 0/0 is NaN
  survey.mean = precise.mean(0);
  survey.deviation = precise.std(0, /*unbiased=*/false);
  survey.active_share = active.to(at::kDouble) / static_cast<double>(count);

  survey.most.resize(static_cast<size_t>(units));
  survey.least.resize(static_cast<size_t>(units));
  const auto kept = static_cast<size_t>(std::min(options.faces, count));
  const at::Tensor by_unit = scores.t().contiguous();
  const at::Tensor position_by_unit = positions.t().contiguous();
  const int64_t width = node.output_shape.width;
  parallel_for(units, [&](int64_t first, int64_t last) {
    std::vector<int64_t> order(static_cast<size_t>(count));
    for (int64_t unit = first; unit < last; ++unit) {
      const float* const score = by_unit.data_ptr<float>() + unit * count;
      const int* const position = position_by_unit.data_ptr<int>() + unit * count;
      const auto keep = [&](bool is_most) {
        for (int64_t i = 0; i < count; ++i) order[static_cast<size_t>(i)] = i;
        std::partial_sort(
            order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(), [&](int64_t a, int64_t b) {
              if (score[a] != score[b]) return is_most ? score[a] > score[b] : score[a] < score[b];
              return rows[static_cast<size_t>(a)] < rows[static_cast<size_t>(b)];
            });
        std::vector<UnitFace> faces;
        for (size_t i = 0; i < kept; ++i) {
          const int64_t at = order[i];
          UnitFace face{.row = rows[static_cast<size_t>(at)],
                        .activation = score[at],
                        .y = position[at] / width,
                        .x = position[at] % width};
          face.window = receptive_window(graph, layer, face.y, face.x);
          faces.push_back(face);
        }
        return faces;
      };
      survey.most[static_cast<size_t>(unit)] = keep(true);
      survey.least[static_cast<size_t>(unit)] = keep(false);
    }
  });
  return survey;
}

ClassSelectivity class_selectivity(const UnitSurvey& survey) {
  ClassSelectivity result;
  for (const auto& faces : survey.least) result.is_index = result.is_index && faces.front().activation >= 0;
  const at::Tensor means = survey.class_means.contiguous();
  const at::Tensor deviations = survey.deviation.contiguous();
  const int64_t classes = means.size(1);
  for (int64_t unit = 0; unit < means.size(0); ++unit) {
    const double* const mean = means.data_ptr<double>() + unit * classes;
    int64_t preferred = -1;
    int64_t present = 0;
    double sum = 0;
    double least = std::numeric_limits<double>::infinity();
    for (int64_t label = 0; label < classes; ++label) {
      if (std::isnan(mean[label])) continue;
      ++present;
      sum += mean[label];
      least = std::min(least, mean[label]);
      if (preferred < 0 || mean[label] > mean[preferred]) preferred = label;
    }
    double value = std::numeric_limits<double>::quiet_NaN();
    if (present > 1) {
      const double most = mean[preferred];
      const double rest = (sum - most) / static_cast<double>(present - 1);
      // Means of one constant differ by the rounding of their sums.
      const bool is_flat = most - least <= 1e-9 * std::max(std::abs(most), std::abs(least));
      const double scale = result.is_index ? most + rest : deviations.data_ptr<double>()[unit];
      if (is_flat) {
        preferred = -1;
        if (most != 0) value = 0;
      } else {
        value = (most - rest) / scale;
      }
    }
    result.preferred.push_back(preferred);
    result.values.push_back(value);
  }
  return result;
}

at::Tensor standardized_means(const UnitSurvey& survey) {
  // A constant's deviation is not 0 but what rounding leaves of it.
  const at::Tensor changes = survey.deviation > 1e-9 * survey.mean.abs();
  const at::Tensor scale = at::where(changes, survey.deviation, at::zeros_like(survey.deviation)).unsqueeze(1);
  const at::Tensor values = (survey.class_means - survey.mean.unsqueeze(1)) / scale;
  const double kNotANumber = std::numeric_limits<double>::quiet_NaN();
  return at::where(scale > 0, values, at::full_like(values, kNotANumber));
}

at::Tensor crop(const data::Dataset& dataset, const UnitFace& face) {
  const std::span<const uint8_t> bytes = dataset.image(face.row);
  const at::Tensor image =
      at::from_blob(const_cast<uint8_t*>(bytes.data()), {dataset.channels, dataset.height, dataset.width}, at::kByte);
  return image.slice(1, face.window.top, face.window.bottom)
      .slice(2, face.window.left, face.window.right)
      .clone(at::MemoryFormat::Contiguous);
}

}  // namespace mien::explain
