#include "mien/core/files.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mien/core/error.h"
#include "mien/core/parallel.h"

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
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

[[noreturn]] void throw_read_error(const fs::path& path, int error_number) {
  const std::string hint = error_number == ENOENT ? "check the path; it is read relative to the current folder" : "";
  throw_bad_data(fmt::format("cannot read {}: {}", path.string(), std::strerror(error_number)), hint);
}

Descriptor open_for_reading(const fs::path& path, struct stat& status) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) throw_read_error(path, errno);
  if (S_ISDIR(status.st_mode)) {
    throw_bad_data(fmt::format("cannot read {}: it is a directory, expected a file", path.string()));
  }
  return file;
}

std::string read_all(const Descriptor& file, const fs::path& path, size_t expected_bytes, uint64_t limit_bytes) {
  std::string text;
  text.reserve(expected_bytes);
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

[[noreturn]] void throw_write_error(const fs::path& path, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
  throw_failed(fmt::format("cannot write {}: {}", path.string(), std::strerror(error_number)),
               full ? "free some space and start again; what was saved before is kept"
                    : "check that the folder exists and may be written");
}

void write_all(const Descriptor& file, const fs::path& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_write_error(path, errno);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace

std::string read_text(const fs::path& path, uint64_t limit_bytes) {
  struct stat status {};
  const Descriptor file = open_for_reading(path, status);
  const uint64_t size = S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0;
  if (size > limit_bytes) {
    throw_bad_data(
        fmt::format("cannot read {}: it has {} bytes, expected at most {}", path.string(), size, limit_bytes));
  }
  return read_all(file, path, size, limit_bytes);
}

void write_atomic(const fs::path& path, std::string_view bytes) {
  write_atomic(path, [&](const auto& sink) { sink(bytes); });
}

void write_atomic(const fs::path& path,
                  const std::function<void(const std::function<void(std::string_view)>& sink)>& fill) {
  std::error_code ignored;
  if (path.has_parent_path()) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error && !fs::is_directory(path.parent_path(), ignored)) throw_write_error(path, error.value());
  }
  const fs::file_status status = fs::status(path, ignored);
  if (fs::is_directory(status)) throw_write_error(path, EISDIR);

  // A device or a pipe (/dev/stdout) is written to, never replaced.
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    const Descriptor device(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (device.get() < 0) throw_write_error(path, errno);
    fill([&](std::string_view bytes) { write_all(device, path, bytes); });
    return;
  }

  // A link stays a link: the file it points to is replaced.
  fs::path target = fs::exists(status) ? fs::canonical(path, ignored) : path;
  if (target.empty()) target = path;
  static std::atomic<uint64_t> count{0};  // two threads may write the same file: the last one wins, whole
  const fs::path temporary = fmt::format("{}.{}-{}.partial", target.string(), ::getpid(), count++);
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.get() < 0) throw_write_error(path, errno);
  try {
    fill([&](std::string_view bytes) { write_all(file, path, bytes); });
    if (::fsync(file.get()) != 0 && errno != EINVAL && errno != EROFS) throw_write_error(path, errno);
    if (::close(file.release()) != 0) throw_write_error(path, errno);
    if (::rename(temporary.c_str(), target.c_str()) != 0) throw_write_error(path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void check_output_folder(const fs::path& folder, const std::string& option) {
  std::error_code error;
  fs::path existing = fs::absolute(folder, error);
  while (existing.has_relative_path() && !fs::exists(existing, error)) {
    // What may not be looked at (a folder above it is closed) is not "missing".
    if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) break;
    existing = existing.parent_path();
  }
  int reason = error && !fs::exists(existing, error) ? error.value() : 0;
  if (reason == 0 && !fs::is_directory(existing, error)) reason = ENOTDIR;
  if (reason == 0 && ::access(existing.c_str(), W_OK | X_OK) != 0) reason = errno;
  if (reason == 0) return;
  throw_failed(fmt::format("{}: cannot write into {}: {}{}",
                           option,
                           folder.string(),
                           std::strerror(reason),
                           existing == fs::absolute(folder, error) ? "" : fmt::format(" ({})", existing.string())),
               "choose a folder that may be written");
}

void check_output(const fs::path& output, std::span<const fs::path> inputs, const std::string& option) {
  std::error_code ignored;
  const fs::file_status status = fs::status(output, ignored);
  if (fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status)) return;
  if (fs::is_directory(status)) {
    throw_failed(fmt::format("{}: cannot write {}: it is a folder, expected a file", option, output.string()),
                 "name a file in it");
  }
  for (const fs::path& input : inputs) {
    if (!fs::equivalent(output, input, ignored)) continue;
    throw_usage(fmt::format("{}: {} is read by this command, and would be replaced", option, output.string()),
                "choose another file");
  }
  if (fs::exists(status) && ::access(output.c_str(), W_OK) != 0) {
    throw_failed(fmt::format("{}: cannot write {}: {}", option, output.string(), std::strerror(errno)),
                 "choose a file that may be written");
  }
  // A link's file is replaced where it lies.
  const fs::path target = fs::exists(status) ? fs::canonical(output, ignored) : output;
  check_output_folder(target.has_parent_path() ? target.parent_path() : fs::path("."), option);
}

