// How much of a photograph FER2013's faces show around the box that OpenCV's cascade finds. FER2013 was cropped with
// that cascade, but not whole boxes: this program finds by what scale and shift a box must be changed to give such a
// face.
//   crop_margin WEIGHTS FER2013.csv PHOTOGRAPHS [COUNT]
// Faces of the csv are enlarged on a canvas that repeats their edge, the cascade looks for them, and boxes of many
// scales and shifts are cropped again: compared with the face itself, and by the network's accuracy. Faces of the
// photographs are compared with the mean face of the csv.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/faces/crop.h"
#include "mien/data/load.h"
#include "mien/data/readers/folder_layout.h"
#include "mien/runs/voters.h"

namespace {

using namespace mien;
using data::GrayImage;

constexpr int64_t kSide = 48;
constexpr int64_t kLarge = 192;   // the face on the canvas
constexpr int64_t kCanvas = 384;  // with its edge repeated around it

struct Found {
  int64_t row = 0;
  GrayImage canvas;
  data::FoundFace face;
};

double correlation(const std::vector<uint8_t>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  double sum_a = 0, sum_b = 0, aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum_a += a[i], sum_b += b[i];
    aa += double{1} * a[i] * a[i], bb += b[i] * b[i], ab += a[i] * b[i];
  }
  const double spread = std::sqrt((aa - sum_a * sum_a / n) * (bb - sum_b * sum_b / n));
  return spread > 0 ? (ab - sum_a * sum_b / n) / spread : 0;
}

double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))];
}

std::string spread(const std::vector<double>& values) {
  return fmt::format("1 % {:.3f}  10 % {:.3f}  median {:.3f}  90 % {:.3f}  99 % {:.3f}",
                     quantile(values, 0.01),
                     quantile(values, 0.1),
                     quantile(values, 0.5),
                     quantile(values, 0.9),
                     quantile(values, 0.99));
}

GrayImage face_of(const data::Dataset& faces, int64_t row) {
  const auto image = faces.image(row);
  return {kSide, kSide, {image.begin(), image.end()}};
}

std::vector<Found> find_faces(const data::Dataset& faces, const std::vector<int64_t>& rows) {
  data::FaceFinder finder({.least_face = 0.3, .neighbors = 3});
  std::vector<Found> found;
  std::vector<double> sides, rights, downs, eyes_apart, eyes_down;
  const auto unit = static_cast<double>(kLarge);
  for (const int64_t row : rows) {
    GrayImage canvas = data::crop_gray(face_of(faces, row), {-24, -24, 96, 96}, kCanvas);
    const auto boxes = finder.find(canvas);
    if (boxes.empty()) continue;
    const data::FoundFace& face = boxes.front();
    sides.push_back(face.box.side() / unit);
    rights.push_back((face.box.center_x() - kCanvas / 2.0) / unit);
    downs.push_back((face.box.center_y() - kCanvas / 2.0) / unit);
    if (face.eyes) {
      eyes_apart.push_back((face.eyes->right_x - face.eyes->left_x) / face.box.side());
      eyes_down.push_back(((face.eyes->right_y + face.eyes->left_y) / 2 - face.box.y) / face.box.side());
    }
    found.push_back({row, std::move(canvas), face});
  }
  fmt::print("cascade found {} of {} faces, eyes of {}\n", found.size(), rows.size(), eyes_apart.size());
  fmt::print("box side / face side       {}\n", spread(sides));
  fmt::print("box center right of face's {}\n", spread(rights));
  fmt::print("box center below face's    {}\n", spread(downs));
  fmt::print("eyes apart / box side      {}\n", spread(eyes_apart));
  fmt::print("eyes below box top         {}\n", spread(eyes_down));
  return found;
}

void print_quality(const data::Dataset& faces, const std::vector<int64_t>& rows) {
  std::vector<double> sharpness, brightness, contrast;
  for (const int64_t row : rows) {
    const auto quality = data::face_quality(face_of(faces, row), {}, {0, 0, 48, 48});
    sharpness.push_back(quality.sharpness);
    brightness.push_back(quality.brightness);
    contrast.push_back(quality.contrast);
  }
  fmt::print("sharpness  {}\nbrightness {}\ncontrast   {}\n", spread(sharpness), spread(brightness), spread(contrast));
}

using Square = std::function<data::FaceBox(const Found&)>;

