#include "mien/runs/run_folder.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <exception>
#include <optional>
#include <set>
#include <vector>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/text.h"
#include "mien/network/shipped.h"
#include "mien/runtime/environment.h"

namespace mien::runs {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kLocked = 0;

/// Decide where an outcome goes, when it ends, or what is made of it; never the trained network.
const std::set<std::string_view> kPlaces{"project", "name", "exist-ok", "time", "max-time", "shard"};
const std::set<std::string_view> kJudging{"test-data",
                                          "tta",
                                          "tta-flip",
                                          "calibrate",
                                          "detector",
                                          "suspects",
                                          "suspect-faces",
                                          "score-ferplus",
                                          "cells",
                                          "gallery-cells",
                                          "gallery-faces",
                                          "top-losses"};
/// Options that name a file, whose content counts.
const std::set<std::string_view> kFiles{"data", "network", "weights", "ferplus", "test-data", "teacher", "corrections"};

/// Of the option values and contents that decide the trained network (or, with `of_judging`, what is made of it); not
/// of where they came from.
std::string hash_of(const OptionSet& options, const RunContent& content, bool of_judging) {
  std::string text = of_judging ? content.judging : content.training;
  for (const auto& entry : options.entries()) {
    const std::string& name = entry.spec.name;
    if (kPlaces.contains(name) || kJudging.contains(name) != of_judging) continue;
    if (name == "sync-batch-norm" && entry.text() == "false") continue;  // runs begun before it came go on
    if (kFiles.contains(name) && !content.training.empty()) continue;
    text += name + "=" + entry.text() + "\n";
  }
  return checksum(text);
}

ordered_json read_run_json(const fs::path& folder) {
  constexpr uint64_t kLargest = 1 << 22;
  constexpr int kDeepest = 32;  // what is nested deeper is not ours, and would overflow the stack when it is written
  std::error_code ignored;
  const fs::path file = folder / "run.json";
  if (!fs::is_regular_file(file, ignored)) return {};
  bool is_deep = false;
  const auto watch = [&](int depth, ordered_json::parse_event_t, ordered_json&) {
    is_deep = is_deep || depth > kDeepest;
    return !is_deep;
  };
  auto json = ordered_json::parse(read_text(file, kLargest), watch, /*allow_exceptions=*/false);
  return json.is_object() && !is_deep ? json : ordered_json{};
}

std::string text_of(const ordered_json& json, const char* key) {
  return json.is_object() && json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
}

[[noreturn]] void fail_to_make(const fs::path& folder, const std::string& reason) {
  throw_failed(fmt::format("cannot make the run folder {}: {}", folder.string(), reason),
               "--project says where run folders are made");
}

/// Locks a folder for this process; nothing if another process has it, if the folder went away meanwhile, or, unless it
/// `must_be_taken`, if it may not be opened.
std::shared_ptr<const void> lock_folder(const fs::path& folder, bool must_be_taken) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0 && (errno == ENOENT || !must_be_taken)) return nullptr;
  if (descriptor < 0)
    throw_failed(fmt::format("cannot open the run folder {}: {}", folder.string(), std::strerror(errno)),
                 "choose another --name or --project");
  // A file system without locks gives another error: then two processes are not told apart.
  const bool is_taken = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  struct stat locked {};
  struct stat there {};
  const bool is_gone = ::fstat(descriptor, &locked) != 0 || ::stat(folder.c_str(), &there) != 0 ||
                       locked.st_ino != there.st_ino || locked.st_dev != there.st_dev;
  if (is_taken || is_gone) {
    ::close(descriptor);
    return nullptr;
  }
  return std::shared_ptr<const void>(&kLocked, [descriptor](const void*) { ::close(descriptor); });
}

