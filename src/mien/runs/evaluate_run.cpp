#include "mien/runs/evaluate_run.h"

#include <algorithm>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/evaluation/confusion.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/report/gallery.h"
#include "mien/report/gnuplot.h"
#include "mien/report/plots.h"
#include "mien/runs/data_pictures.h"

namespace mien::runs {
namespace {

using evaluation::Predictions;

/// "row 12", or the file's name without its folders.
std::string short_face_name(const data::Dataset& dataset, int64_t index) {
  return std::filesystem::path(dataset.face_name(index)).filename().string();
}

/// Faces of `predictions` at `positions` with what was said of them.
std::vector<report::Tile> tiles(const Predictions& predictions,
                                const data::Dataset& dataset,
                                std::span<const int64_t> positions) {
  std::vector<report::Tile> result;
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
    result.push_back({.image = dataset.image(index), .caption = caption, .frame = frame});
  }
  return result;
}

}  // namespace

std::string part_file(const std::string& stem, const std::string& ending, const std::string& part) {
  return part == "val" || part == "eval" ? stem + ending : stem + "_" + part + ending;
}

std::string rate_text(double rate, const evaluation::Interval& interval) {
  return fmt::format(
      "{:.2f} % (95 % interval {:.2f} to {:.2f} %)", 100 * rate, 100 * interval.low, 100 * interval.high);
}

std::pair<int32_t, int32_t> parse_cell(const std::string& text, std::span<const std::string> class_names) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() != 2)
    throw_usage(fmt::format("--cells: {} is not of the form true:predicted", quote_sample(text)),
                "for example sad:neutral");
  const auto index = [&](const std::string& name) {
    const auto found = std::find(class_names.begin(), class_names.end(), name);
    if (found == class_names.end())
      throw_usage(fmt::format("--cells: {} is no class", quote_sample(name)), suggestion(name, class_names));
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
  const auto losses = evaluation::top_losses(predictions, options.top_losses);
  write_atomic(file("top_losses", ".csv"), evaluation::top_losses_csv(losses, names));
  if (!report::gnuplot_available()) {
    listener.warning("no gnuplot on this machine: the run folder gets no pictures (apt-get install gnuplot-nox)");
    return metrics;
  }
  const std::string shown = part == "val"           ? "validation"
                            : part == "public_test" ? "PublicTest"
                            : part == "vote"        ? "voted"
                                                    : "judged";
  draw_or_warn(listener, [&] {
    report::plot_confusion(
        file("confusion_matrix", ".png"), metrics.confusion, names, false, fmt::format("{} faces, counts", shown));
  });
  draw_or_warn(listener, [&] {
    report::plot_confusion(file("confusion_matrix_normalized", ".png"),
                           metrics.confusion,
                           names,
                           true,
                           fmt::format("{} faces, share of each true class", shown));
  });
  draw_or_warn(listener, [&] {
    report::plot_reliability(file("calibration", ".png"),
                             metrics.reliability,
                             metrics.expected_calibration_error,
                             fmt::format("Reliability on {} faces", shown));
  });
  std::vector<int64_t> positions;
  for (const auto& loss : losses) positions.push_back(loss.index);
  draw_or_warn(listener, [&] {
    report::write_gallery(file("top_losses", ".png"),
                          tiles(predictions, dataset, positions),
                          5,
                          fmt::format("The {} largest losses of {} faces", positions.size(), shown),
                          dataset.height,
                          dataset.width);
  });
  positions.clear();
  for (int64_t i = 0; i < std::min<int64_t>(16, predictions.size()); ++i) positions.push_back(i);
  draw_or_warn(listener, [&] {
    report::write_gallery(folder / fmt::format("{}_batch0_pred.png", part),
                          tiles(predictions, dataset, positions),
                          8,
                          fmt::format("The first {} faces with predictions", shown),
                          dataset.height,
                          dataset.width);
  });
  for (const auto& cell : cells) {
    const int32_t truth = cell.first;
    const int32_t predicted = cell.second;
    const auto members = evaluation::cell_members(predictions, truth, predicted, options.gallery_faces);
    const std::string stem =
        fmt::format("{}_as_{}", names[static_cast<size_t>(truth)], names[static_cast<size_t>(predicted)]);
    if (members.empty()) {
      listener.line(fmt::format("no {} face is {} taken for {}: no gallery",
                                shown,
                                names[static_cast<size_t>(truth)],
                                names[static_cast<size_t>(predicted)]));
      continue;
    }
    draw_or_warn(listener, [&] {
      report::write_gallery(
          file(stem, ".png"),
          tiles(predictions, dataset, members),
          3,
          fmt::format("{} taken for {}", names[static_cast<size_t>(truth)], names[static_cast<size_t>(predicted)]),
          dataset.height,
          dataset.width);
    });
  }
  return metrics;
}

}  // namespace mien::runs
