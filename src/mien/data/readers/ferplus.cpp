#include "mien/data/readers/ferplus.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"

namespace mien::data {
namespace {

constexpr size_t kEmotions = kExpressionNames.size();
constexpr size_t kOthers = 3;  // contempt, unknown, NF

/// Where a column's votes go: 0-6 a class of FER2013, 7-9 the three that are no class.
constexpr std::array<std::pair<std::string_view, size_t>, kEmotions + kOthers> kVoteColumns{{
    {"neutral", 6},
    {"happiness", 3},
    {"surprise", 5},
    {"sadness", 4},
    {"anger", 0},
    {"disgust", 1},
    {"fear", 2},
    {"contempt", 7},
    {"unknown", 8},
    {"NF", 9},
}};

/// Votes and labels of FER2013 agree on 66 % of the rows that are kept; by chance it would be about 20 %.
constexpr double kLeastAgreement = 0.4;
constexpr int64_t kLeastRowsToJudge = 200;

struct Votes {
  std::array<int64_t, kEmotions + kOthers> count{};
};

/// The cells of a line, which may be quoted.
std::vector<std::string> cells_of(std::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += line[i++];
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += line[i];
    }
  }
  for (std::string& cell : cells) cell = std::string(trim(cell));
  return cells;
}

/// The votes of each usage, in the file's order.
using VotesByUsage = std::map<Usage, std::vector<Votes>>;

VotesByUsage read_votes(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  const std::string file = path.string();
  size_t begin = text.starts_with("\xef\xbb\xbf") ? 3 : 0;
  int64_t line_number = 0;
  size_t columns = 0;
  size_t usage_column = 0;
  std::vector<std::optional<size_t>> vote_of_column;
  VotesByUsage votes;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trim(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    ++line_number;
    if (line.empty()) continue;
    const std::vector<std::string> cells = cells_of(line);
    if (columns == 0) {
      columns = cells.size();
      size_t found = 0;
      usage_column = columns;
      for (size_t i = 0; i < columns; ++i) {
        vote_of_column.emplace_back();
        if (cells[i] == "Usage") usage_column = i;
        for (const auto& [name, place] : kVoteColumns) {
          if (cells[i] != name) continue;
          vote_of_column.back() = place;
          ++found;
        }
      }
      if (found != kVoteColumns.size() || usage_column == columns) {
        throw_bad_data(
            fmt::format("cannot read FER+ votes from {}: its first line is {}, expected the columns Usage, neutral, "
                        "happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF",
                        file,
                        quote_sample(line, 80)),
            "the file is fer2013new.csv of github.com/microsoft/FERPlus");
      }
      continue;
    }
    const auto fail = [&](const std::string& what) {
      throw_bad_data(fmt::format("cannot read FER+ votes from {}: line {} {}", file, line_number, what));
    };
    if (cells.size() != columns) fail(fmt::format("has {} cells, expected {}", cells.size(), columns));
    Votes row;
    for (size_t i = 0; i < columns; ++i) {
      if (!vote_of_column[i]) continue;
      const auto value = parse_int(cells[i]);
      if (!value || *value < 0 || *value > 1000) {
        fail(fmt::format(
            "has {} votes in column {}, expected a whole number from 0 to 1000", quote_sample(cells[i]), i + 1));
      }
      row.count[*vote_of_column[i]] = value.value_or(0);
    }
    const std::string_view usage = cells[usage_column];
    std::optional<Usage> known;
    for (const Usage candidate : {Usage::training, Usage::public_test, Usage::private_test}) {
      if (usage == to_text(candidate)) known = candidate;
    }
    if (!known)
      fail(fmt::format("has the Usage {}, expected Training, PublicTest or PrivateTest", quote_sample(usage)));
    votes[known.value_or(Usage::unknown)].push_back(row);
  }
  if (votes.empty()) throw_bad_data(fmt::format("cannot read FER+ votes from {}: it has no rows", file));
  return votes;
}

