#include "mien/data/leak_check.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"
#include "mien/core/parallel.h"
#include "mien/core/text.h"
#include "mien/data/label_conflicts.h"

namespace mien::data {
namespace {

enum class Role : uint8_t { unused, training, validation, test };

std::vector<Role> roles_of(const Dataset& dataset, const Split* split) {
  std::vector<Role> roles(dataset.labels.size(), Role::unused);
  if (split != nullptr) {
    for (const int64_t row : split->training) roles.at(static_cast<size_t>(row)) = Role::training;
    for (const int64_t row : split->validation) roles.at(static_cast<size_t>(row)) = Role::validation;
    for (const int64_t row : split->test) roles.at(static_cast<size_t>(row)) = Role::test;
    return roles;
  }
  for (size_t row = 0; row < roles.size(); ++row) {
    const Usage usage = dataset.usages[row];
    roles[row] = usage == Usage::training || usage == Usage::unknown ? Role::training : Role::test;
  }
  return roles;
}

/// Rows with the same bytes, one list each image, lists and rows ascending.
std::vector<std::vector<int64_t>> group_by_bytes(const Dataset& dataset) {
  std::vector<uint64_t> hashes(dataset.labels.size());
  const auto bytes = [&](int64_t row) {
    const auto image = dataset.image(row);
    return std::string_view(reinterpret_cast<const char*>(image.data()), image.size());
  };
  parallel_for(dataset.size(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) hashes[static_cast<size_t>(row)] = hash64(bytes(row));
  });
  std::vector<int64_t> order(hashes.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const uint64_t hash_a = hashes[static_cast<size_t>(a)];
    const uint64_t hash_b = hashes[static_cast<size_t>(b)];
    if (hash_a != hash_b) return hash_a < hash_b;
    const int difference = bytes(a).compare(bytes(b));
    return difference != 0 ? difference < 0 : a < b;
  });
  std::vector<std::vector<int64_t>> groups;
  for (const int64_t row : order) {
    const bool same = !groups.empty() &&
                      hashes[static_cast<size_t>(groups.back()[0])] == hashes[static_cast<size_t>(row)] &&
                      bytes(groups.back()[0]) == bytes(row);
    if (!same) groups.emplace_back();
    groups.back().push_back(row);
  }
  std::sort(groups.begin(), groups.end());
  return groups;
}

bool is_constant(std::span<const uint8_t> image) {
  return std::all_of(image.begin(), image.end(), [&](uint8_t value) { return value == image[0]; });
}

bool labels_differ(const Dataset& dataset, const std::vector<int64_t>& rows) {
  int32_t first = kUnlabeled;
  for (const int64_t row : rows) {
    const int32_t label = dataset.labels[static_cast<size_t>(row)];
    if (label == kUnlabeled) continue;
    if (first == kUnlabeled) first = label;
    if (label != first) return true;
  }
  return false;
}

/// Which roles the copies of one image have.
struct Roles {
  bool training = false;
  bool held_out = false;
};

/// What the near copies of each image are, `join`ed of what the images themselves are (`own`). Where not all near
/// copies of a row are listed, all images that pairs join to it count as near copies of one another.
template <typename Facts, typename Join>
std::vector<Facts> of_near_copies(const ImageCopies& copies,
                                  const std::vector<size_t>& group_of,
                                  const std::vector<Facts>& own,
                                  Join join) {
  const auto group = [&](int64_t row) { return group_of[static_cast<size_t>(row)]; };
  std::vector<Facts> near(own.size());
  for (const NearCopy& pair : copies.near_copies) {
    join(near[group(pair.first)], own[group(pair.second)]);
    join(near[group(pair.second)], own[group(pair.first)]);
  }
  if (copies.crowded.empty()) return near;
  std::vector<size_t> parent(own.size());
  std::iota(parent.begin(), parent.end(), size_t{0});
  const auto root = [&](size_t g) {
    while (parent[g] != g) g = parent[g] = parent[parent[g]];
    return g;
  };
  for (const NearCopy& pair : copies.near_copies) parent[root(group(pair.first))] = root(group(pair.second));
  std::vector<uint8_t> is_crowded(own.size(), 0);
  for (const int64_t row : copies.crowded) is_crowded[root(group(row))] = 1;
  std::vector<Facts> shared(own.size());
  for (size_t g = 0; g < own.size(); ++g) join(shared[root(g)], own[g]);
  for (size_t g = 0; g < own.size(); ++g) {
    if (is_crowded[root(g)] != 0) join(near[g], shared[root(g)]);
  }
  return near;
}

/// The group of each row.
std::vector<size_t> group_of_rows(const Dataset& dataset, const ImageCopies& copies) {
  std::vector<size_t> group_of(dataset.labels.size());
  for (size_t g = 0; g < copies.groups.size(); ++g) {
    for (const int64_t row : copies.groups[g]) group_of[static_cast<size_t>(row)] = g;
  }
  return group_of;
}

