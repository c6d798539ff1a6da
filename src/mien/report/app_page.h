#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace mien::report {

/// A file of the page's program, as web/ builds it.
struct AppFiles {
  std::string_view script;       ///< JavaScript
  std::string_view style;        ///< CSS
  std::string_view script_hash;  ///< "sha256-..." of the script, for a content-security-policy
};
AppFiles app_files();

/// Writes the page that shows `document` (JSON, see runs/run_document.h) as one file: the program, its style and the
/// document inside, nothing fetched; the policy in it lets no other script run. Throws Error(failed) if the page cannot
/// be written.
void write_app_page(const std::filesystem::path& path, std::string_view title, std::string_view document);

/// `json` so that it cannot end the <script> it stands in.
std::string json_for_script(std::string_view json);

}  // namespace mien::report