/// The usage of each row of the file. One that was left out, because it cannot be read, has that of the rows around it;
/// where these differ, the earlier usage goes on until it has all its votes.
std::vector<Usage> usages_of_rows(const Dataset& dataset, int64_t rows_in_file, const VotesByUsage& votes) {
  const int64_t last = dataset.size() == 0 ? -1 : dataset.row_of(dataset.size() - 1);
  std::vector<std::optional<Usage>> known(static_cast<size_t>(std::max(rows_in_file, last + 1)));
  std::map<Usage, size_t> counts;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const Usage usage = dataset.usages[static_cast<size_t>(i)];
    known[static_cast<size_t>(dataset.row_of(i))] = usage;
    ++counts[usage];
  }
  std::vector<Usage> after(known.size(), Usage::unknown);  // of the next row that could be read, else of the last one
  Usage next = dataset.size() == 0 ? Usage::unknown : dataset.usages.back();
  for (size_t row = known.size(); row-- > 0;) after[row] = next = known[row].value_or(next);
  std::vector<Usage> usages;
  for (size_t row = 0; row < known.size(); ++row) {
    Usage usage = after[row];
    if (!known[row]) {
      const Usage before = usages.empty() ? usage : usages.back();
      const auto found = votes.find(before);
      if (found != votes.end() && counts[before] < found->second.size()) usage = before;
      ++counts[usage];
    }
    usages.push_back(usage);
  }
  return usages;
}

/// The votes of each face of `dataset`, by its row of the file; nullptr for rows of a usage that has none.
std::vector<const Votes*> join_by_row(const Dataset& dataset,
                                      int64_t rows_in_file,
                                      const VotesByUsage& votes,
                                      const std::string& file) {
  const auto fail = [&](const std::string& what) {
    throw_bad_data(fmt::format("cannot join the FER+ votes of {} to {}: {}", file, dataset.source, what),
                   "FER+ goes with the whole fer2013.csv or train.csv, rows in the original order and none left out");
  };
  const std::vector<Usage> usages = usages_of_rows(dataset, rows_in_file, votes);
  std::vector<const Votes*> of_rows(usages.size(), nullptr);
  if (std::all_of(usages.begin(), usages.end(), [](Usage u) { return u == Usage::unknown; })) {
    std::vector<const Votes*> all;
    size_t training = 0;
    for (const auto& [usage, rows] : votes) {  // in the order of FER2013: Training, PublicTest, PrivateTest
      for (const Votes& row : rows) all.push_back(&row);
      if (usage == Usage::training) training = rows.size();
    }
    if (of_rows.size() != all.size() && of_rows.size() != training) {
      fail(fmt::format(
          "{} rows without a Usage column, expected {} (all) or {} (Training)", of_rows.size(), all.size(), training));
    }
    std::copy_n(all.begin(), of_rows.size(), of_rows.begin());
  } else {
    std::map<Usage, size_t> next;
    for (size_t row = 0; row < of_rows.size(); ++row) {
      const auto found = votes.find(usages[row]);
      const size_t place = next[usages[row]]++;
      if (found != votes.end() && place < found->second.size()) of_rows[row] = &found->second[place];
    }
    for (const auto& [usage, rows] : next) {
      const auto found = votes.find(usage);
      if (found != votes.end() && found->second.size() != rows) {
        fail(fmt::format("{} rows of usage {}, expected {}", rows, to_text(usage), found->second.size()));
      }
    }
  }
  std::vector<const Votes*> joined;
  for (int64_t i = 0; i < dataset.size(); ++i) joined.push_back(of_rows[static_cast<size_t>(dataset.row_of(i))]);
  if (std::all_of(joined.begin(), joined.end(), [](const Votes* v) { return v == nullptr; })) {
    fail("they have no usage in common");
  }
  return joined;
}

