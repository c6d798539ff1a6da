#include "mien/evaluation/predictions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/core/error.h"

namespace mien::evaluation {

int32_t Predictions::predicted(int64_t i) const {
  const std::span<const double> row = probability_row(i);
  return static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

std::string Predictions::face_name(int64_t i) const {
  const auto at = static_cast<size_t>(i);
  return files.empty() ? fmt::format("row {}", rows[at]) : files[at];
}

double Predictions::loss(int64_t i) const {
  constexpr double kLeast = std::numeric_limits<double>::epsilon();
  const auto clip = [kLeast](double p) { return std::clamp(p, kLeast, 1 - kLeast); };
  const std::span<const double> row = probability_row(i);
  double sum = 0;
  for (const double p : row) sum += clip(p);
  return -std::log(clip(row[static_cast<size_t>(labels[static_cast<size_t>(i)])]) / sum);
}

Predictions select(const Predictions& all, std::span<const int64_t> positions) {
  Predictions part;
  part.class_names = all.class_names;
  for (const int64_t i : positions) {
    const auto at = static_cast<size_t>(i);
    const auto logits = all.logit_row(i);
    const auto probabilities = all.probability_row(i);
    part.rows.push_back(all.rows[at]);
    part.labels.push_back(all.labels[at]);
    part.logits.insert(part.logits.end(), logits.begin(), logits.end());
    part.probabilities.insert(part.probabilities.end(), probabilities.begin(), probabilities.end());
    if (!all.files.empty()) part.files.push_back(all.files[at]);
  }
  return part;
}

SharedFaces shared_faces(const Predictions& first,
                         const Predictions& second,
                         bool second_labels,
                         const std::string& first_name,
                         const std::string& second_name) {
  const std::string what = fmt::format("cannot compare {} with {}", first_name, second_name);
  if (first.class_names != second.class_names) {
    throw_bad_data(fmt::format("{}: their classes differ ({} against {})",
                               what,
                               fmt::join(first.class_names, ", "),
                               fmt::join(second.class_names, ", ")));
  }
  std::unordered_map<int64_t, int64_t> place;  // of each row in the second
  for (int64_t i = 0; i < second.size(); ++i) place.emplace(second.rows[static_cast<size_t>(i)], i);
  std::vector<int64_t> in_first;
  std::vector<int64_t> in_second;
  for (int64_t i = 0; i < first.size(); ++i) {
    const auto found = place.find(first.rows[static_cast<size_t>(i)]);
    if (found == place.end()) continue;
    if (!first.files.empty() && !second.files.empty() && first.face_name(i) != second.face_name(found->second)) {
      throw_bad_data(fmt::format("{}: row {} is {} in the first and {} in the second",
                                 what,
                                 first.rows[static_cast<size_t>(i)],
                                 first.face_name(i),
                                 second.face_name(found->second)),
                     "evaluate both on the same data");
    }
    in_first.push_back(i);
    in_second.push_back(found->second);
  }
  if (in_first.empty()) {
    throw_bad_data(
        fmt::format("{}: no face was judged by both ({} and {} predictions)", what, first.size(), second.size()),
        "`mien eval RUN DATA` judges each on the same data");
  }
  SharedFaces shared{.first = select(first, in_first),
                     .second = select(second, in_second),
                     .first_count = first.size(),
                     .second_count = second.size()};
  for (size_t i = 0; i < in_first.size(); ++i) shared.relabeled += shared.first.labels[i] != shared.second.labels[i];
  (second_labels ? shared.first : shared.second).labels = (second_labels ? shared.second : shared.first).labels;
  return shared;
}

void softmax_rows(std::span<const double> scores, int64_t classes, std::span<double> probabilities) {
  const auto width = static_cast<size_t>(classes);
  for (size_t begin = 0; begin + width <= scores.size() && width > 0; begin += width) {
    const std::span<const double> from = scores.subspan(begin, width);
    const std::span<double> to = probabilities.subspan(begin, width);
    const double largest = *std::max_element(from.begin(), from.end());
    double sum = 0;
    for (size_t k = 0; k < width; ++k) sum += to[k] = std::exp(from[k] - largest);
    for (double& p : to) p /= sum;
  }
}

void check_predictions(const Predictions& predictions, const std::string& what) {
  const int64_t count = predictions.size();
  const int64_t classes = predictions.classes();
  const auto require_size = [&](const char* name, size_t found, int64_t expected) {
    if (found == static_cast<size_t>(expected)) return;
    throw_bad_data(
        fmt::format("{}: {} {} for {} rows of {} classes, expected {}", what, found, name, count, classes, expected));
  };
  if (classes == 0) throw_bad_data(fmt::format("{}: no class names", what));
  require_size("labels", predictions.labels.size(), count);
  if (!predictions.files.empty()) require_size("files", predictions.files.size(), count);
  require_size("logits", predictions.logits.size(), count * classes);
  require_size("probabilities", predictions.probabilities.size(), count * classes);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = predictions.rows[static_cast<size_t>(i)];
    const int32_t label = predictions.labels[static_cast<size_t>(i)];
    if (label < -1 || label >= classes) {
      throw_bad_data(
          fmt::format("{}: row {} has label {}, expected -1 (unknown) to {}", what, row, label, classes - 1));
    }
    double sum = 0;
    for (int64_t k = 0; k < classes; ++k) {
      const double p = predictions.probability_row(i)[static_cast<size_t>(k)];
      const double logit = predictions.logit_row(i)[static_cast<size_t>(k)];
      const std::string& name = predictions.class_names[static_cast<size_t>(k)];
      if (!(p >= 0 && p <= 1)) {
        throw_bad_data(fmt::format("{}: row {} has probability {} for {}, expected 0 to 1", what, row, p, name));
      }
      if (!std::isfinite(logit)) {
        throw_bad_data(fmt::format("{}: row {} has logit {} for {}, expected a finite number", what, row, logit, name));
      }
      sum += p;
    }
    if (std::abs(sum - 1) > 1e-6) {
      throw_bad_data(fmt::format("{}: the probabilities of row {} sum to {}, expected 1", what, row, sum));
    }
  }
}

void require_same_rows(const Predictions& first,
                       const Predictions& second,
                       const std::string& first_name,
                       const std::string& second_name) {
  const std::string what = fmt::format("cannot compare {} with {}", first_name, second_name);
  const std::string hint = "evaluate both on the same rows of the same data";
  if (first.class_names != second.class_names) {
    throw_bad_data(fmt::format("{}: their classes differ ({} against {})",
                               what,
                               fmt::join(first.class_names, ", "),
                               fmt::join(second.class_names, ", ")));
  }
  const size_t shared = std::min(first.rows.size(), second.rows.size());
  for (size_t i = 0; i < shared; ++i) {
    if (first.rows[i] != second.rows[i]) {
      throw_bad_data(fmt::format("{}: prediction {} is of row {} in the first and of row {} in the second",
                                 what,
                                 i + 1,
                                 first.rows[i],
                                 second.rows[i]),
                     hint);
    }
    if (first.labels[i] != second.labels[i]) {
      const auto name = [&](int32_t label) {
        return label < 0 ? std::string("unknown") : first.class_names[static_cast<size_t>(label)];
      };
      throw_bad_data(fmt::format("{}: row {} is labeled {} in the first and {} in the second",
                                 what,
                                 first.rows[i],
                                 name(first.labels[i]),
                                 name(second.labels[i])),
                     hint);
    }
  }
  if (first.rows.size() != second.rows.size()) {
    const bool first_longer = first.rows.size() > second.rows.size();
    throw_bad_data(fmt::format("{}: {} predictions against {}; row {} is only in the {}",
                               what,
                               first.rows.size(),
                               second.rows.size(),
                               (first_longer ? first : second).rows[shared],
                               first_longer ? "first" : "second"),
                   hint);
  }
}

}  // namespace mien::evaluation
