#include "mien/report/history_csv.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"

namespace mien::report {
namespace {

struct Column {
  const char* name;
  double EpochRow::*value;
};

constexpr Column kColumns[] = {{"train_loss", &EpochRow::train_loss},
                               {"train_accuracy", &EpochRow::train_accuracy},
                               {"validation_loss", &EpochRow::validation_loss},
                               {"validation_accuracy", &EpochRow::validation_accuracy},
                               {"learning_rate", &EpochRow::learning_rate},
                               {"seconds", &EpochRow::seconds}};

std::string header() {
  std::string line = "epoch";
  for (const Column& column : kColumns) line += fmt::format(",{}", column.name);
  return line;
}

EpochRow parse_row(std::string_view line, const std::string& where) {
  const std::vector<std::string> fields = split(line, ',');
  if (fields.size() != 1 + std::size(kColumns)) {
    throw_bad_data(fmt::format("{}: {} fields, expected {}", where, fields.size(), 1 + std::size(kColumns)));
  }
  EpochRow row;
  const auto epoch = parse_int(fields[0]);
  if (!epoch) throw_bad_data(fmt::format("{}: epoch is {}, expected a whole number", where, quote_sample(fields[0])));
  row.epoch = *epoch;
  for (size_t i = 0; i < std::size(kColumns); ++i) {
    const std::string& field = fields[i + 1];
    const auto value = field.empty() ? std::numeric_limits<double>::quiet_NaN() : parse_double(field);
    if (!value) {
      throw_bad_data(
          fmt::format("{}: {} is {}, expected a number or nothing", where, kColumns[i].name, quote_sample(field)));
    }
    row.*kColumns[i].value = *value;
  }
  return row;
}

}  // namespace

std::string history_csv(std::span<const EpochRow> rows) {
  std::string text = header() + "\n";
  for (const EpochRow& row : rows) {
    text += fmt::format("{}", row.epoch);
    for (const Column& column : kColumns) {
      const double value = row.*column.value;
      text += "," + (std::isfinite(value) ? format_double(value) : "");
    }
    text += "\n";
  }
  return text;
}

std::vector<EpochRow> parse_history_csv(std::string_view text, const std::string& file) {
  if (text.empty()) throw_bad_data(fmt::format("{}: it is empty, expected a header and one line an epoch", file));
  std::vector<EpochRow> rows;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string where = fmt::format("{}:{}", file, number);
    if (number == 1) {
      if (line != header()) {
        throw_bad_data(fmt::format("{}: the header is {}, expected '{}'", where, quote_sample(line), header()));
      }
      continue;
    }
    rows.push_back(parse_row(line, where));
    if (rows.size() > 1 && rows.back().epoch <= rows[rows.size() - 2].epoch) {
      throw_bad_data(fmt::format("{}: epoch {} follows epoch {}, expected a larger one",
                                 where,
                                 rows.back().epoch,
                                 rows[rows.size() - 2].epoch));
    }
  }
  return rows;
}

std::vector<EpochRow> read_history_csv(const std::filesystem::path& path) {
  return parse_history_csv(read_text(path, uint64_t{64} << 20), path.string());
}

std::optional<size_t> best_epoch(std::span<const EpochRow> rows) {
  std::optional<size_t> best;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (std::isnan(rows[i].validation_accuracy)) continue;
    if (!best || rows[i].validation_accuracy > rows[*best].validation_accuracy) best = i;
  }
  return best;
}

}  // namespace mien::report
