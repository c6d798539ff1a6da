#include "mien/data/readers/folder_reader.h"

#include <algorithm>
#include <exception>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"
#include "mien/core/parallel.h"
#include "mien/core/text.h"
#include "mien/data/readers/class_names.h"
#include "mien/data/readers/file_kind.h"
#include "mien/data/readers/folder_layout.h"
#include "mien/data/readers/image_io.h"

namespace mien::data {
namespace {

namespace fs = std::filesystem;

bool is_number(const std::string& name) { return parse_int(name).has_value(); }

/// The classes that the folders' names give: FER2013's where all are known expressions, else each name in byte order.
std::vector<std::string> classes_of(const std::vector<std::string>& folders) {
  std::vector<std::string> names;
  bool all_known = true;
  for (const std::string& folder : folders) {
    const auto label = expression_label(folder);
    all_known = all_known && label;
    names.push_back(label ? std::string(kExpressionNames[static_cast<size_t>(*label)]) : folder);
  }
  if (all_known) return {kExpressionNames.begin(), kExpressionNames.end()};
  std::sort(names.begin(), names.end());
  const auto same = [](const std::string& a, const std::string& b) { return lower(a) == lower(b); };
  std::stable_sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return lower(a) < lower(b); });
  names.erase(std::unique(names.begin(), names.end(), same), names.end());
  return names;
}

/// Sets class names and labels from the pictures' folders.
void label(const std::vector<PictureFile>& pictures, const FolderOptions& options, Dataset& dataset) {
  for (const PictureFile& picture : pictures) dataset.usages.push_back(picture.usage);
  std::vector<std::string> folders;
  for (const PictureFile& picture : pictures) {
    if (!picture.class_folder.empty()) folders.push_back(picture.class_folder);
  }
  std::sort(folders.begin(), folders.end());
  folders.erase(std::unique(folders.begin(), folders.end()), folders.end());
  if (folders.empty() || !options.labels) {
    dataset.labels.assign(pictures.size(), kUnlabeled);
    return;
  }
  if (options.classes.empty() && std::all_of(folders.begin(), folders.end(), is_number)) {
    throw_bad_data(fmt::format("cannot tell what the class folders {} of {} mean: FER2013, AffectNet and RAF-DB number "
                               "the expressions differently",
                               join(folders, ", "),
                               dataset.source),
                   "--classes fer2013, or --classes NUMBER=NAME,NUMBER=NAME,... as the data set's own page says");
  }
  std::map<std::string, int32_t> label_of;
  if (!options.classes.empty()) {
    const ClassNames classes = ClassNames::parse(options.classes);
    for (const std::string& folder : folders) {
      const auto label = classes.label(folder);
      if (!label) {
        throw_bad_data(fmt::format("the class folder {} of {} is none of --classes {}",
                                   quote_sample(folder),
                                   dataset.source,
                                   classes.describe()));
      }
      label_of[folder] = *label;
    }
    dataset.class_names = classes.names();
  } else {
    dataset.class_names = classes_of(folders);
    for (const std::string& folder : folders) {
      const auto known = expression_label(folder);
      const std::string name = known ? std::string(kExpressionNames[static_cast<size_t>(*known)]) : lower(folder);
      const auto place = std::find_if(dataset.class_names.begin(), dataset.class_names.end(), [&](const auto& other) {
        return lower(other) == name;
      });
      label_of[folder] = static_cast<int32_t>(place - dataset.class_names.begin());
    }
  }
  for (const PictureFile& picture : pictures) dataset.labels.push_back(label_of.at(picture.class_folder));
}

FolderLayout pictures_of(const fs::path& root) {
  std::error_code error;
  if (fs::is_directory(root, error)) return find_pictures(root);
  return {.pictures = {{root, "", Usage::unknown}}, .passed_over = {}, .root = root};
}

