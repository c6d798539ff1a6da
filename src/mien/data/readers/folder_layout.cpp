#include "mien/data/readers/folder_layout.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/readers/file_kind.h"

namespace mien::data {
namespace {

namespace fs = std::filesystem;

constexpr int kDeepest = 2;  // levels below the named folder at which data is looked for
constexpr std::array<std::string_view, 12> kPictureEndings{
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm"};

enum class Part : uint8_t { training, validation, test, public_test, private_test };

constexpr std::array<std::pair<std::string_view, Part>, 14> kPartFolders{{
    {"train", Part::training},
    {"training", Part::training},
    {"validation", Part::validation},
    {"validate", Part::validation},
    {"valid", Part::validation},
    {"val", Part::validation},
    {"dev", Part::validation},
    {"test", Part::test},
    {"testing", Part::test},
    {"eval", Part::test},
    {"publictest", Part::public_test},
    {"public", Part::public_test},
    {"privatetest", Part::private_test},
    {"private", Part::private_test},
}};

/// The part that a folder's name means: "Train", "test_set", "training-data", "PublicTest".
std::optional<Part> part_of(const fs::path& folder) {
  std::string name;
  for (const char c : lower(folder.filename().string())) {
    if (c != '-' && c != '_' && c != ' ') name += c;
  }
  for (const std::string_view suffix : {"set", "data", "images", "faces"}) {
    if (name.size() > suffix.size() && name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  for (const auto& [known, part] : kPartFolders) {
    if (known == name) return part;
  }
  return std::nullopt;
}

bool is_regular(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

/// What a folder holds, each in byte order.
struct Contents {
  std::vector<fs::path> folders;
  std::vector<fs::path> pictures;
  std::vector<fs::path> others;
  std::vector<fs::path> clutter;  // hidden folders and those of archive programs
};

Contents list(const fs::path& folder) {
  Contents contents;
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    entries.push_back(it->path());
  }
  if (error) throw_bad_data(fmt::format("cannot read {}: {}", folder.string(), error.message()));
  std::sort(
      entries.begin(), entries.end(), [](const fs::path& a, const fs::path& b) { return a.string() < b.string(); });
  for (fs::path& entry : entries) {
    const std::string name = entry.filename().string();
    const bool hidden = name.starts_with('.');
    if (fs::is_directory(entry, error)) {
      (hidden || name == "__MACOSX" ? contents.clutter : contents.folders).push_back(std::move(entry));
    } else if (hidden || name == "Thumbs.db" || name == "desktop.ini") {
      continue;
    } else {
      (is_picture_file(entry) ? contents.pictures : contents.others).push_back(std::move(entry));
    }
  }
  return contents;
}

void check_name(const fs::path& folder) {
  if (is_utf8(folder.filename().string())) return;
  throw_bad_data(fmt::format("cannot read {}: the name of its folder {} is not UTF-8",
                             quote_sample(folder.parent_path().string(), 200),
                             quote_sample(folder.filename().string())),
                 "rename the folder; its name becomes the name of a class");
}

/// Gathers what is passed over, so that the same kind is named once.
class PassedOver {
 public:
  void add_folder(const fs::path& folder) { folders_.push_back(quote_sample(folder.string(), 120)); }
  void add_file(const fs::path& file) {
    const std::string ending = lower(file.extension().string());
    ++files_[ending.empty() || !is_utf8(ending) || ending.size() > 12 ? "other" : ending];
  }
  std::vector<std::string> take() const {
    std::vector<std::string> lines;
    for (const std::string& folder : folders_) {
      if (lines.size() == kShown) {
        lines.push_back(fmt::format("{} more folders", folders_.size() - kShown));
        break;
      }
      lines.push_back("folder " + folder);
    }
    for (const auto& [ending, count] : files_) {
      lines.push_back(fmt::format("{} {} file{}", with_commas(count), ending, count == 1 ? "" : "s"));
    }
    return lines;
  }

 private:
  static constexpr size_t kShown = 6;
  std::vector<std::string> folders_;
  std::map<std::string, int64_t> files_;
};

struct Found {
  fs::path root;
  std::vector<PictureFile> pictures;
  PassedOver passed_over;
};

/// The pictures of one class folder; what is below it is passed over.
void take_class(const fs::path& folder, Usage usage, Found& found) {
  check_name(folder);
  const Contents contents = list(folder);
  for (const fs::path& picture : contents.pictures) {
    found.pictures.push_back({picture, folder.filename().string(), usage});
  }
  for (const fs::path& other : contents.others) found.passed_over.add_file(other);
  for (const fs::path& below : contents.folders) found.passed_over.add_folder(below);
}

bool holds_pictures(const fs::path& folder) { return !list(folder).pictures.empty() && !is_result_folder(folder); }

std::vector<fs::path> class_folders(const fs::path& folder) {
  std::vector<fs::path> classes = list(folder).folders;
  std::erase_if(classes, [](const fs::path& path) { return !holds_pictures(path); });
  return classes;
}

void take_parts(const std::vector<fs::path>& parts, Found& found) {
  const auto is_part = [](Part wanted) {
    return [wanted](const fs::path& folder) { return part_of(folder) == wanted; };
  };
  const bool has_validation = std::any_of(parts.begin(), parts.end(), is_part(Part::validation)) ||
                              std::any_of(parts.begin(), parts.end(), is_part(Part::public_test));
  for (const fs::path& part : parts) {
    Usage usage = Usage::public_test;
    if (part_of(part) == Part::training) usage = Usage::training;
    if (part_of(part) == Part::private_test || (part_of(part) == Part::test && has_validation)) {
      usage = Usage::private_test;
    }
    const Contents contents = list(part);
    for (const fs::path& folder : contents.folders) {
      if (holds_pictures(folder)) {
        take_class(folder, usage, found);
      } else if (is_result_folder(folder)) {
        found.passed_over.add_folder(folder);
      }
    }
    for (const fs::path& folder : contents.clutter) found.passed_over.add_folder(folder);
    for (const fs::path& file : contents.pictures) found.passed_over.add_file(file);
    for (const fs::path& file : contents.others) found.passed_over.add_file(file);
  }
}

std::optional<Found> scan(const fs::path& root, int depth);

/// The one folder below that holds data.
std::optional<Found> scan_below(const fs::path& root, const std::vector<fs::path>& folders, int depth) {
  if (depth >= kDeepest) return std::nullopt;
  std::optional<Found> only;
  for (const fs::path& folder : folders) {
    std::optional<Found> found = scan(folder, depth + 1);
    if (!found) continue;
    if (only) {
      throw_bad_data(fmt::format("cannot read {}: both {} and {} hold data, expected one data set",
                                 root.string(),
                                 quote_sample(only->root.string(), 120),
                                 quote_sample(found->root.string(), 120)),
                     "name one of them");
    }
    only = std::move(found);
  }
  return only;
}

std::optional<Found> scan(const fs::path& root, int depth) {
  if (is_result_folder(root)) return std::nullopt;
  Found found{.root = root, .pictures = {}, .passed_over = {}};
  const Contents contents = list(root);
  std::vector<fs::path> parts, classes, others;
  for (const fs::path& folder : contents.folders) {
    if (part_of(folder)) {
      (class_folders(folder).empty() ? others : parts).push_back(folder);
    } else {
      (holds_pictures(folder) ? classes : others).push_back(folder);
    }
  }
  for (const fs::path& folder : contents.clutter) found.passed_over.add_folder(folder);
  if (!parts.empty()) {
    take_parts(parts, found);
    for (const fs::path& folder : classes) found.passed_over.add_folder(folder);
  } else {
    // pictures/CLASS beside a folder of other pictures, such as the masks of drawn faces
    if (classes.size() <= 1) {
      if (auto below = scan_below(root, others, depth)) return below;
    }
    for (const fs::path& folder : classes) take_class(folder, Usage::unknown, found);
  }
  for (const fs::path& folder : others) found.passed_over.add_folder(folder);
  const bool flat = found.pictures.empty();
  for (const fs::path& picture : contents.pictures) {
    if (flat) {
      found.pictures.push_back({picture, "", Usage::unknown});
    } else {
      found.passed_over.add_file(picture);
    }
  }
  for (const fs::path& other : contents.others) found.passed_over.add_file(other);
  if (found.pictures.empty()) return std::nullopt;
  return found;
}

}  // namespace

bool is_picture_file(const fs::path& path) {
  const std::string ending = lower(path.extension().string());
  if (std::find(kPictureEndings.begin(), kPictureEndings.end(), ending) != kPictureEndings.end()) return true;
  if (!is_regular(path)) return false;
  std::array<char, kTellingBytes> start{};
  std::ifstream file(path, std::ios::binary);
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  return picture_format({start.data(), static_cast<size_t>(file.gcount())}).has_value();
}

bool is_result_folder(const fs::path& folder) {
  constexpr std::array kMarks{
      "run.json", "args.toml", "metrics.json", "metrics_val.json", "report.html", "contact.json", "evaluation.png"};
  std::error_code error;
  if (std::any_of(kMarks.begin(), kMarks.end(), [&](const char* name) { return fs::exists(folder / name, error); })) {
    return true;
  }
  // Every map has its values beside it.
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    fs::path path = it->path();
    if (path.extension() == ".npy" && fs::exists(path.replace_extension(".json"), error)) return true;
  }
  return false;
}

FolderLayout find_pictures(const fs::path& root) {
  std::optional<Found> found = scan(root, 0);
  if (!found) {
    const bool is_result = is_result_folder(root);
    throw_bad_data(fmt::format("cannot read {}: {}, expected {}/CLASS/*.png (or {})",
                               root.string(),
                               is_result ? "mien wrote this folder, it is no data" : "no pictures found",
                               root.string(),
                               kPictureFormats),
                   is_result ? "name the folder of the pictures" : "");
  }
  if (found->pictures.empty()) throw_bad_data(fmt::format("cannot read {}: no pictures found", root.string()));
  return {std::move(found->pictures), found->passed_over.take(), std::move(found->root)};
}

}  // namespace mien::data
