#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/data/faces/crop.h"

namespace mien::photo {

/// Options of `mien data crop`.
struct CropRunOptions {
  std::string source;  ///< a folder of photographs, with or without class folders, or one photograph
  std::string out;
  data::FindFacesOptions find;
  data::CropOptions crop;
  int64_t side = 48;
  bool color = false;
  bool all_faces = false;
  bool reliable_only = false;
  int64_t threads = 0;

  void bind(OptionSet& options);
};

/// What came of the photographs.
struct CropSummary {
  int64_t pictures = 0;
  int64_t faces = 0;     ///< written
  int64_t left_out = 0;  ///< pictures without a face, unreadable, or not reliable
  std::filesystem::path folder;

  std::string text() const;
  std::string json() const;
};

/// Writes the largest face of every photograph (or all) as OUT/faces/..., in the folders in which the photographs lie,
/// so that OUT is a data set; crops.csv says where each came from and how good it is, left-out.csv which photographs
/// gave none, and why. Throws Error(bad_data) if none gave one.
CropSummary crop_run(const CropRunOptions& options, ProgressListener& listener);

}  // namespace mien::photo
