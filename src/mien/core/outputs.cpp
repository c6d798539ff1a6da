#include "mien/core/outputs.h"

#include <fstream>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/safetensors.h"

namespace mien {

namespace fs = std::filesystem;

namespace {

/// True where `file` is empty or begins so.
bool begins_with(const fs::path& file, std::string_view beginning) {
  std::ifstream stream(file, std::ios::binary);
  std::string found(beginning.size(), '\0');
  stream.read(found.data(), static_cast<std::streamsize>(found.size()));
  return stream.gcount() == 0 || found == beginning;
}

}  // namespace

void check_folder_result(const fs::path& folder,
                         const FolderResult& result,
                         std::span<const fs::path> inputs,
                         const std::string& option) {
  check_output_folder(folder, option);
  std::error_code ignored;
  const fs::path mark = folder / result.mark;
  const bool is_earlier = fs::is_regular_file(mark, ignored) && begins_with(mark, result.beginning);
  for (const std::string& name : result.names) {
    const fs::path file = folder / name;
    if (!fs::exists(file, ignored)) continue;
    for (const fs::path& input : inputs) {
      if (!fs::equivalent(file, input, ignored)) continue;
      throw_usage(fmt::format("{}: {} is read by this command, and would be replaced", option, file.string()),
                  "choose another folder");
    }
    if (is_earlier) continue;
    throw_usage(
        fmt::format(
            "{}: {} is there and is not of an earlier {}: it stays as it is", option, file.string(), result.command),
        "choose another folder");
  }
}

void check_output_is_like(const fs::path& output,
                          std::span<const fs::path> inputs,
                          const std::string& option,
                          std::string_view beginning,
                          const std::string& what) {
  check_output(output, inputs, option);
  std::error_code ignored;
  if (!fs::is_regular_file(output, ignored) || begins_with(output, beginning)) return;
  throw_usage(fmt::format("{}: {} is there and is not {}: it stays as it is", option, output.string(), what),
              "choose another file");
}

void check_new_output(const fs::path& output, bool may_replace) {
  std::error_code ignored;
  if (may_replace || !fs::is_regular_file(output, ignored)) return;
  throw_usage(fmt::format("{} exists", output.string()), "choose another name; --exist-ok replaces it");
}

void check_safetensors_output(const fs::path& output,
                              std::span<const fs::path> inputs,
                              const std::string& option,
                              const std::string& key,
                              const std::string& what) {
  check_output(output, inputs, option);
  std::error_code ignored;
  if (!fs::is_regular_file(output, ignored)) return;
  const bool is_like = [&] {
    try {
      return SafetensorsFile::open(output).metadata().contains(key);
    } catch (const Error&) {
      return false;
    }
  }();
  if (!is_like) {
    throw_usage(fmt::format("{}: {} is there and is not {}: it stays as it is", option, output.string(), what),
                "choose another file");
  }
}

}  // namespace mien
