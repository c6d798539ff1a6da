#include "mien/runs/list_runs.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/core/toml.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/experiment.h"
#include "mien/runs/machine_options.h"

namespace mien::runs {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kDeepest = 6;  // folders below the one that is listed

json read_json(const fs::path& file) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return {};
  try {
    return json::parse(read_text(file, 1 << 24), nullptr, /*allow_exceptions=*/false);
  } catch (const Error&) {
    return {};
  }
}

std::string text_at(const json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : "";
}

/// Options of args.toml; false where there are none, or of another version.
bool read_options(const fs::path& folder, OptionSet& options) {
  std::error_code ignored;
  const fs::path file = folder / "args.toml";
  if (!fs::is_regular_file(file, ignored)) return false;
  try {
    set_from_toml(options, read_text(file, 1 << 20), file.string(), Origin::config_file);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void read_rates(ListedRun& run) {
  for (const char* part : {"vote", "public_test", "val"}) {
    const json metrics = read_json(run.folder / part_file("metrics", ".json", part));
    if (!metrics.is_object() || !metrics.contains("accuracy") || !metrics["accuracy"].is_number()) continue;
    try {
      const auto interval = metrics.at("accuracy_interval").get<std::vector<double>>();
      run.faces = metrics.at("count").get<int64_t>();
      run.accuracy_interval = {interval.at(0), interval.at(1)};
      run.judged_on = text_at(metrics, "judged_on");
      run.accuracy = metrics["accuracy"].get<double>();
      return;
    } catch (const std::exception&) {  // a file of another program, or damaged: the run is listed without a rate
    }
  }
}

ListedRun read_listed(const fs::path& folder, const json& record) {
  ListedRun run;
  run.folder = folder;
  run.date = text_at(record, "saved_at");
  run.state = text_at(record, "status");
  Experiment experiment;
  MachineOptions machines;
  OptionSet options;
  experiment.bind(options);
  machines.bind(options);
  if (read_options(folder, options)) {
    run.network = experiment.run.network;
    run.data = experiment.data.data;
    run.seed = experiment.train.loop.seed;
    run.members = experiment.ensemble.members > 1 ? experiment.ensemble.members : 0;
  }
  const json facts = record.value("facts", json::object());
  if (const std::string network = text_at(facts, "network"); !network.empty()) run.network = network;
  if (facts.is_object() && facts.contains("members") && facts["members"].is_number_integer())
    run.members = facts["members"].get<int64_t>();
  read_rates(run);
  return run;
}

/// Adds the runs below `folder`.
void collect(const fs::path& folder, int depth, std::vector<ListedRun>& runs) {
  std::vector<fs::path> below;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, fs::directory_options::skip_permission_denied, ignored)) {
    if (entry.is_directory(ignored) && !entry.is_symlink(ignored)) below.push_back(entry.path());
  }
  std::sort(below.begin(), below.end());
  const json record = read_json(folder / "run.json");
  if (record.is_object() && record.contains("status")) {
    const bool has_runs = std::any_of(below.begin(), below.end(), [](const fs::path& inner) {
      return fs::exists(inner / "run.json") && !inner.filename().string().starts_with("member");
    });
    if (!has_runs) {
      runs.push_back(read_listed(folder, record));
      return;
    }
  }
  if (depth == kDeepest) return;
  for (const fs::path& inner : below) collect(inner, depth + 1, runs);
}

/// "2026-11-25 13:05".
std::string short_date(const std::string& date) {
  return date.size() < 16 ? date : date.substr(0, 10) + " " + date.substr(11, 5);
}

}  // namespace

std::vector<ListedRun> list_runs(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw_bad_data(fmt::format("cannot list runs: there is no folder {}", folder.string()),
                   "--project FOLDER names the folder that holds them; `mien train` makes runs");
  }
  std::vector<ListedRun> runs;
  collect(folder, 0, runs);
  return runs;
}

std::string runs_text(const std::vector<ListedRun>& runs) {
  if (runs.empty()) return "no runs\n";
  constexpr size_t kColumns = 7;
  std::vector<std::array<std::string, kColumns>> rows{
      {"run", "network", "data", "accuracy (95 % interval)", "judged on", "saved (UTC)", "state"}};
  for (const ListedRun& run : runs) {
    const std::string rate = !run.accuracy ? "-"
                                           : fmt::format("{:.2f} % ({:.2f} to {:.2f})",
                                                         100 * *run.accuracy,
                                                         100 * run.accuracy_interval.low,
                                                         100 * run.accuracy_interval.high);
    rows.push_back({run.folder.string(),
                    run.members > 0 ? fmt::format("{} members of {}", run.members, run.network) : run.network,
                    run.data.starts_with("drawn") ? run.data : fs::path(run.data).filename().string(),
                    rate,
                    run.accuracy ? fmt::format("{} faces, {}", with_commas(run.faces), run.judged_on) : "-",
                    short_date(run.date),
                    run.state == "running" ? "not finished" : run.state});
  }
  std::array<size_t, kColumns> widths{};
  for (const auto& row : rows) {
    for (size_t c = 0; c < kColumns; ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t c = 0; c < kColumns; ++c)
      text += c + 1 == kColumns ? row[c] + "\n" : fmt::format("{:<{}}  ", row[c], widths[c]);
  }
  return text;
}

std::string runs_json(const std::vector<ListedRun>& runs) {
  ordered_json list = ordered_json::array();
  for (const ListedRun& run : runs) {
    ordered_json row{{"folder", run.folder.string()},
                     {"network", run.network},
                     {"data", run.data},
                     {"seed", run.seed},
                     {"members", run.members},
                     {"saved_at", run.date},
                     {"state", run.state},
                     {"judged_on", run.judged_on},
                     {"faces", run.faces},
                     {"accuracy", nullptr}};
    if (run.accuracy) {
      row["accuracy"] = *run.accuracy;
      row["accuracy_interval"] = {run.accuracy_interval.low, run.accuracy_interval.high};
    }
    list.push_back(std::move(row));
  }
  return list.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string configuration_of(const fs::path& folder) {
  Experiment experiment;
  MachineOptions machines;
  OptionSet options;
  experiment.bind(options);
  machines.bind(options);
  if (!read_options(folder, options)) return "";
  for (const char* name : {"seed", "split-seed", "name", "project", "exist-ok", "threads", "shard"})
    options.remove(name);
  std::string text;
  for (const OptionSet::Entry& entry : options.entries()) text += entry.spec.name + " = " + entry.text() + "\n";
  return text;
}

}  // namespace mien::runs
