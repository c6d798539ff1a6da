#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mien/data/dataset.h"
#include "mien/figures/figure.h"
#include "mien/network/network.h"
#include "mien/recipes/recipe.h"
#include "mien/runs/experiment.h"

namespace mien::recipes {

/// The figure that a [[figure]] describes; its seeds are `seed` where it gives none of its own. Throws Error(usage)
/// beginning with the place in the recipe's file.
figures::Figure make_figure(const RecipeFigure& figure, int64_t seed);

/// Checks all figures of `recipe` against the networks of the runs that they are for: see check_figure. A figure for an
/// ensemble, or for a run that is none, is refused.
void check_figures(const Recipe& recipe);

/// Draws the figures of `recipe` that are for `run` into `folder`, see draw_figure.
std::vector<runs::DrawnPicture> draw_recipe_figures(const Recipe& recipe,
                                                    const RecipeRun& run,
                                                    const runs::Experiment& experiment,
                                                    const network::LoadedWeights& weights,
                                                    const data::Dataset& dataset,
                                                    const std::filesystem::path& folder,
                                                    bool raw,
                                                    ProgressListener& listener);

/// Draws the figures for `run`, which has finished in `run_folder`, into its explain/, unless they are there already
/// from the same weights and figures, and writes the run's report again. Returns the pictures.
std::vector<runs::DrawnPicture> explain_run(const Recipe& recipe,
                                            const RecipeRun& run,
                                            const runs::Experiment& experiment,
                                            const data::Dataset& dataset,
                                            const std::filesystem::path& run_folder,
                                            ProgressListener& listener);

/// `mien run` with weights: trains nothing, draws the figures of those of `chosen` that have the weights' network, into
/// `pictures` (only them) or, if that is empty, with numbers and sidecars into runs/explain/RECIPE. Returns the folder.
std::filesystem::path explain_recipe(const Recipe& recipe,
                                     std::span<const RecipeRun* const> chosen,
                                     std::span<const Override> overrides,
                                     const std::filesystem::path& pictures,
                                     ProgressListener& listener);

}  // namespace mien::recipes
