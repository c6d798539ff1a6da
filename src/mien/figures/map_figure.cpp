#include "mien/figures/map_figure.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/evaluation/confusion.h"
#include "mien/figures/figure_output.h"
#include "mien/figures/panels.h"

namespace mien::figures {
namespace {

using nlohmann::ordered_json;
using report::MapState;

const std::vector<std::string> kPlaceholders{"row", "label", "class", "method"};
const std::vector<std::string> kPanels{"image", "map", "overlay"};

std::string target_text(const ExplainContext& context, const FaceMap& map) {
  if (map.score == "sum") return "the sum of all scores";
  return fmt::format("{} of {}", map.score, context.class_name(map.target));
}

/// "convergence error 0.012, r2 0.71"
std::string diagnostics_text(const FaceMap& map) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : map.diagnostics) {
    std::string words = name;
    std::replace(words.begin(), words.end(), '_', ' ');
    parts.push_back(fmt::format("{} {}", words, short_number(value)));
  }
  return join(parts, ", ");
}

/// A measure of faithfulness in the words of a note and, where several maps share a picture, of a caption.
struct MeasureWords {
  const char* name;
  const char* words;
  const char* few_words;
};
constexpr MeasureWords kMeasures[] = {
    {"deletion-auc", "probability while the most relevant pixels are hidden (lower is better)", "deletion"},
    {"insertion-auc", "while they are shown (higher is better)", "insertion"},
    {"mass-accuracy", "share of relevance on the evidence", "on evidence"}};

/// How far the map can be trusted: "deletion 0.12", "insertion 0.71".
std::vector<std::string> faithfulness_words(const FaceMap& map, const char* MeasureWords::*words) {
  std::vector<std::string> parts;
  for (const MeasureWords& measure : kMeasures) {
    const auto found = map.faithfulness.find(measure.name);
    if (found != map.faithfulness.end()) parts.push_back(fmt::format("{} {:.2f}", measure.*words, found->second));
  }
  return parts;
}

/// "84 % of 7,215 happy faces are recognized; 6 % are taken for neutral."
std::string recall_text(ExplainContext& context, const std::string& part, int64_t label) {
  const auto counts = evaluation::confusion_counts(context.predictions(part));
  const auto& row = counts[static_cast<size_t>(label)];
  int64_t total = 0;
  for (const int64_t count : row) total += count;
  if (total == 0) return "";
  const auto share = [&](int64_t count) { return 100 * static_cast<double>(count) / static_cast<double>(total); };
  size_t other = label == 0 ? 1 : 0;
  for (size_t c = 0; c < row.size(); ++c) {
    if (static_cast<int64_t>(c) != label && row[c] > row[other]) other = c;
  }
  std::string text = fmt::format("{:.0f} % of {} {} {}faces are recognized",
                                 share(row[static_cast<size_t>(label)]),
                                 with_commas(total),
                                 context.class_name(label),
                                 part == "all" ? "" : part + " ");
  if (row[other] > 0)
    text += fmt::format(", {:.0f} % taken for {}", share(row[other]), context.class_name(static_cast<int64_t>(other)));
  return text + ".";
}

Facts map_facts(const MapFigure& figure, const ExplainContext& context, const FaceMap& map) {
  ordered_json diagnostics = ordered_json::object();
  for (const auto& [name, value] : map.diagnostics)
    diagnostics[name] = std::isfinite(value) ? ordered_json(value) : ordered_json();
  ordered_json measures = ordered_json::object();
  for (const auto& [name, value] : map.faithfulness) measures[name] = value;
  const double probability = map.face.probabilities[static_cast<size_t>(map.target)];
  return {{"method", json_text(map.spec->name)},
          {"family", json_text(std::string(to_text(map.spec->family)))},
          {"source", json_text(map.spec->source)},
          {"layer", map.layer.empty() ? "null" : json_text(map.layer)},
          {"row", std::to_string(map.face.source_row)},
          {"file", context.dataset().files.empty() ? "null" : json_text(context.face_name(map.face))},
          {"label", map.face.label == data::kUnlabeled ? "null" : json_text(context.class_name(map.face.label))},
          {"predicted", json_text(context.class_name(map.face.predicted))},
          {"target", json_text(context.class_name(map.target))},
          {"score", json_text(map.score)},
          {"probability", json_number(probability)},
          {"seed", std::to_string(figure.map.method.seed)},
          {"minimum", json_number(map.range.minimum)},
          {"maximum", json_number(map.range.maximum)},
          {"shown", json_number(map.range.shown)},
          {"problem", map.range.state == MapState::usable ? "null" : json_text(map.problem())},
          {"facts", diagnostics.dump()},
          {"faithfulness", map.faithfulness.empty() ? "null" : measures.dump()}};
}