/// NAME, NAME-2, NAME-3, ... (and NAME2, ..., as they were called once) that exist in `project`, by number.
std::vector<fs::path> series(const fs::path& project, const std::string& name) {
  std::map<int64_t, std::vector<fs::path>> found;
  std::error_code error;
  for (fs::directory_iterator at(project, error), end; !error && at != end; at.increment(error)) {
    const std::string entry = at->path().filename().string();
    if (!entry.starts_with(name)) continue;
    std::string_view rest = std::string_view(entry).substr(name.size());
    if (rest.starts_with('-')) rest.remove_prefix(1);
    const auto number = entry == name ? std::optional<int64_t>(1) : parse_int(rest);
    if (number && (entry == name || *number > 1)) found[*number].push_back(at->path());
  }
  std::vector<fs::path> paths;
  for (const auto& [number, folders] : found) paths.insert(paths.end(), folders.begin(), folders.end());
  return paths;
}

/// Whether Mien gives a file of a run folder this name.
bool is_own_name(const std::string& name) {
  static const std::set<std::string_view> names{"run.json",
                                                "args.toml",
                                                "recipe.toml",
                                                "results.csv",
                                                "report.html",
                                                "votes.json",
                                                "comparison.csv",
                                                "label_dynamics.safetensors",
                                                "teacher.safetensors",
                                                "audit.json",
                                                "suspects.csv",
                                                "corrections.csv",
                                                "final.json"};
  static const std::set<std::string_view> pictures{
      "results", "loss_against_accuracy", "members", "accuracy", "classes", "examples", "train_batch0"};
  if (names.contains(name)) return true;
  const fs::path path(name);
  const std::string stem = path.stem().string();
  const std::string ending = path.extension().string();
  const bool is_picture = ending == ".png" || ending == ".svg" || ending == ".pdf" || ending == ".jpg";
  const bool is_table = ending == ".csv" || ending == ".json" || ending == ".txt";
  if (name.starts_with("events.out.tfevents.")) return true;
  if (is_picture && (pictures.contains(stem) || stem.ends_with("_batch0_pred") || stem.find("_as_") != stem.npos ||
                     stem.starts_with("suspects_")))
    return true;
  if (!is_picture && !is_table) return false;
  for (const char* start :
       {"metrics", "confusion_matrix", "most_confused", "top_losses", "calibration", "predictions_"}) {
    if (stem.starts_with(start)) return true;
  }
  return false;
}

/// Whether write_face_sheets gives a file of faces/ this name.
bool is_own_face_file(const std::string& name) {
  for (const char* part : {"val", "public_test", "vote", "eval", "examples"}) {
    if (name == fmt::format("{}.json", part)) return true;
    if (name.starts_with(fmt::format("{}-", part)) && name.ends_with(".webp")) return true;
  }
  return false;
}

/// Removes the figures that explain/figures.json lists, with what lies beside them under the same name.
void remove_figures(const fs::path& folder) {
  std::error_code error;
  const fs::path list = folder / "figures.json";
  if (!fs::is_regular_file(list, error)) return;
  const auto json = ordered_json::parse(read_text(list, 1 << 24), nullptr, /*allow_exceptions=*/false);
  std::set<std::string> stems;
  if (json.is_object() && json.contains("figures") && json["figures"].is_array()) {
    for (const auto& entry : json["figures"]) stems.insert(fs::path(text_of(entry, "file")).stem().string());
  }
  std::vector<fs::path> files{list};
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (stems.contains(at->path().stem().string()) && at->is_regular_file(error)) files.push_back(at->path());
  }
  for (const fs::path& file : files) fs::remove(file, error);
  fs::remove(folder, error);  // if nothing else is in it
}