std::string first_faces(const Dataset& dataset, const std::vector<int64_t>& rows) {
  if (rows.empty()) return "";
  const size_t most = dataset.files.empty() ? 12 : 4;
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(most, rows.size()); ++i) {
    shown.push_back(dataset.files.empty() ? std::to_string(dataset.row_of(rows[i])) : dataset.face_name(rows[i]));
  }
  return (dataset.files.empty() ? "rows " + join(shown, " ") : join(shown, ", ")) + (rows.size() > most ? " ..." : "");
}

}  // namespace

void LeakOptions::bind(OptionSet& options) {
  options.group("leaks");
  options.add(&near_copies, {.name = "near-copies", .help = "look for near copies too, not only for exact ones"});
  options.add(&near_correlation,
              {.name = "near-correlation",
               .help = "images whose pixels correlate at least this much are near copies",
               .minimum = 0.8,
               .maximum = 0.99999,
               .only_with = {{"near-copies", "true"}}});
  options.add(&mirrored_copies,
              {.name = "mirrored-copies",
               .help = "count left-right mirror images as near copies",
               .only_with = {{"near-copies", "true"}}});
}

ImageCopies find_copies(const Dataset& dataset, const LeakOptions& options) {
  ImageCopies copies{.groups = group_by_bytes(dataset), .near_copies = {}, .crowded = {}};
  if (!options.near_copies) return copies;
  std::vector<int64_t> representatives;  // of the images that are not constant
  for (const std::vector<int64_t>& rows : copies.groups) {
    if (!is_constant(dataset.image(rows[0]))) representatives.push_back(rows[0]);
  }
  NearCopies near = find_near_copies(dataset, representatives, options.near_correlation, options.mirrored_copies);
  copies.near_copies = std::move(near.pairs);
  copies.crowded = std::move(near.crowded);
  return copies;
}

std::vector<int64_t> faces_with_another_label(const Dataset& dataset, const ImageCopies& copies) {
  using Labels = std::set<int32_t>;
  const std::vector<size_t> group_of = group_of_rows(dataset, copies);
  std::vector<Labels> labels(copies.groups.size());
  for (size_t row = 0; row < dataset.labels.size(); ++row) {
    if (dataset.labels[row] != kUnlabeled) labels[group_of[row]].insert(dataset.labels[row]);
  }
  const auto near = of_near_copies(
      copies, group_of, labels, [](Labels& all, const Labels& more) { all.insert(more.begin(), more.end()); });
  std::vector<int64_t> faces;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    const int32_t own = dataset.labels[static_cast<size_t>(row)];
    const size_t g = group_of[static_cast<size_t>(row)];
    const auto has_another = [own](const Labels& of) { return of.size() > (of.contains(own) ? 1U : 0U); };
    if (own != kUnlabeled && (has_another(labels[g]) || has_another(near[g]))) faces.push_back(row);
  }
  return faces;
}

LeakReport check_leaks(const Dataset& dataset, const Split* split, const LeakOptions& options) {
  return check_leaks(dataset, split, find_copies(dataset, options));
}

LeakReport check_leaks(const Dataset& dataset, const Split* split, const ImageCopies& copies) {
  const std::vector<Role> roles = roles_of(dataset, split);
  const auto role = [&](int64_t row) { return roles[static_cast<size_t>(row)]; };
  const std::vector<std::vector<int64_t>>& groups = copies.groups;
  LeakReport report;
  report.images = dataset.size();
  report.distinct = static_cast<int64_t>(groups.size());
  report.training_rows = std::count(roles.begin(), roles.end(), Role::training);
  report.validation_rows = std::count(roles.begin(), roles.end(), Role::validation);
  report.test_rows = std::count(roles.begin(), roles.end(), Role::test);

  const std::vector<size_t> group_of = group_of_rows(dataset, copies);
  std::vector<Roles> group_roles(groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::vector<int64_t>& rows = groups[g];
    for (const int64_t row : rows) {
      group_roles[g].training |= role(row) == Role::training;
      group_roles[g].held_out |= role(row) == Role::validation || role(row) == Role::test;
    }
    if (is_constant(dataset.image(rows[0]))) {
      report.constant.insert(report.constant.end(), rows.begin(), rows.end());
    }
    if (rows.size() < 2) continue;
    if (labels_differ(dataset, rows)) report.conflicting.push_back(static_cast<int64_t>(report.copies.size()));
    report.copies.push_back(rows);
  }
  std::sort(report.constant.begin(), report.constant.end());

  // A near copy on the other side matters only where there is no exact one.
  const auto near_roles = of_near_copies(copies, group_of, group_roles, [](Roles& roles, const Roles& more) {
    roles.training |= more.training;
    roles.held_out |= more.held_out;
  });
  report.near_copies = copies.near_copies;
  report.crowded = static_cast<int64_t>(copies.crowded.size());
  for (int64_t row = 0; row < dataset.size(); ++row) {
    const size_t g = group_of[static_cast<size_t>(row)];
    const auto add = [row](bool exact, bool near, std::vector<int64_t>& to_exact, std::vector<int64_t>& to_near) {
      if (exact) to_exact.push_back(row);
      if (!exact && near) to_near.push_back(row);
    };
    switch (role(row)) {
      case Role::unused:
        break;
      case Role::training:
        add(group_roles[g].held_out, near_roles[g].held_out, report.leaking_training, report.near_leaking_training);
        break;
      case Role::validation:
        add(group_roles[g].training,
            near_roles[g].training,
            report.validation_in_training,
            report.near_validation_in_training);
        break;
      case Role::test:
        add(group_roles[g].training, near_roles[g].training, report.test_in_training, report.near_test_in_training);
        break;
    }
  }
  return report;
}

