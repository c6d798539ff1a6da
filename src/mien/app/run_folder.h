#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "mien/core/options.h"

namespace mien::app {

/// A folder that explains itself: args.toml, run.json and whatever a task puts in.
class RunFolder {
 public:
  /// What became of the run that a folder holds.
  enum class State { fresh, unfinished, finished };

  /// Chooses project/name, or project/name2, name3, ... where that is taken by another run. The newest folder of that
  /// name is taken again (State::unfinished) if it holds an unfinished run of the same `options`, and, with
  /// `reuse_finished`, (State::finished) if it holds a finished one. With `exist_ok` the folder project/name is taken
  /// whatever it holds, and emptied if it holds another run. Writes args.toml and run.json (status "running") unless
  /// finished. Throws Error(usage) for a name with a path separator.
  static RunFolder choose(const std::filesystem::path& project,
                          const std::string& name,
                          bool exist_ok,
                          bool reuse_finished,
                          const OptionSet& options);

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
};

/// A fact of folder's run.json as JSON text; empty if there is no such file or fact.
std::string run_fact(const std::filesystem::path& folder, const std::string& key);

}  // namespace mien::app
