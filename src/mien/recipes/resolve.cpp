#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/recipes/recipe.h"
#include "mien/runs/run_folder.h"

namespace mien::recipes {
namespace {

/// What --quick makes of numbers that are larger.
const std::vector<std::pair<std::string, double>> kQuickRun{{"epochs", 2}, {"fraction", 0.1}, {"members", 2}};
const std::vector<std::pair<std::string, double>> kQuickFigure{{"ascent-steps", 20},
                                                               {"smooth-samples", 5},
                                                               {"ig-steps", 10},
                                                               {"expected-samples", 20},
                                                               {"rise-samples", 200},
                                                               {"lime-samples", 200},
                                                               {"shap-samples", 200},
                                                               {"curve-steps", 8},
                                                               {"infidelity-samples", 5}};
constexpr const char* kQuickUnits = "first 16";  // of ascent

void set_all(OptionSet& options, std::span<const Override> settings) {
  for (const Override& option : settings) options.set(option.name, option.text, option.origin, option.detail);
}

void make_smaller(OptionSet& options, const std::vector<std::pair<std::string, double>>& table) {
  for (const auto& [name, most] : table) {
    const OptionSet::Entry* entry = options.find(name);
    if (entry != nullptr && parse_double(entry->text()).value_or(0) > most)
      options.set(name, format_double(most), Origin::recipe, "--quick");
  }
}

/// `settings` that name an option of a run, or those that do not.
std::vector<Override> of_runs(std::span<const Override> settings, bool of_runs) {
  runs::Experiment experiment;
  OptionSet known;
  experiment.bind(known);
  std::vector<Override> kept;
  std::copy_if(settings.begin(), settings.end(), std::back_inserter(kept), [&](const Override& setting) {
    return (known.find(setting.name) != nullptr) == of_runs;
  });
  return kept;
}

ResolvedRun resolve_run(const Recipe& recipe, const RecipeRun& run, std::span<const Override> overrides, bool quick) {
  ResolvedRun resolved{
      .name = run.name, .experiment = std::make_shared<runs::Experiment>(), .options = {}, .figures = {}};
  resolved.experiment->bind(resolved.options);
  set_all(resolved.options, recipe.options);
  set_all(resolved.options, run.options);
  if (quick) {
    make_smaller(resolved.options, kQuickRun);
    if (resolved.experiment->split.validation.starts_with("last:"))
      resolved.options.set("validation", "fraction:0.2", Origin::recipe, "--quick");
  }
  set_all(resolved.options, overrides);
  // Drawn faces are as few as their count says.
  if (resolved.options.find("fraction")->origin_detail == "--quick" &&
      resolved.experiment->data.data.starts_with("drawn"))
    resolved.options.set("fraction", "1", Origin::recipe, "drawn faces");
  return resolved;
}

/// The network that the run trains. Errors begin with the place that names it.
network::Graph network_of(const ResolvedRun& run) {
  try {
    return network::load_graph(run.experiment->run.network);
  } catch (const Error& error) {
    const OptionSet::Entry* entry = run.options.find("network");
    if (entry->origin != Origin::recipe) throw;
    throw Error(error.code(), fmt::format("{}: {}", entry->origin_detail, error.what()), error.hint());
  }
}

/// What a figure's options overrule, and which of those found a figure that uses them.
struct FigureSettings {
  std::vector<Override> overrides;
  std::string outputs_faces;
  bool quick = false;
  int64_t seed = 0;
  std::set<std::string>& used;
};

figures::Figure resolve_figure(const RecipeFigure& description, const FigureSettings& settings) {
  figures::Figure figure = figures::make_figure(description.kind);
  OptionSet options;
  figures::bind(figure, options);
  set_all(options, description.options);
  const bool climbs = options.find("ascent-preset") != nullptr;
  figures::check_used(figure, options);
  if (climbs) explain::apply_ascent_preset(options);
  if (settings.quick) {
    make_smaller(options, kQuickFigure);
    if (auto* ascent = std::get_if<figures::AscentFigure>(&figure)) ascent->layers.units = kQuickUnits;
  }
  for (const Override& setting : settings.overrides) {
    if (options.find(setting.name) == nullptr || !figures::unused(figure, setting.name).empty()) continue;
    options.set(setting.name, setting.text, setting.origin, setting.detail);
    settings.used.insert(setting.name);
  }
  if (climbs) explain::apply_ascent_preset(options);  // one that an override chose
  if (auto* outputs = std::get_if<figures::OutputFigure>(&figure);
      outputs != nullptr && !settings.outputs_faces.empty()) {
    outputs->faces = settings.outputs_faces;
    settings.used.insert("outputs-faces");
  }
  for (const char* name : {"explain-seed", "ascent-seed"}) {
    const OptionSet::Entry* entry = options.find(name);
    if (entry != nullptr && entry->origin == Origin::default_value)
      options.set(name, std::to_string(settings.seed), Origin::recipe, "seed");
  }
  return figure;
}

/// `action`, its errors beginning with the place in the recipe.
template <class Action>
auto at_place(const RecipeFigure& description, const Action& action) {
  try {
    return action();
  } catch (const Error& error) {
    const std::string file = description.place.substr(0, description.place.rfind(':') + 1);
    if (std::string_view(error.what()).starts_with(file)) throw;
    throw Error(error.code(), fmt::format("{}: {}", description.place, error.what()), error.hint());
  }
}

void resolve_figures(const Recipe& recipe, ResolvedRun& run, FigureSettings settings, ProgressListener& listener) {
  const network::Graph graph = network_of(run);
  const bool is_recipes_network = run.options.find("network")->origin <= Origin::recipe;
  settings.seed = run.experiment->train.loop.seed;
  for (const RecipeFigure& description : recipe.figures) {
    if (!description.is_for(run.name)) continue;
    try {
      at_place(description, [&] {
        if (run.experiment->ensemble.members > 1)
          throw_usage(fmt::format("run {} is an ensemble", run.name),
                      "runs = [...] names the runs that a figure is for");
        figures::Figure figure = resolve_figure(description, settings);
        figures::check_figure(figure, graph);
        run.figures.push_back(std::move(figure));
      });
    } catch (const Error& error) {
      if (is_recipes_network || error.code() != ErrorCode::usage) throw;
      listener.warning(fmt::format("run {} goes without a figure: {}", run.name, error.what()));
    }
  }
}

/// Says which of the recipe's runs differ from what they are there for.
void tell_overruled(const Recipe& recipe,
                    std::span<const Override> overrides,
                    const std::vector<ResolvedRun>& runs,
                    ProgressListener& listener) {
  for (const Override& setting : overrides) {
    std::vector<std::string> changed;
    for (const RecipeRun& run : recipe.runs) {
      const bool is_chosen =
          std::any_of(runs.begin(), runs.end(), [&](const ResolvedRun& other) { return other.name == run.name; });
      for (const Override& own : run.options) {
        if (is_chosen && own.name == setting.name && own.text != setting.text)
          changed.push_back(fmt::format("{} ({} {} in the recipe)", run.name, own.name, own.text));
      }
    }
    if (!changed.empty())
      listener.line(fmt::format("{} overrules what sets runs apart: {}", setting.detail, join(changed, ", ")));
  }
  const auto values = [](const ResolvedRun& run) {
    std::string text;
    for (const OptionSet::Entry& entry : run.options.entries()) text += entry.text() + "\n";
    return text;
  };
  for (size_t i = 0; i < runs.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (values(runs[i]) != values(runs[k])) continue;
      listener.warning(fmt::format("runs {} and {} are the same now; --only {} carries out one of them",
                                   runs[k].name,
                                   runs[i].name,
                                   runs[k].name));
    }
  }
}

void check_names(const Recipe& recipe, const std::vector<std::string>& only) {
  std::vector<std::string> names;
  for (const RecipeRun& run : recipe.runs) names.push_back(run.name);
  for (const std::string& name : only) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw_usage(fmt::format("--only: recipe {} has no run {}", recipe.name, quote_sample(name)),
                  suggestion(name, names));
  }
}

}  // namespace

