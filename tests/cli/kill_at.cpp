// Preloaded into the program: kills it just before its file operation number MIEN_KILL_AT, counted from 1.
#include <cstdarg>
#include <cstdlib>

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

void count_operation() {
  static const char* const text = std::getenv("MIEN_KILL_AT");
  static const long wanted = text == nullptr ? 0 : std::atol(text);
  static long count = 0;
  if (wanted > 0 && __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) == wanted) ::kill(::getpid(), SIGKILL);
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int rename(const char* from, const char* to) noexcept {
  count_operation();
  return next<int (*)(const char*, const char*)>("rename")(from, to);
}
int mkdir(const char* path, mode_t mode) noexcept {
  count_operation();
  return next<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}
int fsync(int file) {
  count_operation();
  return next<int (*)(int)>("fsync")(file);
}
int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    count_operation();
  }
  return next<int (*)(const char*, int, ...)>("open")(path, flags, mode);
}
}
