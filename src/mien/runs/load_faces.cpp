#include "mien/runs/load_faces.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/readers/class_names.h"

namespace mien::runs {
namespace {

void repeat_gray(data::Dataset& faces, int64_t channels) {
  const auto plane = static_cast<size_t>(faces.pixels_per_image());
  std::vector<uint8_t> pixels;
  pixels.reserve(faces.pixels.size() * static_cast<size_t>(channels));
  for (size_t at = 0; at < faces.pixels.size(); at += plane) {
    for (int64_t channel = 0; channel < channels; ++channel) {
      pixels.insert(pixels.end(),
                    faces.pixels.begin() + static_cast<int64_t>(at),
                    faces.pixels.begin() + static_cast<int64_t>(at + plane));
    }
  }
  faces.pixels = std::move(pixels);
  faces.channels = channels;
}

/// What two spellings of one class have in common.
std::string class_key(const std::string& name) {
  const auto known = data::expression_label(name);
  return known ? std::string(data::kExpressionNames[static_cast<size_t>(*known)]) : lower(name);
}

}  // namespace

data::Dataset load_faces(data::DataOptions options, const network::Graph& graph, ProgressListener& listener) {
  constexpr int64_t kColor = 3;
  const int64_t channels = graph.input_shape().channels;
  if (channels == kColor) options.channels = kColor;
  data::Dataset faces = data::load(options, listener);
  if (channels == kColor && faces.channels == 1) {
    listener.line(fmt::format(
        "{}: the faces are gray, and {} takes color: each channel gets the gray levels", faces.source, graph.name));
    repeat_gray(faces, channels);
  }
  return faces;
}

data::Dataset load_faces(data::DataOptions options, const network::LoadedWeights& loaded, ProgressListener& listener) {
  const network::Graph& graph = loaded.network.graph();
  options.image_side = graph.input_shape().height;
  options.crop_of_weights = data::CropRecipe::of(loaded.info.extra);
  data::Dataset faces = load_faces(options, graph, listener);
  if (options.labels) match_classes(faces, loaded.info.class_names, graph.name);
  return faces;
}

void match_classes(data::Dataset& faces, const std::vector<std::string>& classes, const std::string& network) {
  if (classes.empty() || classes == faces.class_names) return;
  std::map<std::string, int32_t> label_of;
  for (const std::string& name : classes) label_of.emplace(class_key(name), static_cast<int32_t>(label_of.size()));
  std::vector<int32_t> becomes;
  std::vector<std::string> unknown;
  for (size_t c = 0; c < faces.class_names.size(); ++c) {
    const auto found = label_of.find(class_key(faces.class_names[c]));
    becomes.push_back(found == label_of.end() ? data::kUnlabeled : found->second);
    const auto count = std::count(faces.labels.begin(), faces.labels.end(), static_cast<int32_t>(c));
    if (becomes.back() == data::kUnlabeled && count > 0)
      unknown.push_back(fmt::format("{} ({} faces)", faces.class_names[c], with_commas(count)));
  }
  if (!unknown.empty()) {
    throw_bad_data(fmt::format("{} has faces of classes that network {} does not know: {}; the network tells {} apart",
                               faces.source,
                               network,
                               join(unknown, ", "),
                               join(classes, ", ")),
                   "name the class folders as the network's classes, or leave out the faces of other classes; "
                   "--classes NAME,NAME,... says what numbers mean");
  }
  for (int32_t& label : faces.labels) {
    if (label != data::kUnlabeled) label = becomes[static_cast<size_t>(label)];
  }
  if (!faces.label_distribution.empty()) {
    std::vector<float> shares(static_cast<size_t>(faces.size()) * classes.size(), 0.0F);
    for (size_t i = 0; i < faces.label_distribution.size(); ++i) {
      const size_t row = i / becomes.size();
      const int32_t label = becomes[i % becomes.size()];
      if (label != data::kUnlabeled)
        shares[row * classes.size() + static_cast<size_t>(label)] += faces.label_distribution[i];
    }
    faces.label_distribution = std::move(shares);
  }
  faces.class_names = classes;
}

std::vector<uint8_t> tile_pixels(const data::Dataset& dataset, int64_t index) {
  const auto image = dataset.image(index);
  const size_t plane = static_cast<size_t>(dataset.height * dataset.width);
  const auto channels = static_cast<size_t>(dataset.channels);
  std::vector<uint8_t> pixels(image.size());
  for (size_t i = 0; i < plane; ++i) {
    for (size_t channel = 0; channel < channels; ++channel) pixels[channels * i + channel] = image[channel * plane + i];
  }
  return pixels;
}

}  // namespace mien::runs
