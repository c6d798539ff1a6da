#include "mien/figures/ascent_figure.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/text.h"
#include "mien/figures/figure_output.h"
#include "mien/figures/panels.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::figures {
namespace {

using report::MapRange;
using report::MapState;

const std::vector<std::string> kPlaceholders{"layer"};

/// Whether everything from the image to `layer` is linear, so that its gradient is the same for every image.
bool is_linear(const network::Graph& graph, int layer) {
  const network::Layer& node = graph.layers[static_cast<size_t>(layer)];
  return network::traits(node).is_affine &&
         std::all_of(node.inputs.begin(), node.inputs.end(), [&](int i) { return is_linear(graph, i); });
}

explain::AscentResult climb(const AscentFigure& figure, ExplainContext& context, const LayerUnits& chosen) {
  const network::Graph& graph = context.graph();
  if (const int better = activation_of(graph, chosen.layer); better != chosen.layer && is_linear(graph, chosen.layer)) {
    context.listener().warning(
        fmt::format("{} is linear in the image, so every place of the image climbs alike and the noise that it began "
                    "with stays; --layers {} is its activation",
                    layer_name(graph, chosen.layer),
                    layer_name(graph, better)));
  }
  explain::AscentTask task{.network = context.network(),
                           .normalization = context.normalization(),
                           .layer = chosen.layer,
                           .units = chosen.units};
  if (figure.reads_faces()) {
    task.faces = context.images(
        rows_of(context.choose(FaceSelection::parse(figure.faces), static_cast<uint64_t>(figure.ascent.seed))));
  }
  return explain::maximize(task, figure.ascent, context.listener());
}

/// The images of one layer's units; `dead` gets the units that no step could move.
report::PanelGrid grid_of(const AscentFigure& figure,
                          const ExplainContext& context,
                          const LayerUnits& chosen,
                          const explain::AscentResult& result,
                          std::vector<int64_t>& dead) {
  const at::Tensor levels = figure.ascent.clamp || figure.ascent.fourier
                                ? explain::to_levels(result.images, result.range)
                                : explain::to_stretched_levels(result.images);
  const at::Tensor last = result.objective.select(1, result.objective.size(1) - 1);
  const bool is_many = chosen.units.size() > 16;
  const int64_t size = is_many ? 72 : 120;
  report::PanelGrid grid{.heading = heading_of(context.graph(), chosen),
                         .columns = columns_for(chosen.units.size()),
                         .tile = tile_for(face_pixels(context), size),
                         .gap = is_many ? 9 : 14};
  for (size_t k = 0; k < chosen.units.size(); ++k) {
    const auto index = static_cast<int64_t>(k);
    report::Panel panel{.image = image_raster(levels[index], factor_for(face_pixels(context), size)),
                        .caption = unit_name(context, chosen.layer, chosen.units[k])};
    if (figure.ascent.steps > 0 && result.zero_gradient_steps[index].item<int64_t>() == figure.ascent.steps) {
      dead.push_back(chosen.units[k]);
      panel.image = report::hatched(panel.image.height, panel.image.width);
      panel.caption += "\nno gradient";
    } else {
      panel.caption += fmt::format("\n{}", short_number(last[index].item<double>()));
    }
    grid.panels.push_back(std::move(panel));
  }
  return grid;
}

/// "Gray levels are the input's. The number is what the filter's output reached."
std::string reading(const AscentFigure& figure,
                    const network::Graph& graph,
                    const std::vector<LayerUnits>& chosen,
                    const LayerGroup& group) {
  const auto is_dense = [&](size_t i) { return unit_noun(graph, chosen[i].layer) == "unit"; };
  const bool any_dense = std::any_of(group.members.begin(), group.members.end(), is_dense);
  const bool all_dense = std::all_of(group.members.begin(), group.members.end(), is_dense);
  return fmt::format("{} The number is what the {} output reached.",
                     figure.ascent.clamp || figure.ascent.fourier ? "Gray levels are the input's."
                                                                  : "Each picture's contrast is pulled up.",
                     !any_dense  ? "filter's"
                     : all_dense ? "unit's"
                                 : "filter's or unit's");
}

}  // namespace