/// Accuracy on the found faces, cropped anew, and how like the crops are to the faces themselves.
std::pair<double, double> judge(const runs::Voters& voters,
                                const data::Dataset& faces,
                                const std::vector<Found>& found,
                                const Square& square) {
  std::vector<int64_t> rows;
  for (const Found& one : found) rows.push_back(one.row);
  data::Dataset cropped = faces.subset(rows);
  std::vector<int64_t> all;
  double likeness = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    all.push_back(static_cast<int64_t>(i));
    const GrayImage crop = data::crop_gray(found[i].canvas, square(found[i]), kSide);
    const auto face = faces.image(found[i].row);
    likeness += correlation(crop.pixels, {face.begin(), face.end()}) / static_cast<double>(found.size());
    std::copy(crop.pixels.begin(), crop.pixels.end(), cropped.pixels.begin() + static_cast<int64_t>(i) * kSide * kSide);
  }
  const auto predictions = voters.predict("mean-probability", {}, cropped, all, silent_listener());
  int64_t right = 0;
  for (const int64_t i : all) right += predictions.predicted(i) == cropped.labels[static_cast<size_t>(i)] ? 1 : 0;
  return {static_cast<double>(right) / static_cast<double>(all.size()), likeness};
}

void print_photographs(const data::Dataset& faces, const std::string& folder) {
  std::vector<double> mean(kSide * kSide);
  for (int64_t row = 0; row < faces.size(); ++row) {
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += faces.image(row)[i] / static_cast<double>(faces.size());
  }
  data::FaceFinder finder({});
  std::vector<std::pair<GrayImage, data::FaceBox>> boxes;
  for (const data::PictureFile& file : data::find_pictures(folder).pictures) {
    const GrayImage picture = data::read_gray_image(file.path);
    for (const data::FoundFace& face : finder.find(picture)) boxes.emplace_back(picture, face.box);
  }
  fmt::print("\n{} faces of {}: mean likeness to the mean face\n", boxes.size(), folder);
  for (const double scale : {0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1, 1.2, 1.3}) {
    for (const double down : {-0.05, 0.0, 0.025, 0.05}) {
      double likeness = 0;
      for (const auto& [picture, box] : boxes) {
        const auto square = data::crop_square(box, {.scale = scale, .down = down});
        likeness += correlation(data::crop_gray(picture, square, kSide).pixels, mean);
      }
      fmt::print("  scale {:.2f} down {:+.3f}  {:.4f}\n", scale, down, likeness / static_cast<double>(boxes.size()));
    }
  }
}

void measure(const std::string& weights, const std::string& csv, const std::string& photographs, int64_t count) {
  const runs::Voters voters = runs::Voters::load({weights});
  data::DataOptions options;
  options.data = csv;
  const data::Dataset faces = data::load(options, silent_listener());
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < faces.size() && static_cast<int64_t>(rows.size()) < count; ++row) {
    if (faces.usages[static_cast<size_t>(row)] == data::Usage::public_test) rows.push_back(row);
  }
  const std::vector<Found> found = find_faces(faces, rows);
  print_quality(faces, rows);
  const auto line = [&](const std::string& what, const Square& square) {
    const auto [accuracy, likeness] = judge(voters, faces, found, square);
    fmt::print("{:<28} accuracy {:.4f}  likeness {:.4f}\n", what, accuracy, likeness);
  };
  fmt::print("\nthe {} found faces, cropped anew\n", found.size());
  const auto middle = (kCanvas - kLarge) / 2.0;
  line("the face itself", [&](const Found&) { return data::FaceBox{middle, middle, kLarge, kLarge}; });
  for (const double scale : {0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3}) {
    line(fmt::format("scale {:.2f}", scale),
         [&](const Found& one) { return data::crop_square(one.face.box, {.scale = scale}); });
  }
  for (const double down : {-0.1, -0.05, -0.025, 0.025, 0.05, 0.1}) {
    const data::CropRecipe recipe{.down = down};
    line(fmt::format("scale {:.2f} down {:+.3f}", recipe.scale, down),
         [&](const Found& one) { return data::crop_square(one.face.box, recipe); });
  }
  print_photographs(faces, photographs);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: crop_margin WEIGHTS FER2013.csv PHOTOGRAPHS [COUNT]\n");
    return 2;
  }
  try {
    measure(argv[1], argv[2], argv[3], argc > 4 ? std::atoll(argv[4]) : 3589);
  } catch (const Error& error) {
    fmt::print(stderr, "crop_margin: {}\n", error.line());
    return exit_status(error.code());
  }
}
