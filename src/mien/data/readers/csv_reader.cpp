#include "mien/data/readers/csv_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/parallel.h"
#include "mien/core/text.h"
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

Columns parse_header(std::string_view line, const std::string& file) {
  Columns columns;
  std::vector<std::string> found;
  Cells cells(line);
  while (!cells.at_end()) {
    const auto cell = cells.next();
    if (!cell) throw_bad_data(fmt::format("cannot read {}: a quote in its first line is not closed", file));
    const std::string name = lower(*cell);
    int* place = nullptr;
    if (name == "pixels" || name == "pixel" || name == "feature" || name == "features") place = &columns.pixels;
    if (name == "emotion" || name == "label") place = &columns.label;
    if (name == "usage") place = &columns.usage;
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
    if (found.size() < 8) found.push_back(quote_sample(*cell, 24));
    ++columns.count;
  }
  if (columns.pixels >= 0) return columns;
  std::string hint = "the first line names the columns";
  if (columns.count == 1 && line.find_first_of(";\t") != std::string_view::npos) {
    hint = "columns are separated by commas";
  }
  throw_bad_data(fmt::format("cannot read {}: its first line has the columns {}{}, expected {}",
                             file,
                             join(found, ", "),
                             static_cast<size_t>(columns.count) > found.size() ? ", ..." : "",
                             kAcceptedColumns),
                 hint);
}

/// What a row says beside its pixels.
struct RowFacts {
  int32_t label = kUnlabeled;
  Usage usage = Usage::unknown;
  std::optional<int64_t> id;
};

std::optional<std::string> parse_label(std::string_view cell, int32_t& label) {
  if (cell.empty()) return std::nullopt;
  const auto value = parse_int(cell);
  if (value && *value >= 0 && *value < static_cast<int64_t>(kExpressionNames.size())) {
    label = static_cast<int32_t>(*value);
    return std::nullopt;
  }
  return fmt::format(
      "has the label {}, expected 0 to 6 (0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral)",
      quote_sample(cell));
}

std::optional<std::string> parse_usage(std::string_view cell, Usage& usage) {
  if (cell.empty()) return std::nullopt;
  const std::string name = lower(cell);
  for (const Usage known : {Usage::training, Usage::public_test, Usage::private_test}) {
    if (name == lower(to_text(known))) {
      usage = known;
      return std::nullopt;
    }
  }
  return fmt::format("has the Usage {}, expected Training, PublicTest or PrivateTest", quote_sample(cell));
}

/// Reads one line into `facts` and pixels[0, pixel_count). Returns what is wrong with it, or nothing.
std::optional<std::string> parse_row(std::string_view line,
                                     const Columns& columns,
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
    if (count == columns.label) problem = parse_label(*cell, facts.label);
    if (count == columns.usage) problem = parse_usage(*cell, facts.usage);
    if (count == columns.id) {
      facts.id = parse_int(*cell);
      if (!facts.id) problem = fmt::format("has the id {}, expected a whole number", quote_sample(*cell));
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

/// Pixels of an image, from the first row that has any.
int64_t infer_pixel_count(std::string_view text, size_t begin, const Columns& columns) {
  while (begin < text.size()) {
    size_t next = 0;
    const std::string_view line = line_at(text, begin, next);
    begin = next;
    if (line.empty()) continue;
    Cells cells(line);
    for (int column = 0; !cells.at_end(); ++column) {
      const auto cell = cells.next();
      if (!cell) break;
      if (column != columns.pixels) continue;
      int64_t count = 0;
      bool inside = false;
      for (const char c : *cell) {
        const bool separator = c == ' ' || c == '\t';
        if (!separator && !inside) ++count;
        inside = !separator;
      }
      const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(count))));
      return side * side == count && count >= kLeastInferredPixels ? count : kUsualPixels;
    }
    break;
  }
  return kUsualPixels;
}

/// A row that cannot be read, and why.
struct BadRow {
  Line line;
  std::string problem;
};

std::string describe(const BadRow& bad, std::string_view text) {
  const auto line_number = 1 + std::count(text.data(), bad.line.text.data(), '\n');
  return fmt::format("row {} (line {}) {}", bad.line.row + 1, line_number, bad.problem);
}

}  // namespace

Dataset read_csv(const std::filesystem::path& path, const CsvOptions& options, ProgressListener& listener) {
  const FileCopy copy(path);
  const std::string_view text = copy.text();
  const std::string file = path.string();
  if (trim(text.substr(0, 4096)).empty()) {
    throw_bad_data(fmt::format("cannot read {}: it is empty, expected a first line with {}", file, kAcceptedColumns));
  }
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    throw_bad_data(fmt::format("cannot read {}: it is UTF-16 text, expected UTF-8", file),
                   "save it as 'CSV UTF-8', or convert it with iconv -f UTF-16 -t UTF-8");
  }
  size_t body = 0;
  const size_t header_begin = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  const Columns columns = parse_header(line_at(text, header_begin, body), file);
  const int64_t pixel_count = options.side > 0 ? options.side * options.side : infer_pixel_count(text, body, columns);

  const LineIndex index = index_rows(text, body, pixel_count);
  if (index.rows == 0) throw_bad_data(fmt::format("cannot read {}: it has a first line but no rows", file));

  Dataset dataset;
  dataset.height = dataset.width = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(pixel_count))));
  dataset.source = file;
  dataset.checksum = checksum(text);
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
    const auto problem = parse_row(bad->line.text, columns, pixel_count, readable_end, unused, scratch.data());
    bad->problem = problem.value_or("is too short");
    if (!options.skip_bad_rows) {
      const bool cut = std::find(bad->line.text.data(), readable_end, '\n') == readable_end;
      throw_bad_data(fmt::format("cannot read {}: {}{}",
                                 file,
                                 describe(*bad, text),
                                 cut ? "; it is the last line and has no line end, as if the file were cut" : ""),
                     "--skip-bad-rows leaves such rows out");
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
