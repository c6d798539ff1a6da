#include <algorithm>
#include <cmath>
#include <memory>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/text.h"
#include "mien/evaluation/confusion.h"
#include "mien/explain/layers.h"
#include "mien/figures/figure_output.h"

namespace mien::figures {
namespace {

using explain::Attributions;
using explain::MethodSpec;
using report::Enlarging;
using report::MapState;

constexpr int64_t kTile = 144;              // units of two pixels
constexpr int64_t kBackgroundFaces = 1000;  // that expected-gradients draws from

/// One face's map by one method, and what is said of it.
struct FaceMap {
  const MethodSpec* spec = nullptr;
  Face face;
  int64_t target = 0;
  std::string score;  // that was explained: lime has its own
  std::vector<float> values;
  report::MapRange range;
  std::string layer;  // "max_pool4 (128*3*3)", or empty
  std::map<std::string, double> diagnostics;
  std::map<std::string, double> measures;  // of faithfulness; only those that are defined
};

explain::Score parse_score(const std::string& text) {
  for (const explain::Score score :
       {explain::Score::logit, explain::Score::probability, explain::Score::sum_of_logits}) {
    if (text == to_text(score)) return score;
  }
  throw_usage(fmt::format("unknown score {}", quote_sample(text)), "one of: logit, probability, sum");
}

int64_t target_of(const Figure& figure, const ExplainContext& context, const Face& face) {
  if (figure.target == "predicted") return face.predicted;
  if (figure.target == "label") {
    if (face.label == data::kUnlabeled)
      throw_usage(fmt::format("target is label, but {} has none", context.face_name(face)),
                  "--target predicted needs no label");
    return face.label;
  }
  const auto& names = context.dataset().class_names;
  const auto found = std::find(names.begin(), names.end(), figure.target);
  if (found == names.end()) {
    std::vector<std::string> known = names;
    known.insert(known.end(), {"predicted", "label"});
    throw_usage(fmt::format("target is {}, expected predicted, label or a class", quote_sample(figure.target)),
                suggestion(figure.target, known));
  }
  return found - names.begin();
}

/// Faces that stand for the data: random training rows, or of all rows.
at::Tensor background(const ExplainContext& context, int64_t seed) {
  std::vector<int64_t> rows = context.parts().training.empty() ? context.parts().all : context.parts().training;
  RandomStream(static_cast<uint64_t>(seed), "explain/background").shuffle(rows);
  rows.resize(std::min<size_t>(rows.size(), kBackgroundFaces));
  return context.images(rows);
}

/// [N,H,W]: where drawn faces carry their expression; undefined for other data.
at::Tensor evidence_of(const ExplainContext& context, const std::vector<int64_t>& rows) {
  const data::Dataset& dataset = context.dataset();
  if (dataset.evidence.empty()) return {};
  at::Tensor evidence = at::empty({static_cast<int64_t>(rows.size()), dataset.height, dataset.width}, at::kByte);
  const int64_t plane = dataset.height * dataset.width;
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(dataset.evidence.begin() + rows[i] * plane,
                plane,
                evidence.data_ptr<uint8_t>() + static_cast<int64_t>(i) * plane);
  }
  return evidence;
}

std::vector<int64_t> rows_of(const std::vector<Face>& faces) {
  std::vector<int64_t> rows;
  for (const Face& face : faces) rows.push_back(face.index);
  return rows;
}

explain::AttributionRequest question_on(const Figure& figure, ExplainContext& context, const std::vector<Face>& faces) {
  std::vector<int64_t> targets;
  for (const Face& face : faces) targets.push_back(target_of(figure, context, face));
  return {.network = context.network(),
          .images = context.images(rows_of(faces)),
          .targets = at::tensor(targets),
          .score = parse_score(figure.score),
          .black = context.black(rows_of(faces))};
}

explain::MethodOptions options_with_background(const Figure& figure, ExplainContext& context) {
  explain::MethodOptions options = figure.method;
  options.gradient.background = std::make_shared<const at::Tensor>(background(context, options.seed));
  return options;
}

std::vector<FaceMap> compute(const Figure& figure,
                             ExplainContext& context,
                             const MethodSpec& spec,
                             const std::vector<Face>& faces,
                             bool measure) {
  const bool needs_background = spec.name == "expected-gradients";
  const explain::MethodOptions options = needs_background ? options_with_background(figure, context) : figure.method;
  const explain::AttributionRequest request = question_on(figure, context, faces);
  const Attributions maps = explain::explain(spec, request, options);
  explain::Faithfulness measured;
  explain::FaithfulnessOptions how = figure.faithfulness;
  how.rerun_faces = 0;  // sensitivity and randomization run a method a hundred times: for `--evaluate`
  if (measure)
    measured = explain::measure(spec, request, maps.values, evidence_of(context, rows_of(faces)), options, how);
  const std::string layer = maps.layer < 0 ? "" : explain::layer_text(context.graph(), maps.layer);
  if (!layer.empty()) context.listener().line(fmt::format("{} looks at {}", spec.name, layer));
  std::vector<FaceMap> result;
  for (size_t i = 0; i < faces.size(); ++i) {
    FaceMap map{.spec = &spec,
                .face = faces[i],
                .target = request.targets[static_cast<int64_t>(i)].item<int64_t>(),
                .score = spec.name == "lime" ? figure.method.perturbation.lime_score_on : figure.score,
                .values = floats(maps.values[static_cast<int64_t>(i)]),
                .range = {},
                .layer = layer,
                .diagnostics = {},
                .measures = {}};
    map.range = report::measure_map(map.values, figure.clip);
    if (!maps.diagnostics.empty()) map.diagnostics = maps.diagnostics[i];
    for (const auto& [name, values] : measured.values) {
      if (i < values.size() && std::isfinite(values[i])) map.measures[name] = values[i];
    }
    if (map.range.state != MapState::usable) {
      context.listener().warning(fmt::format("{} of {} for {} shows nothing: {}",
                                             spec.name,
                                             context.face_name(map.face),
                                             context.class_name(map.target),
                                             map.range.problem()));
    }
    result.push_back(std::move(map));
  }
  return result;
}

std::string target_text(const ExplainContext& context, const FaceMap& map) {
  if (map.score == "sum") return "the sum of all scores";
  return fmt::format("{} of {}", map.score, context.class_name(map.target));
}

/// "convergence error 0.012, r2 0.71"
std::string facts_text(const FaceMap& map) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : map.diagnostics) {
    std::string words = name;
    std::replace(words.begin(), words.end(), '_', ' ');
    parts.push_back(fmt::format("{} {}", words, short_number(value)));
  }
  return join(parts, ", ");
}

