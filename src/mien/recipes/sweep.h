#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"

namespace mien::recipes {

/// Which combinations of the option lists are trained, and for how long.
enum class SweepStrategy {
  grid,     ///< all
  random,   ///< `samples` different ones, drawn with `sweep-seed`
  halving,  ///< those, first for few epochs; the better part goes on with `eta` times as many, until all epochs
};

/// A sweep as data: options that all trainings share, and lists of values that differ.
struct Sweep {
  std::string name;  ///< file name without its ending
  std::string file;  ///< for messages
  SweepStrategy strategy = SweepStrategy::grid;
  int64_t samples = 16;
  int64_t sweep_seed = 0;
  int64_t seeds = 2;         ///< trainings of each combination, with seeds 0, 1, ...
  double minutes = 0;        ///< of training in all; 0 has no limit
  int64_t eta = 3;           ///< halving keeps one of `eta` at each rung
  int64_t first_epochs = 2;  ///< of halving's first rung
  std::string judge = "validation";
  std::vector<Override> options;                                         ///< of all trainings
  std::vector<std::pair<std::string, std::vector<std::string>>> values;  ///< option and its values
};

/// Reads a sweep file:
///   [sweep]    strategy, samples, sweep-seed, seeds, minutes, eta, first-epochs, judge ("validation" or "test"),
///              recipe and run (whose options come first)
///   [options]  options of all trainings, as in a config file
///   [values]   option = [values]
/// Throws Error(usage) as "file:line: ..." for what is none of these and for values that the options do not take.
Sweep load_sweep(const std::filesystem::path& file);

/// The combinations that a sweep begins with, each a value of every option of `values`, in a fixed order.
std::vector<std::vector<std::string>> combinations(const Sweep& sweep);

/// One line of the table: a combination, its seeds averaged.
struct SweepRow {
  std::vector<std::string> values;
  int64_t epochs = 0;
  std::vector<double> accuracies;  ///< of each seed
  double mean = 0;
  double deviation = 0;  ///< between seeds (divided by n - 1); NaN for one seed
  double low = 0;        ///< Wilson, 95 %, of the mean over the judged faces
  double high = 0;
  double seconds = 0;  ///< of training, mean over the seeds
  std::vector<std::string> folders;
};

struct SweepOutcome {
  std::filesystem::path folder;
  std::vector<SweepRow> rows;  ///< most epochs first, then by falling mean
  bool is_complete = true;     ///< false where the minutes were used up
  std::string text;
  std::string json;
};

/// Trains a sweep's combinations, each seed a run folder in project/NAME, and writes sweep.csv, sweep.json and
/// sweep.png there. A training that is finished is not repeated, also when the file has got more values since. Nothing
/// if the user stopped it.
std::optional<SweepOutcome> run_sweep(const Sweep& sweep,
                                      const std::filesystem::path& project,
                                      ProgressListener& listener);

}  // namespace mien::recipes
