#include "mien/serve/unit_view.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/explain/units/activation_maximization.h"
#include "mien/explain/units/filters.h"
#include "mien/explain/units/receptive_field.h"
#include "mien/explain/units/units.h"
#include "mien/network/graph/layer_traits.h"
#include "mien/report/base64.h"
#include "mien/serve/part_faces.h"

namespace mien::serve {
namespace {

using network::Graph;
using network::Layer;
using network::LayerKind;
using nlohmann::ordered_json;

constexpr int64_t kMostTerms = 16;  // of a sum over channels or features; the others are added up
constexpr int64_t kMostWeights = 20'000;
constexpr int64_t kShownFaces = 8;  // at either end of a unit's survey

const Layer& layer_at(const Graph& graph, int layer) {
  if (layer < 0 || layer >= static_cast<int>(graph.layers.size()))
    throw_usage(fmt::format("there is no layer {}, expected 0 to {}", layer, graph.layers.size() - 1));
  return graph.layers[static_cast<size_t>(layer)];
}

/// A number with the digits that a float has.
ordered_json value_json(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value == 0 ? 0.0 : std::stod(fmt::format("{:.7g}", value));
}

ordered_json values_json(const at::Tensor& values) {
  const at::Tensor flat = values.to(at::kDouble).contiguous().flatten();
  ordered_json list = ordered_json::array();
  for (int64_t i = 0; i < flat.numel(); ++i) list.push_back(value_json(flat.data_ptr<double>()[i]));
  return list;
}

std::string bytes_base64(const at::Tensor& bytes) {
  const at::Tensor flat = bytes.contiguous();
  return report::base64({reinterpret_cast<const char*>(flat.data_ptr<uint8_t>()), static_cast<size_t>(flat.numel())});
}

/// A layer's output and what it reads for one face, each [C,H,W].
struct Flow {
  std::vector<at::Tensor> inputs;
  at::Tensor output;
};

at::Tensor as_image(const at::Tensor& tensor) {
  const at::Tensor one = tensor[0];
  return one.dim() == 3 ? one : one.reshape({-1, 1, 1});
}

Flow flow_at(const ServedModel& model, const std::vector<uint8_t>& face, int layer) {
  const Layer& node = layer_at(model.frozen.graph(), layer);
  const at::Tensor image = model.images(model.faces({face}));
  Flow flow{.inputs = std::vector<at::Tensor>(node.inputs.size()), .output = {}};
  model.frozen.forward_visit(
      image,
      network::Mode::evaluation,
      [&](int index, const at::Tensor& output) {
        if (index == layer) flow.output = as_image(output);
        for (size_t i = 0; i < node.inputs.size(); ++i)
          if (node.inputs[i] == index) flow.inputs[i] = as_image(output);
      },
      layer);
  return flow;
}

/// Whether the network has the parameter, and its value.
at::Tensor parameter(const ServedModel& model, const Layer& node, const char* ending) {
  const std::string name = node.name + "." + ending;
  const auto specs = model.frozen.graph().parameter_specs();
  const bool is_there = std::any_of(specs.begin(), specs.end(), [&](const auto& spec) { return spec.name == name; });
  return is_there ? model.frozen.tensor(name).to(at::kCPU) : at::Tensor();
}

struct Term {
  int64_t channel;
  double sum;
};

/// The terms of largest size, and the sum of the others.
ordered_json largest_terms(std::vector<Term> terms, double& others) {
  std::stable_sort(
      terms.begin(), terms.end(), [](const Term& a, const Term& b) { return std::abs(a.sum) > std::abs(b.sum); });
  ordered_json list = ordered_json::array();
  others = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    if (i < kMostTerms) {
      list.push_back({{"channel", terms[i].channel}, {"sum", value_json(terms[i].sum)}});
    } else {
      others += terms[i].sum;
    }
  }
  return list;
}

/// A convolution at a position: for each input channel the pixels below the kernel, its weights, and their sum.
ordered_json convolution_arithmetic(const ServedModel& model,
                                    const Layer& node,
                                    const Flow& flow,
                                    const UnitPlace& at) {
  const at::Tensor weight = parameter(model, node, "weight")[at.unit].to(at::kDouble);  // [in/groups, kh, kw]
  const at::Tensor bias = parameter(model, node, "bias");
  const int64_t per_group = weight.size(0);
  const int64_t first = at.unit / (node.output_shape.channels / node.groups) * per_group;
  const at::Tensor padded = at::constant_pad_nd(flow.inputs[0].slice(0, first, first + per_group).to(at::kDouble),
                                                {node.padding.left,
                                                 node.padding.right + node.kernel_width,
                                                 node.padding.top,
                                                 node.padding.bottom + node.kernel_height},
                                                0);
  const int64_t top = at.y * node.stride;
  const int64_t left = at.x * node.stride;
  const at::Tensor patch = padded.slice(1, top, top + node.kernel_height).slice(2, left, left + node.kernel_width);
  const at::Tensor sums = (patch * weight).sum({1, 2});
  std::vector<Term> terms;
  for (int64_t c = 0; c < per_group; ++c) terms.push_back({first + c, sums[c].item<double>()});
  double others = 0;
  ordered_json json{{"form", "convolution"}, {"terms", largest_terms(std::move(terms), others)}};
  for (ordered_json& term : json["terms"]) {
    const int64_t c = term["channel"].get<int64_t>() - first;
    term["inputs"] = values_json(patch[c]);
    term["weights"] = values_json(weight[c]);
  }
  json["others"] = value_json(others);
  json["bias"] = bias.defined() ? value_json(bias[at.unit].item<double>()) : ordered_json(0.0);
  json["kernel"] = {node.kernel_height, node.kernel_width};
  json["top"] = top - node.padding.top;  // of what it reads, in the input's positions; padding lies outside
  json["left"] = left - node.padding.left;
  return json;
}

ordered_json dense_arithmetic(const ServedModel& model, const Layer& node, const Flow& flow, const UnitPlace& at) {
  const at::Tensor weight = parameter(model, node, "weight")[at.unit].to(at::kDouble);
  const at::Tensor bias = parameter(model, node, "bias");
  const at::Tensor input = flow.inputs[0].flatten().to(at::kDouble);
  const at::Tensor products = weight * input;
  std::vector<Term> terms;
  for (int64_t i = 0; i < products.size(0); ++i) terms.push_back({i, products[i].item<double>()});
  double others = 0;
  ordered_json json{{"form", "dense"}, {"terms", largest_terms(std::move(terms), others)}};
  for (ordered_json& term : json["terms"]) {
    const auto i = term["channel"].get<int64_t>();
    term["inputs"] = {value_json(input[i].item<double>())};
    term["weights"] = {value_json(weight[i].item<double>())};
  }
  json["others"] = value_json(others);
  json["bias"] = bias.defined() ? value_json(bias[at.unit].item<double>()) : ordered_json(0.0);
  return json;
}

ordered_json pool_arithmetic(const Layer& node, const Flow& flow, const UnitPlace& at) {
  const at::Tensor plane = flow.inputs[0][at.unit];
  const bool is_global = network::traits(node).sees_all_pixels;
  const int64_t top = is_global ? 0 : std::max<int64_t>(0, at.y * node.stride - node.padding.top);
  const int64_t left = is_global ? 0 : std::max<int64_t>(0, at.x * node.stride - node.padding.left);
  const int64_t bottom =
      is_global ? plane.size(0) : std::min(plane.size(0), at.y * node.stride - node.padding.top + node.kernel_height);
  const int64_t right =
      is_global ? plane.size(1) : std::min(plane.size(1), at.x * node.stride - node.padding.left + node.kernel_width);
  const bool is_max = node.kind == LayerKind::max_pool || node.kind == LayerKind::global_max_pool;
  return {{"form", is_max ? "largest" : "mean"},
          {"inputs", values_json(plane.slice(0, top, bottom).slice(1, left, right))},
          {"kernel", {bottom - top, right - left}},
          {"top", top},
          {"left", left}};
}

ordered_json arithmetic(const ServedModel& model, const Layer& node, const Flow& flow, const UnitPlace& at) {
  switch (node.kind) {
    case LayerKind::conv:
      return convolution_arithmetic(model, node, flow, at);
    case LayerKind::dense:
      return dense_arithmetic(model, node, flow, at);
    case LayerKind::max_pool:
    case LayerKind::avg_pool:
    case LayerKind::global_avg_pool:
    case LayerKind::global_max_pool:
      return pool_arithmetic(node, flow, at);
    default:
      break;
  }
  ordered_json json{{"form", "function"}, {"inputs", ordered_json::array()}};
  int64_t before = 0;  // channels of the inputs before, of a concat
  for (const at::Tensor& input : flow.inputs) {
    const int64_t unit = node.kind == LayerKind::concat ? at.unit - before : at.unit;
    before += input.size(0);
    const bool fits = unit >= 0 && unit < input.size(0);
    if (node.kind == LayerKind::flatten) {
      json["inputs"].push_back(value_json(input.flatten()[at.unit].item<double>()));
    } else if (fits) {
      const int64_t y = std::min(at.y, input.size(1) - 1);  // a factor of one value a channel
      const int64_t x = std::min(at.x, input.size(2) - 1);
      json["inputs"].push_back(value_json(input[unit][y][x].item<double>()));
    }
  }
  if (node.kind == LayerKind::batch_norm) {
    json["form"] = "batch_norm";
    json["epsilon"] = node.epsilon;
    for (const char* name : {"weight", "bias", "running_mean", "running_var"}) {
      const at::Tensor values = parameter(model, node, name);
      if (values.defined()) json[name] = value_json(values[at.unit].item<double>());
    }
  }
  if (node.kind == LayerKind::leaky_relu) json["slope"] = node.negative_slope;
  if (node.kind == LayerKind::elu) json["alpha"] = node.alpha;
  return json;
}

/// What a unit of a layer with weights has learned; null for other layers and where it is too much to send.
ordered_json weights_json(const ServedModel& model, const Layer& node, int64_t unit) {
  if (node.kind != LayerKind::conv && node.kind != LayerKind::dense) return nullptr;
  const at::Tensor weight = parameter(model, node, "weight")[unit];
  if (weight.numel() > kMostWeights) return nullptr;
  ordered_json shape = ordered_json::array();
  for (const int64_t size : weight.sizes()) shape.push_back(size);
  if (node.kind == LayerKind::dense) {  // as pictures, where it reads pictures
    shape = {1, 1, weight.numel()};
    const Layer& read = model.frozen.graph().layers[static_cast<size_t>(node.inputs[0])];
    if (read.kind == LayerKind::flatten)
      shape = {read.input_shape.channels, read.input_shape.height, read.input_shape.width};
  }
  return {{"shape", std::move(shape)},
          {"values", values_json(weight)},
          {"largest", value_json(weight.abs().max().item<double>())}};
}

}  // namespace

