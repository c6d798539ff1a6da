#include "mien/figures/panels.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/explain/layers.h"
#include "mien/explain/units/filters.h"
#include "mien/figures/figure_output.h"

namespace mien::figures {

using network::Graph;

std::string class_text(const ExplainContext& context, int64_t index, double probability) {
  return fmt::format("{} {:.2f}", context.class_name(index), probability);
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

std::string source_name(const ExplainContext& context) {
  const std::string& source = context.dataset().source;
  return source.starts_with("drawn:") ? "drawn faces" : std::filesystem::path(source).filename().string();
}

int64_t face_pixels(const ExplainContext& context) {
  return std::max(context.dataset().height, context.dataset().width);
}

std::vector<int64_t> rows_of(const std::vector<Face>& faces) {
  std::vector<int64_t> rows;
  for (const Face& face : faces) rows.push_back(face.index);
  return rows;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  return size >= 999.5 && size < 1e6 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

int64_t columns_for(size_t count) {
  return std::max<int64_t>(1, std::llround(std::ceil(std::sqrt(1.6 * static_cast<double>(count)))));
}

int64_t factor_for(int64_t pixels, int64_t wanted) {
  return std::max<int64_t>(1, std::llround(2.0 * static_cast<double>(wanted) / static_cast<double>(pixels)));
}

int64_t tile_for(int64_t pixels, int64_t wanted) { return (pixels * factor_for(pixels, wanted) + 1) / 2; }

report::Panel level_panel(const at::Tensor& values,
                          const report::MapRange& range,
                          bool is_signed,
                          const std::string& caption) {
  report::Panel panel{.image = report::map_raster(floats(values), values.size(0), values.size(1), range, is_signed),
                      .caption = caption};
  if (range.state != report::MapState::usable) panel.caption += fmt::format("\n{}", range.problem());
  return panel;
}

report::Raster image_raster(const at::Tensor& levels, int64_t factor) {
  const int64_t height = levels.size(1);
  const int64_t width = levels.size(2);
  const at::Tensor bytes = levels.contiguous();
  const uint8_t* const first = bytes.data_ptr<uint8_t>();
  if (levels.size(0) != 3)
    return report::gray_raster({first, static_cast<size_t>(height * width)}, height, width, factor);
  report::Raster raster = report::Raster::filled(height, width, {});
  for (int64_t k = 0; k < height * width; ++k) {
    for (int64_t c = 0; c < 3; ++c) raster.rgb[static_cast<size_t>(3 * k + c)] = first[c * height * width + k];
  }
  return report::enlarged(raster, factor);
}

report::ColorBar bar_of(bool is_signed, const std::string& top, const std::string& caption) {
  return {.is_signed = is_signed,
          .low = is_signed ? "-" + top : "0",
          .middle = is_signed ? "0" : "",
          .high = top,
          .caption = caption};
}

const std::string& layer_name(const Graph& graph, int layer) { return graph.layers[static_cast<size_t>(layer)].name; }

std::string unit_noun(const Graph& graph, int layer) {
  return graph.layers[static_cast<size_t>(layer)].output_shape.is_flat ? "unit" : "filter";
}

std::string units_text(const Graph& graph, int layer, const std::vector<int64_t>& units) {
  const std::string noun = unit_noun(graph, layer);
  if (units.size() == 1) return fmt::format("{} {}", noun, units.front());
  const bool is_range = units.back() - units.front() + 1 == static_cast<int64_t>(units.size()) &&
                        std::is_sorted(units.begin(), units.end());
  if (is_range) return fmt::format("{}s {} to {}", noun, units.front(), units.back());
  return units.size() <= 12 ? fmt::format("{}s {}", noun, fmt::join(units, ", "))
                            : fmt::format("{} {}s", units.size(), noun);
}

std::string heading_of(const Graph& graph, const LayerUnits& chosen) {
  return fmt::format("{}: {} of {}",
                     explain::layer_text(graph, chosen.layer),
                     units_text(graph, chosen.layer, chosen.units),
                     explain::unit_count(graph, chosen.layer));
}

std::string unit_name(const ExplainContext& context, int layer, int64_t unit) {
  if (layer + 1 == static_cast<int>(context.graph().layers.size())) return context.class_name(unit);
  return std::to_string(unit);
}

std::vector<LayerGroup> groups(const Graph& graph, const std::vector<LayerUnits>& layers, bool apart) {
  std::vector<LayerGroup> result;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (i == 0 || apart) result.emplace_back();
    LayerGroup& group = result.back();
    group.names += (group.members.empty() ? "" : ", ") + layer_name(graph, layers[i].layer);
    group.members.push_back(i);
  }
  return result;
}

}  // namespace mien::figures
