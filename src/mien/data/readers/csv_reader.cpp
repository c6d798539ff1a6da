#include "mien/data/readers/csv_reader.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/parallel.h"
#include "mien/core/text.h"
#include "mien/data/readers/class_names.h"
#include "mien/data/readers/file_kind.h"
#include "mien/data/readers/pixel_text.h"

namespace mien::data {
namespace {

constexpr int64_t kUsualPixels = 48 * 48;
constexpr int64_t kLeastInferredPixels = 8 * 8;  // a shorter first row is a cut one rather than a tiny image
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr const char* kAcceptedColumns =
    "a column 'pixels' or 'feature', and optionally 'emotion' or 'label', 'Usage', 'id'";

/// Walks through the cells of one line.
class Cells {
 public:
  explicit Cells(std::string_view line) : line_(line) {}

  bool at_end() const { return at_ > line_.size(); }

  /// The next cell, trimmed and without its quotes; nothing if a quote is not closed or text follows it.
  std::optional<std::string_view> next() {
    size_t begin = at_;
    while (begin < line_.size() && line_[begin] == ' ') ++begin;
    if (begin < line_.size() && line_[begin] == '"') {
      size_t end = begin + 1;
      while (true) {
        end = line_.find('"', end);
        if (end == std::string_view::npos) return std::nullopt;
        if (end + 1 >= line_.size() || line_[end + 1] != '"') break;
        end += 2;  // a doubled quote stands for a quote
      }
      if (!go_behind(end + 1)) return std::nullopt;
      return trim(line_.substr(begin + 1, end - begin - 1));
    }
    const size_t comma = std::min(line_.find(',', begin), line_.size());
    at_ = comma + 1;
    return trim(line_.substr(begin, comma - begin));
  }

  /// The rest of the line from where the next cell starts, spaces and an opening quote passed over.
  const char* peek(bool& quoted) const {
    size_t begin = std::min(at_, line_.size());
    while (begin < line_.size() && line_[begin] == ' ') ++begin;
    quoted = begin < line_.size() && line_[begin] == '"';
    return line_.data() + begin + (quoted ? 1 : 0);
  }

  /// Moves behind the cell whose text ended at `end`; false if more than the closing quote and a comma follows.
  bool finish(const char* end, bool quoted) {
    auto at = static_cast<size_t>(end - line_.data());
    if (quoted) {
      if (at >= line_.size() || line_[at] != '"') return false;
      ++at;
    }
    return go_behind(at);
  }

 private:
  bool go_behind(size_t at) {
    while (at < line_.size() && line_[at] == ' ') ++at;
    if (at < line_.size() && line_[at] != ',') return false;
    at_ = at + 1;
    return true;
  }