std::string layers_json(const Graph& graph) {
  ordered_json list = ordered_json::array();
  for (size_t i = 0; i < graph.layers.size(); ++i) {
    const Layer& layer = graph.layers[i];
    const auto field = explain::receptive_field(graph, static_cast<int>(i));
    ordered_json json{{"index", i},
                      {"name", layer.name},
                      {"kind", network::to_text(layer.kind)},
                      {"inputs", layer.inputs},
                      {"output", layer.output_shape.text()},
                      {"units", explain::unit_count(graph, static_cast<int>(i))},
                      {"height", layer.output_shape.height},
                      {"width", layer.output_shape.width},
                      {"parameters", layer.trainable_parameters() + layer.buffers()},
                      {"multiply_adds", layer.multiply_adds()},
                      {"field", {field.height, field.width}},
                      {"sees_all", field.is_whole_image}};
    if (layer.kernel_height > 0) {
      json["kernel"] = {layer.kernel_height, layer.kernel_width};
      json["stride"] = layer.stride;
    }
    if (layer.kind == LayerKind::dropout) json["probability"] = layer.probability;
    list.push_back(std::move(json));
  }
  return list.dump();
}

std::string layer_output_json(const ServedModel& model, const std::vector<uint8_t>& face, int layer) {
  layer_at(model.frozen.graph(), layer);
  const at::Tensor image = model.images(model.faces({face}));
  at::Tensor output;
  model.frozen.forward_visit(
      image,
      network::Mode::evaluation,
      [&](int index, const at::Tensor& one) {
        if (index == layer) output = as_image(one).to(at::kFloat).contiguous();
      },
      layer);
  const auto smallest = output.min().item<double>();
  const auto largest = output.max().item<double>();
  const double span = largest > smallest ? largest - smallest : 1;
  const at::Tensor bytes = ((output - smallest) * (255 / span)).round().clamp(0, 255).to(at::kByte);
  return ordered_json{{"layer", layer},
                      {"units", output.size(0)},
                      {"height", output.size(1)},
                      {"width", output.size(2)},
                      {"smallest", value_json(smallest)},
                      {"largest", value_json(largest)},
                      {"values", bytes_base64(bytes)}}
      .dump();
}

