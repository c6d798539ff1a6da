#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/report/html_table.h"
#include "mien/runs/ensemble.h"
#include "mien/runs/run_summary.h"

namespace mien::runs {

enum class PageKind {
  interactive,  ///< one file with a script and every face: matrix cells open their faces
  plain,        ///< pictures and tables, no script
};

/// Writes report.html into a run's folder from what the folder holds.
void write_run_page(const RunSummary& run, ProgressListener& listener, PageKind kind = PageKind::interactive);

/// The same for an ensemble: members, votes, growth.
void write_ensemble_page(const EnsembleSummary& ensemble,
                         ProgressListener& listener,
                         PageKind kind = PageKind::interactive);

/// What a recipe's report says besides its runs.
struct RecipePage {
  std::filesystem::path folder;
  std::string title;
  std::string source;
  std::string description;
  std::string class_table;
};

/// report.html of a recipe: data, the comparison of its runs (accuracy with interval, time an epoch, accuracy per
/// parameter, paired tests), curves of all of them, and a chapter a run. Also writes comparison.csv and the plots.
void write_recipe_page(const RecipePage& page,
                       const std::vector<RunSummary>& runs,
                       const std::vector<EnsembleSummary>& ensembles,
                       ProgressListener& listener,
                       PageKind kind = PageKind::interactive);

/// The comparison as a table: run, network, parameters, epochs, seconds an epoch, faces/s, accuracies with intervals,
/// accuracy per million parameters.
report::HtmlTable comparison_table(const std::vector<RunSummary>& runs);
/// The same columns as csv, with plain numbers.
std::string comparison_csv(const std::vector<RunSummary>& runs);
/// The same as aligned text.
std::string comparison_text(const std::vector<RunSummary>& runs);

}  // namespace mien::runs