void remove_partial_files(const fs::path& folder) {
  const auto is_partial = [](std::string_view name) {  // NAME.PID-N.partial
    if (!name.ends_with(".partial")) return false;
    name.remove_suffix(std::string_view(".partial").size());
    const std::string_view number = name.substr(name.rfind('.') + 1);
    const size_t dash = number.find('-');
    return name.find('.') != std::string_view::npos && dash != std::string_view::npos && dash > 0 &&
           dash + 1 < number.size() && number.find_first_not_of("0123456789-") == std::string_view::npos;
  };
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error), end;
       !error && at != end;
       at.increment(error)) {
    if (is_partial(at->path().filename().string()) && at->is_regular_file(error)) found.push_back(at->path());
  }
  for (const fs::path& path : found) fs::remove(path, error);
}

MappedFile::MappedFile(const fs::path& path) {
  struct stat status {};
  const Descriptor file = open_for_reading(path, status);
  if (!S_ISREG(status.st_mode)) {  // a pipe, such as the shell's <(zcat train.csv.gz), has no size and cannot be mapped
    copy_ = read_all(file, path, 0, uint64_t{1} << 32);
    return;
  }
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

FileCopy::FileCopy(const fs::path& path) {
  struct stat status {};
  const Descriptor file = open_for_reading(path, status);
  if (!S_ISREG(status.st_mode)) {
    copy_ = read_all(file, path, 0, uint64_t{1} << 32);
    return;
  }
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* const memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<char*>(memory);
  use_huge_pages(data_, size_);
  std::atomic<size_t> missing{0};  // bytes that the file has lost since its size was asked for
  try {
    constexpr int64_t kLeastBytes = int64_t{1} << 22;
    parallel_for(
        static_cast<int64_t>(size_),
        [&](int64_t begin, int64_t end) {
          while (begin < end) {
            const ssize_t count = ::pread(file.get(), data_ + begin, static_cast<size_t>(end - begin), begin);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) throw_read_error(path, errno);
            if (count == 0) {
              missing += static_cast<size_t>(end - begin);
              return;
            }
            begin += count;
          }
        },
        kLeastBytes);
  } catch (...) {
    ::munmap(data_, size_);
    throw;
  }
  if (missing > 0) {
    ::munmap(data_, size_);
    throw_bad_data(fmt::format("cannot read {}: it became {} bytes shorter meanwhile", path.string(), missing.load()),
                   "wait until nothing writes it");
  }
}

FileCopy::~FileCopy() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

void use_huge_pages([[maybe_unused]] void* begin, [[maybe_unused]] size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr size_t kHugePage = size_t{1} << 21;
  constexpr size_t kPage = 4096;
  if (bytes < 2 * kHugePage) return;
  const size_t skipped = (kPage - reinterpret_cast<uintptr_t>(begin) % kPage) % kPage;
  ::madvise(static_cast<char*>(begin) + skipped, bytes - skipped, MADV_HUGEPAGE);  // a kernel without them refuses
#endif
}

}  // namespace mien