std::string unit_json(const ServedModel& model, const std::vector<uint8_t>& face, const UnitPlace& place) {
  const Graph& graph = model.frozen.graph();
  const Layer& node = layer_at(graph, place.layer);
  const int64_t units = explain::unit_count(graph, place.layer);
  if (place.unit < 0 || place.unit >= units)
    throw_usage(fmt::format("{} has no unit {}, expected 0 to {}", node.name, place.unit, units - 1));
  const auto window = explain::receptive_window(graph, place.layer, place.y, place.x);
  const Flow flow = flow_at(model, face, place.layer);
  const at::Tensor plane = flow.output[place.unit];
  ordered_json json{{"layer", place.layer},
                    {"unit", place.unit},
                    {"weights", weights_json(model, node, place.unit)},
                    {"height", plane.size(0)},
                    {"width", plane.size(1)},
                    {"output", values_json(plane)},
                    {"y", place.y},
                    {"x", place.x},
                    {"value", value_json(plane[place.y][place.x].item<double>())},
                    {"window", {window.top, window.left, window.bottom, window.right}},
                    {"arithmetic", nullptr}};
  if (node.kind != LayerKind::input) json["arithmetic"] = arithmetic(model, node, flow, place);
  return json.dump();
}

std::string ascent_json(const ServedModel& model, const UnitPlace& place, int64_t steps, ProgressListener& listener) {
  const Graph& graph = model.frozen.graph();
  if (layer_at(graph, place.layer).kind == LayerKind::input)
    throw_usage("the input has no units that another input could drive", "choose a later layer");
  explain::AscentOptions options;
  OptionSet set;
  options.bind(set);
  set.set("ascent-preset", "regularized", Origin::recipe, "the studio");
  explain::apply_ascent_preset(set);
  options.steps = steps;
  options.start = "noise";
  const auto result = explain::maximize({.network = model.frozen,
                                         .normalization = model.loaded.info.normalization,
                                         .layer = place.layer,
                                         .units = {place.unit}},
                                        options,
                                        listener);
  const at::Tensor levels = explain::to_levels(result.images, result.range)[0];
  const at::Tensor curve = result.objective[0];
  return ordered_json{{"pixels", bytes_base64(levels)},
                      {"steps", steps},
                      {"first", value_json(curve[0].item<double>())},
                      {"last", value_json(curve[curve.size(0) - 1].item<double>())},
                      {"is_dead", result.zero_gradient_steps[0].item<int64_t>() == steps}}
      .dump();
}

