#include "mien/runs/evaluate_run.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/evaluation/confusion.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/report/canvas.h"
#include "mien/report/draw_or_warn.h"
#include "mien/report/gallery.h"
#include "mien/report/plots.h"
#include "mien/runs/face_sheets.h"
#include "mien/runs/load_faces.h"

namespace mien::runs {
namespace {

using evaluation::Predictions;

constexpr const char* kAny = "any";
constexpr int32_t kAnyClass = -1;

/// "row 12", or the file's name without its folders.
std::string short_face_name(const data::Dataset& dataset, int64_t index) {
  return std::filesystem::path(dataset.face_name(index)).filename().string();
}

/// Faces with what was said of them; the tiles show the pixels.
struct Tiles {
  std::vector<std::vector<uint8_t>> pixels;
  std::vector<report::Tile> tiles;
};

/// Faces of `predictions` at `positions` with what was said of them.
Tiles tiles(const Predictions& predictions, const data::Dataset& dataset, std::span<const int64_t> positions) {
  Tiles result;
  result.pixels.reserve(positions.size());
  for (const int64_t i : positions) {
    const int64_t index = dataset.index_of(predictions.rows[static_cast<size_t>(i)]).value();
    const int32_t predicted = predictions.predicted(i);
    const auto& names = predictions.class_names;
    const double probability = predictions.probability_row(i)[static_cast<size_t>(predicted)];
    std::string caption = fmt::format("{} {:.0f} %", names[static_cast<size_t>(predicted)], 100 * probability);
    auto frame = report::TileFrame::none;
    if (predictions.is_labeled(i)) {
      const int32_t label = predictions.labels[static_cast<size_t>(i)];
      frame = predicted == label ? report::TileFrame::right : report::TileFrame::wrong;
      if (predicted != label) caption += "\nis " + names[static_cast<size_t>(label)];
    }
    caption += fmt::format("{}{}", frame == report::TileFrame::wrong ? ", " : "\n", short_face_name(dataset, index));
    result.pixels.push_back(tile_pixels(dataset, index));
    result.tiles.push_back({.image = result.pixels.back(), .caption = caption, .frame = frame});
  }
  return result;
}

/// The largest losses, each face once: FER2013 holds copies, and a copy fills the list with one mistake.
std::vector<evaluation::TopLoss> distinct_losses(const Predictions& predictions,
                                                 const data::Dataset& dataset,
                                                 int64_t count) {
  std::vector<evaluation::TopLoss> distinct;
  std::set<std::vector<uint8_t>> seen;
  for (const evaluation::TopLoss& loss : evaluation::top_losses(predictions, predictions.size())) {
    if (static_cast<int64_t>(distinct.size()) >= count) break;
    const auto image = dataset.image(dataset.index_of(loss.row).value());
    if (seen.emplace(image.begin(), image.end()).second) distinct.push_back(loss);
  }
  return distinct;
}

/// What an evaluation's pictures are drawn from.
struct Evaluated {
  const Predictions& predictions;
  const data::Dataset& dataset;
  const evaluation::Metrics& metrics;
  const std::filesystem::path& folder;
  const std::string& part;

