#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/explain/layers.h"
#include "mien/explain/units/filters.h"
#include "mien/figures/figure_output.h"

namespace mien::figures {
namespace {

using report::MapRange;
using report::MapState;
using report::Panel;
using report::PanelGrid;
using report::Sheet;

constexpr report::Color kWindow{255, 196, 0};

/// The layers of a figure in the groups that one picture each shows: one by one with {layer} in the file's name, else
/// all.
std::vector<std::vector<size_t>> groups(const FigureOutput& output, size_t layers) {
  std::vector<std::vector<size_t>> result;
  for (size_t i = 0; i < layers; ++i) {
    if (i == 0 || output.has("layer")) result.emplace_back();
    result.back().push_back(i);
  }
  return result;
}

std::string layer_name(const network::Graph& graph, int layer) { return graph.layers[static_cast<size_t>(layer)].name; }

/// Names of several layers: "conv1, conv2".
std::string layer_names(const network::Graph& graph, const std::vector<int>& layers, const std::vector<size_t>& group) {
  std::vector<std::string> names;
  for (const size_t i : group) names.push_back(layer_name(graph, layers[i]));
  return join(names, ", ");
}

/// As many columns as make `count` tiles about half as wide again as high.
int64_t columns_for(size_t count) {
  return std::max<int64_t>(1, std::llround(std::ceil(std::sqrt(1.6 * static_cast<double>(count)))));
}

/// By how much a picture of `pixels` is enlarged to be about `wanted` units; a unit is two pixels.
int64_t factor_for(int64_t pixels, int64_t wanted) {
  return std::max<int64_t>(1, std::llround(2.0 * static_cast<double>(wanted) / static_cast<double>(pixels)));
}

/// Side of the tile that such a picture fills.
int64_t tile_for(int64_t pixels, int64_t wanted) { return (pixels * factor_for(pixels, wanted) + 1) / 2; }

int64_t face_pixels(const ExplainContext& context) {
  return std::max(context.dataset().height, context.dataset().width);
}

struct Level {
  at::Tensor values;  ///< [h,w]
  MapRange range;
  bool is_signed = false;
};

Panel level_panel(const Level& level, const std::string& caption) {
  const std::vector<float> values = floats(level.values);
  Panel panel{
      .image = report::map_raster(values, level.values.size(0), level.values.size(1), level.range, level.is_signed),
      .caption = caption};
  if (level.range.state != MapState::usable) panel.caption += fmt::format("\n{}", level.range.problem());
  return panel;
}

/// [h,w,3] bytes of one picture [C,H,W] uint8: gray of one channel, color of three, else the first.
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

/// What the ascent started from and how it climbed, for the reader.
std::string ascent_text(const explain::AscentOptions& options) {
  std::string text = fmt::format("{} steps of {:.3g} up the {} of the output, from {}",
                                 options.steps,
                                 options.rate,
                                 options.objective == "center" ? "middle" : options.objective,
                                 options.start == "noise"   ? fmt::format("noise (seed {})", options.seed)
                                 : options.start == "faces" ? "a face"
                                                            : options.start);
  if (options.decay < 1) text += fmt::format(", rate times {} a step", format_double(options.decay));
  if (options.clamp) text += ", pixels clamped to 0..255";
  if (options.preset != "report") text += fmt::format(" (preset {})", options.preset);
  return text;
}

}  // namespace

void draw_weights(const Figure& figure, ExplainContext& context, FigureOutput& output) {
  const std::vector<int> layers = figure_layers(figure, context.graph());
  const auto units = figure_units(figure, context.graph(), layers);
  for (const std::vector<size_t>& group : groups(output, layers.size())) {
    Sheet sheet;
    sheet.title = fmt::format("Weights of {}", layer_names(context.graph(), layers, group));
    const auto path = output.path({{"layer", layer_name(context.graph(), layers[group.front()])}});
    std::string top;
    for (const size_t i : group) {
      const at::Tensor all = explain::weight_pictures(context.network(), layers[i], figure.channel);
      const at::Tensor pictures = all.index_select(0, at::tensor(units[i]));
      const MapRange range = report::measure_map(floats(pictures));
      top = short_number(range.shown);
      PanelGrid grid{.heading = fmt::format("{}: {} of {}; largest {}",
                                            layer_name(context.graph(), layers[i]),
                                            units_text(context.graph(), layers[i], units[i]),
                                            all.size(0),
                                            top),
                     .columns = columns_for(units[i].size()),
                     .tile = tile_for(std::max(pictures.size(1), pictures.size(2)), 40),
                     .gap = 9};
      for (size_t k = 0; k < units[i].size(); ++k) {
        const at::Tensor picture = pictures[static_cast<int64_t>(k)];
        // One scale a layer, so that filters can be compared.
        MapRange one = report::measure_map(floats(picture));
        if (one.state == MapState::usable || one.state == MapState::constant)
          one.shown = range.shown, one.state = MapState::usable;
        grid.panels.push_back(level_panel({picture, one, true}, std::to_string(units[i][k])));
      }
      sheet.grids.push_back(std::move(grid));
      const std::string suffix = group.size() > 1 ? "_" + layer_name(context.graph(), layers[i]) : "";
      output.numbers(path, pictures, suffix);
      output.sidecar(path,
                     {{"layer", json_text(layer_name(context.graph(), layers[i]))},
                      {"units", json_list(units[i])},
                      {"channel", std::to_string(figure.channel)},
                      {"minimum", json_number(range.minimum)},
                      {"maximum", json_number(range.maximum)},
                      {"problem", range.state == MapState::usable ? "null" : json_text(range.problem())}},
                     suffix);
    }
    sheet.subtitle = {fmt::format("{}, input channel {}", context.graph().name, figure.channel)};
    sheet.bar = group.size() == 1 ? bar_of(true, top, "") : bar_of(true, "max", "each layer by itself");
    output.picture(path, sheet, fmt::format("{} of {}", sheet.title, context.graph().name));
  }
}

void draw_outputs(const Figure& figure, ExplainContext& context, FigureOutput& output) {
  const std::vector<int> layers = figure_layers(figure, context.graph());
  const auto units = figure_units(figure, context.graph(), layers);
  const std::vector<Face> faces =
      context.choose(FaceSelection::parse(figure.faces), static_cast<uint64_t>(figure.method.seed));
  if (faces.empty()) throw_bad_data(fmt::format("no face of {} is {}", context.dataset().source, figure.faces));
  std::vector<int64_t> rows;
  for (const Face& face : faces) rows.push_back(face.index);
  const std::vector<at::Tensor> outputs =
      explain::layer_outputs(context.network(), context.images(rows), layers, figure.method.batch_size);
  const bool per_face = output.has("row");
  const auto face_count = static_cast<int64_t>(faces.size());
  const int64_t strip_size = face_count > 12 ? 48 : 72;
  const int64_t strip_tile = tile_for(face_pixels(context), strip_size);

  const auto draw = [&](const std::vector<size_t>& group, int64_t first_face, int64_t end_face) {
    const Face& face = faces[static_cast<size_t>(first_face)];
    const bool is_strip = end_face - first_face > 1;
    const auto path = output.path(
        {{"layer", layer_name(context.graph(), layers[group.front()])}, {"row", std::to_string(face.source_row)}});
    Sheet sheet;
    sheet.title = fmt::format("Outputs of {} for {}",
                              layer_names(context.graph(), layers, group),
                              is_strip ? fmt::format("{} faces", end_face - first_face) : context.face_name(face));
    sheet.subtitle = {fmt::format("{}, {}", context.graph().name, source_name(context))};
    bool any_signed = false;
    bool any_one_sided = false;
    PanelGrid images{.columns = end_face - first_face,
                     .tile = is_strip ? strip_tile : tile_for(face_pixels(context), 120),
                     .gap = is_strip ? 6 : 14};
    for (int64_t f = first_face; f < end_face; ++f) {
      Panel panel = face_panel(
          context, faces[static_cast<size_t>(f)], factor_for(face_pixels(context), is_strip ? strip_size : 120));
      if (is_strip)
        panel.caption = fmt::format("{}\n{}",
                                    faces[static_cast<size_t>(f)].source_row,
                                    context.class_name(faces[static_cast<size_t>(f)].predicted));
      images.panels.push_back(std::move(panel));
    }
    if (is_strip) images.heading = "Faces: row and what they are taken for";
    sheet.grids.push_back(std::move(images));
    for (const size_t i : group) {
      const at::Tensor chosen =
          outputs[i].slice(0, first_face, end_face).index_select(1, at::tensor(units[i]));  // [faces, units, h, w]
      const int64_t pixels = std::max(chosen.size(2), chosen.size(3));
      PanelGrid grid{.heading = fmt::format("{}: {} of {}",
                                            explain::layer_text(context.graph(), layers[i]),
                                            units_text(context.graph(), layers[i], units[i]),
                                            explain::unit_count(context.graph(), layers[i])),
                     .columns = is_strip ? end_face - first_face : columns_for(units[i].size()),
                     .tile = is_strip ? strip_tile : tile_for(pixels, 66),
                     .gap = is_strip ? 6 : 9};
      std::vector<int64_t> silent;
      for (size_t k = 0; k < units[i].size(); ++k) {
        const at::Tensor maps = chosen.select(1, static_cast<int64_t>(k));
        // One scale a filter, so that its faces can be compared.
        const MapRange shared = report::measure_map(floats(maps));
        const bool is_signed = shared.minimum < 0;
        if (shared.state == MapState::all_zero) silent.push_back(units[i][k]);
        (is_signed ? any_signed : any_one_sided) = true;
        for (int64_t f = 0; f < end_face - first_face; ++f) {
          MapRange range = report::measure_map(floats(maps[f]));
          if (is_strip && (range.state == MapState::usable || range.state == MapState::constant)) {
            range.shown = shared.shown;
            range.state = MapState::usable;
          }
          grid.panels.push_back(level_panel({maps[f], range, is_signed}, f == 0 ? fmt::format("{}", units[i][k]) : ""));
        }
      }
      if (!silent.empty()) {
        sheet.notes.push_back(fmt::format("{}: {} of the {} filters are all zero.",
                                          layer_name(context.graph(), layers[i]),
                                          silent.size(),
                                          units[i].size()));
      }
      sheet.grids.push_back(std::move(grid));
      const MapRange whole = report::measure_map(floats(chosen));
      const std::string suffix = group.size() > 1 ? "_" + layer_name(context.graph(), layers[i]) : "";
      output.numbers(path, is_strip ? chosen : chosen[0], suffix);
      output.sidecar(path,
                     {{"layer", json_text(layer_name(context.graph(), layers[i]))},
                      {"units", json_list(units[i])},
                      {"rows", json_list({rows.begin() + first_face, rows.begin() + end_face})},
                      {"minimum", json_number(whole.minimum)},
                      {"maximum", json_number(whole.maximum)},
                      {"problem", whole.state == MapState::usable ? "null" : json_text(whole.problem())},
                      {"all_zero_units", json_list(silent)}},
                     suffix);
    }
    if (any_signed != any_one_sided) {
      sheet.bar = bar_of(any_signed, "max", "each filter by itself");
    } else {
      sheet.notes.emplace_back(
          "Each filter has its own scale; outputs with a sign: blue below 0, gray 0, yellow above; without one: black "
          "0, light yellow the largest.");
    }
    output.picture(path, sheet, sheet.title);
  };
  for (const std::vector<size_t>& group : groups(output, layers.size())) {
    if (!per_face) draw(group, 0, face_count);
    for (int64_t f = 0; per_face && f < face_count; ++f) draw(group, f, f + 1);
  }
}

void draw_ascent(const Figure& figure, ExplainContext& context, FigureOutput& output) {
  const std::vector<int> layers = figure_layers(figure, context.graph());
  const auto units = figure_units(figure, context.graph(), layers);
  std::vector<explain::AscentResult> results;
  for (size_t i = 0; i < layers.size(); ++i) {
    explain::AscentTask task{
        .network = context.network(), .normalization = context.normalization(), .layer = layers[i], .units = units[i]};
    if (figure.ascent.start == "faces" || figure.ascent.start == "mean-face") {
      std::vector<int64_t> rows;
      for (const Face& face :
           context.choose(FaceSelection::parse(figure.faces), static_cast<uint64_t>(figure.ascent.seed)))
        rows.push_back(face.index);
      task.faces = context.images(rows);
    }
    results.push_back(explain::maximize(task, figure.ascent, context.listener()));
  }
  for (const std::vector<size_t>& group : groups(output, layers.size())) {
    Sheet sheet;
    sheet.title = figure.title.empty()
                      ? fmt::format("Inputs that drive {}", layer_names(context.graph(), layers, group))
                      : figure.title;
    sheet.subtitle = {context.graph().name, ascent_text(figure.ascent)};
    const auto path = output.path({{"layer", layer_name(context.graph(), layers[group.front()])}});
    for (const size_t i : group) {
      const explain::AscentResult& result = results[i];
      const at::Tensor levels = figure.ascent.clamp || figure.ascent.fourier
                                    ? explain::to_levels(result.images, result.range)
                                    : explain::to_stretched_levels(result.images);
      const at::Tensor last = result.objective.select(1, result.objective.size(1) - 1);
      const bool is_many = units[i].size() > 16;
      PanelGrid grid{.heading = fmt::format("{}: {} of {}",
                                            explain::layer_text(context.graph(), layers[i]),
                                            units_text(context.graph(), layers[i], units[i]),
                                            explain::unit_count(context.graph(), layers[i])),
                     .columns = columns_for(units[i].size()),
                     .tile = tile_for(face_pixels(context), is_many ? 72 : 120),
                     .gap = is_many ? 9 : 14};
      std::vector<int64_t> dead;
      for (size_t k = 0; k < units[i].size(); ++k) {
        const auto index = static_cast<int64_t>(k);
        Panel panel{.image = image_raster(levels[index], factor_for(face_pixels(context), is_many ? 72 : 120)),
                    .caption = unit_name(context, layers[i], units[i][k])};
        const bool is_dead =
            figure.ascent.steps > 0 && result.zero_gradient_steps[index].item<int64_t>() == figure.ascent.steps;
        if (is_dead) {
          dead.push_back(units[i][k]);
          panel.image = report::hatched(panel.image.height, panel.image.width);
          panel.caption += "\nno gradient";
        } else {
          panel.caption += fmt::format("\n{}", short_number(last[index].item<double>()));
        }
        grid.panels.push_back(std::move(panel));
      }
      if (!dead.empty()) {
        const std::string text = fmt::format("{}: the ascent has no gradient at {}; they stay as they began",
                                             layer_name(context.graph(), layers[i]),
                                             units_text(context.graph(), layers[i], dead));
        context.listener().warning(text);
        sheet.notes.push_back(text + ".");
      }
      sheet.grids.push_back(std::move(grid));
      const MapRange range = report::measure_map(floats(result.images));
      const std::string suffix = group.size() > 1 ? "_" + layer_name(context.graph(), layers[i]) : "";
      output.numbers(path, result.images, suffix);
      output.numbers(path, result.objective, suffix + "_objective");
      output.sidecar(path,
                     {{"layer", json_text(layer_name(context.graph(), layers[i]))},
                      {"units", json_list(units[i])},
                      {"seed", std::to_string(figure.ascent.seed)},
                      {"minimum", json_number(range.minimum)},
                      {"maximum", json_number(range.maximum)},
                      {"problem", range.state == MapState::usable ? "null" : json_text(range.problem())},
                      {"units_without_gradient", json_list(dead)}},
                     suffix);
    }
    const auto is_dense = [&](size_t i) { return unit_noun(context.graph(), layers[i]) == "unit"; };
    const bool any_dense = std::any_of(group.begin(), group.end(), is_dense);
    const std::string outputs = !any_dense                                          ? "filter's output"
                                : std::all_of(group.begin(), group.end(), is_dense) ? "unit's output"
                                                                                    : "filter's or unit's output";
    sheet.notes.emplace_back(
        figure.ascent.clamp || figure.ascent.fourier
            ? fmt::format("Gray levels are the input's. The number is what the {} reached.", outputs)
            : fmt::format("Each picture's contrast is pulled up. The number is what the {} reached.", outputs));
    output.picture(path, sheet, fmt::format("{}: {}", sheet.title, ascent_text(figure.ascent)));
  }
}

void draw_faces(const Figure& figure, ExplainContext& context, FigureOutput& output) {
  const network::Graph& graph = context.graph();
  const data::Dataset& dataset = context.dataset();
  const int64_t factor = factor_for(face_pixels(context), 96);
  const std::vector<int> layers = figure_layers(figure, graph);
  const auto units = figure_units(figure, graph, layers);
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto path = output.path({{"layer", layer_name(graph, layers[i])}});
    if (i > 0 && !output.has("layer")) throw_usage("several layers' faces need {layer} in the file name");
    const explain::UnitSurvey survey = explain::survey_units(context.network(),
                                                             context.normalization(),
                                                             dataset,
                                                             context.parts().of(figure.part),
                                                             layers[i],
                                                             figure.unit,
                                                             context.listener());
    const int64_t shown = std::min<int64_t>(figure.unit.faces, static_cast<int64_t>(survey.most.front().size()));
    explain::AscentResult ascended;
    if (figure.ascend) {
      explain::AscentOptions options = figure.ascent;
      options.start = "faces";
      explain::AscentTask task{
          .network = context.network(), .normalization = context.normalization(), .layer = layers[i], .units = {}};
      std::vector<int64_t> rows;
      for (const int64_t unit : units[i]) {
        for (int64_t k = 0; k < shown; ++k) {
          task.units.push_back(unit);
          rows.push_back(survey.most[static_cast<size_t>(unit)][static_cast<size_t>(k)].row);
        }
      }
      task.faces = context.images(rows);
      ascended = explain::maximize(task, options, context.listener());
    }
    Sheet sheet;
    sheet.title =
        figure.title.empty() ? fmt::format("Faces that drive {} most", layer_name(graph, layers[i])) : figure.title;
    sheet.subtitle = {fmt::format(
        "{}, {} rows of {}; activation: the {} over positions; the frame is what the strongest position sees",
        graph.name,
        with_commas(static_cast<int64_t>(context.parts().of(figure.part).size())),
        source_name(context),
        figure.unit.score)};
    if (figure.ascend)
      sheet.subtitle.push_back(
          fmt::format("below each face the input found from it and the {} of the output that it reaches: {}",
                      figure.ascent.objective == "center" ? "middle" : figure.ascent.objective,
                      [&] {
                        explain::AscentOptions options = figure.ascent;
                        options.start = "faces";
                        return ascent_text(options);
                      }()));
    const at::Tensor levels = !figure.ascend        ? at::Tensor()
                              : figure.ascent.clamp ? explain::to_levels(ascended.images, ascended.range)
                                                    : explain::to_stretched_levels(ascended.images);
    nlohmann::ordered_json tops = nlohmann::ordered_json::array();
    for (size_t u = 0; u < units[i].size(); ++u) {
      const auto unit = units[i][u];
      const auto& faces = survey.most[static_cast<size_t>(unit)];
      PanelGrid grid{.heading = fmt::format("{} {}: active on {:.0f} % of the faces",
                                            layer_name(graph, layers[i]),
                                            unit_name(context, layers[i], unit),
                                            100 * survey.active_share[unit].item<double>()),
                     .columns = shown,
                     .tile = tile_for(face_pixels(context), 96),
                     .gap = 10};
      for (int64_t k = 0; k < shown; ++k) {
        const explain::UnitFace& face = faces[static_cast<size_t>(k)];
        const auto label = dataset.labels[static_cast<size_t>(face.row)];
        Panel panel{.image = report::gray_raster(gray_levels(context, face.row), dataset.height, dataset.width, factor),
                    .caption = fmt::format("{} {}\n{}",
                                           dataset.row_of(face.row),
                                           label == data::kUnlabeled ? "" : context.class_name(label),
                                           short_number(face.activation))};
        const bool is_whole = face.window.height() >= dataset.height && face.window.width() >= dataset.width;
        for (int64_t y = factor * face.window.top; y < factor * face.window.bottom && !is_whole; ++y) {
          for (int64_t x = factor * face.window.left; x < factor * face.window.right; ++x) {
            const bool is_edge = y < factor * face.window.top + 2 || y >= factor * face.window.bottom - 2 ||
                                 x < factor * face.window.left + 2 || x >= factor * face.window.right - 2;
            if (is_edge) panel.image.set(y, x, kWindow);
          }
        }
        grid.panels.push_back(std::move(panel));
        tops.push_back({{"unit", unit},
                        {"row", dataset.row_of(face.row)},
                        {"activation", face.activation},
                        {"y", face.y},
                        {"x", face.x},
                        {"window", {face.window.top, face.window.left, face.window.bottom, face.window.right}}});
      }
      for (int64_t k = 0; figure.ascend && k < shown; ++k) {
        const int64_t place = static_cast<int64_t>(u) * shown + k;
        const at::Tensor last = ascended.objective[place][-1];
        grid.panels.push_back(
            {.image = image_raster(levels[place], factor),
             .caption = fmt::format(
                 "from {}\n{}", dataset.row_of(faces[static_cast<size_t>(k)].row), short_number(last.item<double>()))});
      }
      sheet.grids.push_back(std::move(grid));
    }
    if (figure.ascend) output.numbers(path, ascended.images);
    output.sidecar(path,
                   {{"layer", json_text(layer_name(graph, layers[i]))},
                    {"units", json_list(units[i])},
                    {"part", json_text(figure.part)},
                    {"faces", tops.dump()}});
    output.picture(path, sheet, sheet.title);
  }
}

}  // namespace mien::figures
