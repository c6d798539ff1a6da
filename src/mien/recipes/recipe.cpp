#include "mien/recipes/recipe.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/embedded.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/core/toml.h"
#include "mien/core/toml_values.h"
#include "mien/network/graph/graph.h"
#include "mien/recipes/recipe_figures.h"
#include "mien/report/draw_or_warn.h"
#include "mien/runs/data_pictures.h"
#include "mien/runs/ensemble.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/run_page.h"
#include "mien/runs/train_run.h"
#include "mien/runtime/environment.h"

namespace mien {
std::span<const EmbeddedFile> recipes_files();
}

namespace mien::recipes {
namespace {

const std::vector<std::string> kRecipeKeys{"title", "source", "description", "run", "figure"};

/// A text at the top of a recipe.
std::string top_text(const toml::table& root,
                     std::string_view key,
                     const std::string& file,
                     const std::string& otherwise = {}) {
  const auto node = root[key];
  if (!node) return otherwise;
  if (!node.is_string())
    throw_usage(fmt::format("{}: {} is no text, expected one in quotes", toml_place(file, node.node()->source()), key));
  return *node.value<std::string>();
}

/// The [[figure]] tables.
std::vector<RecipeFigure> parse_figures(const toml::table& root, const std::string& file) {
  std::vector<RecipeFigure> figures;
  if (!root.contains("figure")) return figures;
  const auto* list = root["figure"].as_array();
  if (list == nullptr)
    throw_usage(fmt::format("{}: figure is no list of tables, expected [[figure]]",
                            toml_place(file, root["figure"].node()->source())));
  for (const toml::node& node : *list) {
    const auto* table = node.as_table();
    if (table == nullptr)
      throw_usage(fmt::format("{}: figure is no table, expected [[figure]]", toml_place(file, node.source())));
    RecipeFigure figure{.kind = {}, .place = toml_place(file, table->source()), .runs = {}, .options = {}};
    for (const auto& [key, value] : *table) {
      const std::string where = toml_place(file, key.source());
      std::string text = toml_value_text(value, where, key.str());
      if (key.str() == "kind") {
        figure.kind = std::move(text);
      } else if (key.str() == "runs") {
        figure.runs = split(text, ',');
      } else {
        figure.options.push_back({std::string(key.str()), std::move(text), Origin::recipe, where});
      }
    }
    if (figure.kind.empty())
      throw_usage(fmt::format("{}: a [[figure]] has no kind", figure.place),
                  "kind is one of map, contact, weights, outputs, ascent, faces, units");
    figures.push_back(std::move(figure));
  }
  return figures;
}

Recipe parse_recipe(const std::string& name, const std::string& text, const std::string& file) {
  Recipe recipe{.name = name, .title = name, .file = file, .toml = text};
  const toml::table root = parse_toml(text, file);
  recipe.title = top_text(root, "title", file, name);
  recipe.source = top_text(root, "source", file);
  recipe.description = top_text(root, "description", file);
  if (const auto* runs = root["run"].as_array()) {
    for (const toml::node& node : *runs) {
      const auto* table = node.as_table();
      if (table == nullptr)
        throw_usage(fmt::format("{}: run is no table, expected [[run]]", toml_place(file, node.source())));
      RecipeRun run;
      for (const auto& [key, value] : *table) {
        const std::string where = toml_place(file, key.source());
        std::string value_text = toml_value_text(value, where, key.str());
        if (key.str() == "name") {
          run.name = std::move(value_text);
        } else {
          run.options.push_back({std::string(key.str()), std::move(value_text), Origin::recipe, where});
        }
      }
      if (run.name.empty()) throw_usage(fmt::format("{}: a [[run]] has no name", toml_place(file, table->source())));
      runs::check_folder_name(run.name, toml_place(file, table->source()) + ": name");
      const bool is_taken = std::any_of(
          recipe.runs.begin(), recipe.runs.end(), [&](const RecipeRun& other) { return other.name == run.name; });
      if (is_taken)
        throw_usage(fmt::format("{}: two runs are called '{}'", toml_place(file, table->source()), run.name));
      recipe.runs.push_back(std::move(run));
    }
  } else if (root.contains("run")) {
    throw_usage(
        fmt::format("{}: run is no list of tables, expected [[run]]", toml_place(file, root["run"].node()->source())));
  }
  if (recipe.runs.empty()) recipe.runs.push_back({.name = name});
  recipe.figures = parse_figures(root, file);
  for (const RecipeRun& run : recipe.runs) {  // every key and value is checked before anything runs
    runs::Experiment experiment;
    OptionSet options;
    experiment.bind(options);
    apply_recipe(recipe, run, {}, options);
    try {
      network::load_graph(experiment.run.network);
    } catch (const Error& error) {
      throw Error(
          error.code(), fmt::format("{}: {}", options.find("network")->origin_detail, error.what()), error.hint());
    }
  }
  check_figures(recipe);
  return recipe;
}

/// Writes report.html of a recipe's folder again, from what the folder holds.
void rewrite_recipe_page(const std::filesystem::path& folder, ProgressListener& listener) {
  const auto fact = [&](const std::string& key) {
    const auto json = nlohmann::json::parse(runs::run_fact(folder, key), nullptr, /*allow_exceptions=*/false);
    if (!json.is_string())
      throw_bad_data(fmt::format("cannot read {}/run.json: it has no text {}", folder.string(), key),
                     "start the recipe again");
    return json.get<std::string>();
  };
  const auto file = folder / "recipe.toml";
  const Recipe recipe = parse_recipe(fact("recipe"), read_text(file, 1 << 20), file.string());
  std::vector<runs::RunSummary> summaries;
  std::vector<runs::EnsembleSummary> ensembles;
  for (const RecipeRun& run : recipe.runs) {
    const auto run_folder = folder / run.name;
    if (!std::filesystem::exists(run_folder)) continue;  // left out by --only
    if (std::filesystem::exists(run_folder / "votes.json")) {
      ensembles.push_back(runs::read_ensemble(run_folder));
    } else {
      summaries.push_back(runs::read_run(run_folder));
    }
  }
  runs::write_recipe_page({.folder = folder,
                           .title = recipe.title,
                           .source = recipe.source,
                           .description = recipe.description,
                           .class_table = fact("class_table")},
                          summaries,
                          ensembles,
                          listener);
}

}  // namespace

std::vector<BuiltinRecipe> builtin_recipes() {
  std::vector<BuiltinRecipe> result;
  for (const EmbeddedFile& file : recipes_files()) {
    const toml::table root = parse_toml(file.text, std::string(file.name));
    result.push_back(
        {std::string(file.name), root["title"].value_or(std::string()), root["source"].value_or(std::string())});
  }
  return result;
}

Recipe load_recipe(const std::string& name_or_path) {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : recipes_files()) {
    if (file.name == name_or_path)
      return parse_recipe(name_or_path, std::string(file.text), fmt::format("recipes/{}.toml", name_or_path));
    names.emplace_back(file.name);
  }
  if (name_or_path.ends_with(".toml")) {
    std::string text;
    try {
      text = read_text(name_or_path, 1 << 20);
    } catch (const Error& error) {
      throw_usage(error.what(), error.hint());  // a word of the request that names nothing, like an unknown recipe
    }
    return parse_recipe(std::filesystem::path(name_or_path).stem().string(), text, name_or_path);
  }
  throw_usage(fmt::format("unknown recipe {}, expected a built-in one or the path of a file ending in .toml",
                          quote_sample(name_or_path)),
              suggestion(name_or_path, names));
}

