#include "mien/data/split.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/text.h"

namespace mien::data {
namespace {

constexpr const char* kSpecifications = "expected none, usage, last:COUNT, fraction:PART or kfold:FOLDS:INDEX";

/// A parsed `validation`.
struct Specification {
  enum class Kind { none, usage, last, fraction, kfold };
  Kind kind = Kind::none;
  int64_t count = 0;    // of last
  double fraction = 0;  // of fraction
  int64_t folds = 0;    // of kfold
  int64_t fold = 0;     // of kfold
};

Specification parse_specification(const std::string& text) {
  const std::vector<std::string> words = split(text, ':');
  const auto fail = [&](const std::string& why) {
    throw_usage(fmt::format("cannot split by validation = {}: {}", quote_sample(text), why), kSpecifications);
  };
  const auto number = [&](size_t i) {
    const auto value = parse_int(words[i]);
    if (!value) fail(fmt::format("{} is not a whole number", quote_sample(words[i])));
    return value.value_or(0);
  };
  Specification spec;
  if (text == "none") return spec;
  if (text == "usage") {
    spec.kind = Specification::Kind::usage;
  } else if (words[0] == "last" && words.size() == 2) {
    spec.kind = Specification::Kind::last;
    spec.count = number(1);
    if (spec.count < 1) fail(fmt::format("the count is {}, expected at least 1", spec.count));
  } else if (words[0] == "fraction" && words.size() == 2) {
    spec.kind = Specification::Kind::fraction;
    const auto value = parse_double(words[1]);
    if (!value || !(*value > 0 && *value < 1)) {
      fail(fmt::format("the part is {}, expected a number between 0 and 1", quote_sample(words[1])));
    }
    spec.fraction = value.value_or(0);
  } else if (words[0] == "kfold" && words.size() == 3) {
    spec.kind = Specification::Kind::kfold;
    spec.folds = number(1);
    spec.fold = number(2);
    if (spec.folds < 2) fail(fmt::format("there are {} folds, expected at least 2", spec.folds));
    if (spec.fold < 0 || spec.fold >= spec.folds) {
      fail(fmt::format("the index of the fold is {}, expected 0 to {}", spec.fold, spec.folds - 1));
    }
  } else {
    fail("it is none of the known ways");
  }
  return spec;
}

/// Rows of each label, shuffled; one list for all where `stratified` is false.
std::vector<std::vector<int64_t>> shuffled_strata(const Dataset& dataset,
                                                  const std::vector<int64_t>& rows,
                                                  bool stratified,
                                                  uint64_t seed,
                                                  std::string_view purpose) {
  std::vector<std::vector<int64_t>> strata(stratified ? static_cast<size_t>(dataset.classes()) : 1);
  for (const int64_t row : rows) {
    strata[stratified ? static_cast<size_t>(dataset.labels[static_cast<size_t>(row)]) : 0].push_back(row);
  }
  for (size_t i = 0; i < strata.size(); ++i) RandomStream(seed, purpose, i).shuffle(strata[i]);
  return strata;
}

/// The first `fraction` of each stratum, ascending. The numbers are rounded by largest remainder, so that they add up.
std::vector<int64_t> take_fraction(const std::vector<std::vector<int64_t>>& strata, double fraction) {
  size_t rows = 0;
  for (const auto& stratum : strata) rows += stratum.size();
  auto left = static_cast<size_t>(std::llround(fraction * static_cast<double>(rows)));
  std::vector<size_t> quota(strata.size());
  std::vector<double> remainder(strata.size());
  for (size_t i = 0; i < strata.size(); ++i) {
    const double exact = fraction * static_cast<double>(strata[i].size());
    quota[i] = static_cast<size_t>(exact);
    remainder[i] = exact - static_cast<double>(quota[i]);
    left -= std::min(left, quota[i]);
  }
  std::vector<size_t> order(strata.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return remainder[a] > remainder[b]; });
  for (const size_t i : order) {
    if (left == 0) break;
    if (quota[i] == strata[i].size()) continue;
    ++quota[i];
    --left;
  }
  std::vector<int64_t> taken;
  for (size_t i = 0; i < strata.size(); ++i) {
    taken.insert(taken.end(), strata[i].begin(), strata[i].begin() + static_cast<int64_t>(quota[i]));
  }
  std::sort(taken.begin(), taken.end());
  return taken;
}

/// Every `folds`-th of the strata laid end to end, from `fold` on, ascending: sizes differ by one at most, within each
/// stratum and in all.
std::vector<int64_t> take_fold(const std::vector<std::vector<int64_t>>& strata, int64_t folds, int64_t fold) {
  std::vector<int64_t> taken;
  int64_t place = 0;
  for (const auto& stratum : strata) {
    for (const int64_t row : stratum) {
      if (place++ % folds == fold) taken.push_back(row);
    }
  }
  std::sort(taken.begin(), taken.end());
  return taken;
}

}  // namespace

