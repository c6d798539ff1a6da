#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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

}  // namespace mien
