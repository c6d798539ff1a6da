#include "mien/figures/figure_output.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/npy.h"
#include "mien/core/text.h"
#include "mien/runtime/environment.h"

namespace mien::figures {
namespace {

using nlohmann::ordered_json;

std::string dump(const ordered_json& json, int indent = -1) {
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

FigureOutput::FigureOutput(const Figure& figure, const ExplainContext& context, std::filesystem::path folder, bool raw)
    : figure_(figure), subject_(context), folder_(std::move(folder)), raw_(raw) {}

bool FigureOutput::has(const std::string& token) const {
  return figure_.file.find("{" + token + "}") != std::string::npos;
}

std::filesystem::path FigureOutput::path(const std::map<std::string, std::string>& tokens) const {
  std::string name = figure_.file;
  for (const auto& [token, text] : tokens) {
    const std::string braced = "{" + token + "}";
    for (size_t at = name.find(braced); at != std::string::npos; at = name.find(braced, at + text.size()))
      name.replace(at, braced.size(), text);
  }
  return folder_ / name;
}

void FigureOutput::picture(const std::filesystem::path& path, const report::Sheet& sheet, const std::string& caption) {
  if (stop_requested()) throw Error(ErrorCode::interrupted, "stopped while drawing explanations");
  if (raw_ && !report::can_draw()) return;
  report::write_sheet(path, sheet);
  drawn_.push_back({path, caption});
}

void FigureOutput::numbers(const std::filesystem::path& picture,
                           const at::Tensor& values,
                           const std::string& suffix) const {
  if (!raw_) return;
  const std::vector<float> numbers = floats(values);
  write_npy(picture.parent_path() / (picture.stem().string() + suffix + ".npy"), numbers, values.sizes().vec());
}

void FigureOutput::sidecar(const std::filesystem::path& picture,
                           const std::vector<std::pair<std::string, std::string>>& facts,
                           const std::string& suffix) const {
  if (!raw_) return;
  ordered_json json{{"kind", std::string(to_text(figure_.kind))}};
  for (const auto& [name, text] : facts) json[name] = ordered_json::parse(text);
  json["network"] = subject_.graph().name;
  json["weights_hash"] = subject_.weights_hash();
  json["normalization"] = subject_.normalization().text();
  json["data"] = {{"source", subject_.dataset().source}, {"checksum", subject_.dataset().checksum}};
  OptionSet options;
  Figure copy = figure_;
  copy.bind(options);
  for (const OptionSet::Entry& entry : options.entries()) {
    std::visit([&](const auto* value) { json["options"][entry.spec.name] = *value; }, entry.field);
  }
  json["mien_version"] = runtime::environment().mien_version;
  write_atomic(picture.parent_path() / (picture.stem().string() + suffix + ".json"), dump(json, 2) + "\n");
}

void FigureOutput::text(const std::filesystem::path& picture,
                        const std::string& ending,
                        const std::string& text) const {
  if (raw_) write_atomic(picture.parent_path() / (picture.stem().string() + ending), text);
}

std::string unit_noun(const network::Graph& graph, int layer) {
  return graph.layers[static_cast<size_t>(layer)].output_shape.is_flat ? "unit" : "filter";
}

std::string units_text(const network::Graph& graph, int layer, const std::vector<int64_t>& units) {
  const std::string noun = unit_noun(graph, layer);
  if (units.size() == 1) return fmt::format("{} {}", noun, units.front());
  const bool is_range = units.back() - units.front() + 1 == static_cast<int64_t>(units.size()) &&
                        std::is_sorted(units.begin(), units.end());
  if (is_range) return fmt::format("{}s {} to {}", noun, units.front(), units.back());
  return units.size() <= 12 ? fmt::format("{}s {}", noun, fmt::join(units, ", "))
                            : fmt::format("{} {}s", units.size(), noun);
}

std::string unit_name(const ExplainContext& context, int layer, int64_t unit) {
  if (layer + 1 == static_cast<int>(context.graph().layers.size())) return context.class_name(unit);
  return std::to_string(unit);
}

std::string source_name(const ExplainContext& context) {
  return std::filesystem::path(context.dataset().source).filename().string();
}

std::string class_text(const ExplainContext& context, int64_t index, double probability) {
  return fmt::format("{} {:.2f}", context.class_name(index), probability);
}

std::vector<uint8_t> gray_levels(const ExplainContext& context, int64_t row) {
  const data::Dataset& dataset = context.dataset();
  const auto image = dataset.image(row);
  const auto plane = static_cast<size_t>(dataset.height * dataset.width);
  if (dataset.channels == 1) return {image.begin(), image.end()};
  std::vector<uint8_t> levels(plane);
  for (size_t k = 0; k < plane; ++k) {
    double sum = 0;
    for (int64_t c = 0; c < dataset.channels; ++c) sum += image[static_cast<size_t>(c) * plane + k];
    levels[k] = static_cast<uint8_t>(std::lround(sum / static_cast<double>(dataset.channels)));
  }
  return levels;
}

report::Panel face_panel(const ExplainContext& context, const Face& face, int64_t factor) {
  const data::Dataset& dataset = context.dataset();
  report::Panel panel{.image =
                          report::gray_raster(gray_levels(context, face.index), dataset.height, dataset.width, factor)};
  const std::string says = class_text(context, face.predicted, face.probabilities[static_cast<size_t>(face.predicted)]);
  if (face.label == data::kUnlabeled) {
    panel.caption = fmt::format("{}\ntaken for {}", context.short_face_name(face), says);
  } else {
    panel.caption =
        fmt::format("{}: {}\ntaken for {}", context.short_face_name(face), context.class_name(face.label), says);
    panel.frame = face.is_right() ? report::TileFrame::right : report::TileFrame::wrong;
  }
  return panel;
}

std::vector<float> floats(const at::Tensor& values) {
  const at::Tensor flat = values.detach().to(at::kCPU).to(at::kFloat).contiguous();
  const float* const first = flat.data_ptr<float>();
  return {first, first + flat.numel()};
}

std::string short_number(double value) { return fmt::format("{:.3g}", value); }

std::string json_text(const std::string& text) { return dump(text); }
std::string json_number(double value) { return std::isfinite(value) ? dump(value) : "null"; }
std::string json_list(const std::vector<int64_t>& values) { return dump(values); }

}  // namespace mien::figures
