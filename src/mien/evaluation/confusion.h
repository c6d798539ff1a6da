#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mien/evaluation/intervals.h"
#include "mien/evaluation/predictions.h"

namespace mien::evaluation {

/// [true class][predicted class], K by K.
using ConfusionCounts = std::vector<std::vector<int64_t>>;

/// Counts over the labeled rows.
ConfusionCounts confusion_counts(const Predictions& predictions);

/// Aligned table, one line a true class: counts with their sum, or (`normalized`) shares of the true class with two
/// decimals, "-" where the class has no faces.
std::string confusion_text(const ConfusionCounts& counts, std::span<const std::string> names, bool normalized);

/// "true,angry,disgust,..." and one line a true class: counts, or shares of the true class at full precision (0 where
/// it has no faces).
std::string confusion_csv(const ConfusionCounts& counts, std::span<const std::string> names, bool normalized = false);

/// How often one class was taken for another.
struct ConfusedPair {
  int32_t truth = 0;
  int32_t predicted = 0;
  int64_t count = 0;
  double share_of_truth = 0;  ///< of the true class's faces, 0..1
  Interval interval;          ///< Wilson, 95 %, of the share
};

/// The at most `count` off-diagonal cells with most faces, most first; ties by larger share, then by index. Cells
/// without faces are left out.
std::vector<ConfusedPair> most_confused(const ConfusionCounts& counts, int64_t count);

/// "true,predicted,count,share_of_true,share_low,share_high".
std::string most_confused_csv(const std::vector<ConfusedPair>& pairs, std::span<const std::string> names);

/// A face the network was most wrong about.
struct TopLoss {
  int64_t index = 0;  ///< position in the Predictions
  int64_t row = 0;    ///< row of the user's data
  std::string file;   ///< of a folder's face; empty for others
  int32_t truth = 0;
  int32_t predicted = 0;
  double loss = 0;  ///< nats, as Predictions::loss
  double probability_of_truth = 0;
  double probability_of_predicted = 0;
};

/// The at most `count` labeled faces of largest loss, largest first; ties in order of index.
std::vector<TopLoss> top_losses(const Predictions& predictions, int64_t count);

/// "index,row,true,predicted,loss,probability_of_true,probability_of_predicted", with "file" after row where faces are
/// files.
std::string top_losses_csv(const std::vector<TopLoss>& losses, std::span<const std::string> names);

/// Positions of at most `count` faces of class `truth` predicted as `predicted` (the two may be equal), the most
/// confident first; ties in order of index.
std::vector<int64_t> cell_members(const Predictions& predictions, int32_t truth, int32_t predicted, int64_t count);

}  // namespace mien::evaluation