  std::string_view line_;
  size_t at_ = 0;  // where the next cell starts; behind the line's end plus one when there is none
};

/// Which cell of a row holds what; -1 where the file does not say.
struct Columns {
  std::vector<std::string> names;
  int pixels = -1;
  int label = -1;
  int usage = -1;
  int id = -1;
  int count = 0;
};

/// `line` without its line end, and where the next line starts.
std::string_view line_at(std::string_view text, size_t begin, size_t& next) {
  const void* const found = std::memchr(text.data() + begin, '\n', text.size() - begin);
  const size_t end =
      found == nullptr ? text.size() : static_cast<size_t>(static_cast<const char*>(found) - text.data());
  next = std::min(end + 1, text.size());
  std::string_view line = text.substr(begin, end - begin);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  return line;
}

constexpr std::array<std::string_view, 9> kPixelNames{
    "pixels", "pixel", "feature", "features", "image", "imagepixels", "imgpixels", "pixelvalues", "face"};
constexpr std::array<std::string_view, 2> kLabelNames{"emotion", "label"};
constexpr std::array<std::string_view, 22> kOtherLabelNames{
    "emotions",     "labels",          "class",     "classes",  "expression",   "expressions",
    "target",       "targets",         "category",  "y",        "emotionlabel", "emotionid",
    "emotionclass", "expressionlabel", "labelid",   "classid",  "sentiment",    "facialexpression",
    "groundtruth",  "emotionname",     "classname", "labelname"};
constexpr std::array<std::string_view, 5> kUsageNames{"usage", "split", "subset", "partition", "set"};

template <class Names>
bool is_one_of(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Letters and digits of a column's name in lower case; an e with an accent, in UTF-8 or Latin-1, is an e.
std::string plain_name(std::string_view cell) {
  std::string name;
  for (size_t i = 0; i < cell.size(); ++i) {
    const auto byte = static_cast<uint8_t>(cell[i]);
    const bool utf8_accent = byte == 0xc3 && i + 1 < cell.size();
    const uint8_t letter = utf8_accent ? static_cast<uint8_t>(static_cast<uint8_t>(cell[++i]) + 0x40) : byte;
    if (letter == 0xe9 || letter == 0xe8 || letter == 0xc9) {
      name += 'e';
    } else if (byte < 0x80 && std::isalnum(byte) != 0) {
      name += lower(cell.substr(i, 1));
    }
  }
  return name;
}

[[noreturn]] void refuse_header(std::string_view line, const Columns& columns, const std::string& file) {
  std::vector<std::string> shown;
  for (const std::string& name : columns.names) {
    if (shown.size() < 8) shown.push_back(quote_sample(name, 24));
  }
  std::string hint = "the first line names the columns";
  if (columns.count == 1 && line.find_first_of(";\t") != std::string_view::npos) {
    hint = "columns are separated by commas";
  }
  throw_bad_data(fmt::format("cannot read {}: its first line has the columns {}{}, expected {}",
                             file,
                             join(shown, ", "),
                             columns.names.size() > shown.size() ? ", ..." : "",
                             kAcceptedColumns),
                 hint);
}

/// The label column that the user or its name says, -1 if neither does.
int named_label_column(const Columns& columns, const std::string& wanted, const std::string& file) {
  if (wanted == "none") return -1;
  std::vector<int> usual, unusual;
  for (int i = 0; i < columns.count; ++i) {
    const std::string& name = columns.names[static_cast<size_t>(i)];
    if (!wanted.empty() && lower(name) == lower(wanted)) return i;
    if (is_one_of(kLabelNames, plain_name(name))) usual.push_back(i);
    if (is_one_of(kOtherLabelNames, plain_name(name))) unusual.push_back(i);
  }
  if (!wanted.empty()) {
    throw_usage(fmt::format("there is no column {} in {}", quote_sample(wanted), file),
                suggestion(wanted, columns.names));
  }
  const std::vector<int>& found = usual.empty() ? unusual : usual;
  if (found.empty()) return -1;
  if (found.size() > 1) {
    throw_bad_data(fmt::format("cannot read {}: its columns {} and {} both hold the label, expected one such column",
                               file,
                               found[0] + 1,
                               found[1] + 1),
                   "--label-column NAME says which");
  }
  return found[0];
}

Columns parse_header(std::string_view line, const std::string& label_column, const std::string& file) {
  Columns columns;
  Cells cells(line);
  while (!cells.at_end()) {
    const auto cell = cells.next();
    if (!cell) throw_bad_data(fmt::format("cannot read {}: a quote in its first line is not closed", file));
    const std::string name = plain_name(*cell);
    int* place = nullptr;
    if (is_one_of(kPixelNames, name)) place = &columns.pixels;
    if (is_one_of(kUsageNames, name)) place = &columns.usage;
    if (name == "id") place = &columns.id;
    if (place != nullptr) {
      if (*place >= 0) {
        throw_bad_data(fmt::format("cannot read {}: its columns {} and {} both hold the {}, expected one such column",
                                   file,
                                   *place + 1,
                                   columns.count + 1,
                                   name));
      }
      *place = columns.count;
    }
    columns.names.emplace_back(*cell);
    ++columns.count;
  }
  if (columns.pixels < 0) refuse_header(line, columns, file);
  columns.label = named_label_column(columns, label_column, file);
  return columns;
}

/// What a row says beside its pixels.
struct RowFacts {
  int32_t label = kUnlabeled;
  Usage usage = Usage::unknown;
  bool plain_test = false;  // "test": PublicTest or PrivateTest, which the other rows tell
  std::optional<int64_t> id;
  std::string_view id_text;
};

constexpr const char* kHasTheLabel = "has the label ";

std::optional<std::string> parse_label(std::string_view cell, const ClassNames& classes, int32_t& label) {
  if (cell.empty()) return std::nullopt;
  if (const auto found = classes.label(cell)) {
    label = *found;
    return std::nullopt;
  }
  return fmt::format("{}{}, expected {} to {} ({})",
                     kHasTheLabel,
                     quote_sample(cell),
                     classes.least_number(),
                     classes.largest_number(),
                     classes.describe());
}

std::optional<std::string> parse_usage(std::string_view cell, RowFacts& facts) {
  if (cell.empty()) return std::nullopt;
  constexpr std::array<std::pair<std::string_view, Usage>, 14> kNames{{{"training", Usage::training},
                                                                       {"train", Usage::training},
                                                                       {"publictest", Usage::public_test},
                                                                       {"public_test", Usage::public_test},
                                                                       {"public", Usage::public_test},
                                                                       {"validation", Usage::public_test},
                                                                       {"valid", Usage::public_test},
                                                                       {"val", Usage::public_test},
                                                                       {"dev", Usage::public_test},
                                                                       {"privatetest", Usage::private_test},
                                                                       {"private_test", Usage::private_test},
                                                                       {"private", Usage::private_test},
                                                                       {"test", Usage::private_test},
                                                                       {"testing", Usage::private_test}}};
  const std::string name = lower(cell);
  for (const auto& [known, usage] : kNames) {
    if (known != name) continue;
    facts.usage = usage;
    facts.plain_test = name.starts_with("test");
    return std::nullopt;
  }
  return fmt::format("has the Usage {}, expected Training, PublicTest or PrivateTest (or train, valid, test)",
                     quote_sample(cell));
}

/// Reads one line into `facts` and pixels[0, pixel_count). Returns what is wrong with it, or nothing.
std::optional<std::string> parse_row(std::string_view line,
                                     const Columns& columns,
                                     const ClassNames& classes,
                                     int64_t pixel_count,
                                     const char* readable_end,
                                     RowFacts& facts,
                                     uint8_t* pixels) {
  Cells cells(line);
  int count = 0;
  std::optional<std::string> problem;  // the first one; a wrong number of cells goes before it
  for (; !cells.at_end(); ++count) {
    if (count == columns.pixels) {
      bool quoted = false;
      const char* const begin = cells.peek(quoted);
      const char* const end = parse_usual_pixels(begin, readable_end, pixel_count, pixels);
      if (end != nullptr && cells.finish(end, quoted)) continue;
    }
    const auto cell = cells.next();
    if (!cell) return fmt::format("has a quote in cell {} that is not closed, or text behind it", count + 1);
    if (problem) continue;
    if (count == columns.pixels) problem = parse_pixels(*cell, pixel_count, pixels);
    if (count == columns.label) problem = parse_label(*cell, classes, facts.label);
    if (count == columns.usage) problem = parse_usage(*cell, facts);
    if (count == columns.id) {
      facts.id = parse_int(*cell);
      facts.id_text = *cell;
    }
  }
  if (count != columns.count) {
    // A row cut inside its pixels lacks the cells behind them too; what it lacks first is the better description.
    if (count < columns.count && count == columns.pixels + 1 && problem) return problem;
    return fmt::format("has {} cell{}, expected {} as the first line has", count, count == 1 ? "" : "s", columns.count);
  }
  return problem;
}

/// A line that may be a row, or the first of many that cannot be.
struct Line {
  int64_t row = 0;  // counted from 0 within its part of the file until all parts are known
  std::string_view text;
};

/// The lines of one part of the file.
struct LineIndex {
  int64_t rows = 0;
  std::vector<Line> candidates;
  int64_t short_rows = 0;  // too short to hold the pixels; not kept one by one, so that memory stays bounded
  Line first_short;
};

LineIndex index_lines(std::string_view text, size_t begin, size_t end, int64_t pixel_count) {
  LineIndex index;
  const auto least_length = static_cast<size_t>(2 * pixel_count - 1);
  while (begin < end) {
    size_t next = 0;
    const std::string_view line = line_at(text, begin, next);
    if (!line.empty()) {
      if (line.size() >= least_length) {
        index.candidates.push_back({index.rows, line});
      } else if (index.short_rows++ == 0) {
        index.first_short = {index.rows, line};
      }
      ++index.rows;
    }
    begin = next;
  }
  return index;
}

/// Indexes text[begin, end) on several threads, divided at line ends.
LineIndex index_rows(std::string_view text, size_t begin, int64_t pixel_count) {
  constexpr size_t kLeastPart = size_t{1} << 20;
  const size_t parts = std::clamp<size_t>((text.size() - begin) / kLeastPart, 1, static_cast<size_t>(threads()));
  std::vector<size_t> bounds{begin};
  for (size_t part = 1; part < parts; ++part) {
    size_t next = 0;
    line_at(text, std::max(bounds.back(), begin + (text.size() - begin) / parts * part), next);
    bounds.push_back(next);
  }
  bounds.push_back(text.size());
  std::vector<LineIndex> indexes(parts);
  parallel_for(static_cast<int64_t>(parts), [&](int64_t first, int64_t last) {
    for (auto part = static_cast<size_t>(first); part < static_cast<size_t>(last); ++part) {
      indexes[part] = index_lines(text, bounds[part], bounds[part + 1], pixel_count);
    }
  });
  LineIndex all;
  for (const LineIndex& index : indexes) {
    if (index.short_rows > 0 && all.short_rows == 0) {
      all.first_short = {all.rows + index.first_short.row, index.first_short.text};
    }
    all.short_rows += index.short_rows;
    for (const Line& line : index.candidates) all.candidates.push_back({all.rows + line.row, line.text});
    all.rows += index.rows;
  }
  return all;
}

/// Numbers in a cell.
int64_t count_numbers(std::string_view cell) {
  int64_t count = 0;
  bool inside = false;
  for (const char c : cell) {
    const bool separator = c == ' ' || c == '\t';
    if (!separator && !inside) ++count;
    inside = !separator;
  }
  return count;
}

/// The cells of the first rows, for what must be known before all rows are read.
std::vector<std::vector<std::string_view>> first_rows(std::string_view text, size_t begin, size_t most) {
  std::vector<std::vector<std::string_view>> rows;
  while (begin < text.size() && rows.size() < most) {
    size_t next = 0;
    const std::string_view line = line_at(text, begin, next);
    begin = next;
    if (line.empty()) continue;
    rows.emplace_back();
    Cells cells(line);
    while (!cells.at_end() && rows.back().size() < 64) {
      const auto cell = cells.next();
      if (!cell) break;
      rows.back().push_back(*cell);
    }
  }
  return rows;
}

/// Pixels of an image: the square number that most of the first rows have, the earlier one of equals.
int64_t infer_pixel_count(const std::vector<std::vector<std::string_view>>& rows, const Columns& columns) {
  std::vector<std::pair<int64_t, int64_t>> counts;  // pixels, rows
  for (const auto& row : rows) {
    if (static_cast<int>(row.size()) <= columns.pixels) continue;
    const int64_t count = count_numbers(row[static_cast<size_t>(columns.pixels)]);
    const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(count))));
    if (side * side != count || count < kLeastInferredPixels) continue;
    const auto found = std::find_if(counts.begin(), counts.end(), [&](const auto& c) { return c.first == count; });
    if (found == counts.end()) {
      counts.emplace_back(count, 1);
    } else {
      ++found->second;
    }
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? kUsualPixels : most->first;
}

/// Looks for labels in columns of unknown names: takes the only one that holds expressions in words, names those that
/// may hold labels in an error, warns where there are none.
void find_label_column(const std::vector<std::vector<std::string_view>>& rows,
                       const ClassNames& classes,
                       const std::string& file,
                       Columns& columns,
                       ProgressListener& listener) {
  std::vector<int> words, numbers, others;
  for (int i = 0; i < columns.count; ++i) {
    if (i == columns.pixels || i == columns.usage || i == columns.id) continue;
    bool all_labels = true, any = false, any_word = false;
    for (const auto& row : rows) {
      const std::string_view cell = static_cast<int>(row.size()) > i ? row[static_cast<size_t>(i)] : std::string_view();
      if (cell.empty()) continue;
      any = true;
      all_labels = all_labels && classes.label(cell);
      any_word = any_word || !parse_double(cell);
    }
    (any && all_labels ? (any_word ? words : numbers) : others).push_back(i);
  }
  const auto name_of = [&](int i) { return quote_sample(columns.names[static_cast<size_t>(i)]); };
  if (words.size() == 1) {
    columns.label = words[0];
    listener.line(fmt::format("{}: column {} holds the labels", file, name_of(words[0])));
    return;
  }
  words.insert(words.end(), numbers.begin(), numbers.end());
  std::vector<std::string> names;
  for (const int i : words.empty() ? others : words) {
    if (names.size() < 8) names.push_back(name_of(i));
  }
  if (!words.empty()) {
    throw_bad_data(fmt::format("cannot read {}: it has no column 'emotion' or 'label', but {} may hold the labels",
                               file,
                               join(names, ", ")),
                   "--label-column NAME says which does, --label-column none that no one does");
  }
  if (!others.empty()) {
    listener.warning(
        fmt::format("{}: no column holds labels (among {}), its faces are unlabeled", file, join(names, ", ")));
  }
}

/// A csv's text as it is, or made over where a program wrote it in another spelling.
class Text {
 public:
  explicit Text(std::string_view bytes) : text_(bytes) {
    const bool little = bytes.starts_with("\xff\xfe");
    if (little || bytes.starts_with("\xfe\xff")) {
      for (size_t i = 2; i + 1 < bytes.size(); i += 2) {
        const char low = bytes[i + (little ? 0 : 1)];
        const char high = bytes[i + (little ? 1 : 0)];
        own_ += high == 0 ? low : '?';  // numbers and the names of columns are ASCII
      }
      text_ = own_;
    }
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
    if (text_.find('\n') == std::string_view::npos && text_.find('\r') != std::string_view::npos) {
      std::string lines(text_);
      std::replace(lines.begin(), lines.end(), '\r', '\n');
      own_ = std::move(lines);
      text_ = own_;
    }
  }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  std::string_view text() const { return text_; }

