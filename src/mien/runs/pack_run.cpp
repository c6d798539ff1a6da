#include "mien/runs/pack_run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/outputs.h"
#include "mien/core/text.h"
#include "mien/data/leak_check.h"
#include "mien/evaluation/calibration.h"
#include "mien/evaluation/metrics.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/voters.h"

namespace mien::runs {
namespace {

namespace fs = std::filesystem;
using evaluation::Predictions;

/// Metadata of packed weights: how well they do, in a line.
constexpr const char* kSummaryKey = "mien.summary";

/// Weights with the data they are judged on.
struct Judged {
  fs::path file;
  network::LoadedWeights weights;
  TrainingRecord record;
  data::Dataset faces;

  static Judged load(const fs::path& file, const data::DataOptions& options, ProgressListener& listener) {
    network::LoadedWeights weights = network::load_weights(file);
    TrainingRecord record = TrainingRecord::read(weights.info);
    data::Dataset faces = load_faces(options, weights, listener);
    return {.file = file, .weights = std::move(weights), .record = std::move(record), .faces = std::move(faces)};
  }

  /// Faces (indices) of the user's `rows`.
  std::vector<int64_t> indices(const std::vector<int64_t>& rows) const {
    std::vector<int64_t> result;
    for (const int64_t row : rows) {
      if (const auto index = faces.index_of(row)) result.push_back(*index);
    }
    return result;
  }

