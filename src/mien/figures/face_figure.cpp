#include "mien/figures/face_figure.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/figures/ascent_figure.h"
#include "mien/figures/figure_output.h"
#include "mien/figures/panels.h"

namespace mien::figures {
namespace {

using nlohmann::ordered_json;

constexpr report::Color kWindow{255, 196, 0};
constexpr int64_t kFaceSize = 96;  // units

const std::vector<std::string> kPlaceholders{"layer"};

/// One layer's units and the faces that drive them.
struct LayerFaces {
  const LayerUnits& chosen;
  explain::UnitSurvey survey;
  int64_t count = 0;               ///< faces shown for each unit
  explain::AscentResult ascended;  ///< [units * count] inputs found from the faces, if they are wanted
  const std::vector<explain::UnitFace>& of(int64_t unit) const { return survey.most[static_cast<size_t>(unit)]; }
};

bool is_whole(const explain::PixelWindow& window, const data::Dataset& dataset) {
  return window.height() >= dataset.height && window.width() >= dataset.width;
}

/// Whether the frame of what a position sees is drawn on some face.
bool has_windows(const LayerFaces& faces, const data::Dataset& dataset) {
  for (const int64_t unit : faces.chosen.units) {
    for (int64_t k = 0; k < faces.count; ++k) {
      if (!is_whole(faces.of(unit)[static_cast<size_t>(k)].window, dataset)) return true;
    }
  }
  return false;
}

explain::AscentOptions from_faces(explain::AscentOptions options) {
  options.start = "faces";
  return options;
}

explain::AscentResult climb(const FaceFigure& figure, ExplainContext& context, const LayerFaces& faces) {
  explain::AscentTask task{
      .network = context.network(), .normalization = context.normalization(), .layer = faces.chosen.layer, .units = {}};
  std::vector<int64_t> rows;
  for (const int64_t unit : faces.chosen.units) {
    for (int64_t k = 0; k < faces.count; ++k) {
      task.units.push_back(unit);
      rows.push_back(faces.of(unit)[static_cast<size_t>(k)].row);
    }
  }
  task.faces = context.images(rows);
  return explain::maximize(task, from_faces(figure.ascent), context.listener());
}

report::Panel unit_face_panel(const ExplainContext& context, const explain::UnitFace& face, int64_t factor) {
  const data::Dataset& dataset = context.dataset();
  const auto label = dataset.labels[static_cast<size_t>(face.row)];
  report::Panel panel{
      .image = report::gray_raster(gray_levels(context, face.row), dataset.height, dataset.width, factor),
      .caption = fmt::format("{} {}\n{}",
                             dataset.row_of(face.row),
                             label == data::kUnlabeled ? "" : context.class_name(label),
                             short_number(face.activation))};
  if (is_whole(face.window, dataset)) return panel;
  for (int64_t y = factor * face.window.top; y < factor * face.window.bottom; ++y) {
    for (int64_t x = factor * face.window.left; x < factor * face.window.right; ++x) {
      const bool is_edge = y < factor * face.window.top + 2 || y >= factor * face.window.bottom - 2 ||
                           x < factor * face.window.left + 2 || x >= factor * face.window.right - 2;
      if (is_edge) panel.image.set(y, x, kWindow);
    }
  }
  return panel;
}

/// The faces of the unit at `place` of the figure's units, and below them the inputs found from them.
report::PanelGrid grid_of(const FaceFigure& figure,
                          const ExplainContext& context,
                          const LayerFaces& faces,
                          const at::Tensor& levels,
                          size_t place) {
  const int64_t factor = factor_for(face_pixels(context), kFaceSize);
  const int64_t unit = faces.chosen.units[place];
  report::PanelGrid grid{.heading = fmt::format("{} {}: active on {:.0f} % of the faces",
                                                layer_name(context.graph(), faces.chosen.layer),
                                                unit_name(context, faces.chosen.layer, unit),
                                                100 * faces.survey.active_share[unit].item<double>()),
                         .columns = faces.count,
                         .tile = tile_for(face_pixels(context), kFaceSize),
                         .gap = 10};
  for (int64_t k = 0; k < faces.count; ++k)
    grid.panels.push_back(unit_face_panel(context, faces.of(unit)[static_cast<size_t>(k)], factor));
  for (int64_t k = 0; figure.ascend && k < faces.count; ++k) {
    const int64_t index = static_cast<int64_t>(place) * faces.count + k;
    grid.panels.push_back({.image = image_raster(levels[index], factor),
                           .caption = fmt::format("from {}\n{}",
                                                  context.dataset().row_of(faces.of(unit)[static_cast<size_t>(k)].row),
                                                  short_number(faces.ascended.objective[index][-1].item<double>()))});
  }
  return grid;
}

ordered_json faces_json(const data::Dataset& dataset, const LayerFaces& faces) {
  ordered_json list = ordered_json::array();
  for (const int64_t unit : faces.chosen.units) {
    for (int64_t k = 0; k < faces.count; ++k) {
      const explain::UnitFace& face = faces.of(unit)[static_cast<size_t>(k)];
      list.push_back({{"unit", unit},
                      {"row", dataset.row_of(face.row)},
                      {"activation", face.activation},
                      {"y", face.y},
                      {"x", face.x},
                      {"window", {face.window.top, face.window.left, face.window.bottom, face.window.right}}});
    }
  }
  return list;
}

report::Sheet sheet_of(const FaceFigure& figure, const ExplainContext& context, const LayerFaces& faces) {
  report::Sheet sheet{.title =
                          fmt::format("Faces that drive {} most", layer_name(context.graph(), faces.chosen.layer))};
  sheet.subtitle = {
      fmt::format("{}, {}: {} faces; activation: the {} over positions{}",
                  context.graph().name,
                  source_name(context),
                  with_commas(static_cast<int64_t>(context.parts().of(figure.rows).size())),
                  figure.unit.score,
                  has_windows(faces, context.dataset()) ? "; the frame is what the strongest position sees" : "")};
  if (figure.ascend) {
    sheet.subtitle.push_back(
        fmt::format("below each face the input found from it and the {} of the output that it reaches: {}",
                    figure.ascent.objective == "center" ? "middle" : figure.ascent.objective,
                    ascent_text(from_faces(figure.ascent))));
  }
  const at::Tensor levels = !figure.ascend        ? at::Tensor()
                            : figure.ascent.clamp ? explain::to_levels(faces.ascended.images, faces.ascended.range)
                                                  : explain::to_stretched_levels(faces.ascended.images);
  for (size_t u = 0; u < faces.chosen.units.size(); ++u)
    sheet.grids.push_back(grid_of(figure, context, faces, levels, u));
  return sheet;
}

std::vector<int> last_convolution(const network::Graph& graph) {
  const std::vector<int> all = convolutions(graph);
  return all.empty() ? all : std::vector<int>{all.back()};
}

}  // namespace

void FaceFigure::bind(OptionSet& options) {
  picture.bind(options, kPlaceholders);
  layers.bind(options, "the last convolution");
  options.add(&rows, part_option());
  options.add(
      &ascend,
      {.name = "ascend", .help = "show beside the faces the inputs found by ascent from them", .source = "report D"});
  unit.bind(options);
  ascent.bind(options);
}

void FaceFigure::check(const network::Graph& graph) const {
  picture.check(kPlaceholders);
  if (layers.choose(graph, last_convolution(graph)).size() > 1 && picture.file.find("{layer}") == std::string::npos)
    throw_usage("several layers' faces need {layer} in the file name", "--layers names one layer");
}

std::string FaceFigure::unused(std::string_view option) const {
  if (!option.starts_with("ascent-")) return "";
  if (!ascend) return "belongs to ascend, which is off";
  return option == "ascent-start" && ascent.start != "faces" ? "has one value here: the ascent starts from the faces"
                                                             : "";
}

void FaceFigure::draw(ExplainContext& context, FigureOutput& output) const {
  const network::Graph& graph = context.graph();
  for (const LayerUnits& chosen : layers.choose(graph, last_convolution(graph))) {
    const std::string& name = layer_name(graph, chosen.layer);
    const auto path = output.path({{"layer", name}});
    LayerFaces shown{.chosen = chosen,
                     .survey = explain::survey_units(context.network(),
                                                     context.normalization(),
                                                     context.dataset(),
                                                     context.parts().of(rows),
                                                     chosen.layer,
                                                     unit,
                                                     context.listener()),
                     .ascended = {}};
    shown.count = std::min<int64_t>(unit.faces, static_cast<int64_t>(shown.survey.most.front().size()));
    if (ascend) shown.ascended = climb(*this, context, shown);
    report::Sheet sheet = sheet_of(*this, context, shown);
    const std::string caption = sheet.title;
    if (!picture.title.empty()) sheet.title = picture.title;
    if (ascend) output.numbers(path, shown.ascended.images);
    output.sidecar(path,
                   {{"layer", json_text(name)},
                    {"units", json_list(chosen.units)},
                    {"part", json_text(rows)},
                    {"faces", faces_json(context.dataset(), shown).dump()}});
    output.picture(path, std::move(sheet), caption);
  }
}

}  // namespace mien::figures
