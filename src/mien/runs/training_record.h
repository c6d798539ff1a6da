#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mien/data/dataset.h"
#include "mien/data/split.h"
#include "mien/network/network.h"

namespace mien::runs {

/// What weights say of the data they were trained on: which file it was, and the parts its rows played.
struct TrainingRecord {
  std::string source_checksum;  ///< Dataset::source_checksum; empty where the weights do not say
  std::string label_source;     ///< Dataset::label_source
  bool knows_rows = false;      ///< false in weights of Mien before 0.2
  /// Rows of the user's data (Dataset::row_of), ascending.
  std::vector<int64_t> training, validation, test;

  static TrainingRecord of(const data::Dataset& dataset, const data::Split& split);
  /// What `info` holds; throws Error(bad_data) if it is damaged.
  static TrainingRecord read(const network::WeightsInfo& info);
  /// Keys for WeightsInfo::extra.
  std::map<std::string, std::string> metadata() const;
  /// Whether these weights were trained on (a part of) the same file, and say on which rows.
  bool knows(const data::Dataset& dataset) const {
    return knows_rows && !source_checksum.empty() && source_checksum == dataset.source_checksum;
  }
};

/// Faces that are judged, and what they are.
struct JudgedRows {
  std::vector<int64_t> indices;  ///< of labeled faces in the data set, ascending
  std::string description;       ///< "test rows, which the network has not seen"
  std::string warning;           ///< where the rate says something else than it seems to; or empty
};

/// The labeled rows of `dataset` that `usage` names: "unseen" (the run's own test rows, else its validation rows; all
/// rows of data that no network was trained on), "all", "training", "validation", or by the column Usage "public-test"
/// or "private-test", whose rows no other usage holds but "training" and "validation" of runs that took them.
/// `records`: of every network that takes part. Throws Error(bad_data) if there are none.
JudgedRows judged_rows(const data::Dataset& dataset,
                       const std::vector<TrainingRecord>& records,
                       const std::string& usage);

}  // namespace mien::runs