  /// At temperature 1.
  Predictions predict(const std::vector<int64_t>& rows, evaluation::Views views, ProgressListener& listener) const {
    return evaluation::predict(weights.network, weights.info.normalization, faces, rows, {.views = views}, listener);
  }
};

std::string calibration_line(const std::string& what, const Predictions& before, double temperature) {
  const Predictions after = evaluation::with_temperature(before, temperature);
  const auto error = [](const Predictions& of) {
    return 100 * evaluation::expected_calibration_error(evaluation::reliability_bins(of));
  };
  return fmt::format("{}: log loss {:.4f} -> {:.4f}, calibration error {:.2f} -> {:.2f} % ({} faces)\n",
                     what,
                     evaluation::mean_log_loss(before),
                     evaluation::mean_log_loss(after),
                     error(before),
                     error(after),
                     with_commas(before.size()));
}

/// Mean gray level, deviation, and mean absolute difference of neighbors (low where a face is blurred).
std::array<double, 3> looks_of(const data::Dataset& faces, int64_t index) {
  const auto image = faces.image(index).first(static_cast<size_t>(faces.height * faces.width));
  const auto count = static_cast<double>(image.size());
  double sum = 0;
  double squares = 0;
  double edges = 0;
  for (size_t i = 0; i < image.size(); ++i) {
    sum += image[i];
    squares += static_cast<double>(image[i]) * image[i];
    if (static_cast<int64_t>(i) % faces.width > 0) edges += std::abs(image[i] - image[i - 1]);
  }
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  return {mean, deviation, deviation > 0 ? edges / count / deviation : 0};
}

std::string percent(double rate, const evaluation::Interval& interval) {
  return fmt::format("{:.2f} % ({:.2f} to {:.2f})", 100 * rate, 100 * interval.low, 100 * interval.high);
}

std::string rate_of(const Predictions& predictions, const std::function<bool(int64_t)>& is_taken) {
  int64_t count = 0;
  int64_t correct = 0;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (!is_taken(i)) continue;
    ++count;
    correct += predictions.predicted(i) == predictions.labels[static_cast<size_t>(i)] ? 1 : 0;
  }
  if (count == 0) return "no faces";
  return fmt::format(
      "{}, {} faces",
      percent(static_cast<double>(correct) / static_cast<double>(count), evaluation::wilson_interval(correct, count)),
      with_commas(count));
}

/// Rates of the darkest and brightest thirds, and so on.
std::string by_kind(const Predictions& predictions, const data::Dataset& faces) {
  std::vector<std::array<double, 3>> looks;
  for (const int64_t row : predictions.rows) looks.push_back(looks_of(faces, *faces.index_of(row)));
  constexpr std::array<std::array<const char*, 3>, 3> kNames{
      {{"dark", "of middle brightness", "bright"},
       {"flat", "of middle contrast", "of high contrast"},
       {"smooth or blurred", "of middle sharpness", "sharp or grainy"}}};
  std::string text = "| faces (a third each) | accuracy |\n|---|---|\n";
  for (size_t kind = 0; kind < kNames.size(); ++kind) {
    std::vector<double> values;
    for (const auto& look : looks) values.push_back(look[kind]);
    const double low = evaluation::quantile(values, 1.0 / 3);
    const double high = evaluation::quantile(values, 2.0 / 3);
    for (int third = 0; third < 3; ++third) {
      text +=
          fmt::format("| {} | {} |\n", kNames[kind][static_cast<size_t>(third)], rate_of(predictions, [&](int64_t i) {
                        const double value = values[static_cast<size_t>(i)];
                        return (value >= low) + (value >= high) == third;
                      }));
    }
  }
  return text;
}

/// Test faces (indices) with an exact or near copy among the training rows.
std::set<int64_t> copied_test_faces(const Judged& judged, const std::vector<int64_t>& test) {
  data::Split split{
      .training = judged.indices(judged.record.training), .validation = {}, .test = test, .description = {}};
  const data::LeakReport leaks = data::check_leaks(judged.faces, &split);
  std::set<int64_t> copied(leaks.test_in_training.begin(), leaks.test_in_training.end());
  copied.insert(leaks.near_test_in_training.begin(), leaks.near_test_in_training.end());
  return copied;
}

std::string class_table(const evaluation::Metrics& metrics) {
  std::string text = "| class | faces | recall | precision |\n|---|---|---|---|\n";
  for (const evaluation::ClassMetrics& of : metrics.classes) {
    text += fmt::format("| {} | {} | {} | {} |\n",
                        of.name,
                        with_commas(of.support),
                        percent(of.recall, of.recall_interval),
                        percent(of.precision, of.precision_interval));
  }
  return text;
}

/// The options of a run that are not the defaults, as its args.toml says them.
std::string recipe_of(const fs::path& file) {
  const fs::path args = file.parent_path().parent_path() / "args.toml";
  std::error_code ignored;
  if (!fs::exists(args, ignored)) return {};
  std::string text;
  for (const std::string& line : split(read_text(args), '\n')) {
    const bool is_place = line.starts_with("project") || line.starts_with("name ") || line.starts_with("data ");
    const size_t origin = line.find(" # ");
    if (origin != std::string::npos && !line.starts_with("#") && line.find("default", origin) != std::string::npos &&
        line.find('=') != std::string::npos && !is_place)
      text += std::string(trim(line.substr(0, origin))) + "\n";
  }
  return text;
}

std::string text_or(const network::LoadedWeights& weights, const char* key, const std::string& otherwise) {
  const auto found = weights.info.extra.find(key);
  return found == weights.info.extra.end() ? otherwise : found->second;
}

constexpr const char* kLimits = R"(## Known noise of the labels
FER2013 was labeled by search words and few people; its makers measured 65 +- 5 % for people. The ten votes a face of FER+
contradict about a third of its labels: part of what counts as a mistake here is none, and part of what counts as right
is luck. Faces occur several times, some with different labels.

## Not for
Nothing that matters to a person may hang on what this network says: not hiring, grading, policing, health, insurance,
or watching people at work or school. It names the label that annotators would most likely give to a posed or found
picture, not what a person feels. It was trained on gray pictures of 48 by 48 pixels from the web, whose people are no
sample of mankind; how well it does by age, sex, skin or disability has not been measured.
)";

