#include "mien/figures/explain_context.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/text.h"
#include "mien/data/preprocess.h"
#include "mien/evaluation/evaluator.h"
#include "mien/explain/attribution.h"

namespace mien::figures {
namespace {

constexpr int64_t kMostNumbers = 100000;

const std::vector<std::string> kParts{"all", "training", "validation", "test"};
const std::vector<std::string> kWords{
    "row", "rows", "random", "correct-per-class", "wrong-per-class", "most-confident-per-class"};

[[noreturn]] void refuse(const std::string& text, const std::string& hint) {
  throw_usage(fmt::format("faces are {}, expected rows:5,7-9, 0-5, random:5, correct-per-class, wrong-per-class or "
                          "most-confident-per-class, after a part such as test: if wanted, or a part alone",
                          quote_sample(text)),
              hint);
}

/// "0-5,9" as numbers.
std::vector<int64_t> parse_numbers(const std::string& list, const std::string& text) {
  std::vector<int64_t> numbers;
  for (const std::string& item : split(list, ',')) {
    const size_t dash = item.find('-');
    const auto first = parse_int(trim(std::string_view(item).substr(0, dash)));
    const auto last = dash == std::string::npos ? first : parse_int(trim(std::string_view(item).substr(dash + 1)));
    if (!first || !last || *first < 0 || *last < *first) refuse(text, "");
    if (static_cast<int64_t>(numbers.size()) + *last - *first >= kMostNumbers) {
      throw_usage(fmt::format("faces are {}, expected {} at most", quote_sample(text), with_commas(kMostNumbers)));
    }
    for (int64_t number = *first; number <= *last; ++number) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

SplitRows SplitRows::by_usage(const data::Dataset& dataset) {
  SplitRows parts;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    parts.all.push_back(row);
    const data::Usage usage = dataset.usages[static_cast<size_t>(row)];
    if (usage == data::Usage::training || usage == data::Usage::unknown) parts.training.push_back(row);
    if (usage == data::Usage::public_test) parts.test.push_back(row);
  }
  return parts;
}

const std::vector<int64_t>& SplitRows::of(const std::string& part) const {
  const std::vector<int64_t>& rows = part == "all"          ? all
                                     : part == "training"   ? training
                                     : part == "validation" ? validation
                                                            : test;
  if (rows.empty()) {
    throw_bad_data(fmt::format("the data has no {} rows", part),
                   part == "validation" ? "`all:`, `training:` and `test:` choose other rows"
                                        : "`mien data info` shows what it has");
  }
  return rows;
}

FaceSelection FaceSelection::parse(const std::string& text) {
  FaceSelection choice;
  std::string rest(trim(text));
  const std::string first = rest.substr(0, rest.find(':'));
  if (std::find(kParts.begin(), kParts.end(), rest) != kParts.end()) {
    choice.kind = Kind::everything;
    choice.part = rest;
    return choice;
  }
  if (std::find(kParts.begin(), kParts.end(), first) != kParts.end() && first.size() < rest.size()) {
    choice.part = first;
    rest = rest.substr(first.size() + 1);
  }
  const size_t colon = rest.find(':');
  const std::string word = rest.substr(0, colon);
  const std::string after = colon == std::string::npos ? "" : rest.substr(colon + 1);
  if (word == "row" || word == "rows") {
    choice.kind = Kind::rows;
    choice.numbers = parse_numbers(after, text);
    return choice;
  }
  if (!rest.empty() && rest.find_first_not_of("0123456789-, ") == std::string::npos) {
    choice.kind = Kind::positions;
    choice.numbers = parse_numbers(rest, text);
    return choice;
  }
  if (word == "random")
    choice.kind = Kind::random;
  else if (word == "correct-per-class")
    choice.kind = Kind::correct;
  else if (word == "wrong-per-class")
    choice.kind = Kind::wrong;
  else if (word == "most-confident-per-class")
    choice.kind = Kind::confident;
  else
    refuse(text, [&] {
      std::vector<std::string> known = kWords;
      known.insert(known.end(), kParts.begin(), kParts.end());
      const auto near = did_you_mean(word, known);
      return near ? fmt::format("did you mean '{}'?", *near) : std::string();
    }());
  if (colon != std::string::npos || choice.kind == Kind::random) {
    const auto count = parse_int(after);
    if (!count || *count < 1 || *count > kMostNumbers) refuse(text, "a count from 1 follows the colon");
    choice.count = *count;
  }
  return choice;
}

ExplainContext::ExplainContext(const network::LoadedWeights& loaded,
                               const data::Dataset& dataset,
                               SplitRows parts,
                               ProgressListener& listener)
    : network_(explain::frozen_copy(loaded.network)),
      normalization_(loaded.info.normalization),
      weights_hash_(loaded.hash),
      dataset_(dataset),
      parts_(std::move(parts)),
      listener_(listener) {
  evaluation::check_fits(network_.graph(), dataset_);
  if (!loaded.info.class_names.empty() && loaded.info.class_names != dataset.class_names) {
    throw_bad_data(
        fmt::format("cannot look at {} with faces of {}: the network tells {} apart, the faces are labeled {}",
                    network_.graph().name,
                    dataset.source,
                    join(loaded.info.class_names, ", "),
                    join(dataset.class_names, ", ")),
        "name the class folders as the network's classes");
  }
}

std::string ExplainContext::short_face_name(const Face& face) const {
  return std::filesystem::path(face_name(face)).filename().string();
}

at::Tensor ExplainContext::images(const std::vector<int64_t>& rows) const {
  return evaluation::normalized_images(dataset_, normalization_, rows);
}

at::Tensor ExplainContext::black(const std::vector<int64_t>& rows) const {
  at::Tensor levels = at::empty({static_cast<int64_t>(rows.size())}, at::kFloat);
  for (size_t i = 0; i < rows.size(); ++i) {
    levels.data_ptr<float>()[i] = data::black_level(dataset_.image(rows[i]), normalization_);
  }
  return levels;
}

int64_t ExplainContext::index_of(int64_t row) const {
  if (const auto index = dataset_.index_of(row)) return *index;
  const int64_t last = dataset_.size() == 0 ? -1 : dataset_.row_of(dataset_.size() - 1);
  if (row > last) throw_usage(fmt::format("row {} does not exist: {} has rows 0 to {}", row, dataset_.source, last));
  throw_usage(fmt::format("row {} of {} was left out when the data were read", row, dataset_.source),
              "--ferplus, --fraction and --skip-bad-rows leave rows out; a row keeps its number");
}

void ExplainContext::check_part(int64_t index, const std::string& part) const {
  const auto holds = [index](const std::vector<int64_t>& indices) {
    return std::find(indices.begin(), indices.end(), index) != indices.end();
  };
  if (holds(parts_.of(part))) return;
  const std::string face = fmt::format("{} of {}", dataset_.face_name(index), dataset_.source);
  const auto usage = to_text(dataset_.usages[static_cast<size_t>(index)]);
  if (part == "all") {
    throw_usage(fmt::format("{} has Usage {}, which --usage leaves out", face, usage),
                "leave --usage out, or name rows of that usage");
  }
  const char* const is = holds(parts_.training)     ? "a training row"
                         : holds(parts_.validation) ? "a validation row"
                         : holds(parts_.test)       ? "a test row"
                                                    : "in no part of the split";
  throw_usage(fmt::format("{} is {} (Usage {}), and {} rows were asked for", face, is, usage, part),
              fmt::format("`rows:` alone takes any row; `{}:0-5` counts within the part", part));
}

void ExplainContext::warn_once(const std::string& text) {
  if (warned_.insert(text).second) listener_.warning(text);
}

std::string ExplainContext::recall_part(const std::string& part) const {
  if (part != "all" || !(parts_.is_of_run || !parts_.validation.empty())) return part;
  return !parts_.test.empty() ? "test" : !parts_.validation.empty() ? "validation" : part;
}

std::vector<Face> ExplainContext::faces(const std::vector<int64_t>& rows) {
  std::vector<Face> result;
  const auto predictions = evaluation::predict(network_, normalization_, dataset_, rows);
  evaluation::check_predictions(predictions, "cannot explain " + network_.graph().name);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    const auto probabilities = predictions.probability_row(index);
    result.push_back({.index = rows[i],
                      .source_row = dataset_.row_of(rows[i]),
                      .label = predictions.labels[i],
                      .predicted = predictions.predicted(index),
                      .probabilities = {probabilities.begin(), probabilities.end()}});
  }
  return result;
}

const evaluation::Predictions& ExplainContext::predictions(const std::string& part) {
  const auto found = predictions_.find(part);
  if (found != predictions_.end()) return found->second;
  std::vector<int64_t> rows;
  for (const int64_t row : parts_.of(part)) {
    if (dataset_.labels[static_cast<size_t>(row)] != data::kUnlabeled) rows.push_back(row);
  }
  if (rows.empty()) {
    throw_bad_data(fmt::format("{} has no labeled {} rows to choose faces by class from", dataset_.source, part),
                   "`rows:0-6` or `random:5` choose without labels");
  }
  auto predictions = evaluation::predict(network_, normalization_, dataset_, rows, {}, listener_);
  evaluation::check_predictions(predictions, "cannot explain " + network_.graph().name);
  return predictions_.emplace(part, std::move(predictions)).first->second;
}

std::vector<Face> ExplainContext::choose_per_class(const FaceSelection& choice, uint64_t seed) {
  const evaluation::Predictions& all = predictions(choice.part);
  std::vector<Face> chosen;
  for (int64_t c = 0; c < dataset_.classes(); ++c) {
    std::vector<int64_t> members;  // positions in the predictions
    for (int64_t i = 0; i < all.size(); ++i) {
      if (all.labels[static_cast<size_t>(i)] == c) members.push_back(i);
    }
    const auto probability = [&](int64_t i) { return all.probability_row(i)[static_cast<size_t>(c)]; };
    const auto is_wanted = [&](int64_t i) {
      return (all.predicted(i) == c) == (choice.kind != FaceSelection::Kind::wrong);
    };
    bool is_stand_in = false;
    std::vector<int64_t> wanted;
    std::copy_if(members.begin(), members.end(), std::back_inserter(wanted), is_wanted);
    if (choice.kind == FaceSelection::Kind::confident) {
      std::stable_sort(
          wanted.begin(), wanted.end(), [&](int64_t a, int64_t b) { return probability(a) > probability(b); });
    } else {
      RandomStream(seed, "explain/faces", static_cast<uint64_t>(c)).shuffle(wanted);
    }
    if (wanted.empty() && choice.kind != FaceSelection::Kind::wrong) {
      if (members.empty()) {
        warn_once(fmt::format("{} has no {} face to look at; the class is left out", dataset_.source, class_name(c)));
        continue;
      }
      warn_once(
          fmt::format("no {} face is recognized; shown and explained for {} is the one that the network finds most so",
                      class_name(c),
                      class_name(c)));
      is_stand_in = true;
      wanted = {*std::max_element(
          members.begin(), members.end(), [&](int64_t a, int64_t b) { return probability(a) < probability(b); })};
    }
    wanted.resize(std::min(wanted.size(), static_cast<size_t>(choice.count)));
    for (const int64_t i : wanted) {
      const auto row = all.probability_row(i);
      const int64_t source_row = all.rows[static_cast<size_t>(i)];
      chosen.push_back({.index = dataset_.index_of(source_row).value(),
                        .source_row = source_row,
                        .label = static_cast<int32_t>(c),
                        .predicted = all.predicted(i),
                        .probabilities = {row.begin(), row.end()},
                        .is_stand_in = is_stand_in});
    }
  }
  return chosen;
}

std::vector<int64_t> ExplainContext::named_rows(const FaceSelection& choice, uint64_t seed) const {
  using Kind = FaceSelection::Kind;
  if (choice.kind == Kind::rows) {
    std::vector<int64_t> indices;
    for (const int64_t row : choice.numbers) {
      indices.push_back(index_of(row));
      check_part(indices.back(), choice.part);
    }
    return indices;
  }
  const std::vector<int64_t>& part = parts_.of(choice.part);
  if (choice.kind == Kind::everything) return part;
  std::vector<int64_t> rows;
  if (choice.kind == Kind::random) {
    rows = part;
    RandomStream(seed, "explain/random faces").shuffle(rows);
    rows.resize(std::min(rows.size(), static_cast<size_t>(choice.count)));
  } else {
    for (const int64_t position : choice.numbers) {
      if (position >= static_cast<int64_t>(part.size())) {
        throw_usage(fmt::format("face {} does not exist: {} has {} {} rows",
                                position,
                                dataset_.source,
                                with_commas(static_cast<int64_t>(part.size())),
                                choice.part));
      }
      rows.push_back(part[static_cast<size_t>(position)]);
    }
  }
  return rows;
}

std::vector<Face> ExplainContext::choose(const FaceSelection& choice, uint64_t seed) {
  return choice.is_per_class() ? choose_per_class(choice, seed) : faces(named_rows(choice, seed));
}

std::vector<int64_t> ExplainContext::choose_rows(const FaceSelection& choice, uint64_t seed) {
  if (!choice.is_per_class()) return named_rows(choice, seed);
  std::vector<int64_t> rows;
  for (const Face& face : choose_per_class(choice, seed)) rows.push_back(face.index);
  return rows;
}

}  // namespace mien::figures
