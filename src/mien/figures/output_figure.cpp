#include "mien/figures/output_figure.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/explain/units/filters.h"
#include "mien/figures/figure_output.h"
#include "mien/figures/panels.h"

namespace mien::figures {
namespace {

using report::MapRange;
using report::MapState;

const std::vector<std::string> kPlaceholders{"layer", "row"};

/// The faces of one picture and what the layers make of them.
struct Drawing {
  const ExplainContext& context;
  std::span<const Face> faces;
  bool is_signed = false;  ///< some output is below 0: one palette for the whole picture
  bool is_strip() const { return faces.size() > 1; }
  int64_t face_size() const { return !is_strip() ? 120 : faces.size() > 12 ? 48 : 72; }
  int64_t face_tile() const { return tile_for(face_pixels(context), face_size()); }
  int64_t gap() const { return is_strip() ? 6 : 14; }
  std::vector<int64_t> source_rows() const {
    std::vector<int64_t> rows;
    for (const Face& face : faces) rows.push_back(face.source_row);
    return rows;
  }
};

report::PanelGrid face_grid(const Drawing& drawing) {
  const ExplainContext& context = drawing.context;
  report::PanelGrid grid{
      .columns = static_cast<int64_t>(drawing.faces.size()), .tile = drawing.face_tile(), .gap = drawing.gap()};
  if (drawing.is_strip()) grid.heading = "Faces: row and what they are taken for";
  for (const Face& face : drawing.faces) {
    report::Panel panel = face_panel(context, face, factor_for(face_pixels(context), drawing.face_size()));
    if (drawing.is_strip()) panel.caption = fmt::format("{}\n{}", face.source_row, context.class_name(face.predicted));
    grid.panels.push_back(std::move(panel));
  }
  return grid;
}

/// One layer's outputs [faces, units, h, w]; `silent` gets the filters that are all zero. Each filter has one scale, so
/// that its faces can be compared.
report::PanelGrid output_grid(const Drawing& drawing,
                              const LayerUnits& chosen,
                              const at::Tensor& outputs,
                              std::vector<int64_t>& silent) {
  const int64_t pixels = std::max(outputs.size(2), outputs.size(3));
  report::PanelGrid grid{
      .heading = heading_of(drawing.context.graph(), chosen),
      .columns = drawing.is_strip() ? static_cast<int64_t>(drawing.faces.size()) : columns_for(chosen.units.size()),
      .tile = drawing.is_strip() ? drawing.face_tile() : tile_for(pixels, 66),
      .gap = drawing.is_strip() ? 6 : 9};
  for (size_t k = 0; k < chosen.units.size(); ++k) {
    const at::Tensor maps = outputs.select(1, static_cast<int64_t>(k));
    const MapRange shared = report::measure_map(floats(maps));
    if (shared.state == MapState::all_zero) silent.push_back(chosen.units[k]);
    for (int64_t f = 0; f < maps.size(0); ++f) {
      MapRange range = report::measure_map(floats(maps[f]));
      if (drawing.is_strip() && (range.state == MapState::usable || range.state == MapState::constant)) {
        range.shown = shared.shown;
        range.state = MapState::usable;
      }
      grid.panels.push_back(
          level_panel(maps[f], range, drawing.is_signed, f == 0 ? std::to_string(chosen.units[k]) : ""));
    }
  }
  return grid;
}

}  // namespace

void OutputFigure::bind(OptionSet& options) {
  picture.bind(options, kPlaceholders);
  options.add(&faces, face_option());
  layers.bind(options, "every convolution");
  options.add(&seed, {.name = "explain-seed", .help = "seed of faces that are chosen at random", .minimum = 0});
  options.add(&batch_size,
              {.name = "explain-batch", .help = "faces in one pass; bounds memory", .minimum = 1, .maximum = 65536});
}

void OutputFigure::check(const network::Graph& graph) const {
  picture.check(kPlaceholders);
  FaceSelection::parse(faces);
  for (const LayerUnits& chosen : layers.choose(graph, convolutions(graph))) {
    const network::Layer& node = graph.layers[static_cast<size_t>(chosen.layer)];
    if (!node.output_shape.is_flat) continue;
    throw_usage(fmt::format("layer {} of {} gives {}, expected one with height and width",
                            node.name,
                            graph.name,
                            node.output_shape.text()),
                "`mien networks summary` shows the layers' sizes");
  }
}

std::string OutputFigure::part() const { return FaceSelection::parse(faces).part; }

void OutputFigure::draw(ExplainContext& context, FigureOutput& output) const {
  const network::Graph& graph = context.graph();
  const std::vector<LayerUnits> chosen = layers.choose(graph, convolutions(graph));
  const std::vector<Face> all = context.choose(FaceSelection::parse(faces), static_cast<uint64_t>(seed));
  if (all.empty()) throw_bad_data(fmt::format("no face of {} is {}", context.dataset().source, faces));
  std::vector<int> indices;
  for (const LayerUnits& layer : chosen) indices.push_back(layer.layer);
  const std::vector<at::Tensor> outputs =
      explain::layer_outputs(context.network(), context.images(rows_of(all)), indices, batch_size);

  const auto draw_group = [&](const LayerGroup& group, size_t first, size_t end) {
    Drawing drawing{.context = context, .faces = std::span(all).subspan(first, end - first)};
    std::vector<at::Tensor> shown;  // [faces, units, h, w] each
    for (const size_t i : group.members) {
      shown.push_back(outputs[i]
                          .slice(0, static_cast<int64_t>(first), static_cast<int64_t>(end))
                          .index_select(1, at::tensor(chosen[i].units)));
      drawing.is_signed |= (shown.back() < 0).any().item<bool>();
    }
    const std::string title =
        fmt::format("Outputs of {} for {}",
                    group.names,
                    drawing.is_strip() ? fmt::format("{} faces", end - first) : context.face_name(all[first]));
    report::Sheet sheet{.title = picture.title.empty() ? title : picture.title,
                        .subtitle = {fmt::format("{}, {}", graph.name, source_name(context))},
                        .bar = bar_of(drawing.is_signed, "max", "each filter by itself")};
    sheet.grids.push_back(face_grid(drawing));
    const auto path = output.path({{"layer", layer_name(graph, chosen[group.members.front()].layer)},
                                   {"row", std::to_string(all[first].source_row)}});
    for (size_t m = 0; m < group.members.size(); ++m) {
      const LayerUnits& layer = chosen[group.members[m]];
      const std::string& name = layer_name(graph, layer.layer);
      std::vector<int64_t> silent;
      sheet.grids.push_back(output_grid(drawing, layer, shown[m], silent));
      if (!silent.empty()) {
        sheet.notes.push_back(
            fmt::format("{}: {} of the {} filters are all zero.", name, silent.size(), layer.units.size()));
      }
      const MapRange whole = report::measure_map(floats(shown[m]));
      const std::string suffix = group.members.size() > 1 ? "_" + name : "";
      output.numbers(path, drawing.is_strip() ? shown[m] : shown[m][0], suffix);
      output.sidecar(path,
                     {{"layer", json_text(name)},
                      {"units", json_list(layer.units)},
                      {"rows", json_list(drawing.source_rows())},
                      {"minimum", json_number(whole.minimum)},
                      {"maximum", json_number(whole.maximum)},
                      {"problem", whole.state == MapState::usable ? "null" : json_text(whole.problem())},
                      {"all_zero_units", json_list(silent)}},
                     suffix);
    }
    output.picture(path, std::move(sheet), title);
  };
  const size_t faces_apart = output.has("row") ? 1 : all.size();
  for (const LayerGroup& group : groups(graph, chosen, output.has("layer"))) {
    for (size_t first = 0; first < all.size(); first += faces_apart) draw_group(group, first, first + faces_apart);
  }
}

}  // namespace mien::figures
