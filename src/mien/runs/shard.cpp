#include "mien/runs/shard.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/runs/machine_options.h"
#include "mien/runs/run_folder.h"

namespace mien::runs {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kMostShards = 100'000;
constexpr const char* kUnfinishedCopy = ".merging";

nlohmann::json run_json(const fs::path& folder) {
  if (!fs::is_regular_file(folder / "run.json")) return {};
  auto json = nlohmann::json::parse(read_text(folder / "run.json", 1 << 22), nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : nlohmann::json{};
}

std::string text_at(const nlohmann::json& json, const char* key) {
  return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
}

int64_t array_number(const ranks::Variables& variables, const char* name) {
  const auto value = parse_int(variables(name).value_or(""));
  if (!value)
    throw_usage(fmt::format("--shard slurm: {} is not in the environment", name),
                "start it through sbatch -a 1-4, or name the shard: --shard 2/4");
  return *value;
}

}  // namespace

void MachineOptions::bind(OptionSet& options) {
  options.group("machines");
  options.add(&sync_batch_norm,
              {.name = "sync-batch-norm",
               .help = "where several processes train together (mpirun, srun, torchrun), normalize by the statistics "
                       "of the whole batch, not of each process's part of it"});
  options.add(&shard,
              {.name = "shard",
               .help = "train part K/N of an ensemble's members (2/4), or slurm: the part of this task of a Slurm job "
                       "array; `mien merge` puts the parts together"});
}

std::string Shard::text() const { return fmt::format("{}/{}", index + 1, count); }
std::string Shard::folder_part() const { return fmt::format(".shard-{}-of-{}", index + 1, count); }

Shard parse_shard(const std::string& text, const ranks::Variables& variables) {
  Shard shard;
  if (text == "slurm") {
    shard.count = array_number(variables, "SLURM_ARRAY_TASK_COUNT");
    shard.index = array_number(variables, "SLURM_ARRAY_TASK_ID") - array_number(variables, "SLURM_ARRAY_TASK_MIN");
  } else {
    const size_t slash = text.find('/');
    const auto index = parse_int(text.substr(0, slash));
    const auto count = slash == std::string::npos ? std::nullopt : parse_int(text.substr(slash + 1));
    if (!index || !count)
      throw_usage(fmt::format("--shard is {}, expected K/N such as 2/4, or slurm", quote_sample(text)));
    shard = {.index = *index - 1, .count = *count};
  }
  if (shard.count < 1 || shard.count > kMostShards || shard.index < 0 || shard.index >= shard.count)
    throw_usage(fmt::format("--shard {} is none: expected 1/{} to {}/{}",
                            shard.text(),
                            std::max<int64_t>(shard.count, 1),
                            std::max<int64_t>(shard.count, 1),
                            std::max<int64_t>(shard.count, 1)),
                "a Slurm array of shards has steps of 1: sbatch -a 1-4");
  return shard;
}

std::optional<Shard> shard_of_folder(const fs::path& folder) {
  const auto json = nlohmann::json::parse(run_fact(folder, "shard"), nullptr, /*allow_exceptions=*/false);
  if (!json.is_string()) return std::nullopt;
  return parse_shard(json.get<std::string>());
}

std::string check_shards(const std::vector<fs::path>& folders) {
  std::map<int64_t, fs::path> found;
  std::string hash;
  int64_t count = 0;
  for (const fs::path& folder : folders) {
    const auto shard = shard_of_folder(folder);
    if (!shard)
      throw_bad_data(fmt::format("cannot merge {}: it is no folder of a finished shard", folder.string()),
                     "start that shard's command again: it goes on where it stopped");
    const nlohmann::json run = run_json(folder);
    if (text_at(run, "status") != "finished")
      throw_bad_data(fmt::format("cannot merge {}: shard {} is not finished", folder.string(), shard->text()),
                     "start that shard's command again: it goes on where it stopped");
    if (found.empty()) {
      hash = text_at(run, "options_hash");
      count = shard->count;
    }
    if (text_at(run, "options_hash") != hash || shard->count != count)
      throw_bad_data(
          fmt::format("cannot merge {} with {}: they are shards of different runs (options, data or number "
                      "of shards differ)",
                      folder.string(),
                      found.begin()->second.string()));
    const auto [place, is_new] = found.emplace(shard->index, folder);
    if (!is_new)
      throw_bad_data(
          fmt::format(
              "cannot merge: both {} and {} are shard {}", place->second.string(), folder.string(), shard->text()),
          "leave one of them out");
  }
  std::vector<std::string> missing;
  for (int64_t index = 0; index < count; ++index) {
    if (found.count(index) == 0) missing.push_back(Shard{.index = index, .count = count}.text());
  }
  if (!missing.empty())
    throw_bad_data(
        fmt::format("cannot merge: shard {} {} missing", join(missing, ", "), missing.size() == 1 ? "is" : "are"),
        "name all shards' folders; start those that never ran");
  return hash;
}

std::string options_hash_of(const fs::path& folder) { return text_at(run_json(folder), "options_hash"); }

void copy_runs(const std::vector<fs::path>& shards, const fs::path& whole) {
  std::error_code error;
  std::vector<fs::path> left;  // by a merge that was killed
  for (fs::directory_iterator at(whole, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == kUnfinishedCopy) left.push_back(at->path());
  }
  for (const fs::path& path : left) fs::remove_all(path);
  for (const fs::path& shard : shards) {
    for (const fs::directory_entry& entry : fs::directory_iterator(shard)) {
      const fs::path to = whole / entry.path().filename();
      if (!entry.is_directory() || fs::exists(to) || text_at(run_json(entry.path()), "status") != "finished") continue;
      fs::path copy = to;
      copy += kUnfinishedCopy;
      fs::copy(entry.path(), copy, fs::copy_options::recursive);
      fs::rename(copy, to);
    }
  }
}

}  // namespace mien::runs
