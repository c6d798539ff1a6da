#include "mien/cli/hand_over.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "mien/core/error.h"

namespace mien::cli {

void hand_over(std::span<const std::string> words) {
  std::error_code ignored;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const std::string program = (self.parent_path() / "mien-compute").string();
  std::vector<std::string> all{"mien"};
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> pointers;
  for (std::string& word : all) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(program.c_str(), pointers.data());
  throw_failed(fmt::format("cannot start {}: {}", program, std::strerror(errno)),
               "it belongs beside mien: copy or install both");
}

}  // namespace mien::cli