/// How far the map can be trusted, in a line.
std::string measures_text(const FaceMap& map) {
  std::vector<std::string> parts;
  const auto add = [&](const char* measure, const char* words) {
    const auto found = map.measures.find(measure);
    if (found != map.measures.end()) parts.push_back(fmt::format("{} {}", words, short_number(found->second)));
  };
  add("deletion-auc", "probability while the most relevant pixels are hidden (lower is better)");
  add("insertion-auc", "while they are shown (higher is better)");
  add("mass-accuracy", "share of relevance on the evidence");
  return parts.empty() ? "" : "Mean " + join(parts, ", ") + ".";
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
  std::string text = fmt::format("{:.0f} % of {} {} faces are recognized",
                                 share(row[static_cast<size_t>(label)]),
                                 with_commas(total),
                                 context.class_name(label));
  if (row[other] > 0)
    text += fmt::format(", {:.0f} % taken for {}", share(row[other]), context.class_name(static_cast<int64_t>(other)));
  return text + ".";
}

int64_t face_pixels(const ExplainContext& context) {
  return std::max(context.dataset().height, context.dataset().width);
}

/// By how much a face and its maps are enlarged: 6 times for 48 pixels.
int64_t map_factor(const ExplainContext& context) { return std::max<int64_t>(1, 2 * kTile / face_pixels(context)); }

/// Side of the tile that they fill, units.
int64_t map_tile(const ExplainContext& context) { return (face_pixels(context) * map_factor(context) + 1) / 2; }

bool has_regions(const FaceMap& map) { return map.diagnostics.contains("segments"); }

