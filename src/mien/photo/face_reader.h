#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/data/faces/crop.h"
#include "mien/data/faces/find_faces.h"
#include "mien/runs/voters.h"

namespace mien::photo {

/// A face of a photograph, and what a network says of it.
struct ReadFace {
  data::FoundFace found;
  data::FaceBox square;  ///< what was cropped, pixels of the upright photograph
  data::FaceQuality quality;
  int32_t predicted = 0;
  std::vector<double> probabilities;  ///< [classes], divided by the weights' temperature where they have one

  double confidence() const { return probabilities[static_cast<size_t>(predicted)]; }
};

/// How faces are read.
struct FaceReaderOptions {
  std::vector<std::string> weights;  ///< files, run folders, an ensemble's folder; several vote
  data::FindFacesOptions find;
  data::CropOptions crop;
  std::string vote = "mean-probability";
};

/// Weights, detector and recipe: a photograph becomes faces with probabilities. Not for several threads at a time.
class FaceReader {
 public:
  /// Throws Error(bad_data) for weights that cannot be read or tell other classes apart, Error(usage) for a detector
  /// that cannot. Warns where the weights were trained on faces of another detector.
  FaceReader(const FaceReaderOptions& options, ProgressListener& listener);

  /// Every face, the largest first.
  std::vector<ReadFace> read(const data::RgbImage& picture);
  /// What the detector finds, without a word of the network.
  std::vector<data::FoundFace> find(const data::RgbImage& picture) { return finder_.find(picture); }
  /// Faces that were found already, in their order.
  std::vector<ReadFace> read(const data::RgbImage& picture, const std::vector<data::FoundFace>& found);
  /// The crops as the network takes them, unlabeled, in the order of `faces`; `name` stands in messages.
  data::Dataset crops(const data::RgbImage& picture,
                      const std::vector<ReadFace>& faces,
                      const std::string& name = "photograph") const;

  const std::vector<std::string>& class_names() const { return class_names_; }
  const runs::Voters& voters() const { return voters_; }
  const data::CropRecipe& crop() const { return crop_; }
  const std::string& detector() const { return finder_.name(); }
  double temperature() const { return temperature_; }  ///< 1 where the weights have none

 private:
  runs::Voters voters_;
  data::FaceFinder finder_;
  data::CropRecipe crop_;
  std::string vote_;
  std::vector<std::string> class_names_;
  double temperature_ = 1;
};

/// Columns of a csv that say how far a face can be read, and the cells of one: reliable (1 or 0), problems, side, ...
inline constexpr const char* kQualityColumns = "reliable,problems,side,inside,sharpness,brightness,contrast,eye_line";
std::string quality_cells(const data::FaceQuality& quality);

/// Probabilities of a face's classes, the largest first: "happy 93 %, neutral 4 %, surprise 2 %".
std::string best_classes(const ReadFace& face, const std::vector<std::string>& class_names, size_t count);

}  // namespace mien::photo
