#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/data/dataset.h"

namespace mien::data {

/// Which rows of a data set train, validate and test; each list ascending, no row in two of them.
struct Split {
  std::vector<int64_t> training;
  std::vector<int64_t> validation;
  std::vector<int64_t> test;
  std::string description;  ///< "fraction:0.1, stratified, seed 0: 25,838 training, 2,871 validation, 3,589 test rows"
};

/// How make_split chooses the validation rows.
struct SplitOptions {
  std::string validation = "fraction:0.1";
  bool stratified = true;
  int64_t split_seed = 0;
  void bind(OptionSet& options);
};

/// Divides the labeled rows. Candidates for training and validation are those of usage Training or unknown; PublicTest
/// rows become the test rows, PrivateTest rows are never used. `validation` says which candidates validate:
///   none           none
///   usage          all PublicTest rows, which are then no test rows; all candidates train
///   last:COUNT     the last COUNT candidates
///   fraction:PART  a random part, 0 < PART < 1
///   kfold:FOLDS:I  part I (from 0) of FOLDS random parts of equal size
/// With `stratified`, random parts hold every class in proportion. Throws Error(usage) for a specification it does not
/// understand, and Error(bad_data) where no training row, or no validation row other than for `none`, would be left.
Split make_split(const Dataset& dataset, const SplitOptions& options);

/// A random part of `rows` holding `fraction` of each class, ascending; rounded so that round(fraction * rows) are
/// kept. `purpose` names the random stream.
std::vector<int64_t> stratified_part(
    const Dataset& dataset, const std::vector<int64_t>& rows, double fraction, uint64_t seed, std::string_view purpose);

}  // namespace mien::data
