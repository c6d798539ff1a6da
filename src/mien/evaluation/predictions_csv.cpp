#include "mien/evaluation/predictions_csv.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"

namespace mien::evaluation {
namespace {

constexpr std::array<std::string_view, 4> kFixedColumns{"row", "label", "predicted", "correct"};
constexpr size_t kMostClasses = 1000;

/// Reads csv records one after another and knows the line each began on.
class RecordReader {
 public:
  RecordReader(std::string_view text, const std::string& file) : rest_(text), file_(file) {
    if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
  }

  /// False at the end of the text. Empty lines are passed over.
  bool next(std::vector<std::string>& fields) {
    while (!rest_.empty()) {
      line_ = next_line_;
      read(fields);
      if (fields.size() > 1 || !fields[0].empty()) return true;
    }
    return false;
  }

  [[noreturn]] void fail(const std::string& problem) const {
    throw_bad_data(fmt::format("{}:{}: {}", file_, line_, problem),
                   "expected a predictions csv as 'mien eval' writes it");
  }

 private:
  void read(std::vector<std::string>& fields) {
    fields.assign(1, {});
    bool quoted = false;
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '\n') ++next_line_;
      if (quoted) {
        if (c != '"') {
          fields.back() += c;
        } else if (rest_.starts_with('"')) {
          fields.back() += '"';
          rest_.remove_prefix(1);
        } else {
          quoted = false;
        }
      } else if (c == '"' && fields.back().empty()) {
        quoted = true;
      } else if (c == ',') {
        if (fields.size() > kFixedColumns.size() + 2 * kMostClasses) {
          fail(fmt::format("more than {} columns", kFixedColumns.size() + 2 * kMostClasses));
        }
        fields.emplace_back();
      } else if (c == '\n') {
        return;
      } else if (c != '\r') {
        fields.back() += c;
      }
    }
    if (quoted) fail("a quote is opened and never closed");
  }

  std::string_view rest_;
  const std::string& file_;
  int64_t line_ = 1;
  int64_t next_line_ = 1;
};

/// Takes the field of the column `file`, which may follow `row`, out of a header or a line.
std::string take_file(std::vector<std::string>& fields) {
  if (fields.size() < 2) return {};
  std::string file = std::move(fields[1]);
  fields.erase(fields.begin() + 1);
  return file;
}

/// Class names out of the header, which is checked in full.
std::vector<std::string> classes_of_header(const std::vector<std::string>& header, const RecordReader& reader) {
  for (size_t c = 0; c < kFixedColumns.size(); ++c) {
    if (c < header.size() && header[c] == kFixedColumns[c]) continue;
    reader.fail(fmt::format("column {} is {}, expected '{}'",
                            c + 1,
                            c < header.size() ? quote_sample(header[c]) : "missing",
                            kFixedColumns[c]));
  }
  std::vector<std::string> names;
  size_t column = kFixedColumns.size();
  for (; column < header.size() && header[column].starts_with("p_"); ++column) {
    const std::string name = header[column].substr(2);
    if (name.empty()) reader.fail(fmt::format("column {} is 'p_' without a class name", column + 1));
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      reader.fail(fmt::format("two columns are named {}", quote_sample(header[column])));
    }
    names.push_back(name);
  }
  if (names.empty()) reader.fail("no column of probabilities, expected p_NAME for each class after 'correct'");
  if (names.size() > kMostClasses) reader.fail(fmt::format("{} classes, at most {}", names.size(), kMostClasses));
  for (const std::string& name : names) {
    const std::string expected = "logit_" + name;
    if (column >= header.size() || header[column] != expected) {
      reader.fail(fmt::format("column {} is {}, expected {}",
                              column + 1,
                              column < header.size() ? quote_sample(header[column]) : "missing",
                              quote_sample(expected)));
    }
    ++column;
  }
  if (column < header.size()) {
    reader.fail(fmt::format("{} columns for {} classes, expected {}", header.size(), names.size(), column));
  }
  return names;
}