 private:
  std::string own_;
  std::string_view text_;
};

/// Ids that are text, such as the names of pictures, become the faces' names.
void name_by_id(const std::vector<RowFacts>& facts, const std::vector<uint8_t>& good, Dataset& dataset) {
  bool any_text = false;
  for (size_t i = 0; i < facts.size(); ++i)
    any_text = any_text || (good[i] != 0 && !facts[i].id && !facts[i].id_text.empty());
  for (size_t i = 0; any_text && i < facts.size(); ++i) {
    if (good[i] == 0) continue;
    const std::string_view id = facts[i].id_text;
    dataset.files.push_back(is_utf8(id) ? std::string(id) : quote_sample(id));
  }
}

/// "test" is PrivateTest beside validation rows, else PublicTest.
void settle_test_rows(const std::vector<RowFacts>& facts,
                      const std::vector<uint8_t>& good,
                      std::vector<Usage>& usages) {
  bool has_public = false;
  for (size_t i = 0; i < facts.size(); ++i) {
    has_public = has_public || (good[i] != 0 && facts[i].usage == Usage::public_test);
  }
  if (has_public) return;
  size_t kept = 0;
  for (size_t i = 0; i < facts.size(); ++i) {
    if (good[i] == 0) continue;
    if (facts[i].plain_test) usages[kept] = Usage::public_test;
    ++kept;
  }
}

/// A row that cannot be read, and why.
struct BadRow {
  Line line;
  std::string problem;
};

std::string describe(const BadRow& bad, std::string_view text) {
  const auto line_number = 1 + std::count(text.data(), bad.line.text.data(), '\n');
  return fmt::format("row {} (line {}) {}", bad.line.row, line_number, bad.problem);
}

}  // namespace

