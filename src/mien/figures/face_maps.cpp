#include "mien/figures/face_maps.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/text.h"
#include "mien/explain/layers.h"
#include "mien/figures/figure_output.h"
#include "mien/figures/panels.h"

namespace mien::figures {
namespace {

using explain::Attributions;
using explain::MethodSpec;
using report::Enlarging;
using report::MapState;

constexpr int64_t kTile = 144;              // units of two pixels
constexpr int64_t kBackgroundFaces = 1000;  // that expected-gradients draws from
constexpr double kNearlyLargest = 0.95;     // a clip so near the largest value hides nothing

/// The methods that use an option, by how its name begins; the first entry that fits counts.
struct OptionUse {
  const char* prefix;
  const char* methods;   ///< separated by commas
  const char* segments;  ///< way to cut regions that it belongs to; empty: all
};
constexpr OptionUse kUses[] = {{"smooth-", "smoothgrad,squaregrad,vargrad", ""},
                               {"ig-steps", "integrated-gradients", ""},
                               {"attribution-baseline", "integrated-gradients,deeplift", ""},
                               {"expected-", "expected-gradients", ""},
                               {"deeplift-", "deeplift", ""},
                               {"lrp-gamma", "lrp-gamma", ""},
                               {"lrp-alpha", "lrp-alpha-beta", ""},
                               {"lrp-dense", "lrp-gamma,lrp-alpha-beta", ""},
                               {"lrp-", "lrp-epsilon,lrp-gamma,lrp-alpha-beta", ""},
                               {"guided-", "guided-grad-cam", ""},
                               {"ablation-", "ablation-cam", ""},
                               {"hide", "occlusion,rise,lime,kernel-shap,feature-ablation", ""},
                               {"occlusion-", "occlusion", ""},
                               {"rise-", "rise", ""},
                               {"lime-", "lime", ""},
                               {"shap-", "kernel-shap", ""},
                               {"segments", "lime,kernel-shap,feature-ablation", ""},
                               {"segment-size", "lime,kernel-shap,feature-ablation", "grid"},
                               {"segment-count", "lime,kernel-shap,feature-ablation", "slic"},
                               {"slic-", "lime,kernel-shap,feature-ablation", "slic"},
                               {"quickshift-", "lime,kernel-shap,feature-ablation", "quickshift"},
                               {"felzenszwalb-", "lime,kernel-shap,feature-ablation", "felzenszwalb"}};

explain::Score parse_score(const std::string& text) {
  for (const explain::Score score :
       {explain::Score::logit, explain::Score::probability, explain::Score::sum_of_logits}) {
    if (text == to_text(score)) return score;
  }
  throw_usage(fmt::format("unknown score {}", quote_sample(text)), "one of: logit, probability, sum");
}

int64_t target_of(const std::string& target, const ExplainContext& context, const Face& face) {
  if (target == "predicted") return face.is_stand_in ? face.label : face.predicted;
  if (target == "label") {
    if (face.label == data::kUnlabeled)
      throw_usage(fmt::format("target is label, but {} has none", context.face_name(face)),
                  "--target predicted needs no label");
    return face.label;
  }
  const auto& names = context.dataset().class_names;
  const auto found = std::find(names.begin(), names.end(), target);
  if (found == names.end()) {
    std::vector<std::string> known = names;
    known.insert(known.end(), {"predicted", "label"});
    throw_usage(fmt::format("target is {}, expected predicted, label or a class", quote_sample(target)),
                suggestion(target, known));
  }
  return found - names.begin();
}

/// By how much a face and its maps are enlarged: 6 times for 48 pixels.
int64_t map_factor(const ExplainContext& context) { return std::max<int64_t>(1, 2 * kTile / face_pixels(context)); }

bool has_regions(const FaceMap& map) { return map.diagnostics.contains("segments"); }

/// Smallest, largest and last color of a map.
report::MapRange range_of(const std::vector<float>& values, double clip) {
  report::MapRange range = report::measure_map(values, clip);
  const double largest = std::max(std::abs(range.minimum), std::abs(range.maximum));
  if (range.shown >= kNearlyLargest * largest) range.shown = largest;
  return range;
}

/// A layer whose map may show more than that of `layer`, which shows nothing: the default's, or its activation.
std::string layer_advice(const network::Graph& graph, int layer) {
  for (const int other : {explain::choose_layer(graph, ""), activation_of(graph, layer)}) {
    if (other != layer) return fmt::format("; --layer {} may show more", layer_name(graph, other));
  }
  return "; a gradient or perturbation method needs no layer";
}

void warn_of_empty_maps(const std::vector<FaceMap>& maps, const ExplainContext& context, int layer) {
  for (const FaceMap& map : maps) {
    if (map.range.state == MapState::usable) continue;
    context.listener().warning(fmt::format("{} of {} for {} shows nothing: {}{}",
                                           map.spec->name,
                                           context.face_name(map.face),
                                           context.class_name(map.target),
                                           map.problem(),
                                           layer < 0 ? "" : layer_advice(context.graph(), layer)));
  }
}

/// LIME and Kernel SHAP fit anything where samples are few: one line for all faces, with what says so.
void warn_of_few_samples(const std::vector<FaceMap>& maps, const ExplainContext& context) {
  constexpr double kEnough = 10;  // samples a region
  const FaceMap* worst = nullptr;
  const auto per_region = [](const FaceMap& map) {
    const auto samples = map.diagnostics.find(map.spec->name == "lime" ? "samples" : "coalitions");
    return samples == map.diagnostics.end() ? kEnough : samples->second / map.diagnostics.at("segments");
  };
  for (const FaceMap& map : maps) {
    if (!map.diagnostics.contains("split_stability") || per_region(map) >= kEnough) continue;
    if (worst == nullptr || per_region(map) < per_region(*worst)) worst = &map;
  }
  if (worst == nullptr) return;
  context.listener().warning(fmt::format(
      "{} has {:.1f} samples a region, {} or more can be trusted: the halves of {}'s samples rank its regions alike by "
      "{:.2f} (1: the same), R^2 on samples not fitted is {:.2f}; take more --{}-samples",
      worst->spec->name,
      per_region(*worst),
      kEnough,
      context.face_name(worst->face),
      worst->diagnostics.at("split_stability"),
      worst->diagnostics.at("r2_held_out"),
      worst->spec->name == "lime" ? "lime" : "shap"));
}

}  // namespace

std::string FaceMap::problem() const {
  const auto rounding = diagnostics.find("below_rounding");
  return rounding == diagnostics.end() ? range.problem()
                                       : fmt::format("rounding only (at most {:.1g})", rounding->second);
}

void MapOptions::bind(OptionSet& options) {
  options.add(&methods,
              {.name = "method",
               .help = "explanation methods (`mien methods` lists them), separated by commas, or all that are "
                       "defined for the network"});
  options.add(&target,
              {.name = "target",
               .help = "class that is explained: predicted, label, or a class's name; a list (happy,label,...) has one "
                       "for each face"});
  options.add(&score,
              {.name = "score",
               .help = "number that is explained: the class's logit, its probability, or the sum of all logits",
               .choices = {"logit", "probability", "sum"},
               .source = "sum: report E"});
  options.add(&clip,
              {.name = "clip",
               .help = "per cent of a map's pixels below the last color, so that one pixel does not darken all "
                       "others; 100 shows the largest",
               .minimum = 50,
               .maximum = 100});
}

std::string MapOptions::unused(std::string_view option) const {
  if (methods == std::vector<std::string>{"all"}) return "";
  const auto is_named = [&](const std::string& name) {
    return std::find(methods.begin(), methods.end(), name) != methods.end();
  };
  std::vector<std::string> users;
  const char* segments = "";
  if (option == "layer") {
    for (const MethodSpec& spec : explain::methods()) {
      if (spec.reads_layer) users.push_back(spec.name);
    }
  } else {
    const auto* const use = std::find_if(
        std::begin(kUses), std::end(kUses), [&](const OptionUse& entry) { return option.starts_with(entry.prefix); });
    if (use == std::end(kUses)) return "";
    users = split(use->methods, ',');
    segments = use->segments;
  }
  if (std::none_of(users.begin(), users.end(), is_named)) return "belongs to " + join(users, ", ");
  const std::string& chosen = method.perturbation.segment.segments;
  return segments[0] == '\0' || chosen == segments ? "" : fmt::format("belongs to segments {}", segments);
}

std::vector<std::string> MapOptions::names(const network::Graph& graph) const {
  if (methods != std::vector<std::string>{"all"}) return methods;
  std::vector<std::string> all;
  for (const MethodSpec& spec : explain::methods()) {
    if (!spec.unsupported_reason || spec.unsupported_reason(graph).empty()) all.push_back(spec.name);
  }
  return all;
}

void MapOptions::check(const network::Graph& graph) const {
  if (methods.empty()) throw_usage("no method is named", "`mien methods` lists them");
  for (const std::string& name : names(graph)) {
    const MethodSpec& spec = explain::method(name);
    if (const std::string why = spec.unsupported_reason ? spec.unsupported_reason(graph) : std::string();
        !why.empty()) {
      throw_usage(fmt::format("{} for {}: {}", spec.name, graph.name, why),
                  "`mien methods` shows what each method needs");
    }
    if (spec.reads_layer) explain::choose_layer(graph, method.layer);
  }
}

explain::AttributionRequest attribution_request(const MapOptions& options,
                                                ExplainContext& context,
                                                const std::vector<Face>& faces) {
  const std::vector<std::string> wanted = split(options.target, ',');
  if (wanted.size() > 1 && wanted.size() != faces.size()) {
    throw_usage(fmt::format("--target names {} classes for {} faces", wanted.size(), faces.size()),
                "one class for all faces, or as many as there are faces, in their order");
  }
  std::vector<int64_t> targets;
  for (size_t i = 0; i < faces.size(); ++i)
    targets.push_back(target_of(std::string(trim(wanted[wanted.size() > 1 ? i : 0])), context, faces[i]));
  return {.network = context.network(),
          .images = context.images(rows_of(faces)),
          .targets = at::tensor(targets),
          .score = parse_score(options.score),
          .black = context.black(rows_of(faces))};
}

explain::MethodOptions with_background(const MapOptions& options, ExplainContext& context) {
  // Faces that stand for the data: random training rows, or of all rows.
  std::vector<int64_t> rows = context.parts().training.empty() ? context.parts().all : context.parts().training;
  RandomStream(static_cast<uint64_t>(options.method.seed), "explain/background").shuffle(rows);
  rows.resize(std::min<size_t>(rows.size(), kBackgroundFaces));
  explain::MethodOptions result = options.method;
  result.gradient.background = std::make_shared<const at::Tensor>(context.images(rows));
  return result;
}

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

std::vector<FaceMap> compute_maps(const MapOptions& options,
                                  ExplainContext& context,
                                  const MethodSpec& spec,
                                  const std::vector<Face>& faces,
                                  const explain::FaithfulnessOptions* measure) {
  const explain::MethodOptions how =
      spec.name == "expected-gradients" ? with_background(options, context) : options.method;
  const explain::AttributionRequest request = attribution_request(options, context, faces);
  const Attributions maps = explain::explain(spec, request, how);
  explain::Faithfulness measured;
  if (measure != nullptr) {
    explain::FaithfulnessOptions quick = *measure;
    quick.rerun_faces = 0;  // sensitivity and randomization run a method a hundred times: for `--evaluate`
    measured = explain::measure(spec, request, maps.values, evidence_of(context, rows_of(faces)), how, quick);
  }
  const std::string layer = maps.layer < 0 ? "" : explain::layer_text(context.graph(), maps.layer);
  if (!layer.empty()) context.listener().line(fmt::format("{} looks at {}", spec.name, layer));
  std::vector<FaceMap> result;
  for (size_t i = 0; i < faces.size(); ++i) {
    FaceMap map{.spec = &spec,
                .face = faces[i],
                .target = request.targets[static_cast<int64_t>(i)].item<int64_t>(),
                .score = spec.name == "lime" ? options.method.perturbation.lime_score_on : options.score,
                .values = floats(maps.values[static_cast<int64_t>(i)]),
                .range = {},
                .layer = layer,
                .diagnostics = {},
                .faithfulness = {}};
    map.range = range_of(map.values, options.clip);
    if (!maps.diagnostics.empty()) map.diagnostics = maps.diagnostics[i];
    if (maps.at_layer.defined()) map.at_layer = maps.at_layer[static_cast<int64_t>(i)];
    if (maps.regions.defined()) map.regions = maps.regions[static_cast<int64_t>(i)];
    for (const auto& [name, values] : measured.values) {
      if (i < values.size() && std::isfinite(values[i])) map.faithfulness[name] = values[i];
    }
    result.push_back(std::move(map));
  }
  warn_of_empty_maps(result, context, maps.layer);
  warn_of_few_samples(result, context);
  return result;
}

int64_t map_tile(const ExplainContext& context) { return (face_pixels(context) * map_factor(context) + 1) / 2; }

report::Panel map_panel(const std::string& name, const ExplainContext& context, const FaceMap& map) {
  const data::Dataset& dataset = context.dataset();
  const int64_t factor = map_factor(context);
  const bool is_usable = map.range.state == MapState::usable;
  if (name == "image") return face_panel(context, map.face, factor);
  report::Panel panel;
  if (name == "map") {
    panel.image = report::map_raster(
        map.values, dataset.height, dataset.width, map.range, map.spec->is_signed, factor, Enlarging::squares);
    panel.caption = fmt::format(
        "{}\n{}",
        map.spec->name,
        is_usable ? fmt::format("{} to {}", short_number(map.range.minimum), short_number(map.range.maximum))
                  : map.problem());
    return panel;
  }
  panel.image = report::overlay_raster(gray_levels(context, map.face.index),
                                       map.values,
                                       dataset.height,
                                       dataset.width,
                                       map.range,
                                       map.spec->is_signed,
                                       factor,
                                       has_regions(map) ? Enlarging::squares : Enlarging::smooth);
  if (has_regions(map))
    report::draw_borders(panel.image, map.values, dataset.height, dataset.width, factor, {235, 235, 235});
  panel.caption = is_usable
                      ? fmt::format("explains {}", map.score == "sum" ? "all scores" : context.class_name(map.target))
                      : fmt::format("map is {}", map.problem());
  return panel;
}

void explain_colors(report::Sheet& sheet, const std::vector<FaceMap>& maps) {
  const bool is_signed = maps.front().spec->is_signed;
  const bool all_alike =
      std::all_of(maps.begin(), maps.end(), [&](const FaceMap& map) { return map.spec->is_signed == is_signed; });
  if (!all_alike) {
    sheet.notes.emplace_back(
        "Attributions with a sign: yellow speaks for the class, blue against it, gray is nothing. Attributions without "
        "one: from black (nothing) to light yellow (most).");
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

}  // namespace mien::figures
