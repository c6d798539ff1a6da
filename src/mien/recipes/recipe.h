#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/figures/figure.h"
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
  bool is_for(const std::string& run) const;
};

/// An experiment as data: shared options, and the runs that differ from them.
struct Recipe {
  std::string name;  ///< file name without its ending; the run folder's default name
  std::string title;
  std::string source;  ///< the report it reproduces
  std::string description;
  std::string toml;               ///< the text it was read from
  std::vector<Override> options;  ///< of all runs
  std::vector<RecipeRun> runs;    ///< at least one
  std::vector<RecipeFigure> figures;
};

struct BuiltinRecipe {
  std::string name;
  std::string title;
  std::string source;
};
/// The recipes inside the program.
std::vector<BuiltinRecipe> builtin_recipes();

/// A built-in recipe by name or a recipe file by path; every key and value of its options is checked, its figures are
/// by `resolve`. Throws Error(usage) as "file:line: ..." with a suggestion.
Recipe load_recipe(const std::string& name_or_path);

/// What `mien run` takes besides the options of a run.
struct RecipeOptions {
  std::vector<std::string> only;  ///< names of the runs to carry out; empty: all
  std::string out;                ///< folder that the pictures go into
  bool train = false;             ///< with `out`: train first where no weights are given
  bool quick = false;             ///< smaller data, fewer epochs, coarser figures
  std::string outputs_faces;      ///< replaces `faces` of the figures of kind outputs

  void bind(OptionSet& options);
};

/// The options of figures that `resolve` takes as overrides: how long an ascent climbs, how many samples a method
/// draws. Bound for their names and ranges; the values stay with the overrides.
struct FigureOptions {
  explain::MethodOptions method;
  explain::FaithfulnessOptions faithfulness;
  explain::UnitOptions unit;
  explain::AscentOptions ascent;

  void bind(OptionSet& options);
};

/// One run with nothing left to look up: what is trained, where each value comes from, and what is drawn of it.
struct ResolvedRun {
  std::string name;
  std::shared_ptr<runs::Experiment> experiment;
  OptionSet options;  ///< of `experiment`
  std::vector<figures::Figure> figures;
};

struct ResolvedRecipe {
  ResolvedRun shared;             ///< what all runs have in common: decides the recipe's folder
  std::vector<ResolvedRun> runs;  ///< those of `only`, in the recipe's order
};

/// The recipe's runs and figures as values: defaults, then the recipe's, then the run's, then (`quick`) smaller ones,
/// then `overrides`, which name options of runs and of figures. Lines say where an override changes what sets the
/// runs apart, and which figures an overridden network leaves out. Throws Error(usage), with the recipe's file and line
/// where it stands there, for a run in `only` that is none, a network that cannot be loaded, a figure that its run's
/// network does not allow, and a figure option that no figure uses.
ResolvedRecipe resolve(const Recipe& recipe,
                       std::span<const Override> overrides = {},
                       const RecipeOptions& wish = {},
                       ProgressListener& listener = silent_listener());

}  // namespace mien::recipes