std::string card_of(const Judged& judged,
                    const std::string& name,
                    const Predictions& plain,
                    const Predictions& flipped,
                    double temperature,
                    const std::string& calibration,
                    ProgressListener& listener) {
  const network::Graph& graph = judged.weights.network.graph();
  const auto metrics = evaluation::compute_metrics(evaluation::with_temperature(plain, temperature));
  const auto with_mirror = evaluation::compute_metrics(flipped, 0);
  listener.line("looking for test faces with a copy in training");
  const auto copied = copied_test_faces(judged, judged.indices(judged.record.test));
  const std::string recipe = recipe_of(judged.file);
  std::string card = fmt::format("# {}\n\n{} ({}): {} parameters, {} multiply-adds a face, float32.\n\n",
                                 name,
                                 graph.name,
                                 graph.source,
                                 with_commas(graph.total_parameters()),
                                 with_commas(graph.multiply_adds()));
  card += fmt::format(
      "## Trained on\n{} (checksum {}): {} rows of usage Training train, {} more validate, {} of usage PublicTest are "
      "judged below. {}The weights are those of epoch {}, seed {}.\n",
      fs::path(judged.faces.source).filename().string(),
      judged.record.source_checksum,
      with_commas(static_cast<int64_t>(judged.record.training.size())),
      with_commas(static_cast<int64_t>(judged.record.validation.size())),
      with_commas(static_cast<int64_t>(judged.record.test.size())),
      judged.record.label_source.empty() ? "" : fmt::format("Labels: {}. ", judged.record.label_source),
      text_or(judged.weights, "mien.epoch", "unknown"),
      text_or(judged.weights, "mien.seed", "unknown"));
  const auto run = nlohmann::json::parse(run_fact(judged.file.parent_path().parent_path(), "seconds"), nullptr, false);
  if (run.is_number()) card += fmt::format("Training took {}.\n", format_duration(run.get<double>()));
  if (!recipe.empty()) card += fmt::format("\nOptions that are not the defaults:\n```toml\n{}```\n", recipe);
  card += fmt::format(
      "\n## How well it does\nOn PublicTest, 95 % intervals in brackets.\n\n| | |\n|---|---|\n| accuracy | {} |\n"
      "| with the mirror image (`--tta flip`) | {} |\n| without faces that have a copy in training | {} |\n"
      "| balanced accuracy | {} |\n| macro F1 | {} |\n\n{}\n",
      percent(metrics.accuracy, metrics.accuracy_interval),
      percent(with_mirror.accuracy, with_mirror.accuracy_interval),
      rate_of(plain,
              [&](int64_t i) { return !copied.contains(*judged.faces.index_of(plain.rows[static_cast<size_t>(i)])); }),
      percent(metrics.balanced_accuracy, metrics.balanced_accuracy_interval),
      percent(metrics.macro_f1, metrics.macro_f1_interval),
      class_table(metrics));
  card += fmt::format(
      "## Calibration\nThe temperature {:.3f} is stored with the weights; every probability of `mien predict` uses "
      "it.\n"
      "{}\n## Faces it fails on\nBy looks of the PublicTest faces, without a picture of them:\n\n{}\n{}",
      temperature,
      calibration,
      by_kind(plain, judged.faces),
      kLimits);
  return card;
}

}  // namespace

