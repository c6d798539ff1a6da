#include "mien/runs/train_run.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/text.h"
#include "mien/evaluation/evaluator.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/report/gallery.h"
#include "mien/report/gnuplot.h"
#include "mien/report/history_csv.h"
#include "mien/report/plots.h"
#include "mien/report/tensorboard.h"
#include "mien/runs/ensemble.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/run_page.h"
#include "mien/runtime/environment.h"
#include "mien/training/trainer.h"

namespace mien::runs {
namespace {

/// Keeps results.csv, the TensorBoard events and the pictures of a run up to date.
class Recorder final : public training::TrainingObserver {
 public:
  Recorder(const std::filesystem::path& folder, const data::Dataset& dataset) : folder_(folder), dataset_(dataset) {}

  void first_batch(const training::Batch& batch) override {
    if (!report::gnuplot_available()) return;
    const at::Tensor images = batch.images.detach().slice(0, 0, 32).contiguous();
    const int64_t count = images.size(0);
    const int64_t plane = images.size(2) * images.size(3);
    std::vector<uint8_t> bytes(static_cast<size_t>(count * plane));
    std::vector<report::Tile> tiles;
    const at::Tensor targets = batch.targets.slice(0, 0, count);
    const at::Tensor classes = targets.argmax(1);
    for (int64_t i = 0; i < count; ++i) {
      // As the network sees it, stretched to gray levels; the first channel of several.
      const float* const values = images.data_ptr<float>() + i * images.size(1) * plane;
      const auto [low, high] = std::minmax_element(values, values + plane);
      const float range = std::max(*high - *low, 1e-6F);
      for (int64_t k = 0; k < plane; ++k) {
        bytes[static_cast<size_t>(i * plane + k)] = static_cast<uint8_t>(std::lround(255 * (values[k] - *low) / range));
      }
      tiles.push_back({.image = std::span(bytes).subspan(static_cast<size_t>(i * plane), static_cast<size_t>(plane)),
                       .caption = dataset_.class_names[static_cast<size_t>(classes[i].item<int64_t>())]});
    }
    report::write_gallery(folder_ / "train_batch0.png",
                          tiles,
                          8,
                          "The first training batch as the network sees it",
                          images.size(2),
                          images.size(3));
  }

  void epoch_ended(const std::vector<training::EpochRow>& history, bool /*is_best*/) override {
    write_atomic(folder_ / "results.csv", report::history_csv(history));
    const training::EpochRow& row = history.back();
    if (!events_) events_.emplace(folder_, row.epoch > 1 ? std::optional<int64_t>(row.epoch) : std::nullopt);
    events_->scalar("loss/train", row.epoch, row.train_loss);
    events_->scalar("accuracy/train", row.epoch, row.train_accuracy);
    if (std::isfinite(row.validation_loss)) {
      events_->scalar("loss/validation", row.epoch, row.validation_loss);
      events_->scalar("accuracy/validation", row.epoch, row.validation_accuracy);
    }
    events_->scalar("learning_rate", row.epoch, row.learning_rate);
    events_->scalar("seconds", row.epoch, row.seconds);
    events_->flush();
  }