Dataset read_csv(const std::filesystem::path& path,
                 const CsvOptions& options,
                 ProgressListener& listener,
                 int64_t* rows_in_file) {
  const FileCopy copy(path);
  const std::string file = path.string();
  if (const auto foreign = foreign_file(copy.text())) {
    throw_bad_data(fmt::format("cannot read {}: it is {}, expected a csv of faces", file, foreign->what),
                   std::string(foreign->remedy));
  }
  const Text spelling(copy.text());
  const std::string_view text = spelling.text();
  if (trim(text.substr(0, 4096)).empty()) {
    throw_bad_data(fmt::format("cannot read {}: it is empty, expected a first line with {}", file, kAcceptedColumns));
  }
  const ClassNames classes = ClassNames::parse(options.classes.empty() ? "fer2013" : options.classes);
  size_t body = 0;
  Columns columns = parse_header(line_at(text, 0, body), options.labels ? options.label_column : "none", file);
  constexpr size_t kRowsToLookAt = 50;
  const auto sample = first_rows(text, body, kRowsToLookAt);
  if (columns.label < 0 && options.labels && options.label_column.empty()) {
    find_label_column(sample, classes, file, columns, listener);
  }
  const int64_t pixel_count = options.side > 0 ? options.side * options.side : infer_pixel_count(sample, columns);

  const LineIndex index = index_rows(text, body, pixel_count);
  if (index.rows == 0) throw_bad_data(fmt::format("cannot read {}: it has a first line but no rows", file));
  if (rows_in_file != nullptr) *rows_in_file = index.rows;

  Dataset dataset;
  dataset.height = dataset.width = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(pixel_count))));
  dataset.source = file;
  dataset.checksum = checksum(copy.text());
  dataset.class_names = classes.names();
  const auto candidates = static_cast<int64_t>(index.candidates.size());
  dataset.pixels.reserve(static_cast<size_t>(candidates * pixel_count));
  use_huge_pages(dataset.pixels.data(), dataset.pixels.capacity());
  dataset.pixels.resize(static_cast<size_t>(candidates * pixel_count));
  std::vector<RowFacts> facts(index.candidates.size());
  std::vector<uint8_t> good(index.candidates.size(), 0);
  const char* const readable_end = text.data() + text.size();
  parallel_for(candidates, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i);
      const auto problem = parse_row(index.candidates[at].text,
                                     columns,
                                     classes,
                                     pixel_count,
                                     readable_end,
                                     facts[at],
                                     dataset.pixels.data() + i * pixel_count);
      good[at] = problem ? 0 : 1;
      if (problem && !options.skip_bad_rows) return;  // rows of this block behind it cannot be the first bad one
    }
  });

  // The first bad row of the file, whichever thread met it; parsed once more for its description.
  const auto first_bad = static_cast<size_t>(std::find(good.begin(), good.end(), 0) - good.begin());
  std::optional<BadRow> bad;
  if (index.short_rows > 0) bad = BadRow{index.first_short, {}};
  if (first_bad < good.size() && (!bad || index.candidates[first_bad].row < bad->line.row)) {
    bad = BadRow{index.candidates[first_bad], {}};
  }
  if (bad) {
    std::vector<uint8_t> scratch(static_cast<size_t>(pixel_count));
    RowFacts unused;
    const auto problem = parse_row(bad->line.text, columns, classes, pixel_count, readable_end, unused, scratch.data());
    bad->problem = problem.value_or("is too short");
    if (!options.skip_bad_rows) {
      const bool cut = std::find(bad->line.text.data(), readable_end, '\n') == readable_end;
      throw_bad_data(fmt::format("cannot read {}: {}{}",
                                 file,
                                 describe(*bad, text),
                                 cut ? "; it is the last line and has no line end, as if the file were cut" : ""),
                     bad->problem.starts_with(kHasTheLabel)
                         ? "--classes says what labels mean where there are other classes or they are counted from 1; "
                           "--skip-bad-rows leaves such rows out"
                         : "--skip-bad-rows leaves such rows out");
    }
  }

  int64_t kept = 0;
  for (int64_t i = 0; i < candidates; ++i) {
    const auto at = static_cast<size_t>(i);
    if (good[at] == 0) continue;
    if (kept != i) {
      std::memcpy(dataset.pixels.data() + kept * pixel_count,
                  dataset.pixels.data() + i * pixel_count,
                  static_cast<size_t>(pixel_count));
    }
    dataset.labels.push_back(facts[at].label);
    dataset.usages.push_back(facts[at].usage);
    dataset.source_rows.push_back(index.candidates[at].row);
    dataset.ids.push_back(facts[at].id.value_or(index.candidates[at].row));
    ++kept;
  }
  dataset.pixels.resize(static_cast<size_t>(kept * pixel_count));
  settle_test_rows(facts, good, dataset.usages);
  name_by_id(facts, good, dataset);
  if (bad) {
    const std::string first = describe(*bad, text);
    if (kept == 0) {
      throw_bad_data(fmt::format(
          "cannot read {}: none of its {} rows can be read; the first: {}", file, with_commas(index.rows), first));
    }
    listener.warning(fmt::format("{}: left out {} of {} rows that cannot be read; the first: {}",
                                 file,
                                 with_commas(index.rows - kept),
                                 with_commas(index.rows),
                                 first));
  }
  return dataset;
}

}  // namespace mien::data
