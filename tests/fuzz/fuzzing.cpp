#include "fuzz/fuzzing.h"

#include <cstdlib>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

namespace mien::fuzz {

std::filesystem::path as_file(std::string_view bytes) {
  static const int file = ::memfd_create("mien-fuzz", 0);
  if (file < 0 || ::ftruncate(file, 0) != 0 ||
      ::pwrite(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    std::abort();
  return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace mien::fuzz
