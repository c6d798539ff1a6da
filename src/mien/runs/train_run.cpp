#include "mien/runs/train_run.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <thread>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/safetensors.h"
#include "mien/core/text.h"
#include "mien/data/class_weights.h"
#include "mien/evaluation/calibration.h"
#include "mien/evaluation/predict_shared.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/report/canvas.h"
#include "mien/report/draw_or_warn.h"
#include "mien/report/gallery.h"
#include "mien/report/history_csv.h"
#include "mien/report/plots.h"
#include "mien/report/tensorboard.h"
#include "mien/runs/ensemble.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/face_sheets.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/run_page.h"
#include "mien/runs/training_record.h"
#include "mien/runs/voters.h"
#include "mien/runtime/environment.h"
#include "mien/training/trainer.h"

namespace mien::runs {
namespace {

/// Keeps results.csv, the TensorBoard events and the pictures of a run up to date.
class Recorder final : public training::TrainingObserver {
 public:
  Recorder(RunFolder& run, const data::Dataset& dataset, ProgressListener& listener)
      : run_(run), folder_(run.path()), dataset_(dataset), listener_(listener) {}

  void first_batch(const training::Batch& batch) override {
    run_.begin();
    report::draw_or_warn(listener_, [&] { draw_batch(batch); });
  }

  void resumed(const std::vector<training::EpochRow>& history) override {
    write_atomic(folder_ / "results.csv", report::history_csv(history));
    // A kill may have come before an epoch's events: they are written again, and TensorBoard forgets the earlier ones.
    events_.emplace(folder_, 1);
    for (const training::EpochRow& row : history) record(row);
    events_->flush();
  }

  void epoch_ended(const std::vector<training::EpochRow>& history, bool /*is_best*/) override {
    write_atomic(folder_ / "results.csv", report::history_csv(history));
    if (history.size() == 1) warn_of_absurd_loss(history.front());
    if (!events_) events_.emplace(folder_);
    record(history.back());
    events_->flush();
  }

