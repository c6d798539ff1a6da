#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/figures/face_maps.h"
#include "mien/photo/face_reader.h"

namespace mien::photo {

/// Options of `mien photo`.
struct PhotoOptions {
  FaceReaderOptions reader;
  std::vector<std::string> pictures;  ///< files, and folders of files
  std::string out = "runs/photo";
  std::vector<std::string> explain;  ///< methods; none: no maps
  std::string layer;
  int64_t threads = 0;

  void bind(OptionSet& options);
};

/// What became of the pictures.
struct PhotoSummary {
  int64_t pictures = 0;  ///< that were read
  int64_t failed = 0;    ///< that could not be
  int64_t without_face = 0;
  int64_t faces = 0;
  int64_t not_reliable = 0;
  std::filesystem::path csv;

  std::string text() const;
  std::string json() const;
};

/// Finds and reads the faces of every picture and writes into `out`: NAME.jpg (annotated), NAME-METHOD.jpg (map over
/// the photograph), crops/NAME-N.png (what the network saw), faces.csv, faces.json. A picture that cannot be read is a
/// warning. Throws Error(bad_data) if none can be read, Error(usage) for an unknown method or detector.
PhotoSummary photo_run(const PhotoOptions& options, ProgressListener& listener);

/// Declares what finds and crops faces: `--detector`, `--least-face`, `--neighbors`, `--crop-scale`, `--crop-down`.
void bind_finding(OptionSet& options, data::FindFacesOptions& find, data::CropOptions& crop);

/// The files that words of the command line name: pictures, and of folders those directly inside. Throws
/// Error(bad_data) for a folder without pictures.
std::vector<std::filesystem::path> picture_files(const std::vector<std::string>& words);

/// Names for the results of `files`, each once: the file's own without its ending, numbered where it is taken.
std::vector<std::string> result_names(const std::vector<std::filesystem::path>& files);

}  // namespace mien::photo
