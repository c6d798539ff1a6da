#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace mien {

/// Whole file as text. Throws Error(bad_data) naming the path if it is missing, a directory or unreadable,
/// or larger than `limit_bytes`.
std::string read_text(const std::filesystem::path& path, uint64_t limit_bytes = uint64_t{1} << 30);

/// Writes beside `path` and renames over it, after fsync: a killed or full-disk write never leaves half a file under
/// `path`. Creates missing parent folders, follows links, writes straight into devices and pipes. Throws Error(failed)
/// naming the path and the system's reason.
void write_atomic(const std::filesystem::path& path, std::string_view bytes);

/// As write_atomic, for content produced in pieces: `fill` calls the given sink as often as it likes.
void write_atomic(const std::filesystem::path& path,
                  const std::function<void(const std::function<void(std::string_view)>& sink)>& fill);

/// What can be told of an output before anything is computed. Throws Error(usage) if writing `output` would replace one
/// of `inputs` (the same file, also through links), and Error(failed) if it could not be written: a folder, or a folder
/// above it that is no folder or may not be written. Devices and pipes are never replaced. `option` ("--out") begins
/// the message.
void check_output(const std::filesystem::path& output,
                  std::span<const std::filesystem::path> inputs,
                  const std::string& option);

/// The same for a folder that files are written into, made or to be made.
void check_output_folder(const std::filesystem::path& folder, const std::string& option);

/// Removes what killed writers left below `folder` (NAME.PID-N.partial, as write_atomic calls them). Only for a folder
/// in which nobody else writes.
void remove_partial_files(const std::filesystem::path& folder);

/// Read-only view of a whole file in memory (mmap), unmapped on destruction. A pipe's content is copied, up to 4 GiB.
class MappedFile {
 public:
  /// Throws Error(bad_data) if missing, a directory, or unreadable. An empty file maps to an empty view.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view text() const { return data_ != nullptr ? std::string_view(data_, size_) : std::string_view(copy_); }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
  std::string copy_;
};

/// A whole file copied into memory of its own, read by all threads at once into huge pages where the system has them.
/// For a file every byte of which is looked at this takes a fifth of the time of MappedFile, whose pages the system
/// maps four KiB by four KiB, and nothing happens to the text when the file changes meanwhile. A pipe's content is
/// read, too, up to 4 GiB.
class FileCopy {
 public:
  /// Throws Error(bad_data) if missing, a directory, or unreadable.
  explicit FileCopy(const std::filesystem::path& path);
  ~FileCopy();
  FileCopy(const FileCopy&) = delete;
  FileCopy& operator=(const FileCopy&) = delete;

  std::string_view text() const { return data_ != nullptr ? std::string_view(data_, size_) : std::string_view(copy_); }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
  std::string copy_;
};

/// Asks the system to back memory that is yet to be touched by huge pages: filling it then takes one page fault a 2 MiB
/// instead of one a 4 KiB. Does nothing where there are none, or for less than two of them.
void use_huge_pages(void* begin, size_t bytes);

}  // namespace mien
