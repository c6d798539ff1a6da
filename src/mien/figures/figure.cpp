#include "mien/figures/figure.h"

#include <algorithm>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/explain/layers.h"
#include "mien/explain/units/filters.h"
#include "mien/figures/figure_output.h"

namespace mien::figures {
namespace {

const std::vector<std::pair<FigureKind, std::string>> kKinds{{FigureKind::map, "map"},
                                                             {FigureKind::contact, "contact"},
                                                             {FigureKind::weights, "weights"},
                                                             {FigureKind::outputs, "outputs"},
                                                             {FigureKind::ascent, "ascent"},
                                                             {FigureKind::faces, "faces"},
                                                             {FigureKind::units, "units"}};
const std::vector<std::string> kPanels{"image", "map", "overlay"};

/// The activation that alone reads `layer`, directly or behind batch norm; `layer` itself where there is none.
int activation_of(const network::Graph& graph, int layer) {
  using network::LayerKind;
  for (int at = layer;;) {
    std::vector<int> readers;
    for (int i = 0; i < static_cast<int>(graph.layers.size()); ++i) {
      const auto& inputs = graph.layers[static_cast<size_t>(i)].inputs;
      if (i > 0 && std::find(inputs.begin(), inputs.end(), at) != inputs.end()) readers.push_back(i);
    }
    if (readers.size() != 1) return layer;
    at = readers.front();
    const LayerKind kind = graph.layers[static_cast<size_t>(at)].kind;
    if (kind == LayerKind::relu || kind == LayerKind::leaky_relu || kind == LayerKind::silu ||
        kind == LayerKind::sigmoid)
      return at;
    if (kind != LayerKind::batch_norm) return layer;
  }
}

/// The last convolution and the dense layers behind it, each at its activation.
std::vector<int> unit_layers(const network::Graph& graph) {
  std::vector<int> layers;
  for (int i = 1; i < static_cast<int>(graph.layers.size()); ++i) {
    const network::LayerKind kind = graph.layers[static_cast<size_t>(i)].kind;
    if (kind == network::LayerKind::conv) layers.clear();
    if (kind == network::LayerKind::conv || kind == network::LayerKind::dense)
      layers.push_back(activation_of(graph, i));
  }
  return layers;
}

}  // namespace

std::string_view to_text(FigureKind kind) {
  for (const auto& [known, text] : kKinds) {
    if (known == kind) return text;
  }
  return "";
}

FigureKind figure_kind(const std::string& text) {
  std::vector<std::string> names;
  for (const auto& [kind, name] : kKinds) {
    if (name == text) return kind;
    names.push_back(name);
  }
  throw_usage(fmt::format("unknown kind of figure {}", quote_sample(text)), suggestion(text, names));
}

void Figure::bind(OptionSet& options) {
  options.group("figure");
  options.add(&file,
              {.name = "file",
               .help = "name of the picture, ending in .png or .jpg; {row}, {label}, {class}, {method} or {layer} in "
                       "it give one picture for each"});
  options.add(&title, {.name = "title", .help = "title of the picture; the default says what is shown"});
  const bool shows_maps = kind == FigureKind::map || kind == FigureKind::contact;
  if (shows_maps) {
    options.add(&methods,
                {.name = "method",
                 .help = "explanation methods (`mien methods` lists them), separated by commas, or all that are "
                         "defined for the network"});
    options.add(&target, {.name = "target", .help = "class that is explained: predicted, label, or a class's name"});
    options.add(&score,
                {.name = "score",
                 .help = "number that is explained: the class's logit, its probability, or the sum of all logits",
                 .choices = {"logit", "probability", "sum"},
                 .source = "sum: report E"});
    if (kind == FigureKind::map)
      options.add(&panels, {.name = "panels", .help = "what stands side by side: image, map, overlay"});
    options.add(&clip,
                {.name = "clip",
                 .help = "per cent of a map's pixels below the last color, so that one pixel does not darken all "
                         "others; 100 shows the largest",
                 .minimum = 50,
                 .maximum = 100});
    if (kind == FigureKind::map)
      options.add(
          &recall,
          {.name = "recall",
           .help = "say beside each map how often faces of its class are recognized, and what they are taken for"});
    if (kind == FigureKind::map)
      options.add(&measure,
                  {.name = "measure", .help = "measure how faithful each map is, for the sidecar and the picture"});
    if (kind == FigureKind::contact)
      options.add(&sheet_faces,
                  {.name = "sheet-faces",
                   .help = "recognized faces of each class on a contact sheet, and as many that are not",
                   .minimum = 1,
                   .maximum = 100});
  }
  if (kind == FigureKind::map || kind == FigureKind::outputs || kind == FigureKind::ascent ||
      kind == FigureKind::units) {
    options.add(
        &faces,
        {.name = "faces",
         .help = "faces to look at: rows:5,7-9, 0-5 (the first six), random:5, correct-per-class, wrong-per-class or "
                 "most-confident-per-class (:COUNT for more), after all:, training:, validation: or test: for a part; "
                 "a part alone for all its rows"});
  }
  if (!shows_maps) {
    options.add(
        &layers,
        {.name = "layers",
         .help = "layers to look at, separated by commas; the default is every convolution, for faces the last, for "
                 "units the last and the dense layers, each at its activation"});
    options.add(
        &units,
        {.name = "units",
         .help = "filters or dense units to look at: first 64, all, or 0-31,40; with one choice for each layer, "
                 "separated by ;"});
  }
  if (kind == FigureKind::weights)
    options.add(&channel, {.name = "channel", .help = "input channel whose kernels are shown", .minimum = 0});
  if (kind == FigureKind::faces || kind == FigureKind::contact || kind == FigureKind::units) {
    options.add(
        &part,
        {.name = "part", .help = "rows that are searched", .choices = {"all", "training", "validation", "test"}});
  }
  if (kind == FigureKind::faces) {
    options.add(
        &ascend,
        {.name = "ascend", .help = "show beside the faces the inputs found by ascent from them", .source = "report D"});
  }
  if (shows_maps || kind == FigureKind::outputs) method.bind(options);
  if (kind == FigureKind::map) faithfulness.bind(options);
  if (kind == FigureKind::units) {
    options.add(&method.seed,
                {.name = "explain-seed", .help = "seed of faces that are chosen at random", .minimum = 0});
    options.add(&unit_values,
                {.name = "unit-values",
                 .help = "what the colors stand for: the class mean less the unit's mean over all faces, in the unit's "
                         "deviations, or the class mean itself",
                 .choices = {"standardized", "mean"}});
  }
  if (kind == FigureKind::faces || kind == FigureKind::units) unit.bind(options, kind == FigureKind::faces);
  if (kind == FigureKind::ascent || kind == FigureKind::faces) ascent.bind(options);
}

Figure default_figure(FigureKind kind) {
  Figure figure;
  figure.kind = kind;
  if (kind == FigureKind::units) {
    figure.faces = "all";
    figure.units = "all";
    figure.unit.score = "mean";
  }
  return figure;
}

std::vector<int> figure_layers(const Figure& figure, const network::Graph& graph) {
  std::vector<int> layers;
  for (const std::string& name : figure.layers) layers.push_back(graph.index_of(name));
  if (!layers.empty()) return layers;
  if (figure.kind == FigureKind::units) return unit_layers(graph);
  for (int i = 0; i < static_cast<int>(graph.layers.size()); ++i) {
    if (graph.layers[static_cast<size_t>(i)].kind == network::LayerKind::conv) layers.push_back(i);
  }
  if (layers.empty())
    throw_usage(fmt::format("network {} has no convolution to look into", graph.name), "--layers names layers of it");
  if (figure.kind == FigureKind::faces) layers = {layers.back()};
  return layers;
}

std::vector<std::vector<int64_t>> figure_units(const Figure& figure,
                                               const network::Graph& graph,
                                               const std::vector<int>& layers) {
  const std::vector<std::string> texts = split(figure.units, ';');
  if (texts.size() != 1 && texts.size() != layers.size()) {
    throw_usage(fmt::format("units {} are {} choices for {} layers, expected 1 or {}",
                            quote_sample(figure.units),
                            texts.size(),
                            layers.size(),
                            layers.size()));
  }
  std::vector<std::vector<int64_t>> units;
  for (size_t i = 0; i < layers.size(); ++i)
    units.push_back(explain::parse_units(std::string(trim(texts[texts.size() == 1 ? 0 : i])), graph, layers[i]));
  return units;
}

std::vector<std::string> figure_methods(const Figure& figure, const network::Graph& graph) {
  if (figure.methods != std::vector<std::string>{"all"}) return figure.methods;
  std::vector<std::string> names;
  for (const explain::MethodSpec& spec : explain::methods()) {
    if (!spec.unsupported_reason || spec.unsupported_reason(graph).empty()) names.push_back(spec.name);
  }
  return names;
}

void check_figure(const Figure& figure, const network::Graph& graph) {
  if (!figure.file.ends_with(".png") && !figure.file.ends_with(".jpg")) {
    throw_usage(fmt::format("file is {}, expected a name ending in .png or .jpg", quote_sample(figure.file)));
  }
  if (figure.file.find("..") != std::string::npos || figure.file.starts_with('/')) {
    throw_usage(fmt::format("file is {}, expected a name below the run's folder", quote_sample(figure.file)));
  }
  FaceSelection::parse(figure.faces);
  if (figure.kind == FigureKind::map || figure.kind == FigureKind::contact) {
    if (figure.methods.empty()) throw_usage("no method is named", "`mien methods` lists them");
    for (const std::string& name : figure_methods(figure, graph)) {
      const explain::MethodSpec& spec = explain::method(name);
      if (const std::string why = spec.unsupported_reason ? spec.unsupported_reason(graph) : std::string();
          !why.empty()) {
        throw_usage(fmt::format("{} for {}: {}", spec.name, graph.name, why),
                    "`mien methods` shows what each method needs");
      }
      if (spec.reads_layer) explain::choose_layer(graph, figure.method.layer);
    }
    if (figure.panels.empty()) throw_usage("no panel is named, expected some of image, map, overlay");
    for (const std::string& panel : figure.panels) {
      if (std::find(kPanels.begin(), kPanels.end(), panel) == kPanels.end())
        throw_usage(fmt::format("unknown panel {}", quote_sample(panel)), suggestion(panel, kPanels));
    }
    return;
  }
  if (figure.kind == FigureKind::units && figure.faces != "all" && figure.part != "all") {
    throw_usage(
        fmt::format("faces are {} and part is {}, expected one of both", quote_sample(figure.faces), figure.part),
        fmt::format("--faces {}:random:500 chooses from a part", figure.part));
  }
  const std::vector<int> layers = figure_layers(figure, graph);
  figure_units(figure, graph, layers);
  for (const int layer : layers) {
    const network::Layer& node = graph.layers[static_cast<size_t>(layer)];
    if (figure.kind == FigureKind::outputs && node.output_shape.is_flat) {
      throw_usage(fmt::format("layer {} of {} gives {}, expected one with height and width",
                              node.name,
                              graph.name,
                              node.output_shape.text()),
                  "`mien networks summary` shows the layers' sizes");
    }
  }
}

std::vector<runs::DrawnPicture> draw_figure(const Figure& figure,
                                            ExplainContext& context,
                                            const std::filesystem::path& folder,
                                            bool raw) {
  check_figure(figure, context.graph());
  FigureOutput output(figure, context, folder, raw);
  switch (figure.kind) {
    case FigureKind::map:
      draw_maps(figure, context, output);
      break;
    case FigureKind::contact:
      draw_contact_sheets(figure, context, output);
      break;
    case FigureKind::weights:
      draw_weights(figure, context, output);
      break;
    case FigureKind::outputs:
      draw_outputs(figure, context, output);
      break;
    case FigureKind::ascent:
      draw_ascent(figure, context, output);
      break;
    case FigureKind::faces:
      draw_faces(figure, context, output);
      break;
    case FigureKind::units:
      draw_units(figure, context, output);
      break;
  }
  return output.drawn();
}

}  // namespace mien::figures