  std::filesystem::path file(const std::string& stem) const { return folder / part_file(stem, ".png", part); }
  /// "validation" and so on.
  std::string shown() const {
    return part == "val" ? "validation" : part == "public_test" ? "PublicTest" : part == "vote" ? "voted" : "judged";
  }
  /// Which network, which faces and how well: "leaky4 on 3,589 PublicTest faces of fer2013.csv, accuracy 68.3 %".
  std::string title() const {
    return fmt::format("{} on {} {} faces of {}, accuracy {:.1f} %",
                       folder.filename().string(),
                       with_commas(metrics.count),
                       shown(),
                       std::filesystem::path(dataset.source).filename().string(),
                       100 * metrics.accuracy);
  }
};

void draw_galleries(const Evaluated& of, const std::vector<evaluation::TopLoss>& losses) {
  std::vector<int64_t> positions;
  for (const auto& loss : losses) positions.push_back(loss.index);
  Tiles shown = tiles(of.predictions, of.dataset, positions);
  for (size_t i = 0; i < losses.size(); ++i) shown.tiles[i].caption += fmt::format("\nloss {:.2f}", losses[i].loss);
  if (!losses.empty())
    report::write_gallery(of.file("top_losses"),
                          shown.tiles,
                          5,
                          fmt::format("The {} largest losses, each face once: {}", positions.size(), of.title()),
                          of.dataset.height,
                          of.dataset.width);
  positions.clear();
  for (int64_t i = 0; i < std::min<int64_t>(16, of.predictions.size()); ++i) positions.push_back(i);
  report::write_gallery(of.folder / fmt::format("{}_batch0_pred.png", of.part),
                        tiles(of.predictions, of.dataset, positions).tiles,
                        8,
                        fmt::format("The first {} faces with predictions", of.shown()),
                        of.dataset.height,
                        of.dataset.width);
}

/// Positions of faces of class `truth` that were taken for `predicted`, the surest first; "any" is every other class.
std::vector<int64_t> members_of_cell(const Predictions& predictions, int32_t truth, int32_t predicted, int64_t most) {
  if (truth != kAnyClass && predicted != kAnyClass)
    return evaluation::cell_members(predictions, truth, predicted, most);
  std::vector<int64_t> members;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    const int32_t label = predictions.labels[static_cast<size_t>(i)];
    const bool is_of_row = truth == kAnyClass ? label != predicted : label == truth;
    const bool is_of_column =
        predicted == kAnyClass ? predictions.predicted(i) != truth : predictions.predicted(i) == predicted;
    if (predictions.is_labeled(i) && is_of_row && is_of_column) members.push_back(i);
  }
  const auto sureness = [&](int64_t i) {
    return predictions.probability_row(i)[static_cast<size_t>(predictions.predicted(i))];
  };
  std::stable_sort(members.begin(), members.end(), [&](int64_t a, int64_t b) { return sureness(a) > sureness(b); });
  members.resize(std::min(members.size(), static_cast<size_t>(most)));
  return members;
}

/// A gallery of each asked-for cell of the confusion matrix.
void draw_cells(const Evaluated& of,
                std::span<const std::pair<int32_t, int32_t>> cells,
                int64_t faces,
                ProgressListener& listener) {
  for (const auto& [truth, predicted] : cells) {
    const auto name = [&](int32_t label) {
      return label == kAnyClass ? std::string(kAny) : of.predictions.class_names[static_cast<size_t>(label)];
    };
    const std::string is = name(truth);
    const std::string taken_for = name(predicted);
    const auto members = members_of_cell(of.predictions, truth, predicted, faces);
    if (members.empty()) {
      listener.line(fmt::format("no {} face is {} taken for {}: no gallery", of.shown(), is, taken_for));
      continue;
    }
    report::write_gallery(of.file(fmt::format("{}_as_{}", is, taken_for)),
                          tiles(of.predictions, of.dataset, members).tiles,
                          3,
                          fmt::format("{} taken for {}: {}",
                                      truth == kAnyClass ? "faces of other classes" : is,
                                      predicted == kAnyClass ? "another class" : taken_for,
                                      of.title()),
                          of.dataset.height,
                          of.dataset.width);
  }
}

void draw_metrics(const Evaluated& of) {
  const auto& names = of.predictions.class_names;
  report::plot_confusion(of.file("confusion_matrix"), of.metrics.confusion, names, false, of.title() + ": counts");
  report::plot_confusion(of.file("confusion_matrix_normalized"),
                         of.metrics.confusion,
                         names,
                         true,
                         of.title() + ": share of each true class");
  report::plot_reliability(
      of.file("calibration"), of.metrics.reliability, of.metrics.expected_calibration_error, of.title());
}

}  // namespace

std::string part_file(const std::string& stem, const std::string& ending, const std::string& part) {
  return part == "val" || part == "eval" ? stem + ending : stem + "_" + part + ending;
}

double sample_deviation(std::span<const double> rates) {
  const double mean = std::accumulate(rates.begin(), rates.end(), 0.0) / static_cast<double>(rates.size());
  double squares = 0;
  for (const double rate : rates) squares += (rate - mean) * (rate - mean);
  return rates.size() < 2 ? std::numeric_limits<double>::quiet_NaN()
                          : std::sqrt(squares / static_cast<double>(rates.size() - 1));
}

