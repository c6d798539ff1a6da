#include "mien/runs/weights_tasks.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/load.h"
#include "mien/evaluation/compare.h"
#include "mien/evaluation/evaluator.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/evaluation/vote.h"
#include "mien/network/network.h"
#include "mien/report/canvas.h"
#include "mien/report/draw_or_warn.h"
#include "mien/report/plots.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/train_run.h"
#include "mien/training/learning_rate_finder.h"

namespace mien::runs {
namespace {

using evaluation::Predictions;

std::vector<network::LoadedWeights> load_all(const std::vector<std::string>& weights) {
  std::vector<network::LoadedWeights> loaded;
  for (const std::string& path : weights) {
    loaded.push_back(network::load_weights(weights_file(path)));
    const auto& first = loaded.front().info.class_names;
    const auto& last = loaded.back().info.class_names;
    if (last != first) {
      throw_bad_data(fmt::format("{} and {} cannot vote: one tells {} apart, the other {}",
                                 weights.front(),
                                 path,
                                 join(first, ", "),
                                 join(last, ", ")));
    }
  }
  return loaded;
}

Predictions predict_with(const std::vector<network::LoadedWeights>& networks,
                         const std::string& vote_name,
                         bool flip_average,
                         const data::Dataset& faces,
                         std::span<const int64_t> rows,
                         ProgressListener& listener) {
  std::vector<Predictions> members;
  for (const auto& loaded : networks) {
    members.push_back(evaluation::predict(
        loaded.network, loaded.info.normalization, faces, rows, {.flip_average = flip_average}, listener));
    if (!loaded.info.class_names.empty()) members.back().class_names = loaded.info.class_names;
  }
  return members.size() == 1 ? std::move(members.front())
                             : evaluation::combine(members, evaluation::vote_from_text(vote_name));
}

/// Pictures of a folder and drawn faces come in the size that the network takes.
data::Dataset load_faces(const std::string& path, const network::LoadedWeights& loaded, ProgressListener& listener) {
  data::DataOptions options;
  options.data = path;
  options.image_side = loaded.network.graph().input_shape().height;
  return data::load(options, listener);
}

std::optional<data::Usage> usage_of(const std::string& name) {
  if (name == "training") return data::Usage::training;
  if (name == "public-test") return data::Usage::public_test;
  if (name == "private-test") return data::Usage::private_test;
  return std::nullopt;
}

}  // namespace

void PredictTaskOptions::bind_shared(OptionSet& options) {
  options.add(&vote,
              {.name = "vote",
               .help = "how several weights files are combined",
               .choices = {"majority", "mean-probability", "mean-logit"}});
  options.add(&threads,
              {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
}

void PredictTaskOptions::bind_predict(OptionSet& options) {
  options.group("predict");
  options.add(&out, {.name = "out", .help = "csv to write: id,label"});
  options.add(&probabilities, {.name = "probabilities", .help = "add a column p_NAME with each class's probability"});
  bind_shared(options);
  options.add(&flip_average,
              {.name = "tta-flip", .help = "predict with the mean logits of each face and its mirror image"});
}

void PredictTaskOptions::bind_eval(OptionSet& options) {
  options.group("eval");
  options.add(&out, {.name = "out", .help = "folder that metrics and pictures are written into"});
  options.add(&usage,
              {.name = "usage",
               .help = "rows to judge on, by their Usage",
               .choices = {"all", "training", "public-test", "private-test"}});
  bind_shared(options);
}

int64_t predict_task(const PredictTaskOptions& options, ProgressListener& listener) {
  const auto networks = load_all(options.weights);
  data::Dataset faces = load_faces(options.data, networks.front(), listener);
  if (const auto& classes = networks.front().info.class_names; !classes.empty() && classes != faces.class_names) {
    faces.class_names = classes;  // whatever the folders of the pictures are called, their labels are not asked for
    std::fill(faces.labels.begin(), faces.labels.end(), data::kUnlabeled);
    faces.label_distribution.clear();
  }
  std::vector<int64_t> rows(static_cast<size_t>(faces.size()));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  const Predictions predictions = predict_with(networks, options.vote, options.flip_average, faces, rows, listener);
  write_atomic(options.out,
               evaluation::submission_csv(predictions, faces.ids, {.probabilities = options.probabilities}));
  listener.line(fmt::format("{} predictions in {}", with_commas(faces.size()), options.out));
  return faces.size();
}

evaluation::Metrics eval_task(const PredictTaskOptions& options,
                              const RunEvaluationOptions& judge_options,
                              ProgressListener& listener) {
  const auto networks = load_all(options.weights);
  const data::Dataset faces = load_faces(options.data, networks.front(), listener);
  const auto& classes = networks.front().info.class_names;
  if (!classes.empty() && classes != faces.class_names) {
    throw_bad_data(fmt::format("cannot judge {} on {}: the network tells {} apart, the faces are labeled {}",
                               options.weights.front(),
                               options.data,
                               join(classes, ", "),
                               join(faces.class_names, ", ")),
                   "name the class folders as the network's classes");
  }
  for (const std::string& cell : judge_options.cells) parse_cell(cell, faces.class_names);
  const auto usage = usage_of(options.usage);
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < faces.size(); ++row) {
    const bool is_wanted = !usage || faces.usages[static_cast<size_t>(row)] == *usage;
    if (is_wanted && faces.labels[static_cast<size_t>(row)] != data::kUnlabeled) rows.push_back(row);
  }
  if (rows.empty()) {
    throw_bad_data(fmt::format("cannot judge on {}: it has no labeled rows of usage {}", options.data, options.usage),
                   "`mien data info` shows what it has");
  }
  const Predictions predictions =
      predict_with(networks, options.vote, judge_options.flip_average, faces, rows, listener);
  return evaluate_run(predictions, faces, judge_options, options.out, "eval", listener);
}

ComparisonText compare_task(const std::filesystem::path& first,
                            const std::filesystem::path& second,
                            const std::string& part) {
  const auto file = [](const std::filesystem::path& folder, const std::string& name) {
    return folder / fmt::format("predictions_{}.csv", name);
  };
  const auto has = [&](const std::filesystem::path& folder, const std::string& name) {
    return std::filesystem::exists(file(folder, name));
  };
  for (const auto& folder : {first, second}) {
    if (!std::filesystem::is_directory(folder))
      throw_bad_data(fmt::format("cannot compare {}: there is no such folder", folder.string()));
  }
  std::string first_part = part;
  std::string second_part = part;
  if (part == "auto") {
    const auto of_test = [&](const std::filesystem::path& folder) -> std::string {
      return has(folder, "public_test") ? "public_test" : "vote";
    };
    first_part = of_test(first);
    second_part = of_test(second);
    for (const char* name : {"eval", "val"}) {
      if (!has(first, first_part) || !has(second, second_part)) first_part = second_part = name;
    }
  }
  if (!has(first, first_part) || !has(second, second_part)) {
    const std::string wanted =
        part == "auto" ? "no predictions of the same part" : fmt::format("no predictions_{}.csv", part);
    throw_bad_data(fmt::format("cannot compare {} and {}: {} in both", first.string(), second.string(), wanted),
                   "name two folders that `mien train` finished, or that `mien eval` wrote");
  }
  const auto comparison = evaluation::compare(evaluation::read_predictions_csv(file(first, first_part)),
                                              evaluation::read_predictions_csv(file(second, second_part)),
                                              {.first_name = first.string(), .second_name = second.string()});
  return {.text = evaluation::comparison_text(comparison), .json = evaluation::comparison_json(comparison)};
}

double find_learning_rate_task(const Experiment& experiment,
                               const std::filesystem::path& folder,
                               ProgressListener& listener) {
  const network::Graph graph = network::load_graph(experiment.run.network);
  const data::Dataset dataset = data::load(experiment.data, listener);
  check_request(experiment, dataset);
  const data::Split split = data::make_split(dataset, experiment.split);
  network::Network network(graph, static_cast<uint64_t>(experiment.train.loop.seed));
  if (!experiment.run.weights.empty()) network::load_weights_into(weights_file(experiment.run.weights), network);
  const training::TrainingInput input{.dataset = &dataset,
                                      .training_rows = split.training,
                                      .validation_rows = {},
                                      .options = experiment.train,
                                      .augment = experiment.augment,
                                      .folder = {},
                                      .metadata = {}};
  const auto curve = training::find_learning_rate(network, input, 1e-6, 10, 120, listener);
  std::string csv = "learning_rate,loss\n";
  for (size_t i = 0; i < curve.rates.size(); ++i) csv += fmt::format("{},{}\n", curve.rates[i], curve.losses[i]);
  write_atomic(folder / "learning_rate.csv", csv);
  std::filesystem::path shown = folder / "learning_rate.csv";
  report::draw_or_warn(listener, [&] {
    const std::filesystem::path picture = folder / "learning_rate.png";
    report::plot_learning_rate_finder(picture, curve.rates, curve.losses, curve.suggestion, "Learning-rate finder");
    shown = picture;
  });
  listener.line(fmt::format("suggested --lr {:.2g}; the curve is in {}", curve.suggestion, shown.string()));
  return curve.suggestion;
}

}  // namespace mien::runs
