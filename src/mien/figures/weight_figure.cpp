#include "mien/figures/weight_figure.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/explain/units/filters.h"
#include "mien/figures/figure_output.h"
#include "mien/figures/panels.h"

namespace mien::figures {
namespace {

using report::MapRange;
using report::MapState;

const std::vector<std::string> kPlaceholders{"layer"};

/// One layer's kernels, on one scale so that filters can be compared.
report::PanelGrid grid_of(const network::Graph& graph,
                          const LayerUnits& chosen,
                          const at::Tensor& pictures,
                          const MapRange& range) {
  report::PanelGrid grid{.heading = fmt::format("{}: {} of {}; largest {}",
                                                layer_name(graph, chosen.layer),
                                                units_text(graph, chosen.layer, chosen.units),
                                                explain::unit_count(graph, chosen.layer),
                                                short_number(range.shown)),
                         .columns = columns_for(chosen.units.size()),
                         .tile = tile_for(std::max(pictures.size(1), pictures.size(2)), 40),
                         .gap = 9};
  for (size_t k = 0; k < chosen.units.size(); ++k) {
    const at::Tensor picture = pictures[static_cast<int64_t>(k)];
    MapRange one = report::measure_map(floats(picture));
    if (one.state == MapState::usable || one.state == MapState::constant)
      one.shown = range.shown, one.state = MapState::usable;
    grid.panels.push_back(level_panel(picture, one, true, std::to_string(chosen.units[k])));
  }
  return grid;
}

}  // namespace

void WeightFigure::bind(OptionSet& options) {
  picture.bind(options, kPlaceholders);
  layers.bind(options, "every convolution");
  options.add(&channel, {.name = "channel", .help = "input channel whose kernels are shown", .minimum = 0});
}

void WeightFigure::check(const network::Graph& graph) const {
  picture.check(kPlaceholders);
  layers.choose(graph, convolutions(graph));
}

void WeightFigure::draw(ExplainContext& context, FigureOutput& output) const {
  const network::Graph& graph = context.graph();
  const std::vector<LayerUnits> chosen = layers.choose(graph, convolutions(graph));
  for (const LayerGroup& group : groups(graph, chosen, output.has("layer"))) {
    const std::string title = fmt::format("Weights of {}", group.names);
    report::Sheet sheet{.title = picture.title.empty() ? title : picture.title,
                        .subtitle = {fmt::format("{}, input channel {}", graph.name, channel)}};
    const bool is_one = group.members.size() == 1;
    const auto path = output.path({{"layer", layer_name(graph, chosen[group.members.front()].layer)}});
    for (const size_t i : group.members) {
      const std::string& name = layer_name(graph, chosen[i].layer);
      const at::Tensor pictures = explain::weight_pictures(context.network(), chosen[i].layer, channel)
                                      .index_select(0, at::tensor(chosen[i].units));
      const MapRange range = report::measure_map(floats(pictures));
      sheet.grids.push_back(grid_of(graph, chosen[i], pictures, range));
      sheet.bar = is_one ? bar_of(true, short_number(range.shown), "") : bar_of(true, "max", "each layer by itself");
      const std::string suffix = is_one ? "" : "_" + name;
      output.numbers(path, pictures, suffix);
      output.sidecar(path,
                     {{"layer", json_text(name)},
                      {"units", json_list(chosen[i].units)},
                      {"channel", std::to_string(channel)},
                      {"minimum", json_number(range.minimum)},
                      {"maximum", json_number(range.maximum)},
                      {"problem", range.state == MapState::usable ? "null" : json_text(range.problem())}},
                     suffix);
    }
    output.picture(path, std::move(sheet), fmt::format("{} of {}", title, graph.name));
  }
}

}  // namespace mien::figures
