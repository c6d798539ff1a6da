#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mien/ranks/place.h"

namespace mien::runs {

/// One of several parts of work that falls into independent jobs: job i is of shard i % count.
struct Shard {
  int64_t index = 0;  ///< in [0, count)
  int64_t count = 1;

  bool has(int64_t job) const { return job % count == index; }
  std::string text() const;         ///< "2/4", counted from 1
  std::string folder_part() const;  ///< ".shard-2-of-4", behind a run folder's name
};

/// The shard that `text` names: "2/4", or "slurm" for the task of a Slurm job array (SLURM_ARRAY_TASK_ID, _MIN,
/// _COUNT). Throws Error(usage).
Shard parse_shard(const std::string& text, const ranks::Variables& variables = ranks::process_variable);

/// What the folder of a shard says of it; nothing for another run folder.
std::optional<Shard> shard_of_folder(const std::filesystem::path& folder);

/// Throws Error(bad_data) unless `folders` are all shards of one run, each once and finished; names what is missing,
/// double, unfinished or of another run. Returns the options_hash that they share.
std::string check_shards(const std::vector<std::filesystem::path>& folders);

/// run.json's hash of the options that decide a run; empty where there is none.
std::string options_hash_of(const std::filesystem::path& folder);

/// Copies the finished runs inside the shards' folders into `whole`, each whole or not at all. What is there stays.
void copy_runs(const std::vector<std::filesystem::path>& shards, const std::filesystem::path& whole);

}  // namespace mien::runs