/// Removes what Mien wrote into a run folder, runs inside it included; other files stay. run.json goes last, so that
/// the folder of a killed removal is still known for what it is.
void remove_own_files(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    entries.push_back(at->path());
  for (const fs::path& path : entries) {
    const std::string name = path.filename().string();
    if (name == "run.json") continue;
    if (!fs::is_directory(fs::symlink_status(path, error))) {
      if (is_own_name(name)) fs::remove(path, error);
    } else if (name == "weights") {
      for (const char* file : {"best.safetensors", "last.safetensors"}) fs::remove(path / file, error);
      fs::remove(path, error);
    } else if (name == "checkpoint") {
      fs::remove(path / "last" / "state.safetensors", error);
      fs::remove(path / "last", error);
      fs::remove(path, error);
    } else if (name == "faces") {
      for (fs::directory_iterator face(path, error), end; !error && face != end; face.increment(error)) {
        if (is_own_face_file(face->path().filename().string())) fs::remove(face->path(), error);
      }
      fs::remove(path, error);
    } else if (name == "explain") {
      remove_figures(path);
    } else if (!text_of(read_run_json(path), "options_hash").empty()) {
      remove_own_files(path);
      fs::remove(path / "run.json", error);
      fs::remove(path, error);
    }
  }
}

std::string now_text() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

}  // namespace

void check_folder_name(const std::string& name, const std::string& where) {
  constexpr size_t kLongest = 240;  // bytes; file systems take 255, and a number may follow
  if (name.size() > kLongest) {
    throw_usage(
        fmt::format("{} is {} bytes long ({}), expected at most {}", where, name.size(), quote_sample(name), kLongest),
        "choose a shorter --name");
  }
  if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos || name == "." ||
      name == "..") {
    throw_usage(fmt::format("{} is {}, expected the name of a folder without '/'", where, quote_sample(name)),
                "--project says where the folder is made");
  }
}

fs::path weights_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return network::with_shipped(path);
  const fs::path inside = path / "weights" / "best.safetensors";
  if (!fs::exists(inside, ignored)) {
    throw_bad_data(
        fmt::format("cannot read weights from {}: it is a folder without weights/best.safetensors", path.string()),
        "name a .safetensors file or a run folder");
  }
  return inside;
}

bool RunFolder::take(const fs::path& path, IfTaken if_taken, bool reuse_finished, bool only_same) {
  std::error_code error;
  const bool must_be_taken = if_taken == IfTaken::replace && !only_same;
  if (!fs::is_directory(path, error)) {
    if (must_be_taken)
      throw_usage(fmt::format("--exist-ok: {} is a file, expected a folder", path.string()), "choose another --name");
    return false;
  }
  auto lock = lock_folder(path, must_be_taken || is_made_);
  if (lock == nullptr) {
    if (must_be_taken) {
      throw_usage(fmt::format("--exist-ok: another mien is at work in {}", path.string()),
                  "wait for it, or choose another --name");
    }
    return false;
  }
  const ordered_json run = read_run_json(path);  // only now: another process may have written it a moment ago
  const bool is_finished = text_of(run, "status") == "finished";
  const bool is_same = text_of(run, "options_hash") == options_hash_;
  const bool is_judged = text_of(run, "judging_hash") == judging_hash_;
  if (is_same && (!is_finished || reuse_finished)) {
    remove_partial_files(path);
    state_ = is_finished && is_judged ? State::finished : State::unfinished;
    if (run.contains("facts") && run["facts"].is_object()) {
      for (const auto& [key, value] : run["facts"].items()) facts_[key] = value.dump();
    }
    if (run.contains("environment") && run["environment"].is_object())
      threads_ = run["environment"].value("threads", 0);
    has_begun_ = true;
  } else if (only_same) {
    return false;
  } else {
    if (run.empty()) remove_partial_files(path);  // left by a start that was killed at its first file
    const bool is_empty = fs::is_empty(path, error) && !error;
    if (!is_empty && !must_be_taken) return false;
    if (!is_empty) {
      if (text_of(run, "options_hash").empty()) {
        throw_usage(fmt::format("--exist-ok: {} exists and is no run folder of mien", path.string()),
                    "choose another --name");
      }
      auto emptied = run;
      emptied["status"] = "replaced";  // a killed removal leaves no run that seems finished
      write_atomic(path / "run.json", emptied.dump(2) + "\n");
      remove_own_files(path);
      has_begun_ = true;
    }
  }
  path_ = path;
  lock_ = std::move(lock);
  return true;
}