 private:
  std::filesystem::path folder_;
  const data::Dataset& dataset_;
  std::optional<report::EventWriter> events_;
};

std::string describe_data(const data::Dataset& dataset) {
  return nlohmann::ordered_json{{"source", dataset.source}, {"rows", dataset.size()}, {"checksum", dataset.checksum}}
      .dump();
}

std::string describe_parameters(const network::Graph& graph) {
  return nlohmann::ordered_json{{"total", graph.total_parameters()},
                                {"trainable", graph.trainable_parameters()},
                                {"multiply_adds", graph.multiply_adds()}}
      .dump();
}

/// Predicts an unlabeled or labeled csv into predictions_test.csv as id,label.
void predict_file(const std::filesystem::path& out,
                  const std::string& csv,
                  const training::TrainingResult& trained,
                  const RunEvaluationOptions& options,
                  ProgressListener& listener) {
  data::DataOptions data_options;
  data_options.data = csv;
  const data::Dataset faces = data::load(data_options, listener);
  std::vector<int64_t> rows(static_cast<size_t>(faces.size()));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  const auto predictions = evaluation::predict(
      trained.best, trained.normalization, faces, rows, {.flip_average = options.flip_average}, listener);
  write_atomic(out, evaluation::submission_csv(predictions, faces.ids));
  listener.line(fmt::format("{} predictions in {}", with_commas(faces.size()), out.string()));
}

}  // namespace

PreparedData prepare(const data::Dataset& dataset, const Experiment& experiment, ProgressListener& listener) {
  return prepare(dataset, experiment, data::find_copies(dataset, experiment.leaks), listener);
}

PreparedData prepare(const data::Dataset& dataset,
                     const Experiment& experiment,
                     const data::ImageCopies& copies,
                     ProgressListener& listener) {
  PreparedData prepared{.split = data::make_split(dataset, experiment.split), .leaks = {}};
  const data::LeakReport leaks = data::check_leaks(dataset, &prepared.split, copies);
  if (experiment.data.drop_leaks) {
    const auto before = prepared.split.training.size();
    prepared.split = data::drop_leaks(prepared.split, leaks, experiment.leaks.near_copies);
    if (prepared.split.training.size() != before) {
      prepared.leaks = fmt::format("{} training rows with a copy among the held-out rows were left out",
                                   before - prepared.split.training.size());
      listener.line(prepared.leaks);
    }
  } else if (!leaks.clean()) {
    prepared.leaks = leaks.line();
    listener.warning(prepared.leaks + "; --drop-leaks leaves their training copies out");
  }
  return prepared;
}

void check_request(const Experiment& experiment, const data::Dataset& dataset) {
  const network::Graph graph = network::load_graph(experiment.run.network);
  evaluation::check_fits(graph, dataset);
  if (!experiment.run.weights.empty()) {
    network::Network network(graph, 0);
    network::load_weights_into(weights_file(experiment.run.weights), network);
  }
  for (const std::string& cell : experiment.judge.cells) parse_cell(cell, dataset.class_names);
}

std::optional<RunSummary> train_in(RunFolder& folder,
                                   const Experiment& experiment,
                                   const data::Dataset& dataset,
                                   const PreparedData& prepared,
                                   ProgressListener& listener) {
  if (folder.state() == RunFolder::State::finished) {
    if (run_fact(folder.path(), "data") != describe_data(dataset)) {
      throw_usage(fmt::format("{} holds this run on other data than {}", folder.path().string(), dataset.source),
                  "choose another --name, or remove the folder");
    }
    listener.line(fmt::format("{} is finished already", folder.path().string()));
    return read_run(folder.path());
  }
  const network::Graph graph = network::load_graph(experiment.run.network);
  network::Network network(graph, static_cast<uint64_t>(experiment.train.loop.seed));
  if (!experiment.run.weights.empty()) network::load_weights_into(weights_file(experiment.run.weights), network);

  folder.record_text("network", graph.name);
  folder.record("parameters", describe_parameters(graph));
  folder.record("data", describe_data(dataset));
  folder.record_text("split", prepared.split.description);
  folder.record_text("leaks", prepared.leaks);
  folder.record_text("device", training::resolve_device(experiment.train.loop.device));
  folder.record("seed", std::to_string(experiment.train.loop.seed));
  folder.save("running");
  listener.line(fmt::format(
      "{}: {} parameters, {}", graph.name, with_commas(graph.total_parameters()), prepared.split.description));

  training::TrainingInput input{
      .dataset = &dataset,
      .training_rows = prepared.split.training,
      .validation_rows = prepared.split.validation,
      .options = experiment.train,
      .augment = experiment.augment,
      .folder = folder.path(),
      .metadata = {{"mien.version", runtime::environment().mien_version}, {"mien.data_checksum", dataset.checksum}}};
  Recorder recorder(folder.path(), dataset);
  std::optional<training::TrainingResult> trained;
  try {
    trained = training::train(std::move(network), input, listener, recorder);
  } catch (...) {
    folder.save("failed");
    throw;
  }
  if (!trained->history.empty()) write_atomic(folder.path() / "results.csv", report::history_csv(trained->history));
  if (report::gnuplot_available() && !trained->history.empty()) {
    const report::NamedHistory named{.name = graph.name, .rows = trained->history};
    report::plot_history(folder.path() / "results.png", {&named, 1}, "");
    report::plot_loss_against_accuracy(folder.path() / "loss_against_accuracy.png", trained->history, "");
  }
  if (trained->stop_reason == training::StopReason::interrupted) {
    folder.save("interrupted");
    listener.line(
        fmt::format("stopped after epoch {}; start the same command again to go on", trained->history.size()));
    return std::nullopt;
  }

  const evaluation::PredictOptions predict_options{.flip_average = experiment.judge.flip_average};
  const auto judge_part = [&](const std::vector<int64_t>& rows, const std::string& part) {
    if (rows.empty()) return;
    const auto predictions =
        evaluation::predict(trained->best, trained->normalization, dataset, rows, predict_options, listener);
    const auto metrics = evaluate_run(predictions, dataset, experiment.judge, folder.path(), part, listener);
    listener.line(fmt::format("{} {}: accuracy {}",
                              graph.name,
                              part == "val" ? "validation" : "PublicTest",
                              rate_text(metrics.accuracy, metrics.accuracy_interval)));
  };
  judge_part(prepared.split.validation, "val");
  judge_part(prepared.split.test, "public_test");
  if (!experiment.judge.test_data.empty()) {
    predict_file(
        folder.path() / "predictions_test.csv", experiment.judge.test_data, *trained, experiment.judge, listener);
  }
  folder.record("best_epoch", std::to_string(trained->best_epoch));
  folder.record_text("stop_reason", training::to_text(trained->stop_reason));
  folder.record("seconds", format_double(trained->seconds));
  if (trained->faces_per_second > 0 || run_fact(folder.path(), "faces_per_second").empty()) {
    folder.record("faces_per_second", format_double(trained->faces_per_second));
  }
  folder.record_text("normalization", trained->normalization.text());
  folder.save("running");
  const RunSummary summary = read_run(folder.path());
  write_run_page(summary, listener);
  folder.save("finished");
  return summary;
}

std::optional<std::filesystem::path> train_task(const Experiment& experiment,
                                                const OptionSet& options,
                                                ProgressListener& listener) {
  const network::Graph graph = network::load_graph(experiment.run.network);  // a wrong name is told before data is read
  const std::string name = experiment.run.name.empty() ? graph.name : experiment.run.name;
  check_folder_name(name, "--name");
  const data::Dataset dataset = data::load(experiment.data, listener);
  check_request(experiment, dataset);
  RunFolder folder = RunFolder::choose(experiment.run.project, name, experiment.run.exist_ok, false, options);
  if (folder.state() == RunFolder::State::unfinished)
    listener.line(fmt::format("going on in {}", folder.path().string()));
  if (experiment.ensemble.members > 1) {
    const auto done = train_ensemble(folder, experiment, options, dataset, listener);
    return done ? std::optional(folder.path()) : std::nullopt;
  }
  const PreparedData prepared = prepare(dataset, experiment, listener);
  const auto summary = train_in(folder, experiment, dataset, prepared, listener);
  if (!summary) return std::nullopt;
  listener.line(fmt::format("report: {}", (folder.path() / "report.html").string()));
  return folder.path();
}

}  // namespace mien::runs