/// What a picture is called: its path below `root`, bytes that are not UTF-8 escaped.
std::string name_below(const fs::path& root, const fs::path& file) {
  const std::string name = file == root ? file.filename().string() : file.lexically_relative(root).generic_string();
  return is_utf8(name) ? name : quote_sample(name, 400);
}

/// A picture on which no face was found.
struct NoFace : Error {
  using Error::Error;
};

void copy_planes(const RgbImage& image, uint8_t* pixels) {
  const size_t plane = image.pixels.size() / 3;
  for (size_t i = 0; i < plane; ++i) {
    for (size_t channel = 0; channel < 3; ++channel) pixels[channel * plane + i] = image.pixels[3 * i + channel];
  }
}

/// True where a picture of this size becomes another shape as a square: by more than a tenth.
bool is_stretched(int64_t height, int64_t width) { return 10 * std::max(height, width) > 11 * std::min(height, width); }

/// Decodes `file` into pixels[channels, side, side]. True where that stretches it.
bool read_into(const fs::path& file, const FolderOptions& options, uint8_t* pixels) {
  if (options.channels == 1) {
    const GrayImage image = read_gray_image(file);
    const GrayImage square = resize_gray(image, options.side, options.side);
    std::copy(square.pixels.begin(), square.pixels.end(), pixels);
    return is_stretched(image.height, image.width);
  }
  const RgbImage image = read_rgb_image(file);
  copy_planes(resize_rgb(image, options.side, options.side), pixels);
  return is_stretched(image.height, image.width);
}

void warn_of_stretched(const Dataset& dataset, const std::vector<uint8_t>& stretched, ProgressListener& listener) {
  const auto count = std::count(stretched.begin(), stretched.end(), uint8_t{1});
  if (count == 0) return;
  const auto first = static_cast<size_t>(std::find(stretched.begin(), stretched.end(), uint8_t{1}) - stretched.begin());
  listener.warning(fmt::format(
      "{}: {} of {} pictures are not square and were stretched to {}x{}; the first: {}. Photographs of people "
      "need --find-faces, which crops the face",
      dataset.source,
      with_commas(count),
      with_commas(static_cast<int64_t>(stretched.size())),
      dataset.height,
      dataset.width,
      dataset.files[first]));
}

/// The same of the largest face. Throws NoFace.
void read_face_into(const fs::path& file, const FolderOptions& options, FaceFinder& finder, uint8_t* pixels) {
  const RgbImage image = read_rgb_image(file);
  const std::vector<FoundFace> faces = finder.find(image);
  if (faces.empty()) throw NoFace(ErrorCode::bad_data, fmt::format("no face was found on {}", file.string()));
  const FaceBox square = crop_square(faces.front().box, options.faces->crop);
  if (options.channels == 3) return copy_planes(crop_rgb(image, square, options.side), pixels);
  const GrayImage crop = crop_gray(image, square, options.side);
  std::copy(crop.pixels.begin(), crop.pixels.end(), pixels);
}

}  // namespace

