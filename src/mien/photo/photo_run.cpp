#include "mien/photo/photo_run.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/outputs.h"
#include "mien/core/text.h"
#include "mien/data/readers/folder_layout.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/photo/annotate.h"
#include "mien/report/draw_or_warn.h"

namespace mien::photo {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::string dumped(const ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

/// One picture and its faces.
struct ReadPhoto {
  fs::path file;
  std::string name;  ///< of its results
  data::RgbImage picture;
  std::vector<ReadFace> faces;
};

/// The file of a map over the photograph called `name`.
std::string map_name(const std::string& name, const std::string& method) {
  return fmt::format("{}-{}.jpg", name, method);
}

std::string csv_header(const std::vector<std::string>& classes) {
  std::string header = fmt::format(
      "picture,face,x,y,width,height,crop_x,crop_y,crop_side,predicted,probability,{},crop", kQualityColumns);
  for (const std::string& name : classes) header += "," + evaluation::csv_field("p_" + name);
  return header + "\n";
}

std::string crop_name(const ReadPhoto& photo, size_t face) {
  return fmt::format("crops/{}-{}.png", photo.name, face + 1);
}

std::string csv_rows(const ReadPhoto& photo, const std::vector<std::string>& classes) {
  std::string rows;
  for (size_t i = 0; i < photo.faces.size(); ++i) {
    const ReadFace& face = photo.faces[i];
    const data::FaceBox& box = face.found.box;
    rows += fmt::format("{},{},{:.1f},{:.1f},{:.1f},{:.1f},{:.1f},{:.1f},{:.1f},{},{:.4f},{},{}",
                        evaluation::csv_field(photo.file.string()),
                        i + 1,
                        box.x,
                        box.y,
                        box.width,
                        box.height,
                        face.square.x,
                        face.square.y,
                        face.square.width,
                        evaluation::csv_field(classes[static_cast<size_t>(face.predicted)]),
                        face.confidence(),
                        quality_cells(face.quality),
                        evaluation::csv_field(crop_name(photo, i)));
    for (const double probability : face.probabilities) rows += fmt::format(",{:.6f}", probability);
    rows += "\n";
  }
  return rows;
}

double rounded(double value) { return std::round(value * 1e6) / 1e6; }

ordered_json box_json(const data::FaceBox& box) {
  return {{"x", rounded(box.x)}, {"y", rounded(box.y)}, {"width", rounded(box.width)}, {"height", rounded(box.height)}};
}

ordered_json photo_json(const ReadPhoto& photo, const std::vector<std::string>& classes) {
  ordered_json faces = ordered_json::array();
  for (size_t i = 0; i < photo.faces.size(); ++i) {
    const ReadFace& face = photo.faces[i];
    ordered_json probabilities = ordered_json::object();
    for (size_t c = 0; c < classes.size(); ++c) probabilities[classes[c]] = rounded(face.probabilities[c]);
    ordered_json quality{{"reliable", face.quality.is_reliable()},
                         {"problems", face.quality.problems},
                         {"side", rounded(face.quality.side)},
                         {"inside", rounded(face.quality.inside)},
                         {"sharpness", rounded(face.quality.sharpness)},
                         {"brightness", rounded(face.quality.brightness)},
                         {"contrast", rounded(face.quality.contrast)},
                         {"eye_line", nullptr}};
    if (face.quality.eye_line) quality["eye_line"] = rounded(*face.quality.eye_line);
    faces.push_back({{"box", box_json(face.found.box)},
                     {"crop", box_json(face.square)},
                     {"crop_file", crop_name(photo, i)},
                     {"predicted", classes[static_cast<size_t>(face.predicted)]},
                     {"probability", rounded(face.confidence())},
                     {"probabilities", probabilities},
                     {"quality", quality}});
  }
  return {{"file", photo.file.string()},
          {"width", photo.picture.width},
          {"height", photo.picture.height},
          {"faces", faces}};
}

std::string words_of(const ReadPhoto& photo, const std::vector<std::string>& classes) {
  if (photo.faces.empty())
    return fmt::format("{}: no face found; --least-face looks for smaller ones, --neighbors 3 is less strict",
                       photo.file.string());
  std::vector<std::string> words;
  for (const ReadFace& face : photo.faces) {
    words.push_back(
        face.quality.is_reliable()
            ? best_classes(face, classes, 1)
            : fmt::format("not reliable: {} ({})", join(face.quality.problems, ", "), best_classes(face, classes, 1)));
  }
  return fmt::format(
      "{}: {} face{}: {}", photo.file.string(), words.size(), words.size() == 1 ? "" : "s", join(words, "; "));
}

void write_crops(const ReadPhoto& photo, const FaceReader& reader, const fs::path& folder) {
  const network::Shape input = reader.voters().first().network.graph().input_shape();
  for (size_t i = 0; i < photo.faces.size(); ++i) {
    const data::FaceBox& square = photo.faces[i].square;
    const fs::path file = folder / crop_name(photo, i);
    if (input.channels == 1) {
      const auto crop = data::crop_gray(photo.picture, square, input.height);
      data::write_png_gray(file, crop.pixels, crop.height, crop.width);
    } else {
      const auto crop = data::crop_rgb(photo.picture, square, input.height);
      data::write_png_rgb(file, crop.pixels, crop.height, crop.width);
    }
  }
}

/// The photograph with the map of `method` over every face.
void write_maps(const ReadPhoto& photo,
                const std::string& method,
                const PhotoOptions& options,
                const FaceReader& reader,
                ProgressListener& listener) {
  const data::Dataset crops = reader.crops(photo.picture, photo.faces, photo.file.filename().string());
  figures::MapOptions how;
  how.methods = {method};
  how.method.layer = options.layer;
  figures::ExplainContext context(reader.voters().first(), crops, figures::SplitRows::by_usage(crops), listener);
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < crops.size(); ++i) rows.push_back(i);
  const explain::MethodSpec& spec = explain::method(method);
  const auto maps = figures::compute_maps(how, context, spec, context.faces(rows), nullptr);
  data::RgbImage laid = photo.picture;
  for (size_t i = maps.size(); i-- > 0;)
    lay_over(laid, photo.faces[i].square, maps[i].values, crops.height, maps[i].range, spec.is_signed);
  const std::string colors = spec.is_signed ? "yellow speaks for the predicted class, blue against it"
                                            : "from violet (little) to light yellow (most)";
  report::write_picture(fs::path(options.out) / map_name(photo.name, method),
                        annotated(laid,
                                  photo.faces,
                                  reader.class_names(),
                                  fmt::format("{}: {}", photo.file.filename().string(), method),
                                  fmt::format("{} of the predicted class, each face by itself: {}", method, colors)));
}

void check_methods(const PhotoOptions& options, const FaceReader& reader) {
  if (options.explain.empty()) return;
  if (reader.voters().networks.size() > 1)
    throw_usage("--explain looks into one network, found several that vote", "name one of them");
  figures::MapOptions how;
  how.methods = options.explain;
  how.method.layer = options.layer;
  how.check(reader.voters().first().network.graph());
}

}  // namespace