/// "region,pixels,weight": a line a region, as rowN_regions.npy numbers them.
std::string regions_csv(const FaceMap& map) {
  const at::Tensor regions = map.regions.flatten();
  const auto count = regions.max().item<int64_t>() + 1;
  const at::Tensor pixels = at::bincount(regions, {}, count);
  std::vector<float> weights(static_cast<size_t>(count), 0.0F);
  for (int64_t pixel = 0; pixel < regions.numel(); ++pixel)
    weights[static_cast<size_t>(regions[pixel].item<int64_t>())] = map.values[static_cast<size_t>(pixel)];
  std::string csv = "region,pixels,weight\n";
  for (int64_t region = 0; region < count; ++region)
    csv += fmt::format("{},{},{}\n", region, pixels[region].item<int64_t>(), weights[static_cast<size_t>(region)]);
  return csv;
}

/// What one picture shows.
struct Shown {
  std::vector<std::string> methods;  ///< each once
  bool is_one_face = true;           ///< of one target
  std::string methods_text() const {
    return methods.size() > 3 ? fmt::format("{} methods", methods.size()) : join(methods, ", ");
  }
};

Shown shown_in(const std::vector<FaceMap>& maps) {
  Shown shown;
  for (const FaceMap& map : maps) {
    if (std::find(shown.methods.begin(), shown.methods.end(), map.spec->name) == shown.methods.end())
      shown.methods.push_back(map.spec->name);
    shown.is_one_face &= map.face.index == maps.front().face.index && map.target == maps.front().target;
  }
  return shown;
}

/// Lines below the title.
std::vector<std::string> subtitle_of(const MapFigure& figure,
                                     const ExplainContext& context,
                                     const std::vector<FaceMap>& maps,
                                     const Shown& shown) {
  const FaceMap& first = maps.front();
  std::string line = fmt::format("{}, {}", context.graph().name, source_name(context));
  if (!shown.is_one_face) {
    const std::string& target = figure.map.target;
    line += "; explained: " + (first.score == "sum"
                                   ? "the sum of all scores"
                                   : fmt::format("the {} of the class {}",
                                                 first.score,
                                                 target == "predicted"                   ? "that the network predicts"
                                                 : target == "label"                     ? "of the label"
                                                 : target.find(',') != std::string::npos ? "named for each face"
                                                                                         : target));
  } else if (first.score != "sum") {
    line += fmt::format("; probability of {}: {:.3f}",
                        context.class_name(first.target),
                        first.face.probabilities[static_cast<size_t>(first.target)]);
  }
  std::vector<std::string> lines{line};
  if (shown.methods.size() == 1 && !first.layer.empty()) lines.push_back("read at " + first.layer);
  return lines;
}

/// Lines below the pictures.
std::vector<std::string> notes_of(const MapFigure& figure,
                                  ExplainContext& context,
                                  const std::vector<FaceMap>& maps,
                                  bool is_one_face) {
  const FaceMap& first = maps.front();
  std::vector<std::string> notes;
  const auto add = [&](const std::string& text) {
    if (!text.empty()) notes.push_back(text);
  };
  if (maps.size() == 1) {
    add(diagnostics_text(first));
    const std::string faithfulness = join(faithfulness_words(first, &MeasureWords::words), ", ");
    if (!faithfulness.empty()) add("Mean " + faithfulness + ".");
  } else if (std::any_of(maps.begin(), maps.end(), [](const FaceMap& map) { return !map.faithfulness.empty(); })) {
    add("Below each map: the mean probability while the most relevant pixels are hidden (deletion: lower is better) "
        "and while they are shown (insertion: higher is better).");
  }
  if (figure.recall && is_one_face && first.face.label != data::kUnlabeled)
    add(recall_text(context, context.recall_part(figure.part()), first.face.label));
  return notes;
}

/// One picture of the given maps, one or two or three to a line.
void draw_picture(const MapFigure& figure,
                  ExplainContext& context,
                  FigureOutput& output,
                  const std::filesystem::path& path,
                  const std::vector<FaceMap>& maps) {
  const Shown shown = shown_in(maps);
  const FaceMap& first = maps.front();
  const std::string caption =
      shown.is_one_face
          ? fmt::format("{}: {}, {}", shown.methods_text(), target_text(context, first), context.face_name(first.face))
          : fmt::format("{} of {} faces", shown.methods_text(), maps.size() / shown.methods.size());
  report::Sheet sheet{.title = figure.picture.title.empty() ? caption : figure.picture.title,
                      .subtitle = subtitle_of(figure, context, maps, shown)};
  const auto count = static_cast<int64_t>(maps.size());
  const int64_t side_by_side = count > 12 ? 3 : count > 4 ? 2 : 1;
  report::PanelGrid grid{.columns = static_cast<int64_t>(figure.panels.size()) * side_by_side,
                         .tile = map_tile(context)};
  const std::string measured_panel =
      std::find(figure.panels.begin(), figure.panels.end(), "map") != figure.panels.end() ? "map" : "overlay";
  for (const FaceMap& map : maps) {
    for (const std::string& name : figure.panels) {
      report::Panel panel = map_panel(name, context, map);
      if (maps.size() > 1 && name == measured_panel && !map.faithfulness.empty())
        panel.caption += "\n" + join(faithfulness_words(map, &MeasureWords::few_words), "\n");
      grid.panels.push_back(std::move(panel));
    }
  }
  sheet.grids.push_back(std::move(grid));
  const bool any_colors = figure.panels != std::vector<std::string>{"image"};
  if (any_colors) {
    explain_colors(sheet, maps);
    for (std::string& note : notes_of(figure, context, maps, shown.is_one_face)) sheet.notes.push_back(std::move(note));
  }
  output.picture(path, std::move(sheet), caption);
}

}  // namespace