void SplitOptions::bind(OptionSet& options) {
  options.group("split");
  options.add(&validation,
              {.name = "validation",
               .help = "which training rows validate: none, usage (PublicTest), last:COUNT, fraction:PART "
                       "or kfold:FOLDS:INDEX",
               .level = OptionLevel::common});
  options.add(&stratified,
              {.name = "stratified",
               .help = "draw validation rows from every class in proportion",
               .only_with = {{"validation", "fraction:*,kfold:*"}, {"members", "!0,1"}}});
  options.add(&split_seed,
              {.name = "split-seed",
               .help = "seed of the random choice of validation rows",
               .minimum = 0,
               .only_with = {{"validation", "fraction:*,kfold:*"}, {"members", "!0,1"}}});
}

Split make_split(const Dataset& dataset, const SplitOptions& options) {
  const Specification spec = parse_specification(options.validation);
  std::vector<int64_t> candidates;
  std::vector<int64_t> public_test;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    if (dataset.labels[static_cast<size_t>(row)] == kUnlabeled) continue;
    const Usage usage = dataset.usages[static_cast<size_t>(row)];
    if (usage == Usage::public_test) public_test.push_back(row);
    if (usage == Usage::training || usage == Usage::unknown) candidates.push_back(row);
  }
  const auto fail = [&](const std::string& why, const std::string& hint = {}) {
    throw_bad_data(fmt::format("cannot split {} by validation = '{}': {}", dataset.source, options.validation, why),
                   hint);
  };
  if (candidates.empty()) fail(fmt::format("none of its {} rows has a label and may train", dataset.size()));

  Split split;
  const auto seed = static_cast<uint64_t>(options.split_seed);
  std::string how = options.validation;
  switch (spec.kind) {
    case Specification::Kind::none:
      break;
    case Specification::Kind::usage:
      split.validation.swap(public_test);
      break;
    case Specification::Kind::last: {
      const auto rows = static_cast<int64_t>(candidates.size());
      if (spec.count >= rows) fail(fmt::format("only {} rows may train, so that none would be left", rows));
      split.validation.assign(candidates.end() - spec.count, candidates.end());
      break;
    }
    case Specification::Kind::fraction:
    case Specification::Kind::kfold: {
      const auto strata = shuffled_strata(dataset, candidates, options.stratified, seed, "split");
      split.validation = spec.kind == Specification::Kind::kfold ? take_fold(strata, spec.folds, spec.fold)
                                                                 : take_fraction(strata, spec.fraction);
      how += fmt::format(", {}, seed {}", options.stratified ? "stratified" : "not stratified", options.split_seed);
      break;
    }
  }
  split.test = std::move(public_test);
  std::set_difference(candidates.begin(),
                      candidates.end(),
                      split.validation.begin(),
                      split.validation.end(),
                      std::back_inserter(split.training));
  if (spec.kind == Specification::Kind::usage && split.validation.empty()) {
    fail("no row has the usage PublicTest", "a csv with a Usage column has; otherwise use fraction:0.1");
  }
  if (spec.kind != Specification::Kind::none && split.validation.empty()) fail("no validation row would be chosen");
  if (split.training.empty()) fail("no training row would be left");
  split.description = fmt::format("{}: {} training, {} validation, {} test rows",
                                  how,
                                  with_commas(static_cast<int64_t>(split.training.size())),
                                  with_commas(static_cast<int64_t>(split.validation.size())),
                                  with_commas(static_cast<int64_t>(split.test.size())));
  return split;
}

std::vector<int64_t> stratified_part(const Dataset& dataset,
                                     const std::vector<int64_t>& rows,
                                     double fraction,
                                     uint64_t seed,
                                     std::string_view purpose) {
  return take_fraction(shuffled_strata(dataset, rows, true, seed, purpose), fraction);
}

}  // namespace mien::data
