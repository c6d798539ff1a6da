#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/data/faces/crop.h"

namespace mien::data {

/// How read_folder treats what it finds. (The flags that set these are declared once, in DataOptions.)
struct FolderOptions {
  bool skip_bad_images = false;         ///< leave unreadable pictures out, with one warning, instead of throwing
  int64_t side = 48;                    ///< pictures are resampled to side x side pixels
  int64_t channels = 1;                 ///< 1 gray, 3 red, green, blue
  std::string classes;                  ///< see ClassNames::parse; empty takes the folders' names
  std::optional<FaceCropping> faces{};  ///< crop the largest face of each picture; nothing takes whole pictures
  bool labels = true;                   ///< false: nobody asks for the labels, whatever the folders are called
};

/// Reads the pictures of `root` (find_pictures says in which layouts they may lie), or the one picture that `root` is.
///
/// Class folders that bear a known expression (any case and usual synonyms, see expression_label) become FER2013's
/// classes and labels. With other names beside them, classes are the names in byte order, known expressions under
/// FER2013's names. Folders that are only numbers mean different things in different data sets: `classes` must say
/// what. A flat folder and a single picture are unlabeled. Rows are in byte order of their paths; ids are the rows'
/// numbers. With `faces`, pictures that show none are left out, with one warning. Names what it passes over in one
/// warning. Throws Error(usage) in a build without MIEN_WITH_VISION, Error(bad_data) for a folder without pictures and
/// for the first unreadable picture.
Dataset read_folder(const std::filesystem::path& root, const FolderOptions& options, ProgressListener& listener);

}  // namespace mien::data
