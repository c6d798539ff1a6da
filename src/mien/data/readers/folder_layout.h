#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "mien/data/dataset.h"

namespace mien::data {

/// A picture file, and what the folders around it say about it.
struct PictureFile {
  std::filesystem::path path;
  std::string class_folder;  ///< name of its class folder; empty in a flat folder
  Usage usage = Usage::unknown;
};

/// What find_pictures found.
struct FolderLayout {
  std::vector<PictureFile> pictures;     ///< in byte order of their paths
  std::vector<std::string> passed_over;  ///< "folder models", "3 .gif files", ...: what is no part of the data
  std::filesystem::path root;            ///< the folder itself, or the one below it that holds the data
};

/// Whether a file is a picture that Mien reads, by its first bytes where its ending does not say so. Never opens what
/// is no regular file.
bool is_picture_file(const std::filesystem::path& path);

/// Whether Mien wrote this folder as the result of a command.
bool is_result_folder(const std::filesystem::path& folder);

/// Finds the pictures of a data set in one of these layouts, tried in this order:
///   ROOT/PART/CLASS/*   parts train, validation (val, valid, dev) and test, of which one is enough. Train is Training;
///                       validation is PublicTest; test is PrivateTest beside a validation folder, else PublicTest
///   ROOT/CLASS/*        usage unknown
///   ROOT/*              a flat folder: no classes
///   ROOT/ONE/...        any of these one or two levels down, where only one folder holds one
/// Hidden folders, __MACOSX, folders that Mien wrote, and whatever does not fit the layout are passed over and named.
/// Throws Error(bad_data) where nothing is found, several folders could be meant, or a name is not UTF-8.
FolderLayout find_pictures(const std::filesystem::path& root);

}  // namespace mien::data
