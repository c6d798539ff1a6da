#include "mien/data/readers/folder_reader.h"

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"
#include "mien/core/parallel.h"
#include "mien/core/text.h"
#include "mien/data/readers/image_io.h"

namespace mien::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 9> kPictureEndings{
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"};
constexpr std::array<std::pair<std::string_view, int32_t>, 28> kFolderLabels{{
    {"angry", 0},      {"anger", 0},   {"0", 0}, {"disgust", 1},   {"disgusted", 1}, {"1", 1},      {"fear", 2},
    {"fearful", 2},    {"afraid", 2},  {"2", 2}, {"happy", 3},     {"happiness", 3}, {"joy", 3},    {"3", 3},
    {"sad", 4},        {"sadness", 4}, {"4", 4}, {"surprise", 5},  {"surprised", 5}, {"5", 5},      {"neutral", 6},
    {"neutrality", 6}, {"calm", 6},    {"6", 6}, {"angriness", 0}, {"scared", 2},    {"sorrow", 4}, {"astonished", 5},
}};
constexpr std::array<std::pair<std::string_view, Usage>, 9> kPartFolders{{
    {"train", Usage::training},
    {"training", Usage::training},
    {"validation", Usage::public_test},
    {"valid", Usage::public_test},
    {"val", Usage::public_test},
    {"test", Usage::public_test},
    {"publictest", Usage::public_test},
    {"public_test", Usage::public_test},
    {"privatetest", Usage::private_test},
}};

template <class Pairs>
auto find_named(const Pairs& pairs, const std::string& name) -> std::optional<typename Pairs::value_type::second_type> {
  const std::string wanted = lower(name);
  for (const auto& [known, value] : pairs) {
    if (known == wanted) return value;
  }
  return std::nullopt;
}

/// What `folder` holds, in byte order; hidden entries are passed over.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().string().starts_with('.')) entries.push_back(it->path());
  }
  if (error) throw_bad_data(fmt::format("cannot read {}: {}", folder.string(), error.message()));
  std::sort(
      entries.begin(), entries.end(), [](const fs::path& a, const fs::path& b) { return a.string() < b.string(); });
  return entries;
}

bool is_picture(const fs::path& path) {
  const std::string ending = lower(path.extension().string());
  return std::find(kPictureEndings.begin(), kPictureEndings.end(), ending) != kPictureEndings.end();
}

struct Picture {
  fs::path path;
  std::string class_name;
  Usage usage = Usage::unknown;
};

void collect_classes(const fs::path& folder, Usage usage, std::vector<Picture>& pictures) {
  for (const fs::path& class_folder : entries_of(folder)) {
    if (!fs::is_directory(class_folder)) continue;
    for (const fs::path& file : entries_of(class_folder)) {
      if (is_picture(file)) pictures.push_back({file, class_folder.filename().string(), usage});
    }
  }
}

std::vector<Picture> collect(const fs::path& root) {
  std::vector<Picture> pictures;
  std::vector<fs::path> parts;
  bool other_folders = false;
  for (const fs::path& entry : entries_of(root)) {
    if (!fs::is_directory(entry)) continue;
    if (find_named(kPartFolders, entry.filename().string())) {
      parts.push_back(entry);
    } else {
      other_folders = true;
    }
  }
  if (parts.empty() || other_folders) {
    collect_classes(root, Usage::unknown, pictures);
    return pictures;
  }
  const auto held_out = [&](const fs::path& part) {
    return find_named(kPartFolders, part.filename().string()) == Usage::public_test;
  };
  if (std::count_if(parts.begin(), parts.end(), held_out) > 1) {
    throw_bad_data(
        fmt::format("cannot read {}: it has both a validation and a test folder, expected one of them", root.string()),
        "move one of them elsewhere and name it as the data to evaluate or predict on");
  }
  for (const fs::path& part : parts) {
    collect_classes(part, *find_named(kPartFolders, part.filename().string()), pictures);
  }
  return pictures;
}

/// Sets class names and labels from the pictures' folders.
void label(const std::vector<Picture>& pictures, Dataset& dataset) {
  std::vector<std::string> names;
  for (const Picture& picture : pictures) names.push_back(picture.class_name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const bool all_known =
      std::all_of(names.begin(), names.end(), [](const std::string& name) { return find_named(kFolderLabels, name); });
  if (!all_known) dataset.class_names = names;
  for (const Picture& picture : pictures) {
    const auto place = std::lower_bound(names.begin(), names.end(), picture.class_name) - names.begin();
    dataset.labels.push_back(all_known ? *find_named(kFolderLabels, picture.class_name) : static_cast<int32_t>(place));
    dataset.usages.push_back(picture.usage);
  }
}

}  // namespace

