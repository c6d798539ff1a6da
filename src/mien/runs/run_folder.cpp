#include "mien/runs/run_folder.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/text.h"
#include "mien/runtime/environment.h"

namespace mien::runs {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kLocked = 0;

/// Of all that decides a run's outcome: option values, not where they came from or where the outcome goes.
std::string hash_of(const OptionSet& options, std::string_view content) {
  std::string text(content);
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

/// Locks a folder for this process; nothing if another process has it.
std::shared_ptr<const void> lock_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0)
    throw_failed(fmt::format("cannot open the run folder {}: {}", folder.string(), std::strerror(errno)));
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor);
    return nullptr;
  }
  // A file system without locks gives another error: then two processes are not told apart.
  return std::shared_ptr<const void>(&kLocked, [descriptor](const void*) { ::close(descriptor); });
}

std::string now_text() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

}  // namespace

void check_folder_name(const std::string& name, const std::string& where) {
  if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..") {
    throw_usage(fmt::format("{} is {}, expected the name of a folder without '/'", where, quote_sample(name)),
                "--project says where the folder is made");
  }
}

fs::path weights_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  const fs::path inside = path / "weights" / "best.safetensors";
  if (!fs::exists(inside)) {
    throw_bad_data(
        fmt::format("cannot read weights from {}: it is a folder without weights/best.safetensors", path.string()),
        "name a .safetensors file or a run folder");
  }
  return inside;
}

RunFolder RunFolder::choose(const fs::path& project,
                            const std::string& name,
                            bool exist_ok,
                            bool reuse_finished,
                            const OptionSet& options,
                            std::string_view content) {
  check_folder_name(name, "--name");
  RunFolder folder;
  folder.options_hash_ = hash_of(options, content);
  folder.path_ = project / name;
  int number = 1;
  fs::path newest;
  const auto is_free = [](const fs::path& path) {
    return !fs::exists(path) || (fs::is_directory(path) && fs::is_empty(path));
  };
  while (!is_free(folder.path_)) {
    newest = folder.path_;
    if (exist_ok) break;
    folder.path_ = project / fmt::format("{}{}", name, ++number);
  }
  if (!newest.empty()) {
    if (!fs::is_directory(newest))
      throw_usage(fmt::format("--name: {} is a file, expected a folder", newest.string()), "choose another --name");
    folder.lock_ = lock_folder(newest);
    if (folder.lock_ == nullptr && exist_ok) {
      throw_usage(fmt::format("--exist-ok: another mien is at work in {}", newest.string()),
                  "wait for it, or choose another --name");
    }
    const ordered_json run = read_run_json(newest);
    const bool is_same = text_of(run, "options_hash") == folder.options_hash_;
    const bool is_finished = text_of(run, "status") == "finished";
    if (folder.lock_ != nullptr && is_same && (!is_finished || reuse_finished)) {
      folder.path_ = newest;
      folder.state_ = is_finished ? State::finished : State::unfinished;
      if (run.contains("facts")) {
        for (const auto& [key, value] : run["facts"].items()) folder.facts_[key] = value.dump();
      }
    } else if (exist_ok) {
      if (run.empty() && !fs::is_empty(newest)) {
        throw_usage(fmt::format("--exist-ok: {} exists and is no run folder of mien", newest.string()),
                    "choose another --name");
      }
      for (const auto& entry : fs::directory_iterator(newest)) fs::remove_all(entry.path());
    }
  }
  if (folder.state_ == State::finished) return folder;
  std::error_code error;
  fs::create_directories(folder.path_, error);
  if (error) {
    throw_failed(fmt::format("cannot create the run folder {}: {}", folder.path_.string(), error.message()),
                 "--project says where run folders are made");
  }
  if (folder.path_ != newest) folder.lock_ = lock_folder(folder.path_);
  folder.save("running");  // first: a folder without it belongs to nobody
  write_atomic(folder.path_ / "args.toml", options.to_toml());
  return folder;
}

void RunFolder::record_text(const std::string& key, std::string_view text) {
  facts_[key] = ordered_json(std::string(text)).dump();
}

void RunFolder::save(std::string_view status) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  ordered_json json{{"status", std::string(status)},
                    {"options_hash", options_hash_},
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