/// The emotion with most votes, `preferred` among equals; nothing where no emotion is as frequent as each of the
/// others.
std::optional<int32_t> majority(const Votes& votes, int32_t preferred) {
  const auto emotions_end = votes.count.begin() + kEmotions;
  const auto best = std::max_element(votes.count.begin(), emotions_end);
  const int64_t most_other = *std::max_element(emotions_end, votes.count.end());
  if (*best == 0 || *best < most_other) return std::nullopt;
  if (preferred != kUnlabeled && votes.count[static_cast<size_t>(preferred)] == *best) return preferred;
  return static_cast<int32_t>(best - votes.count.begin());
}

}  // namespace

FerPlusMode ferplus_mode(std::string_view name) {
  if (name == "majority") return FerPlusMode::majority;
  if (name == "distribution") return FerPlusMode::distribution;
  const std::vector<std::string> names{"majority", "distribution"};
  throw_usage(fmt::format("there are no FER+ labels {}", quote_sample(name)), suggestion(name, names));
}

void apply_ferplus(Dataset& dataset,
                   const std::filesystem::path& fer2013new_csv,
                   FerPlusMode mode,
                   ProgressListener& listener,
                   int64_t rows_in_file) {
  const std::string file = fer2013new_csv.string();
  if (!std::equal(
          dataset.class_names.begin(), dataset.class_names.end(), kExpressionNames.begin(), kExpressionNames.end())) {
    throw_bad_data(fmt::format("cannot join the FER+ votes of {} to {}: its classes are {}, expected FER2013's",
                               file,
                               dataset.source,
                               join(dataset.class_names, ", ")));
  }
  const VotesByUsage votes = read_votes(fer2013new_csv);
  const std::vector<const Votes*> joined = join_by_row(dataset, rows_in_file, votes, file);
  std::vector<int64_t> kept;
  std::vector<float> distribution;
  int64_t judged = 0;
  int64_t agreeing = 0;
  int64_t changed = 0;
  for (size_t row = 0; row < joined.size(); ++row) {
    std::array<float, kEmotions> shares{};
    const int32_t old_label = dataset.labels[row];
    if (joined[row] == nullptr) {
      if (old_label == kUnlabeled) {
        shares.fill(1.0F / kEmotions);
      } else {
        shares[static_cast<size_t>(old_label)] = 1;
      }
    } else {
      const auto label = majority(*joined[row], old_label);
      if (!label) continue;
      const auto& count = joined[row]->count;
      const auto total = static_cast<float>(std::accumulate(count.begin(), count.begin() + kEmotions, int64_t{0}));
      for (size_t i = 0; i < kEmotions; ++i) shares[i] = static_cast<float>(count[i]) / total;
      if (old_label != kUnlabeled) {
        ++judged;
        agreeing += *label == old_label ? 1 : 0;
        changed += *label == old_label ? 0 : 1;
      }
      dataset.labels[row] = *label;
    }
    kept.push_back(static_cast<int64_t>(row));
    distribution.insert(distribution.end(), shares.begin(), shares.end());
  }
  if (kept.empty())
    throw_bad_data(fmt::format("no row of {} has FER+ votes for an emotion in {}", dataset.source, file));
  const int64_t removed = dataset.size() - static_cast<int64_t>(kept.size());
  dataset.label_distribution.clear();
  if (removed > 0) dataset = dataset.subset(kept);
  if (mode == FerPlusMode::distribution) dataset.label_distribution = std::move(distribution);
  listener.line(
      fmt::format("FER+ votes: {} labels changed, {} rows removed (contempt, unknown or no face), {} rows left",
                  with_commas(changed),
                  with_commas(removed),
                  with_commas(dataset.size())));
  if (judged >= kLeastRowsToJudge && static_cast<double>(agreeing) < kLeastAgreement * static_cast<double>(judged)) {
    listener.warning(
        fmt::format("the FER+ votes of {} agree with the labels of {} on {:.0f} % of the rows only, expected "
                    "about 66 %: its rows may not be in the original order",
                    file,
                    dataset.source,
                    100.0 * static_cast<double>(agreeing) / static_cast<double>(judged)));
  }
}

}  // namespace mien::data
