#include "mien/evaluation/confusion.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include <fmt/format.h>

#include "mien/core/text.h"
#include "mien/evaluation/predictions_csv.h"

namespace mien::evaluation {
namespace {

int64_t sum_of(const std::vector<int64_t>& values) { return std::accumulate(values.begin(), values.end(), int64_t{0}); }

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

/// Keeps the first `count` of `items` in the order of `before`, which must be strict and total.
template <class T, class Before>
void keep_first(std::vector<T>& items, int64_t count, Before before) {
  const auto kept = std::min<size_t>(items.size(), static_cast<size_t>(std::max<int64_t>(0, count)));
  std::partial_sort(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(kept), items.end(), before);
  items.resize(kept);
}

}  // namespace

ConfusionCounts confusion_counts(const Predictions& predictions) {
  const auto classes = static_cast<size_t>(predictions.classes());
  ConfusionCounts counts(classes, std::vector<int64_t>(classes));
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (!predictions.is_labeled(i)) continue;
    const auto truth = static_cast<size_t>(predictions.labels[static_cast<size_t>(i)]);
    counts[truth][static_cast<size_t>(predictions.predicted(i))] += 1;
  }
  return counts;
}

std::string confusion_text(const ConfusionCounts& counts, std::span<const std::string> names, bool normalized) {
  const size_t classes = counts.size();
  std::vector<std::vector<std::string>> cells(classes + 1);
  cells[0] = {"true \\ predicted"};
  cells[0].insert(cells[0].end(), names.begin(), names.end());
  cells[0].push_back(normalized ? "faces" : "sum");
  for (size_t t = 0; t < classes; ++t) {
    const int64_t total = sum_of(counts[t]);
    cells[t + 1] = {names[t]};
    for (const int64_t count : counts[t]) {
      if (!normalized) {
        cells[t + 1].push_back(std::to_string(count));
      } else {
        cells[t + 1].push_back(total > 0 ? fmt::format("{:.2f}", share(count, total)) : "-");
      }
    }
    cells[t + 1].push_back(std::to_string(total));
  }
  std::vector<size_t> widths(classes + 2);
  for (const auto& line : cells) {
    for (size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], line[c].size());
  }
  std::string text;
  for (const auto& line : cells) {
    text += fmt::format("{:<{}}", line[0], widths[0]);
    for (size_t c = 1; c < line.size(); ++c) text += fmt::format("  {:>{}}", line[c], widths[c]);
    text += '\n';
  }
  return text;
}

std::string confusion_csv(const ConfusionCounts& counts, std::span<const std::string> names, bool normalized) {
  std::string text = "true";
  for (const std::string& name : names) text += "," + csv_field(name);
  text += '\n';
  for (size_t t = 0; t < counts.size(); ++t) {
    const int64_t total = sum_of(counts[t]);
    text += csv_field(names[t]);
    for (const int64_t count : counts[t]) {
      text += "," + (normalized ? format_double(share(count, total)) : std::to_string(count));
    }
    text += '\n';
  }
  return text;
}

std::vector<ConfusedPair> most_confused(const ConfusionCounts& counts, int64_t count) {
  std::vector<ConfusedPair> pairs;
  for (size_t t = 0; t < counts.size(); ++t) {
    const int64_t total = sum_of(counts[t]);
    for (size_t p = 0; p < counts.size(); ++p) {
      if (t == p || counts[t][p] == 0) continue;
      pairs.push_back({static_cast<int32_t>(t),
                       static_cast<int32_t>(p),
                       counts[t][p],
                       share(counts[t][p], total),
                       wilson_interval(counts[t][p], total)});
    }
  }
  keep_first(pairs, count, [](const ConfusedPair& a, const ConfusedPair& b) {
    return std::tuple(-a.count, -a.share_of_truth, a.truth, a.predicted) <
           std::tuple(-b.count, -b.share_of_truth, b.truth, b.predicted);
  });
  return pairs;
}

std::string most_confused_csv(const std::vector<ConfusedPair>& pairs, std::span<const std::string> names) {
  std::string text = "true,predicted,count,share_of_true,share_low,share_high\n";
  for (const ConfusedPair& pair : pairs) {
    text += fmt::format("{},{},{},{},{},{}\n",
                        csv_field(names[static_cast<size_t>(pair.truth)]),
                        csv_field(names[static_cast<size_t>(pair.predicted)]),
                        pair.count,
                        format_double(pair.share_of_truth),
                        format_double(pair.interval.low),
                        format_double(pair.interval.high));
  }
  return text;
}

std::vector<TopLoss> top_losses(const Predictions& predictions, int64_t count) {
  std::vector<TopLoss> losses;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (!predictions.is_labeled(i)) continue;
    const std::span<const double> row = predictions.probability_row(i);
    const int32_t truth = predictions.labels[static_cast<size_t>(i)];
    const int32_t predicted = predictions.predicted(i);
    losses.push_back({i,
                      predictions.rows[static_cast<size_t>(i)],
                      predictions.files.empty() ? std::string() : predictions.files[static_cast<size_t>(i)],
                      truth,
                      predicted,
                      predictions.loss(i),
                      row[static_cast<size_t>(truth)],
                      row[static_cast<size_t>(predicted)]});
  }
  keep_first(losses, count, [](const TopLoss& a, const TopLoss& b) {
    return std::tuple(-a.loss, a.index) < std::tuple(-b.loss, b.index);
  });
  return losses;
}

std::string top_losses_csv(const std::vector<TopLoss>& losses, std::span<const std::string> names) {
  const bool has_files = !losses.empty() && !losses.front().file.empty();
  std::string text = fmt::format("index,row,{}true,predicted,loss,probability_of_true,probability_of_predicted\n",
                                 has_files ? "file," : "");
  for (const TopLoss& loss : losses) {
    text += fmt::format("{},{},{}{},{},{},{},{}\n",
                        loss.index,
                        loss.row,
                        has_files ? csv_field(loss.file) + "," : "",
                        csv_field(names[static_cast<size_t>(loss.truth)]),
                        csv_field(names[static_cast<size_t>(loss.predicted)]),
                        format_double(loss.loss),
                        format_double(loss.probability_of_truth),
                        format_double(loss.probability_of_predicted));
  }
  return text;
}

std::vector<int64_t> cell_members(const Predictions& predictions, int32_t truth, int32_t predicted, int64_t count) {
  std::vector<int64_t> members;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (predictions.labels[static_cast<size_t>(i)] == truth && predictions.predicted(i) == predicted) {
      members.push_back(i);
    }
  }
  const auto confidence = [&](int64_t i) { return predictions.probability_row(i)[static_cast<size_t>(predicted)]; };
  keep_first(members, count, [&](int64_t a, int64_t b) {
    return std::tuple(-confidence(a), a) < std::tuple(-confidence(b), b);
  });
  return members;
}

}  // namespace mien::evaluation
