#include "mien/recipes/recipe_figures.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/text.h"
#include "mien/data/load.h"
#include "mien/network/graph/graph.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/run_page.h"
#include "mien/runs/run_summary.h"
#include "mien/runtime/environment.h"

namespace mien::recipes {
namespace {

using nlohmann::ordered_json;

bool is_for(const RecipeFigure& figure, const RecipeRun& run) {
  return figure.runs.empty() || std::find(figure.runs.begin(), figure.runs.end(), run.name) != figure.runs.end();
}

std::vector<int64_t> all_rows(const data::Dataset& dataset) {
  std::vector<int64_t> rows(static_cast<size_t>(dataset.size()));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  return rows;
}

/// Of everything that decides a run's figures.
std::string figures_key(const Recipe& recipe, const RecipeRun& run, const std::string& weights_hash) {
  std::string text = weights_hash;
  for (const RecipeFigure& figure : recipe.figures) {
    if (!is_for(figure, run)) continue;
    text += "\n" + figure.kind;
    for (const Override& option : figure.options) text += "\n" + option.name + "=" + option.text;
  }
  return checksum(text);
}

}  // namespace

figures::Figure make_figure(const RecipeFigure& description, int64_t seed) {
  try {
    figures::Figure figure = figures::default_figure(figures::figure_kind(description.kind));
    OptionSet options;
    figure.bind(options);
    for (const Override& option : description.options)
      options.set(option.name, option.text, option.origin, option.detail);
    if (options.find("ascent-preset") != nullptr) explain::apply_ascent_preset(options);
    for (const char* name : {"explain-seed", "ascent-seed"}) {
      const OptionSet::Entry* entry = options.find(name);
      if (entry != nullptr && entry->origin == Origin::default_value)
        options.set(name, std::to_string(seed), Origin::recipe, "seed");
    }
    return figure;
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(description.place.substr(0, description.place.rfind(':')))) throw;
    throw Error(error.code(), fmt::format("{}: {}", description.place, error.what()), error.hint());
  }
}

void check_figures(const Recipe& recipe) {
  std::vector<std::string> names;
  for (const RecipeRun& run : recipe.runs) names.push_back(run.name);
  for (const RecipeFigure& description : recipe.figures) {
    for (const std::string& name : description.runs) {
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        throw_usage(fmt::format("{}: the recipe has no run {}", description.place, quote_sample(name)),
                    suggestion(name, names));
      }
    }
    const figures::Figure figure = make_figure(description, 0);
    for (const RecipeRun& run : recipe.runs) {
      if (!is_for(description, run)) continue;
      runs::Experiment experiment;
      OptionSet options;
      experiment.bind(options);
      apply_recipe(recipe, run, {}, options);
      try {
        if (experiment.ensemble.members > 1)
          throw_usage(fmt::format("run {} is an ensemble", run.name),
                      "runs = [...] names the runs that a figure is for");
        figures::check_figure(figure, network::load_graph(experiment.run.network));
      } catch (const Error& error) {
        throw Error(error.code(), fmt::format("{}: {}", description.place, error.what()), error.hint());
      }
    }
  }
}

std::vector<runs::DrawnPicture> draw_recipe_figures(const Recipe& recipe,
                                                    const RecipeRun& run,
                                                    const runs::Experiment& experiment,
                                                    const network::LoadedWeights& weights,
                                                    const data::Dataset& dataset,
                                                    const std::filesystem::path& folder,
                                                    bool raw,
                                                    ProgressListener& listener) {
  const data::Split split = data::make_split(dataset, experiment.split);
  figures::SplitRows parts{
      .all = all_rows(dataset), .training = split.training, .validation = split.validation, .test = split.test};
  std::optional<data::Dataset> test_data;
  std::optional<figures::ExplainContext> test_subject;
  if (parts.test.empty() && experiment.judge.test_data.empty()) parts.test = split.validation;
  figures::ExplainContext context(weights, dataset, std::move(parts), listener);
  std::vector<runs::DrawnPicture> drawn;
  for (const RecipeFigure& description : recipe.figures) {
    if (!is_for(description, run)) continue;
    const figures::Figure figure = make_figure(description, experiment.train.loop.seed);
    const bool wants_test = figures::FaceSelection::parse(figure.faces).part == "test" || figure.part == "test";
    if (wants_test && split.test.empty() && experiment.judge.test_data.empty()) {
      listener.line(fmt::format("{}: the data has no test rows; the validation rows stand for them", figure.file));
    }
    const bool is_elsewhere = wants_test && split.test.empty() && !experiment.judge.test_data.empty();
    if (is_elsewhere && !test_subject) {
      data::DataOptions options;
      options.data = experiment.judge.test_data;
      test_data = data::load(options, listener);
      const std::vector<int64_t> rows = all_rows(*test_data);
      test_subject.emplace(weights,
                           *test_data,
                           figures::SplitRows{.all = rows, .training = {}, .validation = {}, .test = rows},
                           listener);
    }
    for (runs::DrawnPicture& picture :
         figures::draw_figure(figure, is_elsewhere ? *test_subject : context, folder, raw))
      drawn.push_back(std::move(picture));
    listener.progress("drawing figures",
                      static_cast<int64_t>(&description - recipe.figures.data()) + 1,
                      static_cast<int64_t>(recipe.figures.size()),
                      figure.file);
  }
  return drawn;
}

