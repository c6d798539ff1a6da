#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "mien/runs/ensemble.h"
#include "mien/runs/list_runs.h"
#include "mien/runs/run_summary.h"

namespace mien::serve {

/// A run that is served: finished ones have a document and, but for ensembles, a network that can be asked.
struct ServedRun {
  std::string name;
  std::filesystem::path folder;
  std::optional<size_t> document = {};  ///< that shows it
  std::optional<size_t> position = {};  ///< among the document's runs, or its ensembles
  std::optional<size_t> model = {};
  std::string problem = {};  ///< why a finished one cannot be shown
  std::string facts = {};    ///< JSON object that says all of a finished run; empty for one that has not finished
};

/// What the view of runs shows of one, as a JSON object: network, data, seed, epochs, rates with intervals, history.
std::string run_facts(const runs::RunSummary& run);
std::string run_facts(const runs::EnsembleSummary& ensemble);
/// The same of a run that has not finished, as its folder says now.
std::string unfinished_facts(const runs::ListedRun& run);

/// The state that a run folder's run.json names: "finished", "running", "interrupted", "failed"; empty for no run.
std::string run_state(const std::filesystem::path& folder);

/// Two runs on the faces that both were judged on: rates, McNemar's test, and every face that they predict differently.
/// Throws Error(bad_data) if they were judged on different data or on no common face.
std::string difference_json(const ServedRun& first, const ServedRun& second);

}  // namespace mien::serve
