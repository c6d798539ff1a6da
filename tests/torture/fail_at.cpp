// Preloaded into the program: its file operation number MIEN_FAIL_AT, counted from 1, fails once with the error number
// MIEN_FAIL_WITH. Standard streams do not count.
#include <cerrno>
#include <cstdarg>
#include <cstdlib>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

long number(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? 0 : std::atol(text);
}

bool fails() {
  static const long wanted = number("MIEN_FAIL_AT");
  static const long error = number("MIEN_FAIL_WITH");
  static long count = 0;
  if (wanted == 0 || __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) != wanted) return false;
  errno = static_cast<int>(error);
  return true;
}

/// A regular file: sockets, pipes and standard streams are not what a disk loses.
bool is_on_disk(int file) {
  struct stat facts {};
  return file > STDERR_FILENO && ::fstat(file, &facts) == 0 && S_ISREG(facts.st_mode);
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int rename(const char* from, const char* to) noexcept {
  return fails() ? -1 : next<int (*)(const char*, const char*)>("rename")(from, to);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return fails() ? -1 : next<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}
int fsync(int file) { return fails() ? -1 : next<int (*)(int)>("fsync")(file); }
ssize_t write(int file, const void* bytes, size_t count) {
  if (is_on_disk(file) && fails()) return -1;
  return next<ssize_t (*)(int, const void*, size_t)>("write")(file, bytes, count);
}
ssize_t writev(int file, const struct iovec* parts, int count) {
  if (is_on_disk(file) && fails()) return -1;
  return next<ssize_t (*)(int, const struct iovec*, int)>("writev")(file, parts, count);
}
int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (fails()) return -1;
  }
  return next<int (*)(const char*, int, ...)>("open")(path, flags, mode);
}
}
