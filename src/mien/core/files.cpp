#include "mien/core/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "mien/core/error.h"

namespace mien {
namespace {

namespace fs = std::filesystem;

/// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

[[noreturn]] void throw_read_error(const fs::path& path, int error_number) {
  const std::string hint = error_number == ENOENT ? "check the path; it is read relative to the current folder" : "";
  throw_bad_data(fmt::format("cannot read {}: {}", path.string(), std::strerror(error_number)), hint);
}

Descriptor open_regular(const fs::path& path, struct stat& status) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) throw_read_error(path, errno);
  if (S_ISDIR(status.st_mode)) {
    throw_bad_data(fmt::format("cannot read {}: it is a directory, expected a file", path.string()));
  }
  return Descriptor(file.release());
}

}  // namespace

std::string read_text(const fs::path& path, uint64_t limit_bytes) {
  struct stat status {};
  const Descriptor file = open_regular(path, status);
  std::string text;
  if (S_ISREG(status.st_mode)) {
    if (static_cast<uint64_t>(status.st_size) > limit_bytes) {
      throw_bad_data(fmt::format("cannot read {}: it has {} bytes, expected at most {}", path.string(), status.st_size,
                                 limit_bytes));
    }
    text.reserve(static_cast<size_t>(status.st_size));
  }
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_read_error(path, errno);
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > limit_bytes) {
      throw_bad_data(fmt::format("cannot read {}: it has more than {} bytes", path.string(), limit_bytes));
    }
  }
}

void write_atomic(const fs::path& path, std::string_view bytes) {
  write_atomic(path, [&](const auto& sink) { sink(bytes); });
}

void write_atomic(const fs::path& path,
                  const std::function<void(const std::function<void(std::string_view)>& sink)>& fill) {
  const auto fail = [&](int error_number) {
    const bool full = error_number == ENOSPC || error_number == EDQUOT;
    throw_failed(fmt::format("cannot write {}: {}", path.string(), std::strerror(error_number)),
                 full ? "free some space and start again; what was saved before is kept"
                      : "check that the folder exists and may be written");
  };
  std::error_code ignored;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), ignored);
  const fs::path temporary = fmt::format("{}.{}.partial", path.string(), ::getpid());
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.get() < 0) fail(errno);
  try {
    fill([&](std::string_view bytes) {
      while (!bytes.empty()) {
        const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail(errno);
        bytes.remove_prefix(static_cast<size_t>(count));
      }
    });
    if (::fsync(file.get()) != 0 && errno != EINVAL && errno != EROFS) fail(errno);
    if (::close(file.release()) != 0) fail(errno);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail(errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

MappedFile::MappedFile(const fs::path& path) {
  struct stat status {};
  const Descriptor file = open_regular(path, status);
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* view = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (view == MAP_FAILED) throw_read_error(path, errno);
  ::madvise(view, size_, MADV_SEQUENTIAL);
  data_ = static_cast<const char*>(view);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

}  // namespace mien