std::string ascent_text(const explain::AscentOptions& options) {
  const std::string gradient = options.normalize == "rms"  ? " (gradient over its root mean square)"
                               : options.normalize == "l2" ? " (gradient over its length)"
                                                           : "";
  std::string text = fmt::format("{} steps of {:.3g}{} up the {} of the output, from {}",
                                 options.steps,
                                 options.rate,
                                 gradient,
                                 options.objective == "center" ? "middle" : options.objective,
                                 options.start == "noise"   ? fmt::format("noise (seed {})", options.seed)
                                 : options.start == "faces" ? "a face"
                                                            : options.start);
  if (options.decay < 1) text += fmt::format(", rate times {} a step", format_double(options.decay));
  if (options.clamp) text += ", pixels clamped to 0..255";
  if (options.preset != "report") text += fmt::format(" (preset {})", options.preset);
  return text;
}

void AscentFigure::bind(OptionSet& options) {
  picture.bind(options, kPlaceholders);
  options.add(&faces, face_option());
  layers.bind(options, "the activation of every convolution");
  ascent.bind(options);
}

void AscentFigure::check(const network::Graph& graph) const {
  picture.check(kPlaceholders);
  FaceSelection::parse(faces);
  layers.choose(graph, activations(graph));
}

std::string AscentFigure::part() const { return reads_faces() ? FaceSelection::parse(faces).part : "all"; }

std::string AscentFigure::unused(std::string_view option) const {
  return option == "faces" && !reads_faces() ? "belongs to ascent-start faces or mean-face" : "";
}

void AscentFigure::draw(ExplainContext& context, FigureOutput& output) const {
  const network::Graph& graph = context.graph();
  const std::vector<LayerUnits> chosen = layers.choose(graph, activations(graph));
  std::vector<explain::AscentResult> results;
  for (const LayerUnits& layer : chosen) results.push_back(climb(*this, context, layer));
  for (const LayerGroup& group : groups(graph, chosen, output.has("layer"))) {
    const std::string title = fmt::format("Inputs that drive {}", group.names);
    report::Sheet sheet{.title = picture.title.empty() ? title : picture.title,
                        .subtitle = {graph.name, ascent_text(ascent)}};
    const auto path = output.path({{"layer", layer_name(graph, chosen[group.members.front()].layer)}});
    for (const size_t i : group.members) {
      const std::string& name = layer_name(graph, chosen[i].layer);
      std::vector<int64_t> dead;
      sheet.grids.push_back(grid_of(*this, context, chosen[i], results[i], dead));
      if (!dead.empty()) {
        const std::string text = fmt::format("{}: the ascent has no gradient at {}; they stay as they began",
                                             name,
                                             units_text(graph, chosen[i].layer, dead));
        context.listener().warning(text);
        sheet.notes.push_back(text + ".");
      }
      const MapRange range = report::measure_map(floats(results[i].images));
      const std::string suffix = group.members.size() > 1 ? "_" + name : "";
      output.numbers(path, results[i].images, suffix);
      output.numbers(path, results[i].objective, suffix + "_objective");
      output.sidecar(path,
                     {{"layer", json_text(name)},
                      {"units", json_list(chosen[i].units)},
                      {"seed", std::to_string(ascent.seed)},
                      {"minimum", json_number(range.minimum)},
                      {"maximum", json_number(range.maximum)},
                      {"problem", range.state == MapState::usable ? "null" : json_text(range.problem())},
                      {"units_without_gradient", json_list(dead)}},
                     suffix);
    }
    sheet.notes.push_back(reading(*this, graph, chosen, group));
    output.picture(path, std::move(sheet), fmt::format("{}: {}", title, ascent_text(ascent)));
  }
}

}  // namespace mien::figures
