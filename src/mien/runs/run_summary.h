#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mien/evaluation/metrics.h"
#include "mien/evaluation/predictions.h"
#include "mien/training/history.h"

namespace mien::runs {

/// What a finished run folder says about itself.
struct RunSummary {
  std::filesystem::path folder;
  std::string name;  ///< the folder's name
  std::string network;
  std::string data;       ///< source of the faces
  std::string split;      ///< description of the split
  std::string leaks;      ///< the leak check's line; empty if clean
  std::string test_name;  ///< "PublicTest", or "held-out"
  std::string stop_reason;
  int64_t seed = 0;
  int64_t trainable_parameters = 0;
  int64_t total_parameters = 0;
  int64_t best_epoch = 0;
  double seconds = 0;           ///< of training, validation included
  double faces_per_second = 0;  ///< of training steps
  std::vector<training::EpochRow> history;
  std::optional<evaluation::Predictions> validation;
  std::optional<evaluation::Predictions> test;
  std::optional<evaluation::Metrics> validation_metrics;
  std::optional<evaluation::Metrics> test_metrics;

  double seconds_per_epoch() const { return history.empty() ? 0 : seconds / static_cast<double>(history.size()); }
  /// Test metrics where there are any, else validation metrics; nullptr without either.
  const evaluation::Metrics* judged() const;
};

/// A picture that was drawn.
struct DrawnPicture {
  std::filesystem::path path;
  std::string caption;  ///< one or two sentences for a report
};

/// The pictures that were drawn into a run's explain/ by its recipe, in order; none if it drew none.
std::vector<DrawnPicture> read_figures(const std::filesystem::path& run_folder);

/// Reads a run folder. Throws Error(bad_data) if `folder` is none, or has not finished.
RunSummary read_run(const std::filesystem::path& folder);

}  // namespace mien::runs
