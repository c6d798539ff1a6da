#include "mien/photo/face_reader.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/evaluation/predictions_csv.h"

namespace mien::photo {
namespace {

/// The temperature that the weights carry; of several networks none, because a vote has another.
double temperature_of(const runs::Voters& voters) {
  return voters.networks.size() > 1 ? 1 : runs::stored_temperature(voters.first().info);
}

}  // namespace

FaceReader::FaceReader(const FaceReaderOptions& options, ProgressListener& listener)
    : voters_(runs::Voters::load(options.weights)),
      finder_(options.find),
      crop_(options.crop.resolve(data::CropRecipe::of(voters_.first().info.extra), finder_.name())),
      vote_(options.vote),
      class_names_(voters_.first().info.class_names),
      temperature_(temperature_of(voters_)) {
  const network::Graph& graph = voters_.first().network.graph();
  for (const network::LoadedWeights& member : voters_.networks) {
    const network::Shape shape = member.network.graph().input_shape();
    const network::Shape first = graph.input_shape();
    if (shape.channels != first.channels || shape.height != first.height || shape.width != first.width)
      throw_bad_data("the networks cannot vote: they take faces of different sizes");
  }
  const network::Shape input = graph.input_shape();
  if (input.height != input.width || (input.channels != 1 && input.channels != 3))
    throw_bad_data(fmt::format("network {} takes pictures of {}*{}*{}, expected a square of 1 or 3 channels",
                               graph.name,
                               input.channels,
                               input.height,
                               input.width));
  for (int64_t c = static_cast<int64_t>(class_names_.size()); c < graph.classes(); ++c)
    class_names_.push_back(std::to_string(c));
  const data::CropRecipe learned = data::CropRecipe::of(voters_.first().info.extra);
  if (options.crop.scale == 0 && learned.detector != finder_.name())
    listener.warning(
        fmt::format("faces are found by {}, but the crop is measured for boxes of {}; --crop-scale and "
                    "--crop-down fit it",
                    finder_.name(),
                    learned.detector));
}

std::vector<ReadFace> FaceReader::read(const data::RgbImage& picture) { return read(picture, finder_.find(picture)); }

std::vector<ReadFace> FaceReader::read(const data::RgbImage& picture, const std::vector<data::FoundFace>& found) {
  std::vector<ReadFace> faces;
  if (found.empty()) return faces;
  const data::GrayImage gray = data::to_gray(picture);
  for (const data::FoundFace& face : found) {
    const data::FaceBox square = data::crop_square(face.box, crop_);
    faces.push_back(
        {.found = face, .square = square, .quality = data::face_quality(gray, face, square), .probabilities = {}});
  }
  std::vector<int64_t> all(faces.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  const auto predictions = voters_.predict(vote_, {}, crops(picture, faces), all, silent_listener());
  for (size_t i = 0; i < faces.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    faces[i].predicted = predictions.predicted(row);
    faces[i].probabilities.assign(predictions.probability_row(row).begin(), predictions.probability_row(row).end());
  }
  return faces;
}

data::Dataset FaceReader::crops(const data::RgbImage& picture,
                                const std::vector<ReadFace>& faces,
                                const std::string& name) const {
  const network::Shape input = voters_.first().network.graph().input_shape();
  data::Dataset dataset{.channels = input.channels, .height = input.height, .width = input.width};
  dataset.class_names = class_names_;
  dataset.source = name;
  for (size_t i = 0; i < faces.size(); ++i) {
    if (input.channels == 1) {
      const data::GrayImage crop = data::crop_gray(picture, faces[i].square, input.height);
      dataset.pixels.insert(dataset.pixels.end(), crop.pixels.begin(), crop.pixels.end());
    } else {
      const data::RgbImage crop = data::crop_rgb(picture, faces[i].square, input.height);
      for (size_t channel = 0; channel < 3; ++channel) {
        for (size_t k = channel; k < crop.pixels.size(); k += 3) dataset.pixels.push_back(crop.pixels[k]);
      }
    }
    dataset.labels.push_back(data::kUnlabeled);
    dataset.usages.push_back(data::Usage::unknown);
    dataset.ids.push_back(static_cast<int64_t>(i));
    dataset.files.push_back(fmt::format("{} face {}", name, i + 1));
  }
  return dataset;
}

std::string quality_cells(const data::FaceQuality& quality) {
  return fmt::format("{},{},{:.0f},{:.3f},{:.3f},{:.1f},{:.1f},{}",
                     quality.is_reliable() ? 1 : 0,
                     evaluation::csv_field(join(quality.problems, "; ")),
                     quality.side,
                     quality.inside,
                     quality.sharpness,
                     quality.brightness,
                     quality.contrast,
                     quality.eye_line ? fmt::format("{:.1f}", *quality.eye_line) : "");
}

std::string best_classes(const ReadFace& face, const std::vector<std::string>& class_names, size_t count) {
  std::vector<size_t> order(face.probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(
      order.begin(), order.end(), [&](size_t a, size_t b) { return face.probabilities[a] > face.probabilities[b]; });
  std::vector<std::string> words;
  for (size_t i = 0; i < std::min(count, order.size()); ++i)
    words.push_back(fmt::format("{} {:.0f} %", class_names[order[i]], 100 * face.probabilities[order[i]]));
  return join(words, ", ");
}

}  // namespace mien::photo