report::Panel panel_of(const std::string& name,
                       const Figure& figure,
                       const ExplainContext& context,
                       const FaceMap& map) {
  const data::Dataset& dataset = context.dataset();
  const int64_t factor = map_factor(context);
  if (name == "image") return face_panel(context, map.face, factor);
  const bool is_map = name == "map";
  const Enlarging enlarging = has_regions(map) || is_map ? Enlarging::squares : Enlarging::smooth;
  report::Panel panel;
  if (is_map) {
    panel.image = report::map_raster(
        map.values, dataset.height, dataset.width, map.range, map.spec->is_signed, factor, enlarging);
    panel.caption =
        fmt::format("{}\n{}",
                    map.spec->name,
                    map.range.state == MapState::usable
                        ? fmt::format("{} to {}", short_number(map.range.minimum), short_number(map.range.maximum))
                        : map.range.problem());
  } else {
    panel.image = report::overlay_raster(gray_levels(context, map.face.index),
                                         map.values,
                                         dataset.height,
                                         dataset.width,
                                         map.range,
                                         map.spec->is_signed,
                                         factor,
                                         enlarging);
    if (has_regions(map))
      report::draw_borders(panel.image, map.values, dataset.height, dataset.width, factor, {235, 235, 235});
    panel.caption = map.range.state == MapState::usable
                        ? fmt::format("explains {}", map.score == "sum" ? "all scores" : context.class_name(map.target))
                        : fmt::format("map is {}", map.range.problem());
  }
  return panel;
}

/// Bar and words for the colors of `maps`.
void explain_colors(report::Sheet& sheet, const std::vector<FaceMap>& maps) {
  const bool is_signed = maps.front().spec->is_signed;
  const bool all_alike =
      std::all_of(maps.begin(), maps.end(), [&](const FaceMap& map) { return map.spec->is_signed == is_signed; });
  if (!all_alike) {
    sheet.notes.emplace_back(
        "Attributions with a sign: yellow speaks for the class, blue against it, gray is nothing. Attributions without "
        "one: from black "
        "(nothing) to light yellow (most).");
    return;
  }
  const report::MapRange& range = maps.front().range;
  report::ColorBar bar{.is_signed = is_signed,
                       .low = is_signed ? "-max" : "0",
                       .middle = is_signed ? "0" : "",
                       .high = "max",
                       .caption = "each map by itself"};
  if (maps.size() == 1) {
    if (range.state != MapState::usable) return;
    const bool is_clipped = range.shown < std::max(std::abs(range.minimum), std::abs(range.maximum));
    const std::string top = short_number(range.shown);
    bar.high = is_clipped ? "\u2265 " + top : top;
    bar.low = is_signed ? (is_clipped ? fmt::format("\u2264 -{}", top) : "-" + top) : "0";
    bar.caption = is_signed ? "for the class above 0, against it below" : "";
  }
  sheet.bar = bar;
}

/// The face's file as JSON; null where faces are no files.
std::string file_of(const ExplainContext& context, const Face& face) {
  return context.dataset().files.empty() ? "null" : json_text(context.face_name(face));
}

std::vector<std::pair<std::string, std::string>> map_facts(const Figure& figure,
                                                           const ExplainContext& context,
                                                           const FaceMap& map) {
  nlohmann::ordered_json facts = nlohmann::ordered_json::object();
  for (const auto& [name, value] : map.diagnostics)
    facts[name] = std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
  nlohmann::ordered_json measures = nlohmann::ordered_json::object();
  for (const auto& [name, value] : map.measures) measures[name] = value;
  const double probability = map.face.probabilities[static_cast<size_t>(map.target)];
  return {{"method", json_text(map.spec->name)},
          {"family", json_text(std::string(to_text(map.spec->family)))},
          {"source", json_text(map.spec->source)},
          {"layer", map.layer.empty() ? "null" : json_text(map.layer)},
          {"row", std::to_string(map.face.source_row)},
          {"file", file_of(context, map.face)},
          {"label", map.face.label == data::kUnlabeled ? "null" : json_text(context.class_name(map.face.label))},
          {"predicted", json_text(context.class_name(map.face.predicted))},
          {"target", json_text(context.class_name(map.target))},
          {"score", json_text(map.score)},
          {"probability", json_number(probability)},
          {"seed", std::to_string(figure.method.seed)},
          {"minimum", json_number(map.range.minimum)},
          {"maximum", json_number(map.range.maximum)},
          {"shown", json_number(map.range.shown)},
          {"problem", map.range.state == MapState::usable ? "null" : json_text(map.range.problem())},
          {"facts", facts.dump()},
          {"faithfulness", map.measures.empty() ? "null" : measures.dump()}};
}

