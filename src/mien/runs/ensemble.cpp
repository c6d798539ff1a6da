#include "mien/runs/ensemble.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/evaluation/evaluator.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/report/canvas.h"
#include "mien/report/draw_or_warn.h"
#include "mien/report/plots.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/run_page.h"
#include "mien/runs/train_run.h"
#include "mien/runs/voters.h"

namespace mien::runs {
namespace {

using evaluation::Predictions;

/// The weighted vote on every row, each half with the weights that the other half gives.
Predictions cross_fitted(const std::vector<Predictions>& members) {
  std::vector<int64_t> halves[2];
  for (int64_t i = 0; i < members.front().size(); ++i) halves[i % 2].push_back(i);
  Predictions result = members.front();
  for (int half = 0; half < 2; ++half) {
    std::vector<Predictions> fit;
    std::vector<Predictions> judged;
    for (const Predictions& member : members) {
      fit.push_back(evaluation::select(member, halves[1 - half]));
      judged.push_back(evaluation::select(member, halves[half]));
    }
    const Predictions voted =
        evaluation::combine(judged, evaluation::Vote::weighted, evaluation::fit_vote_weights(fit));
    const auto classes = static_cast<size_t>(result.classes());
    for (size_t k = 0; k < halves[half].size(); ++k) {
      const auto to = static_cast<size_t>(halves[half][k]) * classes;
      std::copy_n(voted.logits.begin() + static_cast<int64_t>(k * classes),
                  classes,
                  result.logits.begin() + static_cast<int64_t>(to));
      std::copy_n(voted.probabilities.begin() + static_cast<int64_t>(k * classes),
                  classes,
                  result.probabilities.begin() + static_cast<int64_t>(to));
    }
  }
  return result;
}

/// Folder of the member counted from 1.
std::string member_name(uint64_t number) { return fmt::format("member{:02d}", number); }

std::vector<Predictions> member_predictions(const EnsembleSummary& summary) {
  std::vector<Predictions> predictions;
  for (const RunSummary& member : summary.members) {
    if (!member.test)
      throw_bad_data(fmt::format("cannot vote: {} has no predictions_public_test.csv", member.folder.string()),
                     "start the ensemble again");
    predictions.push_back(*member.test);
  }
  return predictions;
}

/// The vote on the rows that no member saw.
Predictions voted_by(const std::string& name, const std::vector<Predictions>& members) {
  const auto vote = evaluation::vote_from_text(name);
  return vote == evaluation::Vote::weighted ? cross_fitted(members) : evaluation::combine(members, vote);
}

/// Fills in what follows from the members.
void vote(EnsembleSummary& summary) {
  const std::vector<Predictions> predictions = member_predictions(summary);
  summary.weights = evaluation::fit_vote_weights(predictions);
  for (const std::string& name : evaluation::vote_names()) {
    summary.votes.push_back({.vote = name, .metrics = evaluation::compute_metrics(voted_by(name, predictions))});
  }
  summary.growth = evaluation::accuracy_against_members(predictions, evaluation::Vote::majority);
}

std::string votes_json(const EnsembleSummary& summary) {
  nlohmann::ordered_json json{{"judged_on", summary.judged_on}, {"members", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < summary.members.size(); ++i) {
    json["members"].push_back(
        {{"folder", summary.members[i].name}, {"seed", summary.members[i].seed}, {"weight", summary.weights[i]}});
  }
  for (const VoteOutcome& outcome : summary.votes) {
    json["votes"][outcome.vote] = {
        {"accuracy", outcome.metrics.accuracy},
        {"accuracy_interval", {outcome.metrics.accuracy_interval.low, outcome.metrics.accuracy_interval.high}},
        {"macro_f1", outcome.metrics.macro_f1},
        {"log_loss", outcome.metrics.log_loss}};
  }
  for (const auto& point : summary.growth) {
    json["accuracy_against_members"].push_back({{"members", point.members},
                                                {"subsets", point.subsets},
                                                {"accuracy", point.accuracy},
                                                {"interval", {point.interval.low, point.interval.high}},
                                                {"lowest", point.lowest},
                                                {"highest", point.highest}});
  }
  return json.dump(2) + "\n";
}

/// Prediction of a csv by the vote of all members.
void predict_by_vote(const EnsembleSummary& summary, const Experiment& experiment, ProgressListener& listener) {
  const data::Dataset faces = load_test_faces(experiment, listener);
  std::vector<int64_t> rows(static_cast<size_t>(faces.size()));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  std::vector<Predictions> members;
  for (const RunSummary& member : summary.members) {
    const auto loaded = network::load_weights(member.folder / "weights" / "best.safetensors");
    members.push_back(at_stored_temperature(
        evaluation::predict(
            loaded.network, loaded.info.normalization, faces, rows, experiment.judge.prediction(), listener),
        loaded.info));
  }
  const auto vote = evaluation::vote_from_text(experiment.ensemble.vote);
  const Predictions voted =
      evaluation::combine(members, vote, vote == evaluation::Vote::weighted ? summary.weights : std::vector<double>{});
  write_atomic(summary.folder / "predictions_test.csv", evaluation::submission_csv(voted, faces.ids));
  listener.line(fmt::format("{} predictions by {} vote in {}",
                            with_commas(faces.size()),
                            experiment.ensemble.vote,
                            (summary.folder / "predictions_test.csv").string()));
}

}  // namespace

std::optional<EnsembleSummary> train_ensemble(RunFolder& folder,
                                              const Experiment& experiment,
                                              const OptionSet& options,
                                              const data::Dataset& dataset,
                                              ProgressListener& listener,
                                              const std::optional<Shard>& shard) {
  if (experiment.split.validation == "usage") {
    throw_usage("--members: --validation usage leaves no rows that no member saw to judge the vote on",
                "choose --validation fraction:0.1");
  }
  EnsembleSummary summary{.folder = folder.path()};
  // Rows that judge the vote: the test rows, or a part that is hidden from every member.
  data::Dataset visible = dataset;
  std::vector<int64_t> judged_rows = data::make_split(dataset, experiment.split).test;
  const bool is_held_out = judged_rows.empty();
  if (is_held_out) {
    std::vector<int64_t> candidates(static_cast<size_t>(dataset.size()));
    for (size_t i = 0; i < candidates.size(); ++i) candidates[i] = static_cast<int64_t>(i);
    judged_rows = data::stratified_part(dataset, candidates, experiment.ensemble.holdout, 0, "ensemble-holdout");
    for (const int64_t row : judged_rows) visible.usages[static_cast<size_t>(row)] = data::Usage::public_test;
    summary.judged_on =
        fmt::format("{} held-out rows that no member saw", with_commas(static_cast<int64_t>(judged_rows.size())));
  } else {
    summary.judged_on = fmt::format("PublicTest, {} rows", with_commas(static_cast<int64_t>(judged_rows.size())));
  }

  std::optional<data::ImageCopies> copies;  // the members share the data and differ in the split
  for (int64_t m = 0; m < experiment.ensemble.members; ++m) {
    if (shard && !shard->has(m)) continue;
    Experiment member = experiment;
    OptionSet member_options;
    member.bind(member_options);
    copy_options(options, member_options);
    const std::string detail = fmt::format("member {}", m + 1);
    member_options.set("members", "0", Origin::recipe, detail);
    member_options.set("seed", std::to_string(experiment.train.loop.seed + m), Origin::recipe, detail);
    member_options.set("split-seed", std::to_string(experiment.split.split_seed + m), Origin::recipe, detail);
    member_options.set("test-data", "", Origin::recipe, detail);
    RunFolder member_folder = RunFolder::choose(folder.path(),
                                                member_name(static_cast<uint64_t>(m) + 1),
                                                experiment.run.exist_ok ? IfTaken::replace : IfTaken::refuse,
                                                /*reuse_finished=*/true,
                                                member_options,
                                                run_content(member, visible));
    listener.line(fmt::format("member {} of {}", m + 1, experiment.ensemble.members));
    const bool is_finished = member_folder.state() == RunFolder::State::finished;
    if (!is_finished && !copies) copies = data::find_copies(visible, member.leaks);
    PreparedData prepared = is_finished ? PreparedData{} : prepare(visible, member, *copies, listener);
    if (is_held_out) prepared.test_name = "held-out";
    auto trained = train_in(member_folder, member, visible, prepared, listener);
    if (!trained) {
      folder.save("interrupted");
      return std::nullopt;
    }
    summary.members.push_back(std::move(*trained));
  }

  if (shard) {
    folder.record_text("shard", shard->text());
    folder.save("finished");
    listener.line(fmt::format("shard {} is in {}; when all are there: mien merge {}.shard-*",
                              shard->text(),
                              folder.path().string(),
                              folder.path().string().substr(0, folder.path().string().rfind(".shard-"))));
    return summary;
  }
  vote(summary);
  const std::vector<Predictions> predictions = member_predictions(summary);
  evaluate_run(voted_by(experiment.ensemble.vote, predictions),
               visible,
               experiment.judge,
               folder.path(),
               "vote",
               listener,
               summary.judged_on);
  for (const VoteOutcome& outcome : summary.votes) {
    listener.line(fmt::format(
        "{:17} accuracy {}", outcome.vote, rate_text(outcome.metrics.accuracy, outcome.metrics.accuracy_interval)));
  }
  write_atomic(folder.path() / "votes.json", votes_json(summary));
  report::draw_or_warn(listener, [&] {
    report::plot_members(folder.path() / "members.png", summary.growth, "Majority vote on " + summary.judged_on);
  });
  if (!experiment.judge.test_data.empty()) predict_by_vote(summary, experiment, listener);
  folder.record("members", std::to_string(summary.members.size()));
  folder.record_text("judged_on", summary.judged_on);
  folder.record_time("judged_at");
  folder.save("running");
  write_ensemble_page(summary, listener);
  folder.save("finished");
  listener.line(fmt::format("report: {}", (folder.path() / "report.html").string()));
  return summary;
}

EnsembleSummary read_ensemble(const std::filesystem::path& folder) {
  const auto judged_on = nlohmann::json::parse(run_fact(folder, "judged_on"), nullptr, /*allow_exceptions=*/false);
  const auto members = nlohmann::json::parse(run_fact(folder, "members"), nullptr, /*allow_exceptions=*/false);
  if (!judged_on.is_string() || !members.is_number_unsigned()) {
    throw_bad_data(fmt::format("{} is no folder of a finished ensemble", folder.string()),
                   "start `mien train --members` again: it goes on where it stopped");
  }
  EnsembleSummary summary{.folder = folder, .judged_on = judged_on.get<std::string>()};
  for (uint64_t m = 1; m <= members.get<uint64_t>(); ++m) summary.members.push_back(read_run(folder / member_name(m)));
  vote(summary);
  return summary;
}

}  // namespace mien::runs
