#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mien/data/dataset.h"

namespace mien::runs {

/// Where the faces of a part lie: many in one picture, row by row, in the order of the part's predictions.
struct FaceSheets {
  int64_t width = 0;  ///< of one face's cell, in pixels
  int64_t height = 0;
  int64_t columns = 0;                        ///< faces beside each other
  int64_t per_sheet = 0;                      ///< faces in a full sheet
  int64_t count = 0;                          ///< faces in all
  std::vector<std::filesystem::path> sheets;  ///< webp files
};

/// Writes the faces (indices of `dataset`) as faces/PART-0.webp, ... and faces/PART.json into a run's folder, so that
/// its page can show them, and the studio explain them, without the data. Nothing is lost, but faces above 64 pixels a
/// side are shrunk. Writes nothing in a build without pictures.
void write_face_sheets(const std::filesystem::path& folder,
                       const std::string& part,
                       const data::Dataset& dataset,
                       std::span<const int64_t> indices);

/// What write_face_sheets wrote; nothing if the folder has none for the part. Throws Error(bad_data) for a damaged
/// faces/PART.json, or one that names a file outside of faces/.
std::optional<FaceSheets> read_face_sheets(const std::filesystem::path& folder, const std::string& part);

}  // namespace mien::runs
