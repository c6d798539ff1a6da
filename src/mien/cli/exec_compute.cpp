#include "mien/cli/exec_compute.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "mien/core/error.h"

namespace mien::cli {

namespace {

/// OpenMP's and OpenBLAS's threads wait busily for milliseconds, each on the cores that the other's need next. 20,000
/// turns are tens of microseconds, enough from one layer to the next; OpenBLAS counts in powers of two, from 4 on. Both
/// read this when they are loaded, which is why it must stand in the environment before `mien-compute` starts. What the
/// user has set stays.
void shorten_waiting() {
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) ::setenv("GOMP_SPINCOUNT", "20000", /*overwrite=*/0);
  ::setenv("OPENBLAS_THREAD_TIMEOUT", "4", /*overwrite=*/0);
}

}  // namespace

void exec_compute(std::span<const std::string> words) {
  shorten_waiting();
  ::setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", /*overwrite=*/0);  // huge pages: half the page faults
  std::error_code ignored;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const std::filesystem::path folder = self.parent_path();
  std::vector<std::string> all{"mien"};
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> pointers;
  for (std::string& word : all) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const std::filesystem::path beside = folder / "mien-compute";
  for (const auto& program : {beside,
                              folder.parent_path() / "libexec" / "mien" / "mien-compute",
                              folder.parent_path() / "lib" / "mien" / "mien-compute"}) {
    ::execv(program.c_str(), pointers.data());
    if (errno != ENOENT && errno != ENOTDIR)
      throw_failed(fmt::format("cannot start {}: {}", program.string(), std::strerror(errno)));
  }
  throw_failed(fmt::format("cannot start {}: {}", beside.string(), std::strerror(ENOENT)),
               "it belongs beside mien: copy or install both");
}

}  // namespace mien::cli
