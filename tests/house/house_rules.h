#pragma once

#include <string>
#include <vector>

namespace mien::house {

/// One file of the repository. `path` is relative to its root, with '/'.
struct SourceFile {
  std::string path;
  std::string text;

  bool is_header() const { return path.ends_with(".h"); }
  /// "core" for "src/mien/core/text.h"; empty outside src/mien and for files directly in it.
  std::string folder() const;
};

/// All C++ files below the given folders of the repository at `root`, sorted by path.
std::vector<SourceFile> read_sources(const std::string& root, const std::vector<std::string>& folders);

/// One line per break of a rule, "path:line: what is wrong"; empty where the rule is kept.
using Problems = std::vector<std::string>;

/// A folder includes only itself and the folders before it in `order`.
Problems check_include_order(const SourceFile& file, const std::vector<std::string>& order);

/// The library's headers stay cheap: no <torch/...>, no <ATen/ATen.h>, no JSON, command-line or HTTP library in them.
/// <torch/torch.h> stands nowhere, and nothing of torch in core and report.
Problems check_heavy_includes(const SourceFile& file);

/// What the compilers and libraries of Debian 12 give with other headers is included by name: GCC 14 and fmt 10 ask for
/// <algorithm> and <fmt/ranges.h>.
Problems check_direct_includes(const SourceFile& file);

/// A file can be read in one sitting: at most 800 lines.
Problems check_length(const SourceFile& file);

/// The library leaves printing and exiting to src/mien/cli, and draws random numbers only from mien::RandomStream.
Problems check_library_manners(const SourceFile& file);

/// A header is included once and says what it declares: `#pragma once` and at least one `///`.
Problems check_header_form(const SourceFile& file);

/// Paths of the files that include a header whose name begins with `prefix`, such as "CLI/".
std::vector<std::string> files_that_include(const std::vector<SourceFile>& files, const std::string& prefix);

}  // namespace mien::house
