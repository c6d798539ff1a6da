#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/data/dataset.h"
#include "mien/data/near_copies.h"
#include "mien/data/split.h"

namespace mien::data {

/// What check_leaks looks for beside exact copies.
struct LeakOptions {
  bool near_copies = true;
  double near_correlation = 0.95;
  bool mirrored_copies = false;
  void bind(OptionSet& options);
};

/// What check_leaks found.
struct LeakReport {
  int64_t images = 0;
  int64_t training_rows = 0;
  int64_t validation_rows = 0;
  int64_t test_rows = 0;
  int64_t distinct = 0;                         ///< images that differ in at least one byte
  std::vector<std::vector<int64_t>> copies;     ///< groups of two or more rows with the same bytes, ascending
  std::vector<int64_t> conflicting;             ///< groups (index into copies) whose labels differ
  std::vector<NearCopy> near_copies;            ///< pairs, ordered by first and second; one row stands for its copies
  int64_t crowded = 0;                          ///< rows with more near copies than near_copies lists
  std::vector<int64_t> constant;                ///< rows whose pixels are all equal
  std::vector<int64_t> leaking_training;        ///< training rows with an exact copy in validation or test
  std::vector<int64_t> near_leaking_training;   ///< further training rows, with a near copy there
  std::vector<int64_t> validation_in_training;  ///< validation rows with an exact copy in training
  std::vector<int64_t> test_in_training;        ///< test rows with an exact copy in training
  std::vector<int64_t> near_validation_in_training;  ///< further validation rows, with a near copy in training
  std::vector<int64_t> near_test_in_training;        ///< further test rows, with a near copy in training

  /// True if nothing was found that flatters a score measured on validation or test rows.
  bool clean() const { return leaking_training.empty() && near_leaking_training.empty(); }
  /// One line for a warning: "280 of 3,589 test rows have an exact copy in training ..."; empty if clean.
  std::string line() const;
  /// Everything found in `dataset`, as an aligned table of counts and the first faces' names.
  std::string table(const Dataset& dataset) const;
};

/// Images that occur more than once, whichever rows train and test.
struct ImageCopies {
  std::vector<std::vector<int64_t>> groups;  ///< rows with the same bytes: every row in one group, ascending
  std::vector<NearCopy> near_copies;         ///< between the first rows of two groups
  std::vector<int64_t> crowded;              ///< rows with more near copies than are listed, see find_near_copies
};

/// What takes the time in check_leaks, to be found once for several splits of the same data.
ImageCopies find_copies(const Dataset& dataset, const LeakOptions& options = {});

/// Looks for images that occur more than once: exact copies (same bytes, compared and not only hashed), near copies,
/// and constant images.
///
/// Two images are near copies if Pearson's correlation of their pixels, and of their 8x8 means, is at least
/// `near_correlation`: brightness, contrast, light noise and recompression do not hide a copy; a shift or another crop
/// may. (The default 0.95: of 40 pairs of FER2013 looked at between 0.95 and 0.97, all showed one photograph twice;
/// between 0.88 and 0.90 half did.) With `mirrored_copies` the left-right mirror image counts too. No pair is missed,
/// but where a row has more near copies than are listed: there the whole group of faces that pairs join counts as
/// copies of one another. `split` says which rows train, validate and test; without it rows of usage Training (or
/// unknown) train and PublicTest and PrivateTest rows test. Runs on mien::threads() threads.
LeakReport check_leaks(const Dataset& dataset, const Split* split = nullptr, const LeakOptions& options = {});
/// The same where find_copies has been asked already.
LeakReport check_leaks(const Dataset& dataset, const Split* split, const ImageCopies& copies);

/// `split` without the training rows that have an exact copy, or, with `near_copies`, a near copy among the validation
/// or test rows: the held-out side stays as it was, so that scores remain comparable. Throws Error(bad_data) if no
/// training row is left.
Split drop_leaks(const Split& split, const LeakReport& report, bool near_copies = false);

}  // namespace mien::data
