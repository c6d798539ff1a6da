#include "mien/data/dataset.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"
#include "mien/core/text.h"

namespace mien::data {
namespace {

constexpr std::array kAllUsages{Usage::training, Usage::public_test, Usage::private_test, Usage::unknown};

template <class T>
void append_rows(std::vector<T>& to, const std::vector<T>& from, std::span<const int64_t> rows, int64_t row_size) {
  if (from.empty()) return;
  to.reserve(rows.size() * static_cast<size_t>(row_size));
  for (const int64_t row : rows) {
    to.insert(to.end(), from.begin() + row * row_size, from.begin() + (row + 1) * row_size);
  }
}

template <class T>
void append_all(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

/// label_distribution of `dataset`, made up from its labels where it has none.
std::vector<float> distribution_of(const Dataset& dataset) {
  if (!dataset.label_distribution.empty()) return dataset.label_distribution;
  const auto classes = static_cast<size_t>(dataset.classes());
  std::vector<float> rows(static_cast<size_t>(dataset.size()) * classes, 0.0F);
  for (size_t row = 0; row < dataset.labels.size(); ++row) {
    const int32_t label = dataset.labels[row];
    if (label == kUnlabeled) {
      std::fill_n(rows.begin() + static_cast<int64_t>(row * classes), classes, 1.0F / static_cast<float>(classes));
    } else {
      rows[row * classes + static_cast<size_t>(label)] = 1.0F;
    }
  }
  return rows;
}

/// What the faces of one of two joined data sets are called.
std::vector<std::string> joined_names(const Dataset& dataset) {
  const std::string source = std::filesystem::path(dataset.source).filename().string();
  std::vector<std::string> names;
  for (int64_t i = 0; i < dataset.size(); ++i) names.push_back(fmt::format("{} {}", source, dataset.face_name(i)));
  return names;
}

}  // namespace

std::optional<int64_t> Dataset::index_of(int64_t row) const {
  if (source_rows.empty()) return row >= 0 && row < size() ? std::optional(row) : std::nullopt;
  const auto found = std::find(source_rows.begin(), source_rows.end(), row);
  if (found == source_rows.end()) return std::nullopt;
  return found - source_rows.begin();
}

std::string Dataset::face_name(int64_t index) const {
  return files.empty() ? fmt::format("row {}", row_of(index)) : files[static_cast<size_t>(index)];
}

Dataset Dataset::subset(std::span<const int64_t> rows) const {
  for (const int64_t row : rows) {
    if (row < 0 || row >= size()) {
      throw std::out_of_range(fmt::format("Dataset::subset: row {} of a data set of {} rows", row, size()));
    }
  }
  Dataset part;
  part.channels = channels;
  part.height = height;
  part.width = width;
  part.class_names = class_names;
  part.source = source;
  part.checksum = checksum;
  part.source_checksum = source_checksum;
  part.label_source = label_source;
  for (const int64_t row : rows) part.source_rows.push_back(row_of(row));
  append_rows(part.pixels, pixels, rows, pixels_per_image());
  append_rows(part.labels, labels, rows, 1);
  append_rows(part.usages, usages, rows, 1);
  append_rows(part.ids, ids, rows, 1);
  append_rows(part.files, files, rows, 1);
  append_rows(part.label_distribution, label_distribution, rows, classes());
  append_rows(part.evidence, evidence, rows, height * width);
  return part;
}

std::string_view to_text(Usage usage) {
  switch (usage) {
    case Usage::unknown:
      return "unknown";
    case Usage::training:
      return "Training";
    case Usage::public_test:
      return "PublicTest";
    case Usage::private_test:
      return "PrivateTest";
  }
  return "unknown";
}

Dataset concatenate(const Dataset& first, const Dataset& second) {
  if (first.channels != second.channels || first.height != second.height || first.width != second.width) {
    throw_bad_data(fmt::format("cannot join {} and {}: images of {}x{}x{} and {}x{}x{} (channels, height, width)",
                               first.source,
                               second.source,
                               first.channels,
                               first.height,
                               first.width,
                               second.channels,
                               second.height,
                               second.width));
  }
  if (first.class_names != second.class_names) {
    throw_bad_data(fmt::format("cannot join {} and {}: their classes differ ({} and {})",
                               first.source,
                               second.source,
                               join(first.class_names, ", "),
                               join(second.class_names, ", ")));
  }
  Dataset both = first;
  append_all(both.pixels, second.pixels);
  append_all(both.labels, second.labels);
  append_all(both.usages, second.usages);
  append_all(both.ids, second.ids);
  both.source_rows.clear();
  both.files = joined_names(first);
  append_all(both.files, joined_names(second));
  if (!first.label_distribution.empty() || !second.label_distribution.empty()) {
    both.label_distribution = distribution_of(first);
    append_all(both.label_distribution, distribution_of(second));
  }
  if (!first.evidence.empty() || !second.evidence.empty()) {
    const auto image_size = static_cast<size_t>(first.height * first.width);
    both.evidence.resize(static_cast<size_t>(first.size()) * image_size, 0);
    append_all(both.evidence, second.evidence);
    both.evidence.resize(both.labels.size() * image_size, 0);
  }
  both.source = first.source + " + " + second.source;
  both.checksum = checksum(first.checksum + second.checksum);
  both.source_checksum = checksum(first.source_checksum + second.source_checksum);
  return both;
}

std::string class_table(const Dataset& dataset) {
  std::vector<Usage> columns;
  for (const Usage usage : kAllUsages) {
    if (std::find(dataset.usages.begin(), dataset.usages.end(), usage) != dataset.usages.end())
      columns.push_back(usage);
  }
  const auto classes = static_cast<size_t>(dataset.classes());
  // counts[column][class], the last class being "unlabeled"
  std::vector<std::vector<int64_t>> counts(columns.size(), std::vector<int64_t>(classes + 1, 0));
  std::vector<int64_t> totals(columns.size(), 0);
  for (size_t row = 0; row < dataset.labels.size(); ++row) {
    const auto column =
        static_cast<size_t>(std::find(columns.begin(), columns.end(), dataset.usages[row]) - columns.begin());
    const int32_t label = dataset.labels[row];
    ++counts[column][label == kUnlabeled ? classes : static_cast<size_t>(label)];
    ++totals[column];
  }
  size_t name_width = std::string_view("unlabeled").size();
  for (const std::string& name : dataset.class_names) name_width = std::max(name_width, name.size());

  std::string text = fmt::format("{:<{}}", "class", name_width);
  for (const Usage usage : columns) {
    const bool only_unknown = usage == Usage::unknown && columns.size() == 1;
    text += fmt::format("  {:>12}  {:>7}", only_unknown ? "rows" : to_text(usage), "share");
  }
  const auto add_line = [&](std::string_view name, const auto& count_of) {
    text += fmt::format("\n{:<{}}", name, name_width);
    for (size_t column = 0; column < columns.size(); ++column) {
      const int64_t count = count_of(column);
      const double share =
          totals[column] > 0 ? 100.0 * static_cast<double>(count) / static_cast<double>(totals[column]) : 0;
      text += fmt::format("  {:>12}  {:>5.1f} %", with_commas(count), share);
    }
  };
  for (size_t label = 0; label < classes; ++label) {
    add_line(dataset.class_names[label], [&](size_t column) { return counts[column][label]; });
  }
  const bool any_unlabeled = std::any_of(counts.begin(), counts.end(), [&](const auto& c) { return c[classes] > 0; });
  if (any_unlabeled) add_line("unlabeled", [&](size_t column) { return counts[column][classes]; });
  add_line("all", [&](size_t column) { return totals[column]; });
  return text + "\n";
}

}  // namespace mien::data