std::vector<fs::path> picture_files(const std::vector<std::string>& words) {
  std::vector<fs::path> files;
  for (const std::string& word : words) {
    std::error_code error;
    if (!fs::is_directory(word, error)) {
      files.emplace_back(word);
      continue;
    }
    std::vector<fs::path> inside;
    for (fs::directory_iterator it(word, error), end; !error && it != end; it.increment(error)) {
      if (!it->path().filename().string().starts_with('.') && data::is_picture_file(it->path()))
        inside.push_back(it->path());
    }
    if (error) throw_bad_data(fmt::format("cannot read {}: {}", word, error.message()));
    if (inside.empty())
      throw_bad_data(fmt::format("cannot read {}: no picture lies directly in this folder", word),
                     "name the pictures, or the folder that holds them");
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

std::vector<std::string> result_names(const std::vector<fs::path>& files) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const fs::path& file : files) {
    std::string stem = file.stem().string();
    if (!is_utf8(stem) || stem.empty()) stem = "picture";
    std::string name = stem;
    for (int number = 2; !taken.insert(lower(name)).second; ++number) name = fmt::format("{}-{}", stem, number);
    names.push_back(name);
  }
  return names;
}

/// No photograph is replaced, nor a file that no earlier `mien photo` wrote.
void check_out(const PhotoOptions& options, const std::vector<fs::path>& files, const std::vector<std::string>& names) {
  FolderResult result{.command = "mien photo", .mark = "faces.csv", .beginning = "picture,face,"};
  result.names = {"faces.csv", "faces.json"};
  for (const std::string& name : names) {
    result.names.push_back(name + ".jpg");
    for (const std::string& method : options.explain) result.names.push_back(map_name(name, method));
  }
  check_folder_result(options.out, result, files, "--out");
}