void apply_recipe(const Recipe& recipe, const RecipeRun& run, std::span<const Override> overrides, OptionSet& options) {
  set_from_toml(options, recipe.toml, recipe.file, Origin::recipe, kRecipeKeys);
  for (const Override& option : run.options) options.set(option.name, option.text, option.origin, option.detail);
  for (const Override& option : overrides) options.set(option.name, option.text, option.origin, option.detail);
}

std::vector<const RecipeRun*> chosen_runs(const Recipe& recipe, std::span<const std::string> only) {
  std::vector<std::string> names;
  for (const RecipeRun& run : recipe.runs) names.push_back(run.name);
  for (const std::string& name : only) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      throw_usage(fmt::format("--only: recipe {} has no run {}", recipe.name, quote_sample(name)),
                  suggestion(name, names));
    }
  }
  std::vector<const RecipeRun*> chosen;
  for (const RecipeRun& run : recipe.runs) {
    if (only.empty() || std::find(only.begin(), only.end(), run.name) != only.end()) chosen.push_back(&run);
  }
  return chosen;
}

std::optional<std::filesystem::path> run_recipe(const Recipe& recipe,
                                                std::span<const Override> overrides,
                                                std::span<const std::string> only,
                                                ProgressListener& listener,
                                                const std::filesystem::path& pictures) {
  const std::vector<const RecipeRun*> chosen = chosen_runs(recipe, only);
  if (!pictures.empty() && recipe.figures.empty()) {
    throw_usage(fmt::format("--out: recipe {} has no figures to write there", recipe.name),
                "--project and --name say where its run folder goes");
  }
  runs::Experiment shared;
  OptionSet shared_options;
  shared.bind(shared_options);
  apply_recipe(recipe, {.name = recipe.name}, overrides, shared_options);
  if (!recipe.figures.empty() && !shared.run.weights.empty())
    return explain_recipe(recipe, chosen, overrides, pictures, listener);
  const bool has_project = shared_options.find("project")->origin != Origin::default_value;
  runtime::configure_threads(static_cast<int>(shared.run.threads));
  const std::string name = shared.run.name.empty() ? recipe.name : shared.run.name;
  runs::check_folder_name(name, "--name");
  const data::Dataset dataset = data::load(shared.data, listener);
  for (const RecipeRun* run : chosen) {
    runs::Experiment experiment;
    OptionSet options;
    experiment.bind(options);
    apply_recipe(recipe, *run, overrides, options);
    runs::check_request(experiment, dataset);
  }
  runs::RunFolder folder = runs::RunFolder::choose(has_project ? shared.run.project : "runs",
                                                   shared.run.name.empty() ? recipe.name : shared.run.name,
                                                   shared.run.exist_ok,
                                                   true,
                                                   shared_options,
                                                   runs::run_content(shared, dataset));
  if (folder.state() == runs::RunFolder::State::unfinished)
    listener.line(fmt::format("going on in {}", folder.path().string()));
  write_atomic(folder.path() / "recipe.toml", recipe.toml);
  folder.record_text("recipe", recipe.name);
  folder.record_text("class_table", data::class_table(dataset));
  report::draw_or_warn(listener, [&] { runs::write_data_pictures(dataset, folder.path()); });

  std::vector<runs::RunSummary> summaries;
  std::vector<runs::EnsembleSummary> ensembles;
  for (const RecipeRun* run : chosen) {
    runs::Experiment experiment;
    OptionSet options;
    experiment.bind(options);
    apply_recipe(recipe, *run, overrides, options);
    runs::RunFolder run_folder = runs::RunFolder::choose(
        folder.path(), run->name, experiment.run.exist_ok, true, options, runs::run_content(experiment, dataset));
    listener.line(fmt::format("run {} ({})", run->name, experiment.run.network));
    if (experiment.ensemble.members > 1) {
      auto done = runs::train_ensemble(run_folder, experiment, options, dataset, listener);
      if (!done) {
        folder.save("interrupted");
        return std::nullopt;
      }
      ensembles.push_back(std::move(*done));
      continue;
    }
    const bool is_finished = run_folder.state() == runs::RunFolder::State::finished;
    const runs::PreparedData prepared =
        is_finished ? runs::PreparedData{} : runs::prepare(dataset, experiment, listener);
    auto done = runs::train_in(run_folder, experiment, dataset, prepared, listener);
    if (!done) {
      folder.save("interrupted");
      return std::nullopt;
    }
    summaries.push_back(std::move(*done));
    for (const runs::DrawnPicture& picture :
         explain_run(recipe, *run, experiment, dataset, run_folder.path(), listener)) {
      if (pictures.empty()) continue;
      const auto target = pictures / std::filesystem::relative(picture.path, run_folder.path() / "explain");
      write_atomic(target, read_text(picture.path));
    }
  }
  runs::write_recipe_page({.folder = folder.path(),
                           .title = recipe.title,
                           .source = recipe.source,
                           .description = recipe.description,
                           .class_table = data::class_table(dataset)},
                          summaries,
                          ensembles,
                          listener);
  folder.save("finished");
  if (summaries.size() > 1) listener.line(runs::comparison_text(summaries));
  listener.line(fmt::format("report: {}", (folder.path() / "report.html").string()));
  return folder.path();
}

std::filesystem::path report_task(const std::filesystem::path& folder, ProgressListener& listener) {
  if (std::filesystem::exists(folder / "recipe.toml")) {
    rewrite_recipe_page(folder, listener);
  } else if (std::filesystem::exists(folder / "votes.json")) {
    runs::write_ensemble_page(runs::read_ensemble(folder), listener);
  } else {
    runs::write_run_page(runs::read_run(folder), listener);
  }
  return folder / "report.html";
}

}  // namespace mien::recipes
