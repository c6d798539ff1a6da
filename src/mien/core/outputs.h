#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mien {

// A result replaces its like alone. All of these say no with Error(usage), before anything is computed; the first two
// look at what check_output (files.h) looks at, too.

/// `output` may be there already if it is `what` ("a csv of predictions"): then it begins with `beginning`.
void check_output_is_like(const std::filesystem::path& output,
                          std::span<const std::filesystem::path> inputs,
                          const std::string& option,
                          std::string_view beginning,
                          const std::string& what);

/// `output` may be there already if it is a safetensors file that has `key` in its metadata, as `what` ("packed
/// weights") have.
void check_safetensors_output(const std::filesystem::path& output,
                              std::span<const std::filesystem::path> inputs,
                              const std::string& option,
                              const std::string& key,
                              const std::string& what);

/// The files that a command writes into a folder.
struct FolderResult {
  std::string command;             ///< "mien photo"
  std::string mark;                ///< a file of every such result, "faces.csv",
  std::string_view beginning;      ///< and how it begins: by them an earlier result is known
  std::vector<std::string> names;  ///< of files that will be written, the mark among them
};

/// Files of `result` may be in `folder` already if an earlier result of the command is there; none of them may be one
/// of `inputs`. Looks at what check_output_folder looks at, too.
void check_folder_result(const std::filesystem::path& folder,
                         const FolderResult& result,
                         std::span<const std::filesystem::path> inputs,
                         const std::string& option);

/// `output` may be there already only if the flag --exist-ok, `may_replace`, says so.
void check_new_output(const std::filesystem::path& output, bool may_replace);

}  // namespace mien