RunFolder RunFolder::choose(const fs::path& project,
                            const std::string& name,
                            IfTaken if_taken,
                            bool reuse_finished,
                            const OptionSet& options,
                            const RunContent& content) {
  check_folder_name(name, "--name");
  RunFolder folder;
  folder.exceptions_ = std::uncaught_exceptions();
  folder.options_hash_ = hash_of(options, content, false);
  folder.judging_hash_ = hash_of(options, content, true);
  std::error_code error;
  fs::create_directories(project, error);
  std::error_code ignored;
  if (error && !fs::is_directory(project, ignored)) fail_to_make(project / name, error.message());

  // The same run first, wherever it stands; --exist-ok means the folder of that very name.
  const auto candidates =
      if_taken == IfTaken::next_number ? series(project, name) : std::vector<fs::path>{project / name};
  for (const fs::path& path : candidates) {
    if (folder.take(path, if_taken, reuse_finished, /*only_same=*/true)) break;
  }
  for (int number = 1; folder.path_.empty(); ++number) {
    const fs::path path = project / (number == 1 ? name : fmt::format("{}-{}", name, number));
    folder.is_made_ = ::mkdir(path.c_str(), 0777) == 0;
    if (!folder.is_made_ && errno != EEXIST) fail_to_make(path, std::strerror(errno));
    if (folder.take(path, if_taken, reuse_finished, /*only_same=*/false)) break;
    if (if_taken == IfTaken::refuse) {
      throw_usage(fmt::format("{} holds another run than this command's", path.string()),
                  "--exist-ok replaces it, or choose another --name");
    }
  }
  if (folder.state_ == State::finished) return folder;
  folder.save("running");  // first: a folder without it belongs to nobody
  write_atomic(folder.path_ / "args.toml", options.to_toml());
  return folder;
}

RunFolder::~RunFolder() {
  const bool is_used = lock_ != nullptr && state_ == State::fresh && !has_begun_;  // not moved from
  if (is_used && std::uncaught_exceptions() > exceptions_) discard();
}

/// Takes a fresh folder away again, unless a run inside it has begun.
void RunFolder::discard() noexcept {
  try {
    std::error_code error;
    for (fs::directory_iterator at(path_, error), end; !error && at != end; at.increment(error)) {
      if (fs::exists(at->path() / "run.json", error)) return save("failed");
    }
    remove_partial_files(path_);
    remove_own_files(path_);
    fs::remove(path_ / "run.json", error);
    if (is_made_) fs::remove(path_, error);
  } catch (const std::exception&) {  // the failure that is under way says more
  }
}

void RunFolder::record_text(const std::string& key, std::string_view text) {
  facts_[key] = ordered_json(std::string(text)).dump();
}

void RunFolder::record_time(const std::string& key) { record_text(key, now_text()); }

void RunFolder::save(std::string_view status) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  ordered_json json{{"status", std::string(status)},
                    {"options_hash", options_hash_},
                    {"judging_hash", judging_hash_},
                    {"saved_at", now_text()},
                    {"host", host},
                    {"environment", ordered_json::parse(runtime::environment_json(runtime::environment()))}};
  for (const char* unmeasured : {"blas_gflops", "convolution_gflops", "register_gflops", "blas_is_slow"}) {
    json["environment"].erase(unmeasured);
  }
  ordered_json facts = ordered_json::object();
  for (const auto& [key, text] : facts_) facts[key] = ordered_json::parse(text);
  json["facts"] = facts;
  write_atomic(path_ / "run.json", json.dump(2) + "\n");
}

std::string run_fact(const fs::path& folder, const std::string& key) {
  const ordered_json run = read_run_json(folder);
  if (!run.contains("facts") || !run["facts"].contains(key)) return "";
  return run["facts"][key].dump();
}

}  // namespace mien::runs
