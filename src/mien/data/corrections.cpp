#include "mien/data/corrections.h"

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"

namespace mien::data {
namespace {

constexpr const char* kForm = "expected a header with the columns row and label, as `mien audit` writes it";

int32_t class_of(const std::string& word, const Dataset& dataset, const std::string& where) {
  const auto& names = dataset.class_names;
  if (const auto found = std::find(names.begin(), names.end(), word); found != names.end())
    return static_cast<int32_t>(found - names.begin());
  const auto number = parse_int(word);
  if (!number || *number < 0 || *number >= dataset.classes())
    throw_bad_data(fmt::format("{}: the label {} is no class", where, quote_sample(word)),
                   "one of: " + join(names, ", ") + ", or drop");
  return static_cast<int32_t>(*number);
}

/// The cells of a line without quotes.
std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells = split(trim(line), ',');
  for (std::string& cell : cells) {
    cell = trim(cell);
    if (cell.size() > 1 && cell.front() == '"' && cell.back() == '"') cell = cell.substr(1, cell.size() - 2);
  }
  return cells;
}

}  // namespace

void apply_corrections(Dataset& dataset, const std::filesystem::path& file, ProgressListener& listener) {
  const std::string text = read_text(file);
  const std::vector<std::string> lines = split(text, '\n');
  const std::vector<std::string> header = cells_of(lines.front());
  const auto row_column = static_cast<size_t>(std::find(header.begin(), header.end(), "row") - header.begin());
  const auto label_column = static_cast<size_t>(std::find(header.begin(), header.end(), "label") - header.begin());
  if (row_column == header.size() || label_column == header.size())
    throw_bad_data(fmt::format("{}: its first line is {}", file.string(), quote_sample(lines.front())), kForm);
  const int64_t last_row = dataset.size() == 0 ? -1 : dataset.row_of(dataset.size() - 1);
  std::set<int64_t> named;
  std::set<int64_t> dropped;
  int64_t changed = 0;
  for (size_t i = 1; i < lines.size(); ++i) {
    if (trim(lines[i]).empty()) continue;
    const std::string where = fmt::format("{}:{}", file.string(), i + 1);
    const std::vector<std::string> cells = cells_of(lines[i]);
    if (cells.size() != header.size())
      throw_bad_data(fmt::format("{}: {} cells, the header has {}", where, cells.size(), header.size()), kForm);
    const auto row = parse_int(cells[row_column]);
    if (!row || *row < 0 || *row > last_row)
      throw_bad_data(
          fmt::format("{}: the row is {}, expected 0 to {}", where, quote_sample(cells[row_column]), last_row));
    if (!named.insert(*row).second) throw_bad_data(fmt::format("{}: row {} is named twice", where, *row));
    const bool is_dropped = cells[label_column] == "drop";
    const int32_t label = is_dropped ? kUnlabeled : class_of(cells[label_column], dataset, where);
    const auto index = dataset.index_of(*row);
    if (!index) continue;
    if (is_dropped) {
      dropped.insert(*index);
      continue;
    }
    int32_t& old = dataset.labels[static_cast<size_t>(*index)];
    changed += old == label ? 0 : 1;
    old = label;
    if (dataset.label_distribution.empty()) continue;
    const auto first = dataset.label_distribution.begin() + *index * dataset.classes();
    std::fill_n(first, dataset.classes(), 0.0F);
    first[label] = 1;
  }
  if (!dropped.empty()) {
    std::vector<int64_t> kept;
    for (int64_t i = 0; i < dataset.size(); ++i) {
      if (!dropped.contains(i)) kept.push_back(i);
    }
    if (kept.empty()) throw_bad_data(fmt::format("{} drops every row of {}", file.string(), dataset.source));
    dataset = dataset.subset(kept);
  }
  listener.line(fmt::format("corrections: {} labels changed, {} rows left out",
                            with_commas(changed),
                            with_commas(static_cast<int64_t>(dropped.size()))));
}

}  // namespace mien::data
