#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "mien/core/options.h"

namespace mien::runs {

/// A folder that explains itself: args.toml, run.json and whatever a task puts in.
class RunFolder {
 public:
  /// What became of the run that a folder holds.
  enum class State { fresh, unfinished, finished };

  /// Chooses project/name, or project/name2, name3, ... where that is taken by another run. The newest folder of that
  /// name is taken again (State::unfinished) if it holds an unfinished run of the same `options`, and, with
  /// `reuse_finished`, (State::finished) if it holds a finished one. With `exist_ok` the folder project/name is taken
  /// whatever it holds, and emptied if it holds another run. `content` is what decides the run besides its options (a
  /// recipe's text). A folder in which another process works counts as taken. Writes args.toml and run.json (status
  /// "running") unless finished. Throws Error(usage) for a name with a path separator, and with `exist_ok` for a folder
  /// that is no run folder or that another process works in.
  static RunFolder choose(const std::filesystem::path& project,
                          const std::string& name,
                          bool exist_ok,
                          bool reuse_finished,
                          const OptionSet& options,
                          std::string_view content = {});

  const std::filesystem::path& path() const { return path_; }
  State state() const { return state_; }

  /// Adds a fact to run.json (written by the next call of save). `json_text` is a JSON value.
  void record(const std::string& key, const std::string& json_text) { facts_[key] = json_text; }
  void record_text(const std::string& key, std::string_view text);
  /// Writes run.json with this status: "running", "interrupted", "failed" or "finished".
  void save(std::string_view status);

 private:
  std::filesystem::path path_;
  State state_ = State::fresh;
  std::string options_hash_;
  std::map<std::string, std::string> facts_;
  std::shared_ptr<const void> lock_;  ///< held while this process works in the folder; a killed process lets go of it
};

/// Throws Error(usage) if `name` is no name for a folder; `where` begins the message ("--name").
void check_folder_name(const std::string& name, const std::string& where);

/// The weights that `path` names: a weights file, or a run folder's best weights. Throws Error(bad_data) for a folder
/// that has none.
std::filesystem::path weights_file(const std::filesystem::path& path);

/// A fact of folder's run.json as JSON text; empty if there is no such file or fact.
std::string run_fact(const std::filesystem::path& folder, const std::string& key);

}  // namespace mien::runs
