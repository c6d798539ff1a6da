#include "mien/figures/contact_figure.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/figures/figure_output.h"
#include "mien/figures/panels.h"

namespace mien::figures {
namespace {

const std::vector<std::string> kPlaceholders{"method", "class", "label"};

/// Those of `maps` whose faces are of class `label`, recognized ones above the others, faces above their maps.
report::Sheet sheet_of(const ExplainContext& context, const std::vector<FaceMap>& maps, int64_t label) {
  report::Sheet sheet;
  std::vector<std::string> kinds;
  std::vector<FaceMap> shown;
  for (const bool is_right : {true, false}) {
    report::PanelGrid grid{.tile = map_tile(context)};
    std::vector<report::Panel> overlays;
    for (const FaceMap& map : maps) {
      if (map.face.label != label || map.face.is_right() != is_right) continue;
      grid.panels.push_back(map_panel("image", context, map));
      overlays.push_back(map_panel("overlay", context, map));
      shown.push_back(map);
    }
    if (overlays.empty()) continue;
    kinds.emplace_back(is_right ? "recognized" : "taken for another class");
    grid.heading = fmt::format("{} faces that are {}", context.class_name(label), kinds.back());
    grid.columns = static_cast<int64_t>(overlays.size());
    grid.panels.insert(grid.panels.end(), overlays.begin(), overlays.end());
    sheet.grids.push_back(std::move(grid));
  }
  if (shown.empty()) return sheet;
  sheet.title =
      fmt::format("{}: {} faces, {}", shown.front().spec->name, context.class_name(label), fmt::join(kinds, " and "));
  sheet.subtitle = {fmt::format("{}, {}", context.graph().name, source_name(context))};
  if (!shown.front().layer.empty()) sheet.subtitle.push_back("read at " + shown.front().layer);
  explain_colors(sheet, shown);
  return sheet;
}

}  // namespace

void ContactFigure::bind(OptionSet& options) {
  picture.bind(options, kPlaceholders);
  map.bind(options);
  options.add(&sheet_faces,
              {.name = "sheet-faces",
               .help = "recognized faces of each class on a contact sheet, and as many that are not",
               .minimum = 1,
               .maximum = 100});
  options.add(&rows, part_option());
  map.method.bind(options);
}

void ContactFigure::check(const network::Graph& graph) const {
  picture.check(kPlaceholders);
  map.check(graph);
}

std::string ContactFigure::unused(std::string_view option) const { return map.unused(option); }

void ContactFigure::draw(ExplainContext& context, FigureOutput& output) const {
  // Right and wrong faces, all classes at once: one batch for each method.
  std::vector<Face> faces;
  for (const auto kind : {FaceSelection::Kind::correct, FaceSelection::Kind::wrong}) {
    const FaceSelection choice{.kind = kind, .part = rows, .numbers = {}, .count = sheet_faces};
    for (Face& face : context.choose(choice, static_cast<uint64_t>(map.method.seed))) {
      if (face.is_right() == (kind == FaceSelection::Kind::correct)) faces.push_back(std::move(face));
    }
  }
  for (const std::string& name : map.names(context.graph())) {
    const std::vector<FaceMap> maps = compute_maps(map, context, explain::method(name), faces, nullptr);
    for (int64_t c = 0; c < context.dataset().classes(); ++c) {
      report::Sheet sheet = sheet_of(context, maps, c);
      if (sheet.grids.empty()) continue;
      const std::string caption = sheet.title;
      if (!picture.title.empty()) sheet.title = picture.title;
      output.picture(output.path({{"method", name}, {"class", context.class_name(c)}, {"label", std::to_string(c)}}),
                     std::move(sheet),
                     caption);
    }
  }
}

}  // namespace mien::figures