std::string LeakReport::line() const {
  if (clean()) return "";
  std::vector<std::string> parts;
  const auto add =
      [&](const char* name, int64_t rows, const std::vector<int64_t>& exact, const std::vector<int64_t>& near) {
        if (exact.empty() && near.empty()) return;
        std::string part = fmt::format("{} of {} {} rows have an exact copy in training",
                                       with_commas(static_cast<int64_t>(exact.size())),
                                       with_commas(rows),
                                       name);
        if (!near.empty()) part += fmt::format(", {} more a near copy", with_commas(static_cast<int64_t>(near.size())));
        parts.push_back(part);
      };
  add("validation", validation_rows, validation_in_training, near_validation_in_training);
  add("test", test_rows, test_in_training, near_test_in_training);
  return join(parts, "; ") +
         fmt::format(" ({} training rows concerned)",
                     with_commas(static_cast<int64_t>(leaking_training.size() + near_leaking_training.size())));
}

std::string LeakReport::table(const Dataset& dataset) const {
  std::string text;
  const auto add = [&](std::string_view name, int64_t count, const std::string& detail = "") {
    text += fmt::format("{:<46}{:>8}", name, with_commas(count));
    text += detail.empty() ? "\n" : "  " + detail + "\n";
  };
  const auto add_rows = [&](std::string_view name, const std::vector<int64_t>& rows) {
    add(name, static_cast<int64_t>(rows.size()), first_faces(dataset, rows));
  };
  std::vector<int64_t> conflicting_rows;
  for (const int64_t group : conflicting) conflicting_rows.push_back(copies[static_cast<size_t>(group)][0]);
  int64_t copied = 0;
  for (const auto& group : copies) copied += static_cast<int64_t>(group.size());
  add("images", images);
  add("distinct images", distinct);
  add("groups of exact copies", static_cast<int64_t>(copies.size()), fmt::format("{} rows", with_commas(copied)));
  add_rows("  of them with conflicting labels", conflicting_rows);
  add_rows("constant images", constant);
  const auto mirrored =
      std::count_if(near_copies.begin(), near_copies.end(), [](const NearCopy& p) { return p.mirrored; });
  add("pairs of near copies",
      static_cast<int64_t>(near_copies.size()),
      mirrored > 0 ? fmt::format("{} of them mirrored", with_commas(mirrored)) : "");
  if (crowded > 0) {
    add("  rows with more near copies than are listed",
        crowded,
        fmt::format("{} of each are; all that pairs join count as copies", kMostNearCopies));
  }
  add_rows("training rows with a copy held out", leaking_training);
  add_rows("  further ones with a near copy held out", near_leaking_training);
  if (validation_rows > 0) {
    add_rows("validation rows with a copy in training", validation_in_training);
    add_rows("  further ones with a near copy in training", near_validation_in_training);
  }
  if (test_rows > 0) {
    add_rows("test rows with a copy in training", test_in_training);
    add_rows("  further ones with a near copy in training", near_test_in_training);
  }
  return text;
}

Split drop_leaks(const Split& split, const LeakReport& report, bool near_copies) {
  std::vector<int64_t> dropped = report.leaking_training;
  if (near_copies) {
    dropped.insert(dropped.end(), report.near_leaking_training.begin(), report.near_leaking_training.end());
    std::sort(dropped.begin(), dropped.end());
  }
  Split out = split;
  out.training.clear();
  std::set_difference(
      split.training.begin(), split.training.end(), dropped.begin(), dropped.end(), std::back_inserter(out.training));
  const auto count = static_cast<int64_t>(split.training.size() - out.training.size());
  if (out.training.empty()) throw_bad_data("no training row is left without those that have a copy held out");
  if (count > 0)
    out.description += fmt::format(", without {} training rows that have a copy held out", with_commas(count));
  return out;
}

}  // namespace mien::data
