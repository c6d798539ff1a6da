#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/evaluation/metrics.h"
#include "mien/evaluation/vote.h"
#include "mien/runs/experiment.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/run_summary.h"
#include "mien/runs/shard.h"

namespace mien::runs {

/// One way to combine the members, judged on rows that no member saw.
struct VoteOutcome {
  std::string vote;  ///< "majority", ...
  evaluation::Metrics metrics;
};

struct EnsembleSummary {
  std::filesystem::path folder;
  std::string judged_on;  ///< "PublicTest, 3,589 rows" or "held-out rows ..."
  std::vector<RunSummary> members;
  std::vector<VoteOutcome> votes;
  std::vector<double> weights;  ///< of the members, fitted on all judged rows; for prediction
  std::vector<evaluation::AccuracyAgainstMembers> growth;  ///< of the majority vote
};

/// Trains experiment.ensemble.members networks in folder/member01, member02, ... with seed and split seed counted up,
/// and judges their votes on the test rows or, without any, on a held-out part that no member sees. Members that are
/// finished are kept, so that a second start goes on. The weights of the weighted vote are cross-fitted: each half of
/// the judged rows is judged with the weights fitted on the other half. Writes votes.json, members.png, the confusion
/// matrix of experiment.ensemble.vote and report.html. A `shard` trains its own members alone, and no vote is taken.
/// Nothing if the user stopped it.
std::optional<EnsembleSummary> train_ensemble(RunFolder& folder,
                                              const Experiment& experiment,
                                              const OptionSet& options,
                                              const data::Dataset& dataset,
                                              ProgressListener& listener,
                                              const std::optional<Shard>& shard = {});

/// Reads the folder of a finished ensemble and votes again. Throws Error(bad_data) if it is none.
EnsembleSummary read_ensemble(const std::filesystem::path& folder);

}  // namespace mien::runs