/// One picture of the given maps, one or two or three to a line.
void draw(const Figure& figure,
          ExplainContext& context,
          FigureOutput& output,
          const std::filesystem::path& path,
          const std::vector<FaceMap>& maps) {
  report::Sheet sheet;
  const FaceMap& first = maps.front();
  std::vector<std::string> names;
  for (const FaceMap& map : maps) {
    if (std::find(names.begin(), names.end(), map.spec->name) == names.end()) names.push_back(map.spec->name);
  }
  const std::string methods = names.size() > 3 ? fmt::format("{} methods", names.size()) : join(names, ", ");
  const bool is_one_face = std::all_of(maps.begin(), maps.end(), [&](const FaceMap& map) {
    return map.face.index == first.face.index && map.target == first.target;
  });
  std::string caption = methods;
  if (is_one_face) {
    caption = fmt::format("{}: {}, {}", methods, target_text(context, first), context.face_name(first.face));
    sheet.subtitle.push_back(fmt::format(
        "{}, {}", context.graph().name, std::filesystem::path(context.dataset().source).filename().string()));
    if (first.score != "sum") {
      sheet.subtitle.back() += fmt::format("; probability of {}: {:.3f}",
                                           context.class_name(first.target),
                                           first.face.probabilities[static_cast<size_t>(first.target)]);
    }
  } else {
    caption = fmt::format("{} of {} faces", methods, maps.size() / names.size());
    sheet.subtitle.push_back(fmt::format("{}, {}; explained: {}",
                                         context.graph().name,
                                         std::filesystem::path(context.dataset().source).filename().string(),
                                         first.score == "sum"
                                             ? "the sum of all scores"
                                             : fmt::format("the {} of the class {}",
                                                           first.score,
                                                           figure.target == "predicted" ? "that the network predicts"
                                                           : figure.target == "label"   ? "of the label"
                                                                                        : figure.target)));
  }
  if (names.size() == 1 && !first.layer.empty()) sheet.subtitle.push_back("read at " + first.layer);
  sheet.title = figure.title.empty() ? caption : figure.title;
  const auto panels = static_cast<int64_t>(figure.panels.size());
  const auto count = static_cast<int64_t>(maps.size());
  const int64_t side_by_side = count > 12 ? 3 : count > 4 ? 2 : 1;
  report::PanelGrid grid{.columns = panels * side_by_side, .tile = map_tile(context)};
  for (const FaceMap& map : maps) {
    for (const std::string& name : figure.panels) grid.panels.push_back(panel_of(name, figure, context, map));
  }
  sheet.grids.push_back(std::move(grid));
  explain_colors(sheet, maps);
  if (maps.size() == 1 && !first.diagnostics.empty()) sheet.notes.push_back(facts_text(first));
  if (maps.size() == 1) {
    if (std::string text = measures_text(first); !text.empty()) sheet.notes.push_back(std::move(text));
  }
  if (figure.recall && is_one_face && first.face.label != data::kUnlabeled) {
    if (std::string text = recall_text(context, FaceSelection::parse(figure.faces).part, first.face.label);
        !text.empty())
      sheet.notes.push_back(std::move(text));
  }
  output.picture(path, sheet, caption);
}

}  // namespace

FaceRequest face_request(const Figure& figure, ExplainContext& context) {
  std::vector<Face> faces =
      context.choose(FaceSelection::parse(figure.faces), static_cast<uint64_t>(figure.method.seed));
  explain::AttributionRequest request = question_on(figure, context, faces);
  at::Tensor evidence = evidence_of(context, rows_of(faces));
  return {.faces = std::move(faces),
          .request = std::move(request),
          .evidence = std::move(evidence),
          .options = options_with_background(figure, context)};
}

