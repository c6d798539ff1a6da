#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/evaluation/evaluator.h"
#include "mien/evaluation/predictions.h"
#include "mien/network/network.h"
#include "mien/runs/training_record.h"

namespace mien::runs {

/// The weights that `path` names: a weights file, a run folder's best weights, or those of all members of an ensemble's
/// folder. Throws Error(bad_data) for a folder that has none; the message names the runs of a recipe's folder.
std::vector<std::filesystem::path> weights_files(const std::filesystem::path& path);

/// Where a temperature was fitted to weights (WeightsInfo::extra), it stands under this key.
inline constexpr const char* kTemperatureKey = "mien.temperature";
/// The temperature that `info` holds, 1 where it holds none. Throws Error(bad_data) if it is no number above 0.
double stored_temperature(const network::WeightsInfo& info);
/// `predictions` at that temperature.
evaluation::Predictions at_stored_temperature(evaluation::Predictions predictions, const network::WeightsInfo& info);

/// One network, or several that vote.
struct Voters {
  std::vector<std::filesystem::path> files;
  std::vector<network::LoadedWeights> networks;
  std::vector<TrainingRecord> records;  ///< of each network

  /// Throws Error(bad_data) if one cannot be read, or they do not tell the same classes apart.
  static Voters load(const std::vector<std::string>& paths);
  const network::LoadedWeights& first() const { return networks.front(); }
  /// What they say of faces (indices) of `dataset`, each at its stored temperature, together by `vote`. Throws
  /// Error(bad_data) for a network whose logits are not finite.
  evaluation::Predictions predict(const std::string& vote,
                                  const evaluation::PredictOptions& options,
                                  const data::Dataset& dataset,
                                  std::span<const int64_t> indices,
                                  ProgressListener& listener) const;
};

}  // namespace mien::runs