 private:
  void draw_batch(const training::Batch& batch) const {
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

  void record(const training::EpochRow& row) {
    events_->scalar("loss/train", row.epoch, row.train_loss);
    events_->scalar("accuracy/train", row.epoch, row.train_accuracy);
    if (std::isfinite(row.validation_loss)) {
      events_->scalar("loss/validation", row.epoch, row.validation_loss);
      events_->scalar("accuracy/validation", row.epoch, row.validation_accuracy);
    }
    events_->scalar("learning_rate", row.epoch, row.learning_rate);
    events_->scalar("seconds", row.epoch, row.seconds);
  }

  /// Guessing costs the log of the number of classes; a network that does three times worse is thrown about.
  void warn_of_absurd_loss(const training::EpochRow& row) const {
    const double chance = std::log(static_cast<double>(dataset_.classes()));
    if (row.train_loss < 3 * chance) return;
    listener_.warning(
        fmt::format("the first epoch's loss is {:.3g}, guessing would give {:.3g}: the learning rate {} is "
                    "probably too high; try --lr {:.2g}",
                    row.train_loss,
                    chance,
                    format_double(row.learning_rate),
                    row.learning_rate / 10));
  }

  RunFolder& run_;
  std::filesystem::path folder_;
  const data::Dataset& dataset_;
  ProgressListener& listener_;
  std::optional<report::EventWriter> events_;
};

std::string describe_data(const data::Dataset& dataset) {
  nlohmann::ordered_json json{{"source", dataset.source}, {"rows", dataset.size()}, {"checksum", dataset.checksum}};
  if (!dataset.label_source.empty()) json["labels"] = dataset.label_source;
  return json.dump();
}

/// Faces of each class in each part.
std::string describe_classes(const data::Dataset& dataset, const data::Split& split) {
  return nlohmann::ordered_json{{"names", dataset.class_names},
                                {"training", data::class_counts(dataset, split.training)},
                                {"validation", data::class_counts(dataset, split.validation)},
                                {"test", data::class_counts(dataset, split.test)}}
      .dump();
}

/// Faces for the page: the first of each class that is trained on.
void write_examples(const data::Dataset& dataset, const data::Split& split, const std::filesystem::path& folder) {
  std::vector<int64_t> examples;
  for (int32_t label = 0; label < dataset.classes(); ++label) {
    const auto found = std::find_if(split.training.begin(), split.training.end(), [&](int64_t index) {
      return dataset.labels[static_cast<size_t>(index)] == label;
    });
    if (found == split.training.end()) return;
    examples.push_back(*found);
  }
  write_face_sheets(folder, "examples", dataset, examples);
}

std::string describe_parameters(const network::Graph& graph) {
  return nlohmann::ordered_json{{"total", graph.total_parameters()},
                                {"trainable", graph.trainable_parameters()},
                                {"multiply_adds", graph.multiply_adds()}}
      .dump();
}

/// Predicts --test-data into predictions_test.csv as id,label.
void predict_file(const std::filesystem::path& out,
                  const Experiment& experiment,
                  const training::TrainingResult& trained,
                  ProgressListener& listener) {
  const data::Dataset faces = load_test_faces(experiment, listener);
  std::vector<int64_t> rows(static_cast<size_t>(faces.size()));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  const auto predictions =
      evaluation::predict(trained.best, trained.normalization, faces, rows, experiment.judge.prediction(), listener);
  write_atomic(out, evaluation::submission_csv(predictions, faces.ids));
  listener.line(fmt::format("{} predictions in {}", with_commas(faces.size()), out.string()));
}

/// Classes without a row among `rows`, as "disgust, fear".
std::string absent_classes(const data::Dataset& dataset, std::span<const int64_t> rows) {
  const std::vector<int64_t> counts = data::class_counts(dataset, rows);
  std::vector<std::string> absent;
  for (size_t k = 0; k < counts.size(); ++k) {
    if (counts[k] == 0) absent.push_back(dataset.class_names[k]);
  }
  return join(absent, ", ");
}

void warn_of_absent_classes(const data::Dataset& dataset, const data::Split& split, ProgressListener& listener) {
  if (const std::string absent = absent_classes(dataset, split.training); !absent.empty()) {
    listener.warning(
        fmt::format("no training row is {}: what the network says of these classes means nothing", absent));
  }
  if (split.validation.empty()) return;
  if (const std::string absent = absent_classes(dataset, split.validation); !absent.empty()) {
    listener.warning(
        fmt::format("no validation row is {}: the best epoch is chosen without these classes; "
                    "--validation fraction:0.1 draws from all",
                    absent));
  }
}

/// Says the loss's class weights and keeps them in run.json.
void record_class_weights(RunFolder& folder, const training::TrainingInput& input, ProgressListener& listener) {
  const at::Tensor weights = training::loss_weights(input);
  if (!weights.defined()) return;
  nlohmann::ordered_json json;
  std::vector<std::string> texts;
  for (int64_t k = 0; k < weights.size(0); ++k) {
    const std::string& name = input.dataset->class_names[static_cast<size_t>(k)];
    json[name] = weights[k].item<double>();
    texts.push_back(fmt::format("{} {:.3f}", name, weights[k].item<double>()));
  }
  folder.record("class_weights", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  listener.line("class weights: " + join(texts, ", "));
}

/// What rounding depends on besides the options.
std::map<std::string, std::string> numerics(const ranks::Group* group) {
  const runtime::Environment environment = runtime::environment();
  return {{"ranks", std::to_string(group == nullptr ? 1 : group->size())},
          {"threads", std::to_string(environment.threads)},
          {"BLAS", environment.blas},
          {"BLAS kernels", environment.blas_kernels},
          {"instructions", environment.cpu_capability},
          {"libtorch", environment.libtorch_version}};
}

/// Goes on with the threads that a run was begun with, where the user left the number open; the destructor puts the
/// number back.
class KeptThreads {
 public:
  KeptThreads(const RunFolder& folder, const Experiment& experiment, ProgressListener& listener)
      : before_(runtime::environment().threads) {
    const int wanted = folder.threads();
    if (experiment.run.threads != 0 || folder.state() != RunFolder::State::unfinished || wanted < 1 ||
        wanted == before_)
      return;
    runtime::configure_threads(wanted);
    is_changed_ = true;
    listener.line(fmt::format("computing with {} threads, as the run was begun ({} cores here)",
                              wanted,
                              std::thread::hardware_concurrency()));
  }
  ~KeptThreads() {
    if (is_changed_) runtime::configure_threads(before_);
  }
  KeptThreads(const KeptThreads&) = delete;
  KeptThreads& operator=(const KeptThreads&) = delete;

 private:
  int before_;
  bool is_changed_ = false;
};

/// Why training is over, for the log.
std::string end_text(const training::TrainingResult& trained, const training::LoopOptions& loop) {
  const auto epochs = static_cast<int64_t>(trained.history.size());
  std::string text;
  switch (trained.stop_reason) {
    case training::StopReason::completed:
      text = fmt::format("trained for all {} epochs", epochs);
      break;
    case training::StopReason::early_stopped:
      text =
          fmt::format("stopped early after epoch {}: no better one in {} epochs (--patience)", epochs, loop.patience);
      break;
    case training::StopReason::time_budget:
      text = fmt::format(
          "stopped after epoch {}: another would not fit into {} minutes", epochs, format_double(loop.time_minutes));
      break;
    case training::StopReason::interrupted:
      return fmt::format("stopped after epoch {}; start the same command again to go on", epochs);
  }
  if (trained.best_epoch > 0) {
    const training::EpochRow& best = trained.history[static_cast<size_t>(trained.best_epoch - 1)];
    text += fmt::format("; best epoch {}", trained.best_epoch);
    if (std::isfinite(best.validation_accuracy))
      text += fmt::format(" (validation accuracy {:.2f} %)", 100 * best.validation_accuracy);
  }
  return text;
}

void warn_of_one_class(const evaluation::Predictions& predictions,
                       const std::string& name,
                       ProgressListener& listener) {
  std::set<int32_t> predicted;
  std::set<int32_t> labels;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    predicted.insert(predictions.predicted(i));
    labels.insert(predictions.labels[static_cast<size_t>(i)]);
  }
  if (predicted.size() != 1 || labels.size() < 2) return;
  listener.warning(
      fmt::format("the network calls all {} {} faces {}: it has learned nothing that tells them apart "
                  "(more epochs, or another --lr)",
                  with_commas(predictions.size()),
                  name,
                  predictions.class_names[static_cast<size_t>(*predicted.begin())]));
}

/// The network that training starts from, and how the weights it starts from want their input.
std::pair<network::Network, std::optional<network::Normalization>> starting_network(const network::Graph& graph,
                                                                                    const Experiment& experiment) {
  std::pair<network::Network, std::optional<network::Normalization>> start{
      network::Network(graph, static_cast<uint64_t>(experiment.train.loop.seed)), std::nullopt};
  if (experiment.run.weights.empty()) return start;
  const std::filesystem::path file = weights_file(experiment.run.weights);
  network::load_weights_into(file, start.first);
  const SafetensorsFile stored = SafetensorsFile::open(file);  // weights of other programs say nothing of their input
  if (const auto text = stored.metadata().find("mien.normalization"); text != stored.metadata().end())
    start.second = network::Normalization::parse(text->second);
  return start;
}

/// Throws Error if the weights that training starts from tell other classes apart.
void check_starting_classes(const Experiment& experiment, const data::Dataset& dataset) {
  const std::filesystem::path file = weights_file(experiment.run.weights);
  const SafetensorsFile stored = SafetensorsFile::open(file);
  const auto text = stored.metadata().find("mien.classes");
  if (text == stored.metadata().end()) return;
  const auto names = nlohmann::json::parse(text->second, nullptr, /*allow_exceptions=*/false);
  if (!names.is_array() || names.empty() || names == nlohmann::json(dataset.class_names)) return;
  throw_usage(fmt::format("--weights: {} tells the classes {} apart, the faces of {} are labeled {}",
                          file.string(),
                          names.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                          dataset.source,
                          join(dataset.class_names, ", ")),
              "name the class folders as the network's classes, or start without --weights");
}

/// Fits a temperature on the validation rows and stores it with the best weights.
double calibrate(const std::filesystem::path& folder,
                 const training::TrainingResult& trained,
                 const data::Dataset& dataset,
                 const std::vector<int64_t>& rows,
                 const evaluation::PredictOptions& options,
                 ProgressListener& listener,
                 ranks::Group* group) {
  const auto predictions =
      evaluation::predict_shared(trained.best, trained.normalization, dataset, rows, options, listener, group);
  const double temperature = evaluation::fit_temperature(predictions);
  const std::filesystem::path file = folder / "weights" / "best.safetensors";
  network::LoadedWeights weights = network::load_weights(file);
  weights.info.extra[kTemperatureKey] = format_double(temperature);
  network::save_weights(file, weights.network, weights.info);
  listener.line(fmt::format("temperature {:.3f}, fitted on {} validation rows, is stored with the weights",
                            temperature,
                            with_commas(static_cast<int64_t>(rows.size()))));
  return temperature;
}

/// The mean logits of experiment.run.teacher for every row of `dataset`, kept in folder's teacher.safetensors, if
/// there is a folder; undefined without
/// a teacher. A teacher that was trained on the validation rows makes the validation rates too good: a warning says so.
at::Tensor teacher_logits(const std::filesystem::path& folder,
                          const Experiment& experiment,
                          const data::Dataset& dataset,
                          const data::Split& split,
                          ProgressListener& listener) {
  if (experiment.run.teacher.empty()) return {};
  const Voters teachers = Voters::load(experiment.run.teacher);
  for (const std::vector<int64_t>* held_out : {&split.validation, &split.test}) {
    const auto seen = std::count_if(held_out->begin(), held_out->end(), [&](int64_t index) {
      return std::any_of(teachers.records.begin(), teachers.records.end(), [&](const TrainingRecord& record) {
        return record.knows(dataset) &&
               std::binary_search(record.training.begin(), record.training.end(), dataset.row_of(index));
      });
    });
    if (seen == 0) continue;
    listener.warning(
        fmt::format("a teacher was trained on {} of the {} {} rows: rates on them are too good; give the "
                    "teacher this run's --validation and --split-seed",
                    with_commas(seen),
                    with_commas(static_cast<int64_t>(held_out->size())),
                    held_out == &split.test ? "test" : "validation"));
  }
  const at::Tensor logits = at::empty({dataset.size(), dataset.classes()}, at::kFloat);
  const auto values = std::span(logits.data_ptr<float>(), static_cast<size_t>(logits.numel()));
  std::string of = dataset.checksum;
  for (const network::LoadedWeights& teacher : teachers.networks) of += teacher.hash;
  const std::filesystem::path file = folder / "teacher.safetensors";
  if (!folder.empty() && std::filesystem::exists(file)) {
    const SafetensorsFile stored = SafetensorsFile::open(file);
    const auto found = stored.metadata().find("mien.teacher");
    if (found != stored.metadata().end() && found->second == of && stored.floats("logits").size() == values.size()) {
      std::copy_n(stored.floats("logits").begin(), values.size(), values.begin());
      return logits;
    }
  }
  std::vector<int64_t> rows(static_cast<size_t>(dataset.size()));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  const auto predictions = teachers.predict("mean-logit", experiment.judge.prediction(), dataset, rows, listener);
  std::copy(predictions.logits.begin(), predictions.logits.end(), values.begin());
  if (folder.empty()) return logits;
  const NamedArray array{.name = "logits",
                         .dtype = "F32",
                         .shape = {dataset.size(), dataset.classes()},
                         .bytes = std::as_bytes(std::span<const float>(values))};
  write_safetensors(file, {&array, 1}, {{"mien.teacher", of}});
  listener.line(
      fmt::format("learns from {} teachers, whose logits are in {}", teachers.networks.size(), file.string()));
  return logits;
}

/// Who trained together, and how they spent their time.
std::string describe_ranks(const ranks::Group& group, const training::TrainingResult& trained) {
  nlohmann::ordered_json json{{"count", group.size()},
                              {"launcher", group.facts().launcher},
                              {"transport", group.facts().transport},
                              {"counts_so_far", trained.ranks_so_far},
                              {"bytes_a_step", trained.bytes_a_step},
                              {"ranks", nlohmann::ordered_json::array()}};
  for (size_t rank = 0; rank < trained.ranks.size(); ++rank) {
    json["ranks"].push_back({{"rank", rank},
                             {"host", group.facts().hosts[rank]},
                             {"seconds_training", trained.ranks[rank].seconds_training},
                             {"seconds_waiting", trained.ranks[rank].seconds_waiting}});
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

/// The part of `mien train` of a rank that writes nothing: trains, and predicts its share of the rows that rank 0
/// judges, in the same order. False if the user stopped it.
bool compute_for_first(const Experiment& experiment,
                       const data::Dataset& dataset,
                       const PreparedData& prepared,
                       ProgressListener& listener,
                       const Together& together) {
  auto [network, normalization] = starting_network(network::load_graph(experiment.run.network), experiment);
  training::TrainingInput input{.dataset = &dataset,
                                .training_rows = prepared.split.training,
                                .validation_rows = prepared.split.validation,
                                .options = experiment.train,
                                .augment = experiment.augment,
                                .normalization = normalization,
                                .teacher_logits = teacher_logits({}, experiment, dataset, prepared.split, listener),
                                .numerics = numerics(together.group),
                                .group = together.group,
                                .sync_batch_norm = together.sync_batch_norm};
  training::TrainingObserver nobody;
  const auto trained = training::train(std::move(network), input, listener, nobody);
  if (trained.stop_reason == training::StopReason::interrupted) return false;
  const evaluation::PredictOptions options = experiment.judge.prediction();
  const auto predict = [&](const std::vector<int64_t>& rows) {
    if (!rows.empty())
      evaluation::predict_shared(trained.best, trained.normalization, dataset, rows, options, listener, together.group);
  };
  if (experiment.judge.calibrate) predict(prepared.split.validation);
  predict(prepared.split.validation);
  predict(prepared.split.test);
  return true;
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

data::Dataset load_test_faces(const Experiment& experiment, ProgressListener& listener) {
  data::DataOptions options;
  options.data = experiment.judge.test_data;
  options.skip_bad_rows = experiment.data.skip_bad_rows;
  options.image_side = experiment.data.image_side;
  options.data_seed = experiment.data.data_seed;
  options.labels = false;
  options.find_faces = experiment.data.find_faces;
  options.faces = experiment.data.faces;
  options.crop = experiment.data.crop;
  try {
    return load_faces(options, network::load_graph(experiment.run.network), listener);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("--test-data: {}", error.what()), error.hint());
  }
}

void check_request(const Experiment& experiment, const data::Dataset& dataset) {
  const network::Graph graph = network::load_graph(experiment.run.network);
  evaluation::check_fits(graph, dataset);
  if (!experiment.run.weights.empty()) {
    network::Network network(graph, 0);
    network::load_weights_into(weights_file(experiment.run.weights), network);
    check_starting_classes(experiment, dataset);
  }
  if (!experiment.run.teacher.empty()) {
    if (experiment.augment.any_per_batch())
      throw_usage("--teacher cannot teach blended faces", "leave --mixup and --cutmix out");
    const Voters teachers = Voters::load(experiment.run.teacher);
    for (const network::LoadedWeights& teacher : teachers.networks)
      evaluation::check_fits(teacher.network.graph(), dataset);
    if (const auto& names = teachers.first().info.class_names; !names.empty() && names != dataset.class_names)
      throw_usage(fmt::format(
          "--teacher tells {} apart, the faces are labeled {}", join(names, ", "), join(dataset.class_names, ", ")));
  }
  if (experiment.judge.calibrate && experiment.split.validation == "none")
    throw_usage("--calibrate fits on the validation rows, and --validation none leaves none",
                "choose --validation fraction:0.1");
  for (const std::string& cell : experiment.judge.cells) parse_cell(cell, dataset.class_names);
  if (!experiment.judge.test_data.empty())
    evaluation::check_image_size(graph, load_test_faces(experiment, silent_listener()));
}

RunContent run_content(const Experiment& experiment, const data::Dataset& dataset) {
  RunContent content;
  content.training = network::load_graph(experiment.run.network).toml + "\n" + dataset.checksum + "\n";
  if (!experiment.data.ferplus.empty()) content.training += checksum(FileCopy(experiment.data.ferplus).text()) + "\n";
  if (!experiment.run.weights.empty())
    content.training += checksum(FileCopy(weights_file(experiment.run.weights)).text()) + "\n";
  for (const std::string& teacher : experiment.run.teacher) {
    for (const std::filesystem::path& file : weights_files(teacher))
      content.training += checksum(FileCopy(file).text()) + "\n";
  }
  if (!experiment.judge.test_data.empty())
    content.judging = load_test_faces(experiment, silent_listener()).checksum + "\n";
  return content;
}

std::optional<RunSummary> train_in(RunFolder& folder,
                                   const Experiment& experiment,
                                   const data::Dataset& dataset,
                                   const PreparedData& prepared,
                                   ProgressListener& listener,
                                   const Together& together) {
  ranks::Group* const group = together.group;
  if (folder.state() == RunFolder::State::finished) {
    listener.line(fmt::format("{} is finished already", folder.path().string()));
    return read_run(folder.path());
  }
  const KeptThreads threads(folder, experiment, listener);
  const network::Graph graph = network::load_graph(experiment.run.network);
  auto [network, normalization] = starting_network(graph, experiment);
  if (normalization) {
    listener.line(fmt::format("starts from {}, and keeps its normalization {}",
                              weights_file(experiment.run.weights).string(),
                              normalization->text()));
  }

  folder.record_text("network", graph.name);
  folder.record("parameters", describe_parameters(graph));
  folder.record("data", describe_data(dataset));
  folder.record_text("split", prepared.split.description);
  folder.record_text("leaks", prepared.leaks);
  folder.record_text("test_name", prepared.test_name);
  folder.record("class_counts", describe_classes(dataset, prepared.split));
  folder.record_text("device", training::resolve_device(experiment.train.loop.device));
  folder.record_text("precision", network::to_text(training::resolve_precision(experiment.train.loop)));
  folder.record("seed", std::to_string(experiment.train.loop.seed));
  folder.save("running");
  listener.line(fmt::format(
      "{}: {} parameters, {}", graph.name, with_commas(graph.total_parameters()), prepared.split.description));

  auto metadata = TrainingRecord::of(dataset, prepared.split).metadata();
  if (const auto faces = experiment.data.cropping()) metadata[data::kCropKey] = faces->crop.text();
  metadata.insert({{"mien.version", runtime::environment().mien_version}, {"mien.data_checksum", dataset.checksum}});
  training::TrainingInput input{
      .dataset = &dataset,
      .training_rows = prepared.split.training,
      .validation_rows = prepared.split.validation,
      .options = experiment.train,
      .augment = experiment.augment,
      .folder = folder.path(),
      .normalization = normalization,
      .teacher_logits = teacher_logits(folder.path(), experiment, dataset, prepared.split, listener),
      .metadata = std::move(metadata)};
  input.numerics = numerics(group);
  input.group = group;
  input.sync_batch_norm = together.sync_batch_norm;
  training::LabelDynamics dynamics(prepared.tracks_labels ? dataset.labels : std::vector<int32_t>());
  if (prepared.tracks_labels) input.label_dynamics = &dynamics;
  if (folder.state() == RunFolder::State::fresh) warn_of_absent_classes(dataset, prepared.split, listener);
  record_class_weights(folder, input, listener);
  Recorder recorder(folder, dataset, listener);
  std::optional<training::TrainingResult> trained;
  try {
    trained = training::train(std::move(network), input, listener, recorder);
  } catch (...) {
    folder.save("failed");
    throw;
  }
  listener.line(end_text(*trained, experiment.train.loop));
  // A run that is over has no tensors in its checkpoint any more: what it wrote stays.
  if (prepared.tracks_labels && dynamics.state().any().item<bool>()) dynamics.write(folder.path() / kLabelDynamicsFile);
  if (!trained->history.empty()) write_atomic(folder.path() / "results.csv", report::history_csv(trained->history));
  if (!trained->history.empty()) {
    report::draw_or_warn(listener, [&] {
      const report::NamedHistory named{.name = graph.name, .rows = trained->history};
      const std::string what =
          fmt::format("{} on {}", graph.name, std::filesystem::path(dataset.source).filename().string());
      report::plot_history(folder.path() / "results.png", {&named, 1}, what);
      report::plot_loss_against_accuracy(
          folder.path() / "loss_against_accuracy.png", trained->history, what + ": accuracy as the loss falls");
    });
  }
  if (trained->stop_reason == training::StopReason::interrupted) {
    folder.save("interrupted");
    return std::nullopt;
  }

  if (group != nullptr) folder.record("ranks", describe_ranks(*group, *trained));
  const evaluation::PredictOptions predict_options = experiment.judge.prediction();
  double temperature = 1;
  if (experiment.judge.calibrate) {
    temperature =
        calibrate(folder.path(), *trained, dataset, prepared.split.validation, predict_options, listener, group);
    folder.record("temperature", format_double(temperature));
  }
  const auto judge_part = [&](const std::vector<int64_t>& rows, const std::string& part) {
    if (rows.empty()) return;
    auto predictions = evaluation::predict_shared(
        trained->best, trained->normalization, dataset, rows, predict_options, listener, group);
    if (temperature != 1) predictions = evaluation::with_temperature(predictions, temperature);
    warn_of_one_class(predictions, part == "val" ? "validation" : "test", listener);
    const std::string rows_are = part == "val" ? "validation" : prepared.test_name;
    const auto metrics =
        evaluate_run(predictions, dataset, experiment.judge, folder.path(), part, listener, rows_are + " rows");
    listener.line(fmt::format("{} {}: accuracy {}{}",
                              graph.name,
                              rows_are,
                              rate_text(metrics.accuracy, metrics.accuracy_interval),
                              dataset.label_source.empty() ? "" : fmt::format(", {} labels", dataset.label_source)));
  };
  report::draw_or_warn(listener, [&] { write_examples(dataset, prepared.split, folder.path()); });
  judge_part(prepared.split.validation, "val");
  judge_part(prepared.split.test, "public_test");
  if (!experiment.judge.test_data.empty()) {
    predict_file(folder.path() / "predictions_test.csv", experiment, *trained, listener);
  }
  folder.record("best_epoch", std::to_string(trained->best_epoch));
  folder.record_text("stop_reason", training::to_text(trained->stop_reason));
  folder.record("seconds", format_double(trained->seconds));
  if (trained->faces_per_second > 0 || run_fact(folder.path(), "faces_per_second").empty()) {
    folder.record("faces_per_second", format_double(trained->faces_per_second));
  }
  folder.record_text("normalization", trained->normalization.text());
  folder.record_time("judged_at");
  folder.save("running");
  const RunSummary summary = read_run(folder.path());
  write_run_page(summary, listener);
  training::finish_checkpoint(folder.path());
  folder.save("finished");
  return summary;
}

std::optional<std::filesystem::path> train_task(const Experiment& experiment,
                                                const OptionSet& options,
                                                ProgressListener& listener,
                                                const Together& together) {
  ranks::Group* const group = together.group;
  const network::Graph graph = network::load_graph(experiment.run.network);  // a wrong name is told before data is read
  const std::string name = experiment.run.name.empty() ? graph.name : experiment.run.name;
  check_folder_name(name, "--name");
  const data::Dataset dataset = load_faces(experiment.data, graph, listener);
  check_request(experiment, dataset);
  if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped before the first step");
  if (group != nullptr && experiment.ensemble.members > 1)
    throw_usage("--members: the ranks train one network together",
                "start each member's own process instead: --shard K/N (docs/scaling.md)");
  if (group != nullptr && !group->is_first()) {
    const PreparedData prepared = prepare(dataset, experiment, listener);
    return compute_for_first(experiment, dataset, prepared, listener, together) ? std::optional(std::filesystem::path())
                                                                                : std::nullopt;
  }
  if (together.shard && experiment.ensemble.members < 2)
    throw_usage("--shard shares out the members of an ensemble, and this is one network",
                "--members says how many to train");
  const std::string part = together.shard ? together.shard->folder_part() : "";
  RunFolder folder = RunFolder::choose(experiment.run.project,
                                       name + part,
                                       experiment.run.exist_ok,
                                       /*reuse_finished=*/together.shard.has_value(),
                                       options,
                                       run_content(experiment, dataset));
  if (folder.state() == RunFolder::State::finished) {
    listener.line(fmt::format("{} is finished already", folder.path().string()));
    return folder.path();
  }
  if (folder.state() == RunFolder::State::unfinished)
    listener.line(fmt::format("going on in {}", folder.path().string()));
  if (experiment.ensemble.members > 1) {
    const auto done = train_ensemble(folder, experiment, options, dataset, listener, together.shard);
    return done ? std::optional(folder.path()) : std::nullopt;
  }
  const PreparedData prepared = prepare(dataset, experiment, listener);
  if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped before the first step");
  const auto summary = train_in(folder, experiment, dataset, prepared, listener, together);
  if (!summary) return std::nullopt;
  listener.line(fmt::format("report: {}", (folder.path() / "report.html").string()));
  return folder.path();
}

}  // namespace mien::runs
