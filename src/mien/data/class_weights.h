#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/data/dataset.h"

namespace mien::data {

/// How the loss weighs classes, and how an epoch draws its rows.
struct ClassWeightOptions {
  std::string class_weights = "none";
  double class_weight_beta = 0.9999;
  bool balanced_sampling = false;
  void bind(OptionSet& options);
};

/// Labeled rows of each class among `rows`: [classes].
std::vector<int64_t> class_counts(const Dataset& dataset, std::span<const int64_t> rows);
/// Labeled rows of each class: [classes].
std::vector<int64_t> class_counts(const Dataset& dataset);

/// One weight a class, [classes]; 0 for a class without rows, which no loss can meet.
///   none       1
///   balanced   N / (K n_c) for N rows over K classes that have rows: the weights of all rows average 1
///   effective  (1 - beta) / (1 - beta^n_c), scaled so that the K weights average 1
/// Throws Error(usage) for another kind or a beta outside [0, 1).
/// @source balanced: King, Zeng 2001, "Logistic regression in rare events data". effective: Cui, Jia, Lin, Song,
/// Belongie 2019, arXiv:1901.05555, equation 2 and section 4.1.
std::vector<double> class_weights(std::span<const int64_t> counts, std::string_view kind, double beta = 0.9999);

/// `rows` in a random order that depends on seed and epoch only.
std::vector<int64_t> epoch_order(std::span<const int64_t> rows, uint64_t seed, int64_t epoch);

/// As many rows as `rows` has, in random order, every class equally often (to within one), the rows of a class equally
/// often (to within one): rows of rare classes come repeatedly, rows of frequent ones take turns over the epochs.
/// Unlabeled rows never come. Depends on seed and epoch only. Throws Error(bad_data) if no row is labeled.
std::vector<int64_t> balanced_epoch_order(const Dataset& dataset,
                                          std::span<const int64_t> rows,
                                          uint64_t seed,
                                          int64_t epoch);

}  // namespace mien::data
