#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "mien/evaluation/compare.h"
#include "mien/runs/run_summary.h"

namespace mien::runs {

/// Two of several runs, by their place in the list.
struct PairedTest {
  size_t first = 0, second = 0;
  evaluation::Comparison result;
};
/// Every two of `runs` that were judged on the same rows with the same labels: their test rows, else validation rows.
std::vector<PairedTest> paired_tests(const std::vector<RunSummary>& runs);

/// Two folders on the faces that both were judged on.
struct PairOfRuns {
  std::string first_part, second_part;  ///< "val", "public_test", "vote" or "eval"
  evaluation::SharedFaces shared;
  evaluation::Comparison result;
};
/// What compare_runs says of two folders, before it is words; its parameters and what it throws are the same.
PairOfRuns compare_pair(const std::filesystem::path& first,
                        const std::filesystem::path& second,
                        const std::string& part,
                        const std::string& labels = "first");

/// What `mien compare` prints.
struct ComparisonText {
  std::string text;
  std::string json;
};

/// Compares two folders on the faces that both were judged on, which may be a part of each; writes nothing. `part`:
/// "val", "public_test", "vote", "eval", or "auto", which takes the predictions of test rows ("public_test" or "vote",
/// so that an ensemble can be compared with a single network; or what `mien eval` wrote) if both folders have them,
/// else those on validation rows. `labels`: "first" or "second", whose labels judge both where the two differ. Throws
/// Error(bad_data) if they were judged on different data or on no common face.
ComparisonText compare_runs(const std::filesystem::path& first,
                            const std::filesystem::path& second,
                            const std::string& part,
                            const std::string& labels = "first");

/// The same for any number of folders, at least two: rates of each on the faces that all were judged on, each against
/// the first, and mean and standard deviation of those that differ only in their seeds. Labels are those of the first.
ComparisonText compare_all(std::span<const std::filesystem::path> folders, const std::string& part);

}  // namespace mien::runs