void CalibrateOptions::bind(OptionSet& options) {
  options.group("calibrate");
  options.add(&out, {.name = "out", .help = "weights file to write; empty changes the weights in place"});
  options.add(&threads,
              {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
  data.bind_ferplus(options);
  data.bind_reading(options);
}

CalibrationOutcome calibrate_run(const CalibrateOptions& options, ProgressListener& listener) {
  const fs::path file = options.out.empty() ? weights_file(options.weights) : fs::path(options.out);
  if (!options.out.empty()) {
    const std::array<fs::path, 2> inputs{options.data.data, options.data.ferplus};
    check_safetensors_output(file, inputs, "--out", kTemperatureKey, "weights that were calibrated");
  }
  const Judged judged = Judged::load(weights_file(options.weights), options.data, listener);
  const bool is_own = judged.record.knows(judged.faces);
  if (is_own && judged.record.validation.empty()) {
    throw_bad_data(fmt::format("{} had no validation rows to fit a temperature on", judged.file.string()),
                   "name data that it was not trained on");
  }
  std::vector<int64_t> rows = judged.indices(judged.record.validation);
  if (!is_own) {
    rows.clear();
    for (int64_t i = 0; i < judged.faces.size(); ++i) {
      if (judged.faces.labels[static_cast<size_t>(i)] != data::kUnlabeled &&
          judged.faces.usages[static_cast<size_t>(i)] != data::Usage::private_test)
        rows.push_back(i);
    }
  }
  const Predictions fitted_on = judged.predict(rows, evaluation::Views::face, listener);
  CalibrationOutcome outcome{.temperature = evaluation::fit_temperature(fitted_on)};
  outcome.text =
      fmt::format("temperature {:.4f}\n", outcome.temperature) +
      calibration_line(is_own ? "validation rows, fitted on" : "all rows, fitted on", fitted_on, outcome.temperature);
  const std::vector<int64_t> test = is_own ? judged.indices(judged.record.test) : std::vector<int64_t>{};
  if (!test.empty())
    outcome.text += calibration_line(
        "test rows, not fitted on", judged.predict(test, evaluation::Views::face, listener), outcome.temperature);
  network::WeightsInfo info = judged.weights.info;
  info.extra[kTemperatureKey] = format_double(outcome.temperature);
  network::save_weights(file, judged.weights.network, info);
  outcome.text += fmt::format("stored in {}\n", file.string());
  outcome.json =
      nlohmann::ordered_json{{"temperature", outcome.temperature}, {"faces", rows.size()}, {"file", file.string()}}
          .dump() +
      "\n";
  return outcome;
}

void PackOptions::bind(OptionSet& options) {
  options.group("pack");
  options.add(&name, {.name = "name", .help = "what the packed weights are called; empty takes the run folder's name"});
  options.add(&out, {.name = "out", .help = "folder to write weights and card into"});
  options.add(&which, {.name = "which", .help = "which of the run's weights", .choices = {"best", "last"}});
  options.add(&threads,
              {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
  data.bind_ferplus(options);
  data.bind_reading(options);
}

fs::path pack_run(const PackOptions& options, ProgressListener& listener) {
  std::error_code ignored;
  const fs::path run = options.run;
  const fs::path last = run / "weights" / "last.safetensors";
  const fs::path file = fs::is_directory(run, ignored) && options.which == "last" ? last : weights_file(run);
  const std::string name = !options.name.empty() ? options.name : run.stem().string();
  check_folder_name(name, "--name");
  const fs::path weights = fs::path(options.out) / (name + ".safetensors");
  const std::array<fs::path, 3> inputs{file, options.data.data, options.data.ferplus};
  check_safetensors_output(weights, inputs, "--name", kSummaryKey, "weights that were packed");
  Judged judged = Judged::load(file, options.data, listener);
  if (!judged.record.knows(judged.faces) || judged.record.test.empty() || judged.record.validation.empty()) {
    throw_bad_data(fmt::format("cannot judge {}: {} is not what it was trained on, or held no validation and test rows",
                               file.string(),
                               judged.faces.source),
                   "name the file of the training, with rows of usage PublicTest");
  }
  const std::vector<int64_t> test = judged.indices(judged.record.test);
  const Predictions validation =
      judged.predict(judged.indices(judged.record.validation), evaluation::Views::face, listener);
  const double temperature = evaluation::fit_temperature(validation);
  const Predictions plain = judged.predict(test, evaluation::Views::face, listener);
  const Predictions flipped = judged.predict(test, evaluation::Views::flip, listener);
  const std::string calibration = "- " + calibration_line("validation rows, fitted on", validation, temperature) +
                                  "- " + calibration_line("PublicTest, not fitted on", plain, temperature);
  const std::string card = card_of(judged, name, plain, flipped, temperature, calibration, listener);
  network::WeightsInfo info = judged.weights.info;
  info.extra[kTemperatureKey] = format_double(temperature);
  const auto correct = evaluation::compute_metrics(plain, 0);
  info.extra[kSummaryKey] = fmt::format("PublicTest {}, epoch {}",
                                        percent(correct.accuracy, correct.accuracy_interval),
                                        text_or(judged.weights, "mien.epoch", "unknown"));
  network::save_weights(weights, judged.weights.network, info);
  write_atomic(fs::path(options.out) / (name + ".md"), card);
  listener.line(fmt::format("{} with its card {}", weights.string(), name + ".md"));
  return weights;
}

}  // namespace mien::runs
