#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/data/faces/crop.h"
#include "mien/data/faces/find_faces.h"

namespace mien::data {

/// Where faces come from, and what is done to them before anything else.
struct DataOptions {
  std::string data;  ///< a csv file, a folder of pictures, a picture, "drawn" or "drawn:COUNT"
  double fraction = 1;
  std::string ferplus;  ///< path of fer2013new.csv, or empty
  std::string ferplus_labels = "majority";
  std::string corrections;  ///< csv of rows with their right labels, or empty; see apply_corrections
  bool skip_bad_rows = false;
  bool drop_leaks = false;   ///< not load's business: whoever splits calls data::drop_leaks
  int64_t image_side = 48;   ///< of folders; a csv says its own
  std::string classes;       ///< what labels mean, see ClassNames::parse; empty: FER2013's, or the folders' names
  std::string label_column;  ///< of a csv; empty finds it, "none": it has no labels
  bool find_faces = false;   ///< pictures are photographs: their largest face is cropped
  FindFacesOptions faces{.eyes = false};
  CropOptions crop;
  CropRecipe crop_of_weights;  ///< no option: how the weights at hand were trained
  int64_t channels = 1;        ///< of pictures, no option: whoever knows the network says it; 3 reads color
  bool labels = true;          ///< no option: false where nobody asks for the labels, such as for predictions
  int64_t data_seed = 0;       ///< of `fraction` and of drawn faces
  /// What `find_faces` and its options ask of a folder; nothing without them.
  std::optional<FaceCropping> cropping() const;
  void bind(OptionSet& options);
  /// Parts of it, for commands that read data and train nothing.
  void bind_ferplus(OptionSet& options);
  void bind_reading(OptionSet& options);
};

/// Reads the data that `options.data` names, applies FER+ labels and corrections, and keeps a class-stratified
/// `fraction` of the labeled rows that may train (usage Training or unknown; all other rows stay). Throws Error(usage)
/// if no data is named, and Error(bad_data) if it cannot be read.
Dataset load(const DataOptions& options, ProgressListener& listener);

}  // namespace mien::data
