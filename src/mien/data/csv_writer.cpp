#include "mien/data/csv_writer.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"

namespace mien::data {
namespace {

struct Style {
  std::string_view name;
  CsvStyle style;
  std::string_view header;
};

constexpr std::array<Style, 5> kStyles{{
    {"fer2013", CsvStyle::fer2013, "emotion,pixels,Usage\n"},
    {"kaggle-train", CsvStyle::kaggle_train, "emotion,pixels\r\n"},
    {"kaggle-test", CsvStyle::kaggle_test, "pixels\r\n"},
    {"course-train", CsvStyle::course_train, "label,feature\n"},
    {"course-test", CsvStyle::course_test, "id,feature\n"},
}};

void append_pixels(std::string& line, std::span<const uint8_t> pixels) {
  for (size_t i = 0; i < pixels.size(); ++i) {
    if (i > 0) line += ' ';
    const uint8_t value = pixels[i];
    if (value >= 100) line += static_cast<char>('0' + value / 100);
    if (value >= 10) line += static_cast<char>('0' + value / 10 % 10);
    line += static_cast<char>('0' + value % 10);
  }
}

}  // namespace

CsvStyle csv_style(std::string_view name) {
  std::vector<std::string> names;
  for (const Style& style : kStyles) {
    if (style.name == name) return style.style;
    names.emplace_back(style.name);
  }
  throw_usage(fmt::format("there is no csv style {}", quote_sample(name)), suggestion(name, names));
}

void write_csv(const Dataset& dataset, const std::filesystem::path& path, CsvStyle style) {
  const auto refuse = [&](std::string_view why) {
    throw_bad_data(fmt::format("cannot write {} as csv: {}", path.string(), why));
  };
  if (dataset.channels != 1 || dataset.height != dataset.width) {
    refuse(fmt::format("images are {}x{}x{} (channels, height, width), expected one channel and square",
                       dataset.channels,
                       dataset.height,
                       dataset.width));
  }
  const bool writes_labels =
      style == CsvStyle::fer2013 || style == CsvStyle::kaggle_train || style == CsvStyle::course_train;
  if (writes_labels &&
      !std::equal(
          dataset.class_names.begin(), dataset.class_names.end(), kExpressionNames.begin(), kExpressionNames.end())) {
    refuse(fmt::format("its classes are {}; the csv has no place for names, its labels mean {}",
                       join(dataset.class_names, ", "),
                       fmt::join(kExpressionNames, ", ")));
  }
  const auto& entry = *std::find_if(kStyles.begin(), kStyles.end(), [&](const Style& s) { return s.style == style; });
  write_atomic(path, [&](const auto& sink) {
    sink(entry.header);
    std::string line;
    for (int64_t row = 0; row < dataset.size(); ++row) {
      const auto at = static_cast<size_t>(row);
      const std::string label = dataset.labels[at] == kUnlabeled ? "" : std::to_string(dataset.labels[at]);
      const bool quoted = style == CsvStyle::kaggle_train || style == CsvStyle::kaggle_test;
      line.clear();
      if (writes_labels) line += label + ',';
      if (style == CsvStyle::course_test) line += std::to_string(dataset.ids[at]) + ',';
      if (quoted) line += '"';
      append_pixels(line, dataset.image(row));
      if (quoted) line += "\"\r";
      if (style == CsvStyle::fer2013) {
        line += ',';
        if (dataset.usages[at] != Usage::unknown) line += to_text(dataset.usages[at]);
      }
      line += '\n';
      sink(line);
    }
  });
}

}  // namespace mien::data