Dataset read_folder(const fs::path& root, const FolderOptions& options, ProgressListener& listener) {
  if (!has_image_files()) {
    throw_usage(fmt::format("cannot read {}: this build of mien has no support for picture files", root.string()),
                "build with -DMIEN_WITH_VISION=ON, which needs OpenCV; csv files work without it");
  }
  if (options.channels != 1 && options.channels != 3) {
    throw_usage(fmt::format("pictures of {} channels are wanted, expected 1 (gray) or 3 (color)", options.channels));
  }
  if (options.side < 1 || options.side > 1024) {
    throw_usage(fmt::format("image side is {} pixels, expected 1 to 1024", options.side));
  }
  std::error_code error;
  if (!fs::exists(root, error)) {
    throw_bad_data(fmt::format("cannot read {}: there is no such file or folder", root.string()));
  }
  const FolderLayout layout = pictures_of(root);
  const std::vector<PictureFile>& pictures = layout.pictures;
  Dataset dataset;
  dataset.channels = options.channels;
  dataset.height = dataset.width = options.side;
  dataset.source = root.string();
  if (layout.root != root)
    listener.line(fmt::format("{}: the pictures are in {}", root.string(), layout.root.string()));
  if (!layout.passed_over.empty()) {
    listener.warning(fmt::format("{}: passed over what is no part of the data: {} (pictures are {})",
                                 root.string(),
                                 join(layout.passed_over, ", "),
                                 kPictureFormats));
  }
  label(pictures, options, dataset);
  const auto count = static_cast<int64_t>(pictures.size());
  const int64_t image_size = dataset.pixels_per_image();
  dataset.pixels.resize(static_cast<size_t>(count * image_size));
  std::vector<std::exception_ptr> problems(pictures.size());
  std::vector<uint8_t> stretched(pictures.size());
  constexpr int64_t kStep = 512;  // pictures between two reports of progress
  for (int64_t first = 0; first < count; first += kStep) {
    const int64_t step = std::min(kStep, count - first);
    parallel_for(step, [&](int64_t begin, int64_t end) {
      std::optional<FaceFinder> finder;
      if (options.faces) finder.emplace(options.faces->find);
      for (int64_t i = first + begin; i < first + end; ++i) {
        const fs::path& file = pictures[static_cast<size_t>(i)].path;
        uint8_t* const place = dataset.pixels.data() + i * image_size;
        try {
          if (finder) {
            read_face_into(file, options, *finder, place);
          } else {
            stretched[static_cast<size_t>(i)] = read_into(file, options, place) ? 1 : 0;
          }
        } catch (const Error&) {
          problems[static_cast<size_t>(i)] = std::current_exception();
        }
      }
    });
    listener.progress("reading pictures", first + step, count, "");
    if (listener.stop_requested())
      throw Error(ErrorCode::interrupted, fmt::format("stopped while reading {}", root.string()));
  }

  std::vector<int64_t> good;
  std::string first_problem;
  int64_t without_face = 0;
  for (int64_t i = 0; i < count; ++i) {
    dataset.ids.push_back(i);
    dataset.files.push_back(name_below(root, pictures[static_cast<size_t>(i)].path));
    const std::exception_ptr& problem = problems[static_cast<size_t>(i)];
    if (!problem) {
      good.push_back(i);
      continue;
    }
    try {
      std::rethrow_exception(problem);
    } catch (const NoFace& bad) {
      without_face += 1;
      if (first_problem.empty()) first_problem = bad.what();
    } catch (const Error& bad) {
      if (!options.skip_bad_images) throw_bad_data(bad.what(), "--skip-bad-rows leaves such pictures out");
      if (first_problem.empty()) first_problem = bad.what();
    }
  }
  warn_of_stretched(dataset, stretched, listener);
  // Decoded pixels and labels, so that renaming or recompressing without loss keeps the checksum.
  dataset.checksum =
      checksum(std::string_view(reinterpret_cast<const char*>(dataset.pixels.data()), dataset.pixels.size())) +
      checksum(std::string_view(reinterpret_cast<const char*>(dataset.labels.data()), dataset.labels.size() * 4));
  dataset.checksum = checksum(dataset.checksum);
  if (static_cast<int64_t>(good.size()) < count) {
    if (good.empty()) {
      throw_bad_data(fmt::format("cannot read {}: none of its {} pictures can be {}; the first: {}",
                                 root.string(),
                                 with_commas(count),
                                 without_face > 0 ? "used" : "read",
                                 first_problem),
                     without_face > 0 ? "pictures that are faces already need no --find-faces" : "");
    }
    listener.warning(
        fmt::format("{}: left out {} of {} pictures{}; the first: {}",
                    root.string(),
                    with_commas(count - static_cast<int64_t>(good.size())),
                    with_commas(count),
                    without_face > 0 ? fmt::format(", {} of them without a face", with_commas(without_face)) : "",
                    first_problem));
    return dataset.subset(good);
  }
  return dataset;
}

}  // namespace mien::data