void MapFigure::bind(OptionSet& options) {
  picture.bind(options, kPlaceholders);
  options.add(&faces, face_option());
  map.bind(options);
  options.add(&panels, {.name = "panels", .help = "what stands side by side: image, map, overlay"});
  options.add(&recall,
              {.name = "recall",
               .help = "say below each map how often faces of its class are recognized, and what they are taken for"});
  options.add(&measure,
              {.name = "measure", .help = "measure how faithful each map is, for the sidecar and the picture"});
  map.method.bind(options);
  faithfulness.bind(options);
}

void MapFigure::check(const network::Graph& graph) const {
  picture.check(kPlaceholders);
  FaceSelection::parse(faces);
  map.check(graph);
  if (panels.empty()) throw_usage("no panel is named, expected some of image, map, overlay");
  for (const std::string& panel : panels) {
    if (std::find(kPanels.begin(), kPanels.end(), panel) == kPanels.end())
      throw_usage(fmt::format("unknown panel {}", quote_sample(panel)), suggestion(panel, kPanels));
  }
}

std::string MapFigure::part() const { return FaceSelection::parse(faces).part; }

std::string MapFigure::unused(std::string_view option) const {
  if (option == "rerun-faces" || option.starts_with("sensitivity-")) return "belongs to --evaluate";
  OptionSet of_measures;
  explain::FaithfulnessOptions scratch;
  scratch.bind(of_measures);
  if (!measure && of_measures.find(option) != nullptr) return "belongs to measure, which is off";
  return map.unused(option);
}

void MapFigure::draw(ExplainContext& context, FigureOutput& output) const {
  const std::vector<Face> chosen = context.choose(FaceSelection::parse(faces), static_cast<uint64_t>(map.method.seed));
  if (chosen.empty()) throw_bad_data(fmt::format("no face of {} is {}", context.dataset().source, faces));
  const bool per_face = output.has("row") || output.has("label") || output.has("class");
  std::map<std::filesystem::path, std::vector<FaceMap>> pictures;
  std::vector<std::filesystem::path> order;
  const std::vector<std::string> methods = map.names(context.graph());
  for (const std::string& name : methods) {
    context.listener().progress(
        "explaining", static_cast<int64_t>(&name - methods.data()), static_cast<int64_t>(methods.size()), name);
    if (context.listener().stop_requested()) throw Error(ErrorCode::interrupted, "stopped while explaining");
    const bool measured = measure && output.has_raw();
    for (FaceMap& one : compute_maps(map, context, explain::method(name), chosen, measured ? &faithfulness : nullptr)) {
      std::map<std::string, std::string> tokens{{"method", name}};
      if (per_face) {
        const int64_t shown_class = one.face.label == data::kUnlabeled ? one.target : one.face.label;
        tokens["row"] = std::to_string(one.face.source_row);
        tokens["label"] = std::to_string(shown_class);
        tokens["class"] = context.class_name(shown_class);
      }
      const auto path = output.path(tokens);
      if (!pictures.contains(path)) order.push_back(path);
      const bool is_alone = per_face && (output.has("method") || methods.size() == 1) && output.has("row");
      const std::string suffix = is_alone ? "" : fmt::format("_{}_row{}", name, one.face.source_row);
      output.numbers(path, at::tensor(one.values).view({context.dataset().height, context.dataset().width}), suffix);
      if (one.at_layer.defined()) output.numbers(path, one.at_layer, suffix + "_layer");
      if (one.regions.defined()) {
        output.numbers(path, one.regions, suffix + "_regions");
        output.text(path, suffix + "_regions.csv", regions_csv(one));
      }
      output.sidecar(path, map_facts(*this, context, one), suffix);
      pictures[path].push_back(std::move(one));
    }
  }
  for (const auto& path : order) draw_picture(*this, context, output, path, pictures[path]);
}

FaceRequest face_request(const MapFigure& figure, ExplainContext& context) {
  std::vector<Face> faces =
      context.choose(FaceSelection::parse(figure.faces), static_cast<uint64_t>(figure.map.method.seed));
  explain::AttributionRequest request = attribution_request(figure.map, context, faces);
  at::Tensor evidence = evidence_of(context, rows_of(faces));
  return {.faces = std::move(faces),
          .request = std::move(request),
          .evidence = std::move(evidence),
          .options = with_background(figure.map, context)};
}

}  // namespace mien::figures
