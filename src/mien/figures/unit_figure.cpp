#include "mien/figures/unit_figure.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/explain/layers.h"
#include "mien/figures/figure_output.h"
#include "mien/figures/panels.h"

namespace mien::figures {
namespace {

using explain::ClassSelectivity;
using explain::UnitSurvey;

const std::vector<std::string> kPlaceholders{"layer"};
constexpr size_t kMostNamed = 12;     // units in a line of text
constexpr size_t kMostSelective = 5;  // units that the summary names

/// A survey of some of a layer's units, and what is said of it.
struct UnitTable {
  int layer = 0;
  std::vector<int64_t> units;
  UnitSurvey survey;
  ClassSelectivity selectivity;
  std::vector<int64_t> dead;   ///< units that no face brings above 0
  std::vector<int64_t> order;  ///< the units by preferred class and, within it, by selectivity; others last
};

std::string capitalized(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

double at_unit(const at::Tensor& values, int64_t unit) { return values[unit].item<double>(); }

UnitTable make_table(int layer, std::vector<int64_t> units, UnitSurvey survey) {
  UnitTable table{.layer = layer, .units = std::move(units), .survey = std::move(survey)};
  table.selectivity = explain::class_selectivity(table.survey);
  for (const int64_t unit : table.units) {
    if (at_unit(table.survey.active_share, unit) == 0) table.dead.push_back(unit);
  }
  table.order = table.units;
  const auto preferred = [&](int64_t unit) {
    const int64_t label = table.selectivity.preferred[static_cast<size_t>(unit)];
    return label < 0 ? table.survey.class_means.size(1) : label;
  };
  const auto value = [&](int64_t unit) {
    const double number = table.selectivity.values[static_cast<size_t>(unit)];
    return std::isnan(number) ? -1.0 : number;
  };
  std::stable_sort(table.order.begin(), table.order.end(), [&](int64_t a, int64_t b) {
    return preferred(a) != preferred(b) ? preferred(a) < preferred(b) : value(a) > value(b);
  });
  return table;
}

/// "0.7" or nothing.
std::string csv_number(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : ""; }

std::string csv_text(const ExplainContext& context, const UnitTable& table) {
  std::string text = "layer,unit,mean,deviation,active_share";
  for (const std::string& name : context.dataset().class_names) text += fmt::format(",{}", evaluation::csv_field(name));
  text += ",preferred_class,selectivity\n";
  const UnitSurvey& survey = table.survey;
  for (const int64_t unit : table.units) {
    text += fmt::format("{},{},{},{},{}",
                        context.graph().layers[static_cast<size_t>(table.layer)].name,
                        unit,
                        csv_number(at_unit(survey.mean, unit)),
                        csv_number(at_unit(survey.deviation, unit)),
                        csv_number(at_unit(survey.active_share, unit)));
    for (int64_t label = 0; label < survey.class_means.size(1); ++label)
      text += fmt::format(",{}", csv_number(at_unit(survey.class_means[unit], label)));
    const int64_t preferred = table.selectivity.preferred[static_cast<size_t>(unit)];
    text += fmt::format(",{},{}\n",
                        preferred < 0 ? "" : evaluation::csv_field(context.class_name(preferred)),
                        csv_number(table.selectivity.values[static_cast<size_t>(unit)]));
  }
  return text;
}

/// What `selectivity` is, for a reader.
std::string selectivity_text(const ClassSelectivity& selectivity) {
  return selectivity.is_index
             ? "Selectivity is (m - r) / (m + r) of the largest class mean m and the mean r of the other classes' "
               "means, "
               "0 to 1 (Morcos et al. 2018)."
             : "Selectivity is (m - r) / deviation of the largest class mean m and the mean r of the other classes' "
               "means: "
               "the layer has negative activations, for which the index (m - r) / (m + r) has no meaning.";
}

/// The most selective units, "17 for happy (0.71), ...".
std::string most_selective_text(const ExplainContext& context, const UnitTable& table) {
  std::vector<int64_t> units;
  for (const int64_t unit : table.units) {
    if (table.selectivity.preferred[static_cast<size_t>(unit)] >= 0) units.push_back(unit);
  }
  std::stable_sort(units.begin(), units.end(), [&](int64_t a, int64_t b) {
    return table.selectivity.values[static_cast<size_t>(a)] > table.selectivity.values[static_cast<size_t>(b)];
  });
  std::vector<std::string> parts;
  for (size_t i = 0; i < std::min(units.size(), kMostSelective); ++i) {
    const auto unit = static_cast<size_t>(units[i]);
    parts.push_back(fmt::format("{} for {} ({:.2f})",
                                unit,
                                context.class_name(table.selectivity.preferred[unit]),
                                table.selectivity.values[unit]));
  }
  return join(parts, ", ");
}

/// "3 of 128 units are dead (no face brings them above 0): 5, 17, 90"
std::string dead_text(const ExplainContext& context, const UnitTable& table) {
  const std::string noun = unit_noun(context.graph(), table.layer);
  if (table.dead.empty()) {
    return fmt::format(
        fmt::runtime(table.selectivity.is_index ? "none of {} {}s is dead" : "each of {} {}s is above 0 for some face"),
        table.units.size(),
        noun);
  }
  // Where activations have a sign, below 0 is no silence.
  const std::string state = table.selectivity.is_index ? "dead: 0 for every face" : "above 0 for no face";
  std::string text = fmt::format(
      "{} of {} {}s {} {}", table.dead.size(), table.units.size(), noun, table.dead.size() == 1 ? "is" : "are", state);
  const size_t named = std::min(table.dead.size(), kMostNamed);
  text += fmt::format(" ({}{})",
                      fmt::join(table.dead.begin(), table.dead.begin() + static_cast<std::ptrdiff_t>(named), ", "),
                      named < table.dead.size() ? ", ..." : "");
  return text;
}

/// The class means as a table of colors, rows by the class that they prefer; `largest` gets the largest magnitude.
report::HeatTable heat_table(const ExplainContext& context,
                             const UnitTable& table,
                             const at::Tensor& values,
                             double& largest) {
  const UnitSurvey& survey = table.survey;
  report::HeatTable heat{.note_heading = "selectivity", .is_signed = (values < 0).any().item<bool>()};
  for (int64_t label = 0; label < values.size(1); ++label) {
    const int64_t count = survey.class_faces[static_cast<size_t>(label)];
    heat.columns.push_back(
        fmt::format("{}, {} {}", context.class_name(label), with_commas(count), count == 1 ? "face" : "faces"));
  }
  std::vector<float> finite;
  int64_t above = -1;
  for (const int64_t unit : table.order) {
    const int64_t preferred = table.selectivity.preferred[static_cast<size_t>(unit)];
    const double selectivity = table.selectivity.values[static_cast<size_t>(unit)];
    report::HeatTable::Row row{.name = unit_name(context, table.layer, unit),
                               .note = at_unit(survey.active_share, unit) == 0 && table.selectivity.is_index ? "dead"
                                       : std::isfinite(selectivity) ? fmt::format("{:.2f}", selectivity)
                                                                    : "",
                               .begins_group = !heat.rows.empty() && preferred != above};
    above = preferred;
    for (int64_t label = 0; label < values.size(1); ++label) {
      row.values.push_back(at_unit(values[unit], label));
      if (std::isfinite(row.values.back())) finite.push_back(static_cast<float>(row.values.back()));
    }
    heat.rows.push_back(std::move(row));
  }
  // A single strong unit does not make all others pale.
  const report::MapRange range = report::measure_map(finite, 99);
  largest = std::max(std::abs(range.minimum), std::abs(range.maximum));
  heat.shown = range.shown > 0 ? range.shown : 1;
  return heat;
}

report::Sheet sheet_of(const UnitFigure& figure, const ExplainContext& context, const UnitTable& table, int64_t faces) {
  const bool is_standardized = figure.values == "standardized";
  double largest = 0;
  report::HeatTable heat = heat_table(
      context, table, is_standardized ? explain::standardized_means(table.survey) : table.survey.class_means, largest);
  heat.is_signed |= is_standardized;
  const std::string top = short_number(heat.shown);
  const bool is_clipped = largest > heat.shown;
  const std::string noun = unit_noun(context.graph(), table.layer);
  const bool is_part = figure.faces == "all" && figure.rows != "all";
  report::Sheet sheet{
      .title = fmt::format("What the {}s of {} answer to", noun, explain::layer_text(context.graph(), table.layer))};
  sheet.bar = report::ColorBar{.is_signed = heat.is_signed,
                               .low = !heat.is_signed ? "0"
                                      : is_clipped    ? fmt::format("\u2264 -{}", top)
                                                      : "-" + top,
                               .middle = heat.is_signed ? "0" : "",
                               .high = is_clipped ? "\u2265 " + top : top,
                               .caption = is_standardized ? "standard deviations" : "mean activation"};
  sheet.subtitle = {
      fmt::format("{}, {}: {} {}faces{}",
                  context.graph().name,
                  source_name(context),
                  with_commas(faces),
                  is_part ? figure.rows + " " : "",
                  noun == "unit" ? "" : fmt::format("; activation: the {} over positions", figure.unit.score)),
      is_standardized
          ? fmt::format("Colors: class mean less the mean over all faces, in standard deviations of the {}", noun)
          : "Colors: mean activation of each class"};
  sheet.table = std::move(heat);
  sheet.notes = {fmt::format("Rows are sorted by the class that they prefer, the most selective first. {}.",
                             capitalized(dead_text(context, table))),
                 selectivity_text(table.selectivity)};
  return sheet;
}

}  // namespace

void UnitFigure::bind(OptionSet& options) {
  picture.bind(options, kPlaceholders);
  options.add(&faces, face_option());
  layers.bind(options, "the last convolution and the dense layers, each at its activation");
  options.add(&rows, part_option());
  options.add(&seed, {.name = "explain-seed", .help = "seed of faces that are chosen at random", .minimum = 0});
  options.add(&values,
              {.name = "unit-values",
               .help = "what the colors stand for: the class mean less the unit's mean over all faces, in the unit's "
                       "standard deviations, or the class mean itself",
               .choices = {"standardized", "mean"}});
  unit.bind(options, false);
}

void UnitFigure::check(const network::Graph& graph) const {
  picture.check(kPlaceholders);
  FaceSelection::parse(faces);
  if (faces != "all" && rows != "all") {
    throw_usage(fmt::format("faces are {} and part is {}, expected one of both", quote_sample(faces), rows),
                fmt::format("--faces {}:random:500 chooses from a part", rows));
  }
  if (layers.choose(graph, last_activations(graph)).size() > 1 && picture.file.find("{layer}") == std::string::npos)
    throw_usage("several layers' units need {layer} in the file name", "--layers names one layer");
}

std::string UnitFigure::part() const { return faces == "all" ? rows : FaceSelection::parse(faces).part; }

void UnitFigure::draw(ExplainContext& context, FigureOutput& output) const {
  const network::Graph& graph = context.graph();
  const data::Dataset& dataset = context.dataset();
  const std::vector<int64_t> chosen_rows =
      faces == "all" ? context.parts().of(rows)
                     : context.choose_rows(FaceSelection::parse(faces), static_cast<uint64_t>(seed));
  const auto is_labeled = [&](int64_t row) { return dataset.labels[static_cast<size_t>(row)] != data::kUnlabeled; };
  if (std::none_of(chosen_rows.begin(), chosen_rows.end(), is_labeled)) {
    throw_bad_data(fmt::format("cannot compare units by class: none of the {} faces of {} has a label",
                               with_commas(static_cast<int64_t>(chosen_rows.size())),
                               dataset.source));
  }
  for (const LayerUnits& chosen : layers.choose(graph, last_activations(graph))) {
    const std::string& name = layer_name(graph, chosen.layer);
    const auto path = output.path({{"layer", name}});
    explain::UnitOptions options = unit;
    options.faces = 1;  // the extremes say whether activations have a sign
    const UnitTable table = make_table(chosen.layer,
                                       chosen.units,
                                       explain::survey_units(context.network(),
                                                             context.normalization(),
                                                             dataset,
                                                             chosen_rows,
                                                             chosen.layer,
                                                             options,
                                                             context.listener()));
    report::Sheet sheet = sheet_of(*this, context, table, static_cast<int64_t>(chosen_rows.size()));
    const std::string title = sheet.title;
    if (!picture.title.empty()) sheet.title = picture.title;
    context.listener().line(fmt::format("{}: {}", explain::layer_text(graph, chosen.layer), dead_text(context, table)));
    const std::string most = most_selective_text(context, table);
    if (!most.empty()) context.listener().line(fmt::format("{}: most selective: {}", name, most));
    output.text(path, ".csv", csv_text(context, table));
    if (output.has_raw())
      context.listener().line(fmt::format("{}: {}.csv", name, (path.parent_path() / path.stem()).string()));
    output.numbers(path, table.survey.class_means.index_select(0, at::tensor(table.units)));
    output.sidecar(path,
                   {{"layer", json_text(name)},
                    {"units", json_list(table.units)},
                    {"order", json_list(table.order)},
                    {"face_count", std::to_string(chosen_rows.size())},
                    {"class_faces", json_list(table.survey.class_faces)},
                    {"activation", json_text(table.survey.score)},
                    {"selectivity", json_text(selectivity_text(table.selectivity))},
                    {"units_never_above_0", json_list(table.dead)}});
    output.picture(
        path,
        std::move(sheet),
        fmt::format("{}; {}{}", title, dead_text(context, table), most.empty() ? "" : "; most selective: " + most));
  }
}

}  // namespace mien::figures
