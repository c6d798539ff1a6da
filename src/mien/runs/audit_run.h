#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/runs/experiment.h"

namespace mien::runs {

/// Options of `mien audit`, besides those of the trainings.
struct AuditOptions {
  int64_t folds = 5;
  std::string detector = "confident-learning";
  int64_t suspects = 500;
  int64_t gallery = 25;
  std::string score_ferplus;
  void bind(OptionSet& options);
};

struct AuditOutcome {
  std::filesystem::path folder;
  std::string text;  ///< a table for people
  std::string json;
};

/// Looks for wrong labels among the rows that may train: trains `folds` networks, each without one part of these rows
/// and without copies of that part's faces, ranks every label by what the network that has not seen its face says, and
/// writes suspects.csv, corrections.csv (for --corrections), audit.json and a gallery for each class into the folder.
/// Goes on where an earlier start stopped; nothing if the user stopped it.
std::optional<AuditOutcome> audit_task(const Experiment& experiment,
                                       const OptionSet& options,
                                       const AuditOptions& audit,
                                       ProgressListener& listener);

}  // namespace mien::runs
