#include "mien/app/run_folder.h"

#include <unistd.h>

#include <chrono>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/app/environment.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"

namespace mien::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// Of all that decides a run's outcome: option values, not where they came from or where the outcome goes.
std::string hash_of(const OptionSet& options) {
  std::string text;
  for (const auto& entry : options.entries()) {
    const std::string& name = entry.spec.name;
    if (name == "project" || name == "name" || name == "exist-ok" || name == "time") continue;
    text += name + "=" + entry.text() + "\n";
  }
  return checksum(text);
}

ordered_json read_run_json(const fs::path& folder) {
  const fs::path file = folder / "run.json";
  if (!fs::exists(file)) return {};
  auto json = ordered_json::parse(read_text(file, 1 << 24), nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : ordered_json{};
}

std::string text_of(const ordered_json& json, const char* key) {
  return json.is_object() && json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
}

std::string now_text() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

}  // namespace

RunFolder RunFolder::choose(const fs::path& project, const std::string& name, bool exist_ok, bool reuse_finished, const OptionSet& options) {
  if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..") {
    throw_usage(fmt::format("--name is '{}', expected a folder name", name), "--project says where the folder is made");
  }
  RunFolder folder;
  folder.options_hash_ = hash_of(options);
  folder.path_ = project / name;
  int number = 1;
  fs::path newest;
  while (fs::exists(folder.path_)) {
    newest = folder.path_;
    if (exist_ok) break;
    folder.path_ = project / fmt::format("{}{}", name, ++number);
  }
  if (!newest.empty()) {
    const ordered_json run = read_run_json(newest);
    const bool is_same = text_of(run, "options_hash") == folder.options_hash_;
    const bool is_finished = text_of(run, "status") == "finished";
    if (is_same && (!is_finished || reuse_finished)) {
      folder.path_ = newest;
      folder.state_ = is_finished ? State::finished : State::unfinished;
      if (run.contains("facts")) {
        for (const auto& [key, value] : run["facts"].items()) folder.facts_[key] = value.dump();
      }
    } else if (exist_ok) {
      if (run.empty() && !fs::is_empty(newest)) {
        throw_usage(fmt::format("--exist-ok: {} exists and is no run folder of mien", newest.string()), "choose another --name");
      }
      fs::remove_all(newest);
    }
  }
  if (folder.state_ == State::finished) return folder;
  std::error_code error;
  fs::create_directories(folder.path_, error);
  if (error) {
    throw_failed(fmt::format("cannot create the run folder {}: {}", folder.path_.string(), error.message()),
                 "--project says where run folders are made");
  }
  write_atomic(folder.path_ / "args.toml", options.to_toml());
  folder.save("running");
  return folder;
}

void RunFolder::record_text(const std::string& key, std::string_view text) { facts_[key] = ordered_json(std::string(text)).dump(); }

void RunFolder::save(std::string_view status) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  ordered_json json{{"status", std::string(status)},
                    {"options_hash", options_hash_},
                    {"saved_at", now_text()},
                    {"host", host},
                    {"environment", ordered_json::parse(environment_json(environment()))}};
  json["environment"].erase("blas_gflops");  // not measured here
  json["environment"].erase("blas_is_slow");
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

}  // namespace mien::app