std::string survey_json(const ServedModel& model,
                        const std::filesystem::path& run,
                        const std::string& part,
                        int layer,
                        ProgressListener& listener) {
  layer_at(model.frozen.graph(), layer);
  data::Dataset faces = model.faces(part_faces(run, part, model.input));
  const auto predictions = evaluation::read_predictions_csv(run / fmt::format("predictions_{}.csv", part));
  if (predictions.size() == faces.size()) faces.labels = predictions.labels;
  std::vector<int64_t> rows(static_cast<size_t>(faces.size()));
  std::iota(rows.begin(), rows.end(), 0);
  explain::UnitOptions options;
  options.faces = std::min(kShownFaces, faces.size());
  const auto survey =
      explain::survey_units(model.frozen, model.loaded.info.normalization, faces, rows, layer, options, listener);
  const auto list = [](const std::vector<explain::UnitFace>& found) {
    ordered_json json = ordered_json::array();
    for (const explain::UnitFace& one : found) {
      json.push_back({{"index", one.row},
                      {"activation", value_json(one.activation)},
                      {"window", {one.window.top, one.window.left, one.window.bottom, one.window.right}}});
    }
    return json;
  };
  ordered_json json{{"layer", layer}, {"faces", faces.size()}, {"classes", model.input.class_names}};
  json["units"] = ordered_json::array();
  for (size_t u = 0; u < survey.most.size(); ++u) {
    const auto at = static_cast<int64_t>(u);
    json["units"].push_back({{"most", list(survey.most[u])},
                             {"least", list(survey.least[u])},
                             {"means", values_json(survey.class_means[at])},
                             {"mean", value_json(survey.mean[at].item<double>())},
                             {"active", value_json(survey.active_share[at].item<double>())}});
  }
  return json.dump();
}

}  // namespace mien::serve
