#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/runs/experiment.h"

namespace mien::recipes {

/// One of a recipe's runs: a name and the options in which it differs from the others.
struct RecipeRun {
  std::string name;
  std::vector<Override> options;
};

/// One of a recipe's [[figure]] tables: a picture, or several, that explain a trained network (see figure.h).
struct RecipeFigure {
  std::string kind;
  std::string place;              ///< "file:line", for messages
  std::vector<std::string> runs;  ///< that it is for; empty: all
  std::vector<Override> options;
};

/// An experiment as data: shared options, and the runs that differ from them.
struct Recipe {
  std::string name;  ///< file name without its ending; the run folder's default name
  std::string title;
  std::string source;  ///< the report it reproduces
  std::string description;
  std::string file;             ///< for messages
  std::string toml;             ///< the text it was read from
  std::vector<RecipeRun> runs;  ///< at least one
  std::vector<RecipeFigure> figures;
};

struct BuiltinRecipe {
  std::string name;
  std::string title;
  std::string source;
};
/// The recipes inside the program.
std::vector<BuiltinRecipe> builtin_recipes();

/// A built-in recipe by name or a recipe file by path, checked whole: every option of every run. Throws Error(usage) as
/// "file:line: ..." with a suggestion.
Recipe load_recipe(const std::string& name_or_path);

/// The options of one run: defaults, then the recipe's, then the run's, then `overrides`.
void apply_recipe(const Recipe& recipe, const RecipeRun& run, std::span<const Override> overrides, OptionSet& options);

/// The runs of `recipe` that `only` names, all if it is empty. Throws Error(usage) with a suggestion for a name that is
/// none.
std::vector<const RecipeRun*> chosen_runs(const Recipe& recipe, std::span<const std::string> only);

/// Carries out a recipe: trains every run (or those named in `only`), judges, explains, compares, reports. A recipe
/// with figures to which weights are given trains nothing and draws its figures from them. `pictures`: a folder that
/// the figures are put into, too, or, with weights, alone. Goes on where an earlier start of the same recipe and
/// options stopped. Returns the folder; nothing if the user stopped it. A network, weights file or cell that cannot be
/// used is told before anything is trained.
std::optional<std::filesystem::path> run_recipe(const Recipe& recipe,
                                                std::span<const Override> overrides,
                                                std::span<const std::string> only,
                                                ProgressListener& listener,
                                                const std::filesystem::path& pictures = {});

/// Writes the report.html of a finished run, ensemble or recipe again and returns its path. Throws Error(bad_data) if
/// `folder` is none of them.
std::filesystem::path report_task(const std::filesystem::path& folder, ProgressListener& listener);

}  // namespace mien::recipes
