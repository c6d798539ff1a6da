#pragma once

#include <cstdint>
#include <filesystem>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"

namespace mien::data {

/// How read_folder treats what it finds. (The flags that set these are declared once, in DataOptions.)
struct FolderOptions {
  bool skip_bad_images = false;  ///< leave unreadable pictures out, with one warning, instead of throwing
  int64_t side = 48;             ///< pictures are resampled to side x side gray pixels
};

/// Reads pictures sorted into folders: ROOT/CLASS/*.png (jpg, jpeg, bmp, tif, tiff, webp, pgm), or the same below
/// ROOT/train, ROOT/validation and ROOT/test, which set the rows' usage: train (training) to Training, validation (val,
/// valid) and test (public_test) to PublicTest. Throws Error(bad_data) if both validation and test exist.
///
/// If every class folder bears a known expression (any case; also anger, disgusted, fearful, happiness, sadness,
/// surprised, and 0 to 6), labels are FER2013's; otherwise classes are the folder names in byte order. Rows are in byte
/// order of their paths; ids are the rows' numbers. Throws Error(usage) in a build without MIEN_WITH_VISION,
/// Error(bad_data) for a folder without class folders or pictures and for the first unreadable picture.
Dataset read_folder(const std::filesystem::path& root, const FolderOptions& options, ProgressListener& listener);

}  // namespace mien::data
