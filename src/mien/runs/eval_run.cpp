#include "mien/runs/eval_run.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <filesystem>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/outputs.h"
#include "mien/core/text.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/predict_run.h"
#include "mien/runs/voters.h"

namespace mien::runs {

void EvalRunOptions::bind(OptionSet& options) {
  options.group("eval");
  options.add(&out, {.name = "out", .help = "folder that metrics and pictures are written into"});
  options.add(&usage,
              {.name = "usage",
               .help = "rows to judge on: unseen (the run's test rows, else its validation rows; all rows of other "
                       "data), all, training, validation, or by the column Usage",
               .choices = {"unseen", "all", "training", "validation", "public-test", "private-test"}});
  options.add(&is_final,
              {.name = "final",
               .help = "judge a run folder on the PrivateTest rows, which nothing else reads, and record that there; a "
                       "second network of the same project is refused",
               .level = OptionLevel::common});
  options.add(
      &again,
      {.name = "again",
       .help = "with --final: judge though another network of the project was judged so before, which makes the "
               "better of the two rates too good",
       .only_with = {{"final", "true"}}});
  bind_voting(options, vote, threads);
  data.bind_ferplus(options);
  data.bind_reading(options);
}

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kFinalFile = "final.json";

std::string hash_of(const Voters& voters) {
  std::string text;
  for (const network::LoadedWeights& network : voters.networks) text += network.hash + "\n";
  return checksum(text);
}

ordered_json read_final(const fs::path& file) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return ordered_json::array();
  auto json = ordered_json::parse(read_text(file, 1 << 22), nullptr, /*allow_exceptions=*/false);
  if (!json.is_array())
    throw_bad_data(file.string() + " is no list of final judgments", "it decides what --final may read: mend it");
  return json;
}

/// Throws Error(usage) unless `options` may read PrivateTest's labels: of one run folder, and the first of its project.
void check_final(const EvalRunOptions& options, const Voters& voters, ProgressListener& listener) {
  if (!options.is_final) {
    if (options.usage == "private-test")
      throw_usage("--usage private-test: PrivateTest is kept for the end",
                  "--final judges a run folder on it, and records that");
    return;
  }
  const fs::path run = options.weights.front();
  if (options.weights.size() != 1 || !fs::exists(run / "run.json"))
    throw_usage("--final judges one run folder, which keeps the record", "name a run folder of `mien train`");
  if (options.usage != "unseen" && options.usage != "private-test")
    throw_usage("--final judges on PrivateTest, --usage says " + options.usage, "leave --usage out");
  const std::string hash = hash_of(voters);
  const fs::path project = fs::canonical(run).parent_path();
  for (const auto& entry : fs::directory_iterator(project)) {
    for (const ordered_json& before : read_final(entry.path() / kFinalFile)) {
      if (before.value("weights", "") == hash) continue;
      const std::string what = fmt::format("{} was judged on PrivateTest before", entry.path().string());
      if (!options.again)
        throw_usage("--final: " + what + ", and a choice between networks by PrivateTest would make its rate too good",
                    "choose by validation or PublicTest; --again judges all the same, and is recorded");
      listener.warning(what + ": the better one of the rates is too good");
    }
  }
}

void record_final(const EvalRunOptions& options,
                  const Voters& voters,
                  const evaluation::Metrics& metrics,
                  const std::string& settings) {
  const fs::path file = fs::path(options.weights.front()) / kFinalFile;
  ordered_json list = read_final(file);
  list.push_back({{"weights", hash_of(voters)},
                  {"judged_at", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))},
                  {"again", options.again},
                  {"data_checksum", metrics.data_checksum},
                  {"settings", settings},
                  {"faces", metrics.count},
                  {"accuracy", metrics.accuracy},
                  {"interval", {metrics.accuracy_interval.low, metrics.accuracy_interval.high}}});
  write_atomic(file, list.dump(2) + "\n");
}

}  // namespace

evaluation::Metrics eval_run(const EvalRunOptions& options,
                             const RunEvaluationOptions& judge_options,
                             ProgressListener& listener) {
  const std::array<fs::path, 2> inputs{options.data.data, options.data.ferplus};
  check_folder_result(options.out,
                      {.command = "mien eval",
                       .mark = "predictions_eval.csv",
                       .beginning = "row,",
                       .names = {"metrics.json",
                                 "predictions_eval.csv",
                                 "confusion_matrix.csv",
                                 "confusion_matrix.txt",
                                 "most_confused.csv",
                                 "top_losses.csv"}},
                      inputs,
                      "--out");
  if (std::filesystem::exists(std::filesystem::path(options.out) / "args.toml")) {
    throw_usage(fmt::format("--out: {} is a training's folder, whose own metrics would be replaced", options.out),
                "choose another --out");
  }
  const Voters voters = Voters::load(options.weights);
  check_final(options, voters, listener);
  const data::Dataset faces = load_faces(options.data, voters.first(), listener);
  for (const std::string& cell : judge_options.cells) parse_cell(cell, faces.class_names);
  const JudgedRows judged = judged_rows(faces, voters.records, options.is_final ? "private-test" : options.usage);
  const std::string labels = faces.label_source.empty() ? "" : fmt::format("; labels: {}", faces.label_source);
  listener.line(fmt::format("judged on {} faces: {}{}",
                            with_commas(static_cast<int64_t>(judged.indices.size())),
                            judged.description,
                            labels));
  if (!judged.warning.empty()) listener.warning(judged.warning);
  if (const auto& learned = voters.records.front();
      learned.knows(faces) && learned.label_source != faces.label_source) {
    listener.warning(fmt::format("the network learned {} labels and is judged by {}",
                                 learned.label_source.empty() ? "the data's own" : learned.label_source,
                                 faces.label_source.empty() ? "the data's own" : faces.label_source));
  }
  const auto start = std::chrono::steady_clock::now();
  const auto predictions = voters.predict(options.vote, judge_options.prediction(), faces, judged.indices, listener);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const int64_t passes = evaluation::count_of(judge_options.prediction().views);
  listener.line(fmt::format("predicted in {} ({:.0f} faces/s; {} {} a face)",
                            format_duration(seconds),
                            static_cast<double>(judged.indices.size()) / seconds,
                            passes,
                            passes == 1 ? "view" : "views"));
  const auto metrics =
      evaluate_run(predictions, faces, judge_options, options.out, "eval", listener, judged.description);
  if (options.is_final) {
    record_final(options, voters, metrics, fmt::format("vote {}, {} views a face", options.vote, passes));
    listener.line(fmt::format("recorded in {}", (fs::path(options.weights.front()) / kFinalFile).string()));
  }
  return metrics;
}

}  // namespace mien::runs
