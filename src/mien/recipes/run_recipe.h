#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/recipes/recipe.h"
#include "mien/runs/run_document.h"
#include "mien/runs/run_page.h"

namespace mien::recipes {

/// Carries out a recipe: trains its runs, judges, explains, compares, reports; with weights to a recipe with figures,
/// it trains nothing and draws them from those. Goes on where an earlier start of the same recipe and options stopped.
/// Returns the folder; nothing if the user stopped it. A network, weights file, figure or cell that cannot be used is
/// told before anything is trained. A figure that cannot be drawn after training is a warning.
std::optional<std::filesystem::path> run_recipe(const Recipe& recipe,
                                                std::span<const Override> overrides,
                                                const RecipeOptions& wish,
                                                ProgressListener& listener);

/// What a finished folder holds: a recipe's page with its runs and ensembles, an audit's with its folds, or one
/// run, or one ensemble.
struct FolderContent {
  std::optional<runs::RecipePage> page;
  std::vector<runs::RunSummary> runs;
  std::vector<runs::EnsembleSummary> ensembles;
};
/// Throws Error(bad_data) if `folder` is none of them, or has not finished.
FolderContent read_folder(const std::filesystem::path& folder);
/// What the page shows of it, see runs/run_document.h.
std::string folder_document(const FolderContent& content, runs::PictureShelf& pictures);

/// Writes the report.html of a finished run, ensemble or recipe again and returns its path. Throws Error(bad_data) if
/// `folder` is none of them.
std::filesystem::path report_task(const std::filesystem::path& folder,
                                  ProgressListener& listener,
                                  runs::PageKind kind = runs::PageKind::interactive);

}  // namespace mien::recipes
