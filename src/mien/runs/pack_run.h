#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/data/load.h"

namespace mien::runs {

/// Options of `mien calibrate`.
struct CalibrateOptions {
  std::string weights;
  std::string out;  ///< empty: in place
  data::DataOptions data;
  int64_t threads = 0;
  void bind(OptionSet& options);
};

/// A temperature, and what it does to the rows it was not fitted on.
struct CalibrationOutcome {
  double temperature = 1;
  std::string text;  ///< a table for people
  std::string json;
};

/// Fits a temperature on the rows that validated the weights (on every labeled row of other data) and stores it with
/// them; says log loss and calibration error before and after on those rows and, where there are any, on the test rows.
CalibrationOutcome calibrate_run(const CalibrateOptions& options, ProgressListener& listener);

/// Options of `mien pack`.
struct PackOptions {
  std::string run;   ///< a run folder, or weights
  std::string name;  ///< empty: the run folder's
  std::string out = "models";
  std::string which = "best";  ///< of the run's weights: "best" or "last"
  data::DataOptions data;
  int64_t threads = 0;
  void bind(OptionSet& options);
};

/// Writes OUT/NAME.safetensors, the run's weights with a temperature fitted on their validation rows, and
/// OUT/NAME.md, a card: what was trained on what, how well the network does on its test rows with intervals, by class,
/// by kind of face, calibration, known noise of the labels, misuse. Every figure is measured here. Throws
/// Error(bad_data) if `data` is not what the weights were trained on, or leaves no test rows.
std::filesystem::path pack_run(const PackOptions& options, ProgressListener& listener);

}  // namespace mien::runs
