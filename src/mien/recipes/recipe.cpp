#include "mien/recipes/recipe.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "mien/core/embedded.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/core/toml.h"
#include "mien/core/toml_values.h"
#include "mien/runs/run_folder.h"

namespace mien {
std::span<const EmbeddedFile> recipes_files();
}

namespace mien::recipes {
namespace {

const std::vector<std::string> kRecipeKeys{"title", "source", "description", "run", "figure"};
/// Options that decide the whole recipe, and do nothing in one run.
const std::vector<std::string> kOfAllRuns{"project", "exist-ok", "threads"};

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

/// The tables of [[run]] or [[figure]].
std::vector<const toml::table*> tables(const toml::table& root, const std::string& key, const std::string& file) {
  std::vector<const toml::table*> found;
  if (!root.contains(key)) return found;
  const auto* list = root[key].as_array();
  if (list == nullptr)
    throw_usage(fmt::format(
        "{}: {} is no list of tables, expected [[{}]]", toml_place(file, root[key].node()->source()), key, key));
  for (const toml::node& node : *list) {
    if (node.as_table() == nullptr)
      throw_usage(fmt::format("{}: {} is no table, expected [[{}]]", toml_place(file, node.source()), key, key));
    found.push_back(node.as_table());
  }
  return found;
}

RecipeFigure parse_figure(const toml::table& table, const std::string& file) {
  RecipeFigure figure{.kind = {}, .place = toml_place(file, table.source()), .runs = {}, .options = {}};
  for (const auto& [key, value] : table) {
    const std::string where = toml_place(file, key.source());
    std::string text = toml_value_text(value, where, key.str());
    if (key.str() == "kind") {
      figure.kind = std::move(text);
    } else if (key.str() == "runs") {
      for (const std::string& name : split(text, ',')) figure.runs.emplace_back(trim(name));
    } else {
      figure.options.push_back({std::string(key.str()), std::move(text), Origin::recipe, where});
    }
  }
  if (figure.kind.empty())
    throw_usage(fmt::format("{}: a [[figure]] has no kind", figure.place),
                fmt::format("kind is one of {}", join(figures::figure_kinds(), ", ")));
  return figure;
}

RecipeRun parse_run(const toml::table& table, const std::string& file) {
  RecipeRun run;
  for (const auto& [key, value] : table) {
    const std::string where = toml_place(file, key.source());
    std::string text = toml_value_text(value, where, key.str());
    if (key.str() == "name") {
      run.name = std::move(text);
    } else if (std::find(kOfAllRuns.begin(), kOfAllRuns.end(), key.str()) != kOfAllRuns.end()) {
      throw_usage(fmt::format(
          "{}: {} stands in a [[run]], expected at the top of the recipe: it is one for all runs", where, key.str()));
    } else {
      run.options.push_back({std::string(key.str()), std::move(text), Origin::recipe, where});
    }
  }
  const std::string where = toml_place(file, table.source());
  if (run.name.empty()) throw_usage(fmt::format("{}: a [[run]] has no name", where));
  runs::check_folder_name(run.name, where + ": name");
  return run;
}

/// The options at the top of a recipe, checked.
std::vector<Override> shared_options(const std::string& text, const std::string& file) {
  runs::Experiment experiment;
  OptionSet options;
  experiment.bind(options);
  set_from_toml(options, text, file, Origin::recipe, kRecipeKeys);
  std::vector<Override> settings;
  for (const OptionSet::Entry& entry : options.entries()) {
    if (entry.origin == Origin::recipe)
      settings.push_back({entry.spec.name, entry.text(), Origin::recipe, entry.origin_detail});
  }
  return settings;
}

Recipe parse_recipe(const std::string& name, const std::string& text, const std::string& file) {
  const toml::table root = parse_toml(text, file);
  Recipe recipe{.name = name,
                .title = top_text(root, "title", file, name),
                .source = top_text(root, "source", file),
                .description = top_text(root, "description", file),
                .toml = text,
                .options = shared_options(text, file),
                .runs = {},
                .figures = {}};
  std::vector<std::string> names;
  for (const toml::table* table : tables(root, "run", file)) {
    recipe.runs.push_back(parse_run(*table, file));
    if (std::find(names.begin(), names.end(), recipe.runs.back().name) != names.end())
      throw_usage(
          fmt::format("{}: two runs are called '{}'", toml_place(file, table->source()), recipe.runs.back().name));
    names.push_back(recipe.runs.back().name);
  }
  if (recipe.runs.empty()) {
    recipe.runs.push_back({.name = name, .options = {}});
    names.push_back(name);
  }
  for (const toml::table* table : tables(root, "figure", file)) {
    recipe.figures.push_back(parse_figure(*table, file));
    for (const std::string& run : recipe.figures.back().runs) {
      if (std::find(names.begin(), names.end(), run) == names.end())
        throw_usage(fmt::format("{}: the recipe has no run {}", recipe.figures.back().place, quote_sample(run)),
                    suggestion(run, names));
    }
  }
  return recipe;
}

}  // namespace

bool RecipeFigure::is_for(const std::string& run) const {
  return runs.empty() || std::find(runs.begin(), runs.end(), run) != runs.end();
}

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

void RecipeOptions::bind(OptionSet& options) {
  options.group("recipe");
  options.add(&only, {.name = "only", .help = "names of the recipe's runs to carry out; the default is all"});
  options.add(&out,
              {.name = "out",
               .help = "folder to put the recipe's figures into: with --weights drawn from those, and nothing else is "
                       "written; with --train after training"});
  options.add(&train, {.name = "train", .help = "with --out and without --weights: train the recipe's runs first"});
  options.add(&quick,
              {.name = "quick",
               .help = "see in minutes whether everything works: 2 epochs, a tenth of the training rows, few samples "
                       "and steps in figures; what is smaller already stays"});
  options.add(&outputs_faces,
              {.name = "outputs-faces",
               .help = "faces of the figures that show layers' outputs, in place of the recipe's, such as row:5607"});
}

void FigureOptions::bind(OptionSet& options) {
  method.bind(options);
  faithfulness.bind(options);
  unit.bind(options);
  ascent.bind(options);
}

}  // namespace mien::recipes
