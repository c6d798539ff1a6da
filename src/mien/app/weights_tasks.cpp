#include "mien/app/weights_tasks.h"

#include <numeric>

#include <fmt/format.h>

#include "mien/app/judge.h"
#include "mien/app/run_folder.h"
#include "mien/app/train_task.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/load.h"
#include "mien/evaluation/compare.h"
#include "mien/evaluation/evaluator.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/evaluation/vote.h"
#include "mien/network/network.h"
#include "mien/report/gnuplot.h"
#include "mien/report/plots.h"
#include "mien/training/learning_rate_finder.h"

namespace mien::app {
namespace {

using evaluation::Predictions;

/// A weights file, or the best weights of a run folder.
std::filesystem::path weights_file(const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    const auto inside = std::filesystem::path(path) / "weights" / "best.safetensors";
    if (!std::filesystem::exists(inside)) throw_bad_data(fmt::format("cannot read {}: it is a folder without weights/best.safetensors", path));
    return inside;
  }
  return path;
}

Predictions predict_with(const std::vector<std::string>& weights,
                         const std::string& vote_name,
                         bool flip_average,
                         const data::Dataset& faces,
                         std::span<const int64_t> rows,
                         Listener& listener) {
  if (weights.empty()) throw_usage("no weights were given", "name a .safetensors file or a run folder");
  std::vector<Predictions> members;
  for (const std::string& path : weights) {
    const auto loaded = network::load_weights(weights_file(path));
    members.push_back(evaluation::predict(loaded.network, loaded.info.normalization, faces, rows, {.flip_average = flip_average}, listener));
    if (!loaded.info.class_names.empty()) members.back().class_names = loaded.info.class_names;
  }
  if (members.size() == 1) return std::move(members.front());
  const auto vote = evaluation::vote_from_text(vote_name);
  if (vote == evaluation::Vote::weighted) {
    throw_usage("--vote weighted needs weights fitted on labelled rows", "train with --members, or choose mean-probability");
  }
  return evaluation::combine(members, vote);
}

data::Dataset load_faces(const std::string& path, Listener& listener) {
  data::DataOptions options;
  options.data = path;
  return data::load(options, listener);
}

std::optional<data::Usage> usage_of(const std::string& name) {
  if (name == "training") return data::Usage::training;
  if (name == "public-test") return data::Usage::public_test;
  if (name == "private-test") return data::Usage::private_test;
  return std::nullopt;
}

}  // namespace

void PredictTaskOptions::bind_predict(OptionSet& options) {
  options.group("predict");
  options.add(&out, {.name = "out", .help = "csv to write: id,label"});
  options.add(&probabilities, {.name = "probabilities", .help = "add a column p_NAME with each class's probability"});
  options.add(&vote, {.name = "vote", .help = "how several weights files are combined", .choices = {"majority", "mean-probability", "mean-logit"}});
  options.add(&flip_average, {.name = "tta-flip", .help = "predict with the mean logits of each face and its mirror image"});
}

void PredictTaskOptions::bind_eval(OptionSet& options) {
  options.group("eval");
  options.add(&out, {.name = "out", .help = "folder that metrics and pictures are written into"});
  options.add(&usage, {.name = "usage", .help = "rows to judge on, by their Usage", .choices = {"all", "training", "public-test", "private-test"}});
  options.add(&vote, {.name = "vote", .help = "how several weights files are combined", .choices = {"majority", "mean-probability", "mean-logit"}});
}

int64_t predict_task(const PredictTaskOptions& options, Listener& listener) {
  const data::Dataset faces = load_faces(options.data, listener);
  std::vector<int64_t> rows(static_cast<size_t>(faces.size()));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  const Predictions predictions = predict_with(options.weights, options.vote, options.flip_average, faces, rows, listener);
  write_atomic(options.out, evaluation::submission_csv(predictions, faces.ids, options.probabilities));
  listener.line(fmt::format("{} predictions in {}", with_commas(faces.size()), options.out));
  return faces.size();
}

evaluation::Metrics eval_task(const PredictTaskOptions& options, const JudgeOptions& judge_options, Listener& listener) {
  const data::Dataset faces = load_faces(options.data, listener);
  const auto usage = usage_of(options.usage);
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < faces.size(); ++row) {
    const bool is_wanted = !usage || faces.usages[static_cast<size_t>(row)] == *usage;
    if (is_wanted && faces.labels[static_cast<size_t>(row)] != data::kUnlabelled) rows.push_back(row);
  }
  if (rows.empty()) {
    throw_bad_data(fmt::format("cannot judge on {}: it has no labelled rows of usage {}", options.data, options.usage), "`mien data info` shows what it has");
  }
  const Predictions predictions = predict_with(options.weights, options.vote, judge_options.flip_average, faces, rows, listener);
  return judge(predictions, faces, judge_options, options.out, "val", listener);
}

ComparisonText compare_task(const std::filesystem::path& first, const std::filesystem::path& second, const std::string& part) {
  const auto file = [](const std::filesystem::path& folder, const std::string& name) { return folder / fmt::format("predictions_{}.csv", name); };
  std::string chosen = part;
  if (chosen.empty()) {
    for (const char* name : {"public_test", "vote", "val"}) {
      if (chosen.empty() && std::filesystem::exists(file(first, name)) && std::filesystem::exists(file(second, name))) chosen = name;
    }
    if (chosen.empty()) {
      throw_bad_data(fmt::format("cannot compare {} and {}: they have no predictions file in common", first.string(), second.string()),
                     "name two run folders that `mien train` finished");
    }
  }
  const auto comparison =
      evaluation::compare(evaluation::read_predictions_csv(file(first, chosen)), evaluation::read_predictions_csv(file(second, chosen)),
                          {.first_name = first.string(), .second_name = second.string()});
  return {.text = evaluation::comparison_text(comparison), .json = evaluation::comparison_json(comparison)};
}

double find_learning_rate_task(const Experiment& experiment, const std::filesystem::path& folder, Listener& listener) {
  const network::Graph graph = network::load_graph(experiment.run.network);
  const data::Dataset dataset = data::load(experiment.data, listener);
  const data::Split split = data::make_split(dataset, experiment.split);
  const network::Network network(graph, static_cast<uint64_t>(experiment.train.loop.seed));
  const training::TrainingInput input{
      .dataset = &dataset, .training_rows = split.training, .validation_rows = {}, .options = experiment.train, .augment = experiment.augment, .folder = {}, .metadata = {}};
  const auto curve = training::find_learning_rate(network, input, 1e-6, 10, 120, listener);
  std::string csv = "learning_rate,loss\n";
  for (size_t i = 0; i < curve.rates.size(); ++i) csv += fmt::format("{},{}\n", curve.rates[i], curve.losses[i]);
  write_atomic(folder / "learning_rate.csv", csv);
  if (report::gnuplot_available()) report::plot_learning_rate_finder(folder / "learning_rate.png", curve.rates, curve.losses, curve.suggestion);
  listener.line(fmt::format("suggested --lr {:.2g}; the curve is in {}", curve.suggestion, (folder / "learning_rate.png").string()));
  return curve.suggestion;
}

}  // namespace mien::app