std::vector<runs::DrawnPicture> explain_run(const Recipe& recipe,
                                            const RecipeRun& run,
                                            const runs::Experiment& experiment,
                                            const data::Dataset& dataset,
                                            const std::filesystem::path& run_folder,
                                            ProgressListener& listener) {
  const bool has_figures = std::any_of(
      recipe.figures.begin(), recipe.figures.end(), [&](const RecipeFigure& figure) { return is_for(figure, run); });
  if (!has_figures) return {};
  const network::LoadedWeights weights = network::load_weights(runs::weights_file(run_folder));
  const std::string key = figures_key(recipe, run, weights.hash);
  const auto folder = run_folder / "explain";
  if (std::filesystem::exists(folder / "figures.json")) {
    const auto json =
        nlohmann::json::parse(read_text(folder / "figures.json", 1 << 24), nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.value("key", std::string()) == key) return runs::read_figures(run_folder);
  }
  listener.line(fmt::format("explaining {}", run.name));
  const std::vector<runs::DrawnPicture> drawn =
      draw_recipe_figures(recipe, run, experiment, weights, dataset, folder, true, listener);
  ordered_json json{{"key", key}, {"figures", ordered_json::array()}};
  for (const runs::DrawnPicture& picture : drawn) {
    json["figures"].push_back(
        {{"file", std::filesystem::relative(picture.path, folder).string()}, {"caption", picture.caption}});
  }
  write_atomic(folder / "figures.json", json.dump(2) + "\n");
  runs::write_run_page(runs::read_run(run_folder), listener);
  return drawn;
}

std::filesystem::path explain_recipe(const Recipe& recipe,
                                     std::span<const RecipeRun* const> chosen,
                                     std::span<const Override> overrides,
                                     const std::filesystem::path& pictures,
                                     ProgressListener& listener) {
  std::vector<std::string> networks;
  std::optional<network::LoadedWeights> weights;
  const data::Dataset* faces = nullptr;
  data::Dataset dataset;
  const auto folder = pictures.empty() ? std::filesystem::path("runs") / "explain" / recipe.name : pictures;
  int64_t count = 0;
  for (const RecipeRun* run : chosen) {
    runs::Experiment experiment;
    OptionSet options;
    experiment.bind(options);
    apply_recipe(recipe, *run, overrides, options);
    if (!weights) {
      runtime::configure_threads(static_cast<int>(experiment.run.threads));
      weights = network::load_weights(runs::weights_file(experiment.run.weights));
    }
    const std::string name = network::load_graph(experiment.run.network).name;
    networks.push_back(name);
    if (name != weights->network.graph().name) continue;
    const bool has_figures = std::any_of(
        recipe.figures.begin(), recipe.figures.end(), [&](const RecipeFigure& figure) { return is_for(figure, *run); });
    if (!has_figures) continue;
    if (faces == nullptr) {
      dataset = data::load(experiment.data, listener);
      faces = &dataset;
    }
    count += static_cast<int64_t>(
        draw_recipe_figures(recipe, *run, experiment, *weights, dataset, folder, pictures.empty(), listener).size());
    break;  // runs of one network differ in their training, which is over
  }
  if (faces == nullptr) {
    throw_usage(fmt::format("--weights is of network {}, recipe {} explains {}",
                            weights->network.graph().name,
                            recipe.name,
                            join(networks, ", ")),
                "name weights of such a network, or leave --weights out to train first");
  }
  listener.line(fmt::format("{} pictures in {}", count, folder.string()));
  return folder;
}

}  // namespace mien::recipes