/// Reads the fields of one record into the end of `predictions`.
void append_record(const std::vector<std::string>& fields, const RecordReader& reader, Predictions& predictions) {
  const auto classes = predictions.class_names.size();
  const size_t columns = kFixedColumns.size() + 2 * classes;
  if (fields.size() != columns) reader.fail(fmt::format("{} fields, expected {}", fields.size(), columns));

  const auto class_index = [&](const std::string& name, std::string_view column) {
    const auto& names = predictions.class_names;
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      reader.fail(fmt::format("{} is {}, which is no class; {}", column, quote_sample(name), suggestion(name, names)));
    }
    return static_cast<int32_t>(found - names.begin());
  };

  const std::optional<int64_t> row = parse_int(fields[0]);
  if (!row || *row < 0) {
    reader.fail(fmt::format("row is {}, expected a whole number from 0 up", quote_sample(fields[0])));
  }
  predictions.rows.push_back(*row);
  const int32_t label = fields[1].empty() ? -1 : class_index(fields[1], "label");
  predictions.labels.push_back(label);

  double sum = 0;
  for (size_t k = 0; k < classes; ++k) {
    const std::string& text = fields[kFixedColumns.size() + k];
    const std::optional<double> p = parse_double(text);
    if (!p || *p < 0 || *p > 1) {
      reader.fail(
          fmt::format("p_{} is {}, expected a number from 0 to 1", predictions.class_names[k], quote_sample(text)));
    }
    predictions.probabilities.push_back(*p);
    sum += *p;
  }
  if (std::abs(sum - 1) > 1e-6) reader.fail(fmt::format("the probabilities sum to {}, expected 1", sum));
  for (size_t k = 0; k < classes; ++k) {
    const std::string& text = fields[kFixedColumns.size() + classes + k];
    const std::optional<double> logit = parse_double(text);
    if (!logit) {
      reader.fail(
          fmt::format("logit_{} is {}, expected a finite number", predictions.class_names[k], quote_sample(text)));
    }
    predictions.logits.push_back(*logit);
  }

  const int32_t predicted = predictions.predicted(predictions.size() - 1);
  if (class_index(fields[2], "predicted") != predicted) {
    reader.fail(fmt::format("predicted is {}, but the largest probability is that of '{}'",
                            quote_sample(fields[2]),
                            predictions.class_names[static_cast<size_t>(predicted)]));
  }
  const std::string_view correct = label < 0 ? "" : label == predicted ? "1" : "0";
  if (fields[3] != correct) {
    reader.fail(fmt::format("correct is {}, expected '{}' for label '{}' and prediction '{}'",
                            quote_sample(fields[3]),
                            correct,
                            fields[1],
                            fields[2]));
  }
}

}  // namespace

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string predictions_csv(const Predictions& predictions) {
  check_predictions(predictions, "cannot write predictions");
  const bool has_files = !predictions.files.empty();
  std::string text = has_files ? "row,file,label,predicted,correct" : "row,label,predicted,correct";
  for (const std::string& name : predictions.class_names) text += "," + csv_field("p_" + name);
  for (const std::string& name : predictions.class_names) text += "," + csv_field("logit_" + name);
  text += '\n';
  std::vector<std::string> names;
  for (const std::string& name : predictions.class_names) names.push_back(csv_field(name));
  for (int64_t i = 0; i < predictions.size(); ++i) {
    const int32_t label = predictions.labels[static_cast<size_t>(i)];
    const int32_t predicted = predictions.predicted(i);
    text += fmt::format("{},{}{},{},{}",
                        predictions.rows[static_cast<size_t>(i)],
                        has_files ? csv_field(predictions.files[static_cast<size_t>(i)]) + "," : "",
                        label < 0 ? "" : names[static_cast<size_t>(label)],
                        names[static_cast<size_t>(predicted)],
                        label < 0            ? ""
                        : label == predicted ? "1"
                                             : "0");
    for (const double p : predictions.probability_row(i)) text += "," + format_double(p);
    for (const double logit : predictions.logit_row(i)) text += "," + format_double(logit);
    text += '\n';
  }
  return text;
}

Predictions parse_predictions_csv(std::string_view text, const std::string& file) {
  RecordReader reader(text, file);
  std::vector<std::string> fields;
  if (!reader.next(fields)) reader.fail("the file is empty");
  Predictions predictions;
  const bool has_files = fields.size() > 1 && fields[1] == "file";
  if (has_files) take_file(fields);
  predictions.class_names = classes_of_header(fields, reader);
  while (reader.next(fields)) {
    if (has_files) predictions.files.push_back(take_file(fields));
    append_record(fields, reader, predictions);
  }
  return predictions;
}

Predictions read_predictions_csv(const std::filesystem::path& path) {
  return parse_predictions_csv(read_text(path), path.string());
}

std::string submission_csv(const Predictions& predictions,
                           std::span<const int64_t> ids,
                           const SubmissionColumns& columns) {
  if (!ids.empty() && ids.size() != predictions.rows.size()) {
    throw_usage(fmt::format("cannot write a submission: {} ids for {} predictions", ids.size(), predictions.size()));
  }
  std::string text = "id,label";
  if (columns.names) text += ",class";
  if (columns.probabilities) {
    for (const std::string& name : predictions.class_names) text += "," + csv_field("p_" + name);
  }
  text += '\n';
  for (int64_t i = 0; i < predictions.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    const int32_t predicted = predictions.predicted(i);
    text += predictions.files.empty() ? std::to_string(ids.empty() ? i : ids[at]) : csv_field(predictions.files[at]);
    text += fmt::format(",{}", predicted);
    if (columns.names) text += "," + csv_field(predictions.class_names[static_cast<size_t>(predicted)]);
    if (columns.probabilities) {
      for (const double p : predictions.probability_row(i)) text += "," + format_double(p);
    }
    text += '\n';
  }
  return text;
}

}  // namespace mien::evaluation