ResolvedRecipe resolve(const Recipe& recipe,
                       std::span<const Override> overrides,
                       const RecipeOptions& wish,
                       ProgressListener& listener) {
  check_names(recipe, wish.only);
  const std::vector<Override> run_overrides = of_runs(overrides, true);
  std::set<std::string> used;
  const FigureSettings settings{
      .overrides = of_runs(overrides, false), .outputs_faces = wish.outputs_faces, .quick = wish.quick, .used = used};
  ResolvedRecipe result{.shared = resolve_run(recipe, {.name = recipe.name, .options = {}}, run_overrides, wish.quick),
                        .runs = {}};
  std::string& name = result.shared.experiment->run.name;
  if (name.empty()) name = recipe.name + (wish.quick ? "-quick" : "");
  runs::check_folder_name(name, "--name");
  for (const RecipeRun& run : recipe.runs) {
    const bool is_chosen =
        wish.only.empty() || std::find(wish.only.begin(), wish.only.end(), run.name) != wish.only.end();
    // A run that is left out is checked as the recipe has it.
    ResolvedRun resolved =
        resolve_run(recipe, run, is_chosen ? run_overrides : std::vector<Override>{}, is_chosen && wish.quick);
    resolve_figures(recipe,
                    resolved,
                    is_chosen ? settings : FigureSettings{.overrides = {}, .outputs_faces = {}, .used = used},
                    listener);
    if (is_chosen) result.runs.push_back(std::move(resolved));
  }
  for (const Override& setting : settings.overrides) {
    if (!used.contains(setting.name))
      throw_usage(fmt::format("{}: no figure of recipe {} uses it", setting.detail, recipe.name));
  }
  if (!wish.outputs_faces.empty() && !used.contains("outputs-faces"))
    throw_usage(fmt::format("--outputs-faces: recipe {} has no figure of kind outputs", recipe.name));
  tell_overruled(recipe, run_overrides, result.runs, listener);
  return result;
}

}  // namespace mien::recipes