std::string mean_text(std::span<const double> rates) {
  const double mean = std::accumulate(rates.begin(), rates.end(), 0.0) / static_cast<double>(rates.size());
  if (rates.size() < 2) return fmt::format("{:.2f} % (1 run)", 100 * mean);
  return fmt::format(
      "mean {:.2f} %, standard deviation {:.2f} % ({} runs)", 100 * mean, 100 * sample_deviation(rates), rates.size());
}

std::string rate_text(double rate, const evaluation::Interval& interval) {
  return fmt::format(
      "{:.2f} % (95 % interval {:.2f} to {:.2f} %)", 100 * rate, 100 * interval.low, 100 * interval.high);
}

std::pair<int32_t, int32_t> parse_cell(const std::string& text, std::span<const std::string> class_names) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() != 2)
    throw_usage(fmt::format("--gallery-cells: {} is not of the form true:predicted", quote_sample(text)),
                "for example sad:neutral, fear:any or any:sad");
  if (parts[0] == kAny && parts[1] == kAny)
    throw_usage("--gallery-cells: any:any names no class", "for example sad:neutral, fear:any or any:sad");
  const auto index = [&](const std::string& name) {
    if (name == kAny) return kAnyClass;
    const auto found = std::find(class_names.begin(), class_names.end(), name);
    if (found == class_names.end())
      throw_usage(fmt::format("--gallery-cells: {} is no class", quote_sample(name)), suggestion(name, class_names));
    return static_cast<int32_t>(found - class_names.begin());
  };
  return {index(parts[0]), index(parts[1])};
}

evaluation::Metrics evaluate_run(const Predictions& predictions,
                                 const data::Dataset& dataset,
                                 const RunEvaluationOptions& options,
                                 const std::filesystem::path& folder,
                                 const std::string& part,
                                 ProgressListener& listener,
                                 const std::string& judged_on) {
  const auto file = [&](const std::string& stem, const std::string& ending) {
    return folder / part_file(stem, ending, part);
  };
  const auto& names = predictions.class_names;
  std::vector<std::pair<int32_t, int32_t>> cells;
  for (const std::string& cell : options.cells) cells.push_back(parse_cell(cell, names));

  evaluation::Metrics metrics = evaluation::compute_metrics(predictions);
  metrics.judged_on = judged_on;
  metrics.label_source = dataset.label_source;
  metrics.data_checksum = dataset.source_checksum;
  write_atomic(folder / fmt::format("predictions_{}.csv", part), evaluation::predictions_csv(predictions));
  write_atomic(file("metrics", ".json"), evaluation::metrics_json(metrics));
  write_atomic(file("confusion_matrix", ".csv"), evaluation::confusion_csv(metrics.confusion, names));
  write_atomic(file("confusion_matrix", ".txt"),
               evaluation::confusion_text(metrics.confusion, names, false) + "\n" +
                   evaluation::confusion_text(metrics.confusion, names, true));
  write_atomic(file("most_confused", ".csv"),
               evaluation::most_confused_csv(evaluation::most_confused(metrics.confusion, 20), names));
  const auto losses = distinct_losses(predictions, dataset, options.top_losses);
  write_atomic(file("top_losses", ".csv"), evaluation::top_losses_csv(losses, names));
  if (const std::string why = report::why_no_pictures(); !why.empty()) listener.warning(why);
  std::vector<int64_t> faces;
  for (const int64_t row : predictions.rows) faces.push_back(dataset.index_of(row).value());
  report::draw_or_warn(listener, [&] { write_face_sheets(folder, part, dataset, faces); });
  const Evaluated evaluated{predictions, dataset, metrics, folder, part};
  report::draw_or_warn(listener, [&] { draw_metrics(evaluated); });
  report::draw_or_warn(listener, [&] { draw_galleries(evaluated, losses); });
  report::draw_or_warn(listener, [&] { draw_cells(evaluated, cells, options.gallery_faces, listener); });
  return metrics;
}

}  // namespace mien::runs