Dataset read_folder(const fs::path& root, const FolderOptions& options, ProgressListener& listener) {
  if (!has_image_files()) {
    throw_usage(fmt::format("cannot read {}: this build of mien has no support for picture files", root.string()),
                "build with -DMIEN_WITH_VISION=ON, which needs OpenCV; csv files work without it");
  }
  if (options.side < 1 || options.side > 1024) {
    throw_usage(fmt::format("image side is {} pixels, expected 1 to 1024", options.side));
  }
  std::error_code error;
  if (!fs::is_directory(root, error)) {
    throw_bad_data(
        fmt::format("cannot read {}: it is no folder, expected one folder of pictures a class", root.string()));
  }
  const std::vector<Picture> pictures = collect(root);
  if (pictures.empty()) {
    throw_bad_data(
        fmt::format("cannot read {}: no pictures found, expected {}/CLASS/*.png (or jpg, bmp, tif, webp, pgm)",
                    root.string(),
                    root.string()));
  }
  Dataset dataset;
  dataset.height = dataset.width = options.side;
  dataset.source = root.string();
  label(pictures, dataset);
  const auto count = static_cast<int64_t>(pictures.size());
  const int64_t image_size = options.side * options.side;
  dataset.pixels.resize(static_cast<size_t>(count * image_size));
  std::vector<std::exception_ptr> problems(pictures.size());
  constexpr int64_t kStep = 512;  // pictures between two reports of progress
  for (int64_t first = 0; first < count; first += kStep) {
    const int64_t step = std::min(kStep, count - first);
    parallel_for(step, [&](int64_t begin, int64_t end) {
      for (int64_t i = first + begin; i < first + end; ++i) {
        try {
          const GrayImage image = read_gray_image(pictures[static_cast<size_t>(i)].path);
          const GrayImage resized = resize_gray(image, options.side, options.side);
          std::copy(resized.pixels.begin(), resized.pixels.end(), dataset.pixels.begin() + i * image_size);
        } catch (const Error&) {
          problems[static_cast<size_t>(i)] = std::current_exception();
        }
      }
    });
    listener.progress("reading pictures", first + step, count, "");
    if (listener.stop_requested()) throw Error(ErrorCode::interrupted, fmt::format("stopped while reading {}", root.string()));
  }

  std::vector<int64_t> good;
  std::string first_problem;
  for (int64_t i = 0; i < count; ++i) {
    dataset.ids.push_back(i);
    dataset.files.push_back(pictures[static_cast<size_t>(i)].path.lexically_relative(root).generic_string());
    const std::exception_ptr& problem = problems[static_cast<size_t>(i)];
    if (!problem) {
      good.push_back(i);
      continue;
    }
    try {
      std::rethrow_exception(problem);
    } catch (const Error& bad) {
      if (!options.skip_bad_images) throw_bad_data(bad.what(), "--skip-bad-rows leaves such pictures out");
      if (first_problem.empty()) first_problem = bad.what();
    }
  }
  // Decoded pixels and labels, so that renaming or recompressing without loss keeps the checksum.
  dataset.checksum =
      checksum(std::string_view(reinterpret_cast<const char*>(dataset.pixels.data()), dataset.pixels.size())) +
      checksum(std::string_view(reinterpret_cast<const char*>(dataset.labels.data()), dataset.labels.size() * 4));
  dataset.checksum = checksum(dataset.checksum);
  if (static_cast<int64_t>(good.size()) < count) {
    if (good.empty()) {
      throw_bad_data(fmt::format("cannot read {}: none of its {} pictures can be read; the first: {}",
                                 root.string(),
                                 with_commas(count),
                                 first_problem));
    }
    listener.warning(fmt::format("{}: left out {} of {} pictures; the first: {}",
                                 root.string(),
                                 with_commas(count - static_cast<int64_t>(good.size())),
                                 with_commas(count),
                                 first_problem));
    return dataset.subset(good);
  }
  return dataset;
}

}  // namespace mien::data
