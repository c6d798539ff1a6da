#include "mien/runs/training_record.h"

#include <algorithm>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::runs {
namespace {

constexpr const char* kSource = "mien.source_checksum";
constexpr const char* kLabels = "mien.labels";
constexpr const char* kTraining = "mien.training_rows";
constexpr const char* kValidation = "mien.validation_rows";
constexpr const char* kTest = "mien.test_rows";
constexpr size_t kMostRows = 100'000'000;

/// "0-99,101"
std::string to_ranges(const std::vector<int64_t>& rows) {
  std::string text;
  for (size_t first = 0; first < rows.size();) {
    size_t last = first;
    while (last + 1 < rows.size() && rows[last + 1] == rows[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += last == first ? std::to_string(rows[first]) : fmt::format("{}-{}", rows[first], rows[last]);
    first = last + 1;
  }
  return text;
}

std::vector<int64_t> from_ranges(const std::string& text, const char* key) {
  std::vector<int64_t> rows;
  if (text.empty()) return rows;
  for (const std::string& range : split(text, ',')) {
    const size_t dash = range.find('-');
    const auto first = parse_int(range.substr(0, dash));
    const auto last = dash == std::string::npos ? first : parse_int(range.substr(dash + 1));
    const bool is_ascending = first && last && *first <= *last && *first > (rows.empty() ? -1 : rows.back());
    if (!is_ascending || static_cast<size_t>(*last - *first) >= kMostRows - rows.size()) {
      throw_bad_data(fmt::format(
          "the weights' metadata {} holds {}, expected ascending rows such as 0-99,101", key, quote_sample(range)));
    }
    for (int64_t row = *first; row <= *last; ++row) rows.push_back(row);
  }
  return rows;
}

std::vector<int64_t> rows_of(const data::Dataset& dataset, const std::vector<int64_t>& indices) {
  std::vector<int64_t> rows;
  for (const int64_t index : indices) rows.push_back(dataset.row_of(index));
  std::sort(rows.begin(), rows.end());
  return rows;
}

bool holds(const std::vector<int64_t>& ascending, int64_t row) {
  return std::binary_search(ascending.begin(), ascending.end(), row);
}

bool any_trained_on(const std::vector<const TrainingRecord*>& records, int64_t row) {
  return std::any_of(
      records.begin(), records.end(), [&](const TrainingRecord* record) { return holds(record->training, row); });
}

/// What no network of `records` has seen: the test rows, else the validation rows, that none was trained on.
JudgedRows unseen(const std::vector<const TrainingRecord*>& records,
                  const std::vector<int64_t>& labeled,
                  const data::Dataset& dataset) {
  JudgedRows judged;
  for (const bool takes_test : {true, false}) {
    for (const int64_t index : labeled) {
      const int64_t row = dataset.row_of(index);
      const auto is_held_out = [&](const TrainingRecord* record) {
        return holds(takes_test ? record->test : record->validation, row);
      };
      if (std::any_of(records.begin(), records.end(), is_held_out) && !any_trained_on(records, row))
        judged.indices.push_back(index);
    }
    judged.description = takes_test ? "the run's test rows, not seen in training"
                                    : "the run's validation rows, which chose its best epoch";
    if (!judged.indices.empty()) return judged;
  }
  throw_bad_data(
      fmt::format("cannot judge on {}: the network was trained on it, and none of the rows that are left was "
                  "held out",
                  dataset.source),
      "--usage all judges every row, those of training included");
}

}  // namespace

TrainingRecord TrainingRecord::of(const data::Dataset& dataset, const data::Split& split) {
  return {.source_checksum = dataset.source_checksum,
          .label_source = dataset.label_source,
          .knows_rows = true,
          .training = rows_of(dataset, split.training),
          .validation = rows_of(dataset, split.validation),
          .test = rows_of(dataset, split.test)};
}

TrainingRecord TrainingRecord::read(const network::WeightsInfo& info) {
  const auto text = [&](const char* key) {
    const auto found = info.extra.find(key);
    return found == info.extra.end() ? std::string() : found->second;
  };
  return {.source_checksum = text(kSource),
          .label_source = text(kLabels),
          .knows_rows = info.extra.contains(kTraining),
          .training = from_ranges(text(kTraining), kTraining),
          .validation = from_ranges(text(kValidation), kValidation),
          .test = from_ranges(text(kTest), kTest)};
}

std::map<std::string, std::string> TrainingRecord::metadata() const {
  return {{kSource, source_checksum},
          {kLabels, label_source},
          {kTraining, to_ranges(training)},
          {kValidation, to_ranges(validation)},
          {kTest, to_ranges(test)}};
}

JudgedRows judged_rows(const data::Dataset& dataset,
                       const std::vector<TrainingRecord>& records,
                       const std::string& usage) {
  std::vector<int64_t> labeled;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    if (dataset.labels[static_cast<size_t>(i)] != data::kUnlabeled) labeled.push_back(i);
  }
  std::vector<const TrainingRecord*> knowing;
  for (const TrainingRecord& record : records) {
    if (record.knows(dataset)) knowing.push_back(&record);
  }
  if (usage == "unseen" && !knowing.empty() && !labeled.empty()) return unseen(knowing, labeled, dataset);

  JudgedRows judged;
  const auto keep = [&](const auto& is_wanted) {
    std::copy_if(labeled.begin(), labeled.end(), std::back_inserter(judged.indices), is_wanted);
  };
  const auto has_usage = [&](data::Usage wanted) {
    return [&dataset, wanted](int64_t i) { return dataset.usages[static_cast<size_t>(i)] == wanted; };
  };
  const bool takes_training = usage == "training";
  if (takes_training && !knowing.empty()) {
    keep([&](int64_t i) { return any_trained_on(knowing, dataset.row_of(i)); });
    judged.description = "training rows: the network has seen them, the rate is no measure of new faces";
  } else if (usage == "validation") {
    keep([&](int64_t i) {
      return std::any_of(knowing.begin(), knowing.end(), [&](const TrainingRecord* record) {
        return holds(record->validation, dataset.row_of(i));
      });
    });
    judged.description = "the run's validation rows, which chose its best epoch";
  } else if (takes_training) {
    keep(has_usage(data::Usage::training));
    judged.description = "rows of usage Training";
  } else if (usage == "public-test") {
    keep(has_usage(data::Usage::public_test));
    judged.description = "PublicTest rows";
  } else if (usage == "private-test") {
    keep(has_usage(data::Usage::private_test));
    judged.description = "PrivateTest rows";
  } else {
    keep([&](int64_t i) { return dataset.usages[static_cast<size_t>(i)] != data::Usage::private_test; });
    const bool is_told = std::all_of(
        records.begin(), records.end(), [](const TrainingRecord& record) { return !record.source_checksum.empty(); });
    judged.description = !knowing.empty() ? "all labeled rows"
                         : is_told        ? "all labeled rows; the network was trained on other data"
                                          : "all labeled rows; the weights do not say what they were trained on";
    const auto left_out = labeled.size() - judged.indices.size();
    if (left_out > 0)
      judged.description += fmt::format("; without {} of usage PrivateTest, which --final reads",
                                        with_commas(static_cast<int64_t>(left_out)));
  }
  if (judged.indices.empty()) {
    throw_bad_data(fmt::format("cannot judge on {}: it has no labeled rows of usage {}", dataset.source, usage),
                   "`mien data info` shows what it has");
  }
  const auto seen = std::count_if(judged.indices.begin(), judged.indices.end(), [&](int64_t i) {
    return any_trained_on(knowing, dataset.row_of(i));
  });
  if (seen > 0 && !takes_training) {
    judged.warning = fmt::format(
        "{} of the {} judged rows trained the network: the rate says little of new faces; "
        "without --usage only unseen rows are judged",
        with_commas(seen),
        with_commas(static_cast<int64_t>(judged.indices.size())));
  }
  return judged;
}

}  // namespace mien::runs