PhotoSummary photo_run(const PhotoOptions& options, ProgressListener& listener) {
  const std::vector<fs::path> files = picture_files(options.pictures);
  const std::vector<std::string> names = result_names(files);
  check_out(options, files, names);
  FaceReader reader(options.reader, listener);
  check_methods(options, reader);
  const auto& classes = reader.class_names();
  const fs::path folder = options.out;
  PhotoSummary summary{.csv = folder / "faces.csv"};
  std::string csv = csv_header(classes);
  ordered_json pictures = ordered_json::array();
  std::optional<Error> first_problem;
  for (size_t i = 0; i < files.size(); ++i) {
    if (listener.stop_requested())
      throw Error(ErrorCode::interrupted, fmt::format("stopped before {}", files[i].string()));
    ReadPhoto photo{.file = files[i], .name = names[i], .picture = {}, .faces = {}};
    try {
      photo.picture = data::read_rgb_image(photo.file);
      photo.faces = reader.read(photo.picture);
    } catch (const Error& problem) {
      listener.warning(problem.line());
      pictures.push_back({{"file", photo.file.string()}, {"error", problem.what()}});
      if (!first_problem) first_problem = problem;
      ++summary.failed;
      continue;
    }
    listener.line(words_of(photo, classes));
    ++summary.pictures;
    summary.faces += static_cast<int64_t>(photo.faces.size());
    summary.without_face += photo.faces.empty() ? 1 : 0;
    for (const ReadFace& face : photo.faces) summary.not_reliable += face.quality.is_reliable() ? 0 : 1;
    csv += csv_rows(photo, classes);
    pictures.push_back(photo_json(photo, classes));
    write_crops(photo, reader, folder);
    report::draw_or_warn(listener, [&] {
      const std::string found = photo.faces.empty()
                                    ? "no face found"
                                    : fmt::format("{} face{}", photo.faces.size(), photo.faces.size() == 1 ? "" : "s");
      report::write_picture(
          folder / (photo.name + ".jpg"),
          annotated(photo.picture, photo.faces, classes, fmt::format("{}: {}", photo.file.filename().string(), found)));
      if (photo.faces.empty()) return;
      for (const std::string& method : options.explain) write_maps(photo, method, options, reader, listener);
    });
    listener.progress("reading photographs", static_cast<int64_t>(i) + 1, static_cast<int64_t>(files.size()), "");
  }
  ordered_json weights = ordered_json::array();
  for (const fs::path& file : reader.voters().files) weights.push_back(file.string());
  write_atomic(summary.csv, csv);
  write_atomic(folder / "faces.json",
               dumped({{"weights", weights},
                       {"classes", classes},
                       {"detector", reader.detector()},
                       {"crop", {{"scale", reader.crop().scale}, {"down", reader.crop().down}}},
                       {"temperature", reader.temperature()},
                       {"pictures", pictures}},
                      2));
  if (summary.pictures == 0) {
    if (files.size() == 1) throw *first_problem;
    throw_bad_data(
        fmt::format("none of the {} pictures can be read; the first: {}", files.size(), first_problem->what()));
  }
  return summary;
}

}  // namespace mien::photo
