#include "mien/serve/served_model.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/preprocess.h"
#include "mien/evaluation/evaluator.h"
#include "mien/explain/batches.h"
#include "mien/explain/faithfulness/faithfulness.h"
#include "mien/explain/methods.h"
#include "mien/runs/voters.h"
#include "mien/serve/jobs.h"

namespace mien::serve {
namespace {

using nlohmann::ordered_json;

constexpr int64_t kLargestBatch = 64;
constexpr int kMapSteps = 1000;  // a map's values are sent as whole numbers of so many steps

ordered_json finite(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(); }

ordered_json probabilities(const at::Tensor& logits, double temperature) {
  const at::Tensor rates = at::softmax(logits.to(at::kDouble) / temperature, 0);
  ordered_json list = ordered_json::array();
  for (int64_t k = 0; k < rates.size(0); ++k) list.push_back(finite(rates[k].item<double>()));
  return list;
}

int64_t target_of(const std::string& target, const at::Tensor& logits, const std::vector<std::string>& classes) {
  if (target == "predicted") return logits[0].argmax().item<int64_t>();
  const auto found = std::find(classes.begin(), classes.end(), target);
  if (found == classes.end())
    throw_usage(fmt::format("target is {}, expected predicted or a class", quote_sample(target)),
                suggestion(target, classes));
  return found - classes.begin();
}

void add_map(ordered_json& json, const at::Tensor& map) {
  const at::Tensor values = map.to(at::kDouble).contiguous();
  const double largest = values.abs().max().item<double>();
  json["largest"] = finite(largest);
  json["steps"] = kMapSteps;
  ordered_json list = ordered_json::array();
  const double scale = largest > 0 && std::isfinite(largest) ? kMapSteps / largest : 0;
  const double* begin = values.data_ptr<double>();
  for (int64_t i = 0; i < values.numel(); ++i)
    list.push_back(std::isfinite(begin[i]) ? std::lround(scale * begin[i]) : 0);
  json["map"] = std::move(list);
}

}  // namespace

ServedModel::ServedModel(network::LoadedWeights weights)
    : loaded(std::move(weights)),
      frozen(explain::frozen_copy(loaded.network)),
      temperature(runs::stored_temperature(loaded.info)) {
  const network::Graph& graph = loaded.network.graph();
  const network::Shape shape = graph.input_shape();
  input = {shape.channels, shape.height, shape.width, loaded.info.class_names};
  for (int64_t k = static_cast<int64_t>(input.class_names.size()); k < graph.classes(); ++k)
    input.class_names.push_back(fmt::format("class {}", k));
  for (const network::Layer& layer : graph.layers) {
    if (!layer.output_shape.is_flat && layer.kind != network::LayerKind::input) layers.push_back(layer.name);
  }
  for (const explain::MethodSpec& spec : explain::methods()) {
    if (!spec.unsupported_reason || spec.unsupported_reason(graph).empty()) methods.push_back(spec.name);
  }
}

data::Dataset ServedModel::faces(const std::vector<std::vector<uint8_t>>& pixels) const {
  data::Dataset set{.channels = input.channels,
                    .height = input.height,
                    .width = input.width,
                    .class_names = input.class_names,
                    .source = "the request"};
  for (const auto& face : pixels) {
    set.pixels.insert(set.pixels.end(), face.begin(), face.end());
    set.labels.push_back(data::kUnlabeled);
    set.usages.push_back(data::Usage::unknown);
    set.ids.push_back(static_cast<int64_t>(set.ids.size()));
  }
  return set;
}

at::Tensor ServedModel::images(const data::Dataset& faces) const {
  std::vector<int64_t> all(static_cast<size_t>(faces.size()));
  std::iota(all.begin(), all.end(), 0);
  return evaluation::normalized_images(faces, loaded.info.normalization, all);
}

std::vector<std::string> ServedModel::predict(const std::vector<std::vector<uint8_t>>& pixels) const {
  const at::Tensor logits = explain::logits_of(frozen, images(faces(pixels)), kLargestBatch);
  std::vector<std::string> answers;
  for (int64_t i = 0; i < logits.size(0); ++i) {
    const at::Tensor own = logits[i];
    answers.push_back(ordered_json{{"classes", input.class_names},
                                   {"predicted", input.class_names[static_cast<size_t>(own.argmax().item<int64_t>())]},
                                   {"probabilities", probabilities(own, temperature)}}
                          .dump());
  }
  return answers;
}

std::string ServedModel::explain(const Question& question) const {
  const auto begin = std::chrono::steady_clock::now();
  const explain::MethodSpec& spec = explain::method(question.method);
  explain::MethodOptions options;
  OptionSet set;
  options.bind(set);
  for (const auto& [name, text] : question.options)
    set.set(name, text, Origin::command_line, fmt::format("option {}", quote_sample(name)));
  const data::Dataset one = faces({question.pixels});
  const at::Tensor image = images(one);
  const at::Tensor logits = explain::logits_of(frozen, image, 1);
  const int64_t target = target_of(question.target, logits, input.class_names);
  const explain::AttributionRequest request{
      .network = frozen,
      .images = image,
      .targets = at::full({1}, target, at::kLong),
      .black = at::full({1}, data::black_level(one.image(0), loaded.info.normalization), at::kFloat)};
  const explain::Attributions result = explain::explain(spec, request, options);
  ordered_json json{{"method", spec.name},
                    {"source", spec.source},
                    {"signed", spec.is_signed},
                    {"classes", input.class_names},
                    {"target", input.class_names[static_cast<size_t>(target)]},
                    {"probabilities", probabilities(logits[0], temperature)},
                    {"height", input.height},
                    {"width", input.width}};
  if (result.layer >= 0) json["layer"] = frozen.graph().layers[static_cast<size_t>(result.layer)].name;
  add_map(json, result.values[0]);
  if (!result.diagnostics.empty()) {
    for (const auto& [name, value] : result.diagnostics[0]) json["diagnostics"][name] = finite(value);
  }
  if (question.measure) {
    explain::FaithfulnessOptions how;
    how.rerun_faces = 0;
    const auto measured = explain::measure(spec, request, result.values, {}, options, how);
    for (const auto& [name, values] : measured.values) json["faithfulness"][name] = finite(values[0]);
  }
  json["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return json.dump();
}

}  // namespace mien::serve