void draw_maps(const Figure& figure, ExplainContext& context, FigureOutput& output) {
  const FaceSelection choice = FaceSelection::parse(figure.faces);
  const std::vector<Face> faces = context.choose(choice, static_cast<uint64_t>(figure.method.seed));
  if (faces.empty()) throw_bad_data(fmt::format("no face of {} is {}", context.dataset().source, figure.faces));
  const bool per_face = output.has("row") || output.has("label") || output.has("class");
  std::map<std::filesystem::path, std::vector<FaceMap>> pictures;
  std::vector<std::filesystem::path> order;
  const std::vector<std::string> methods = figure_methods(figure, context.graph());
  for (const std::string& name : methods) {
    context.listener().progress(
        "explaining", static_cast<int64_t>(&name - methods.data()), static_cast<int64_t>(methods.size()), name);
    if (stop_requested()) throw Error(ErrorCode::interrupted, "stopped while explaining");
    for (FaceMap& map : compute(figure, context, explain::method(name), faces, figure.measure && output.has_raw())) {
      std::map<std::string, std::string> tokens{{"method", name}};
      if (per_face) {
        const int64_t shown_class = map.face.label == data::kUnlabeled ? map.target : map.face.label;
        tokens["row"] = std::to_string(map.face.source_row);
        tokens["label"] = std::to_string(shown_class);
        tokens["class"] = context.class_name(shown_class);
      }
      const auto path = output.path(tokens);
      const auto found = pictures.find(path);
      if (found == pictures.end()) order.push_back(path);
      const bool is_alone = per_face && (output.has("method") || methods.size() == 1) && output.has("row");
      const std::string suffix = is_alone ? "" : fmt::format("_{}_row{}", name, map.face.source_row);
      output.numbers(path, at::tensor(map.values).view({context.dataset().height, context.dataset().width}), suffix);
      output.sidecar(path, map_facts(figure, context, map), suffix);
      pictures[path].push_back(std::move(map));
    }
  }
  for (const auto& path : order) draw(figure, context, output, path, pictures[path]);
}

void draw_contact_sheets(const Figure& figure, ExplainContext& context, FigureOutput& output) {
  const auto seed = static_cast<uint64_t>(figure.method.seed);
  // Right and wrong faces, all classes at once: one batch for each method.
  std::vector<Face> faces;
  for (const auto kind : {FaceSelection::Kind::correct, FaceSelection::Kind::wrong}) {
    FaceSelection choice{.kind = kind, .part = figure.part, .numbers = {}, .count = figure.sheet_faces};
    for (Face& face : context.choose(choice, seed)) {
      if (face.is_right() == (kind == FaceSelection::Kind::correct)) faces.push_back(std::move(face));
    }
  }
  for (const std::string& name : figure_methods(figure, context.graph())) {
    const std::vector<FaceMap> maps = compute(figure, context, explain::method(name), faces, false);
    for (int64_t c = 0; c < context.dataset().classes(); ++c) {
      report::Sheet sheet;
      std::vector<FaceMap> shown;
      for (const bool is_right : {true, false}) {
        report::PanelGrid grid{
            .heading = fmt::format(
                "{} faces that are {}", context.class_name(c), is_right ? "recognized" : "taken for another class"),
            .tile = map_tile(context)};
        std::vector<report::Panel> overlays;
        for (const FaceMap& map : maps) {
          if (map.face.label != c || map.face.is_right() != is_right) continue;
          grid.panels.push_back(panel_of("image", figure, context, map));
          overlays.push_back(panel_of("overlay", figure, context, map));
          shown.push_back(map);
        }
        if (overlays.empty()) continue;
        grid.columns = static_cast<int64_t>(overlays.size());
        grid.panels.insert(grid.panels.end(), overlays.begin(), overlays.end());
        sheet.grids.push_back(std::move(grid));
      }
      if (shown.empty()) continue;
      const std::string caption = fmt::format("{}: {} faces, recognized and not", name, context.class_name(c));
      sheet.title = figure.title.empty() ? caption : figure.title;
      sheet.subtitle = {fmt::format(
          "{}, {}", context.graph().name, std::filesystem::path(context.dataset().source).filename().string())};
      if (!shown.front().layer.empty()) sheet.subtitle.push_back("read at " + shown.front().layer);
      explain_colors(sheet, shown);
      output.picture(output.path({{"method", name}, {"class", context.class_name(c)}, {"label", std::to_string(c)}}),
                     sheet,
                     caption);
    }
  }
}

}  // namespace mien::figures
