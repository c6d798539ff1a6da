#include "mien/photo/crop_run.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/outputs.h"
#include "mien/core/parallel.h"
#include "mien/core/text.h"
#include "mien/data/readers/folder_layout.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/photo/face_reader.h"

namespace mien::photo {
namespace {

namespace fs = std::filesystem;

/// What one photograph gave.
struct Result {
  std::string rows;     ///< of crops.csv
  std::string problem;  ///< why it gave none
  int64_t faces = 0;
};

std::vector<data::PictureFile> pictures_of(const CropRunOptions& options, fs::path& root, ProgressListener& listener) {
  std::error_code error;
  if (!fs::exists(options.source, error))
    throw_bad_data(fmt::format("cannot read {}: there is no such file or folder", options.source));
  if (!fs::is_directory(options.source, error)) {
    root = fs::path(options.source).parent_path();
    return {{options.source, "", data::Usage::unknown}};
  }
  data::FolderLayout layout = data::find_pictures(options.source);
  root = layout.root;
  if (!layout.passed_over.empty())
    listener.warning(fmt::format("{}: passed over {}", options.source, join(layout.passed_over, ", ")));
  return std::move(layout.pictures);
}

std::string row_of(const std::string& crop,
                   const fs::path& picture,
                   const data::FoundFace& face,
                   const data::FaceQuality& quality) {
  return fmt::format("{},{},{:.1f},{:.1f},{:.1f},{:.1f},{}\n",
                     evaluation::csv_field(crop),
                     evaluation::csv_field(picture.string()),
                     face.box.x,
                     face.box.y,
                     face.box.width,
                     face.box.height,
                     quality_cells(quality));
}

/// Crops one photograph. Throws Error(bad_data) if it cannot be read.
Result crop_picture(const CropRunOptions& options,
                    const data::CropRecipe& recipe,
                    data::FaceFinder& finder,
                    const fs::path& picture,
                    const fs::path& target) {
  const data::RgbImage image = data::read_rgb_image(picture);
  const std::vector<data::FoundFace> faces = finder.find(image);
  Result result;
  if (faces.empty()) return {.rows = {}, .problem = "no face found"};
  const data::GrayImage gray = data::to_gray(image);
  for (size_t i = 0; i < (options.all_faces ? faces.size() : 1); ++i) {
    const data::FaceBox square = data::crop_square(faces[i].box, recipe);
    const data::FaceQuality quality = data::face_quality(gray, faces[i], square);
    if (options.reliable_only && !quality.is_reliable()) {
      result.problem = "not reliable: " + join(quality.problems, ", ");
      continue;
    }
    fs::path file = target;
    if (i > 0) file.replace_filename(fmt::format("{}-{}.png", target.stem().string(), i + 1));
    if (options.color) {
      const auto crop = data::crop_rgb(image, square, options.side);
      data::write_png_rgb(file, crop.pixels, crop.height, crop.width);
    } else {
      const auto crop = data::crop_gray(image, square, options.side);
      data::write_png_gray(file, crop.pixels, crop.height, crop.width);
    }
    result.rows += row_of(file.lexically_relative(options.out).generic_string(), picture, faces[i], quality);
    ++result.faces;
  }
  return result;
}

}  // namespace

CropSummary crop_run(const CropRunOptions& options, ProgressListener& listener) {
  check_folder_result(options.out,
                      {.command = "mien data crop",
                       .mark = "crops.csv",
                       .beginning = "crop,picture,",
                       .names = {"crops.csv", "left-out.csv"}},
                      {},
                      "out");
  fs::path root;
  const std::vector<data::PictureFile> pictures = pictures_of(options, root, listener);
  const data::CropRecipe recipe = options.crop.resolve({}, options.find.detector_name());
  data::FaceFinder probe(options.find);  // a detector that is none is said once, before anything is read
  const fs::path folder = options.out;
  std::vector<Result> results(pictures.size());
  const auto count = static_cast<int64_t>(pictures.size());
  constexpr int64_t kStep = 64;  // photographs between two reports of progress
  for (int64_t first = 0; first < count; first += kStep) {
    const int64_t step = std::min(kStep, count - first);
    parallel_for(step, [&](int64_t begin, int64_t end) {
      data::FaceFinder finder(options.find);
      for (int64_t i = first + begin; i < first + end; ++i) {
        const fs::path& picture = pictures[static_cast<size_t>(i)].path;
        // The ending stays in the name: a.jpg and a.png of one folder are two faces.
        const fs::path below = picture.lexically_relative(root.empty() ? "." : root);
        try {
          results[static_cast<size_t>(i)] =
              crop_picture(options, recipe, finder, picture, folder / "faces" / (below.string() + ".png"));
        } catch (const Error& problem) {
          if (problem.code() != ErrorCode::bad_data) throw;
          results[static_cast<size_t>(i)].problem = problem.what();
        }
      }
    });
    listener.progress("cropping faces", first + step, count, "");
    if (listener.stop_requested())
      throw Error(ErrorCode::interrupted, fmt::format("stopped while reading {}", options.source));
  }
  CropSummary summary{.pictures = count, .folder = folder / "faces"};
  std::string crops = fmt::format("crop,picture,x,y,width,height,{}\n", kQualityColumns);
  std::string left_out = "picture,reason\n";
  std::string first_problem;
  for (size_t i = 0; i < results.size(); ++i) {
    crops += results[i].rows;
    summary.faces += results[i].faces;
    if (results[i].faces > 0) continue;
    ++summary.left_out;
    const std::string& problem = results[i].problem;
    left_out +=
        fmt::format("{},{}\n", evaluation::csv_field(pictures[i].path.string()), evaluation::csv_field(problem));
    if (first_problem.empty())
      first_problem = problem.find(pictures[i].path.string()) == std::string::npos
                          ? fmt::format("{}: {}", pictures[i].path.string(), problem)
                          : problem;
  }
  write_atomic(folder / "crops.csv", crops);
  write_atomic(folder / "left-out.csv", left_out);
  if (summary.faces == 0)
    throw_bad_data(fmt::format("none of the {} pictures of {} gave a face; the first: {}",
                               with_commas(count),
                               options.source,
                               first_problem),
                   "--least-face looks for smaller ones, --neighbors 3 is less strict");
  if (summary.left_out > 0)
    listener.warning(fmt::format("{} of {} pictures gave no face; the first: {}; all are in {}",
                                 with_commas(summary.left_out),
                                 with_commas(count),
                                 first_problem,
                                 (folder / "left-out.csv").string()));
  return summary;
}

}  // namespace mien::photo
