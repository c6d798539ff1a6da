#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mien/evaluation/intervals.h"

namespace mien::runs {

/// What a run folder says of itself, finished or not.
struct ListedRun {
  std::filesystem::path folder;
  std::string network, data;
  std::string date;     ///< UTC, "2026-11-25T13:05:42Z"
  std::string state;    ///< "finished", "interrupted", "failed", or "running" (also of a run that was killed)
  int64_t members = 0;  ///< of an ensemble; 0 for one network
  int64_t seed = 0;
  std::string judged_on;  ///< "PublicTest rows"; empty where it was not judged
  int64_t faces = 0;      ///< that it was judged on
  std::optional<double> accuracy = {};
  evaluation::Interval accuracy_interval = {};  ///< Wilson, 95 %
};

/// All runs and ensembles below `folder`, in order of their paths; an ensemble's members are part of it. The rates are
/// those of test rows, or of the vote, else those of validation rows. Folders that cannot be read are passed over.
/// Throws Error(bad_data) if there is no such folder.
std::vector<ListedRun> list_runs(const std::filesystem::path& folder);

/// A table for people, and the same as a JSON list.
std::string runs_text(const std::vector<ListedRun>& runs);
std::string runs_json(const std::vector<ListedRun>& runs);

/// The options that a run was started with but for its seeds, name, place and threads: runs for which it is the same
/// are the same experiment repeated. Empty where the folder does not say.
std::string configuration_of(const std::filesystem::path& folder);

}  // namespace mien::runs
