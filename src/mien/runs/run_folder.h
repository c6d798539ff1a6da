#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "mien/core/options.h"

namespace mien::runs {

/// What decides a run besides the texts of its options: contents of the files that the options name. Options that name
/// a file count by their text only while `training` is empty.
struct RunContent {
  RunContent() = default;
  RunContent(std::string_view text) : training(text) {}
  RunContent(const char* text) : training(text) {}

  std::string training;  ///< the network, the faces, the weights that training starts from
  std::string judging;   ///< what is predicted when training is over: another one costs no second training
};

/// What to do where a name is taken by another run.
enum class IfTaken {
  next_number,  ///< take NAME-2, NAME-3, ...
  replace,      ///< --exist-ok: take it, and remove what Mien wrote there
  refuse,       ///< throw Error(usage)
};

/// A folder that explains itself: args.toml, run.json and whatever a task puts in. Locked while it is in use. A fresh
/// folder whose run fails before `begin` goes away with the exception.
class RunFolder {
 public:
  /// What became of the run that a folder holds.
  enum class State { fresh, unfinished, finished };

  /// Chooses project/name or, where another run or another process has that, project/NAME-2, NAME-3, ... A run is the
  /// same if its options and `content` are; where folders lie and what they are called does not count. An unfinished
  /// same run is taken again (State::unfinished) wherever it stands in the series; with `reuse_finished` also a
  /// finished one (State::finished), and, if only what is judged has changed, as State::unfinished. Sweeps what killed
  /// starts left; a folder with nothing else is free. Writes run.json (status "running") and args.toml unless finished.
  /// Throws Error(usage) for a name that is none, and, with IfTaken::replace, for a folder that no Mien wrote or in
  /// which another process works; Error(failed) if no folder can be made.
  static RunFolder choose(const std::filesystem::path& project,
                          const std::string& name,
                          IfTaken if_taken,
                          bool reuse_finished,
                          const OptionSet& options,
                          const RunContent& content = {});
  /// `exist_ok` is IfTaken::replace, otherwise IfTaken::next_number.
  static RunFolder choose(const std::filesystem::path& project,
                          const std::string& name,
                          bool exist_ok,
                          bool reuse_finished,
                          const OptionSet& options,
                          const RunContent& content = {}) {
    return choose(project, name, exist_ok ? IfTaken::replace : IfTaken::next_number, reuse_finished, options, content);
  }
  RunFolder(RunFolder&&) = default;
  RunFolder& operator=(RunFolder&&) = default;
  ~RunFolder();

  const std::filesystem::path& path() const { return path_; }
  State state() const { return state_; }
  /// Threads that the unfinished run was begun with; 0 if unknown.
  int threads() const { return threads_; }

  /// From here on there is something to keep: a failure leaves the folder.
  void begin() { has_begun_ = true; }
  /// Adds a fact to run.json (written by the next call of save). `json_text` is a JSON value.
  void record(const std::string& key, const std::string& json_text) { facts_[key] = json_text; }
  void record_text(const std::string& key, std::string_view text);
  /// The time of now, UTC to the second, as a fact.
  void record_time(const std::string& key);
  /// Writes run.json with this status: "running", "interrupted", "failed" or "finished".
  void save(std::string_view status);

 private:
  RunFolder() = default;
  /// Locks `path`, looks at what it holds and takes it if it may; false leaves it alone.
  bool take(const std::filesystem::path& path, IfTaken if_taken, bool reuse_finished, bool only_same);
  void discard() noexcept;

  std::filesystem::path path_;
  State state_ = State::fresh;
  std::string options_hash_;
  std::string judging_hash_;
  int threads_ = 0;
  bool is_made_ = false;    ///< by this process
  bool has_begun_ = false;  ///< a step was made, or something was there before
  int exceptions_ = 0;      ///< in flight when it was chosen
  std::map<std::string, std::string> facts_;
  std::shared_ptr<const void> lock_;  ///< held while this process works in the folder; a killed process lets go of it
};

/// Throws Error(usage) if `name` is no name for a folder; `where` begins the message ("--name").
void check_folder_name(const std::string& name, const std::string& where);

/// The weights that `path` names: a weights file, a run folder's best weights, or shipped weights by their name where
/// nothing else is called so. Throws Error(bad_data) for a folder that has none.
std::filesystem::path weights_file(const std::filesystem::path& path);

/// A fact of folder's run.json as JSON text; empty if there is no such file or fact.
std::string run_fact(const std::filesystem::path& folder, const std::string& key);

}  // namespace mien::runs
