#pragma once

#include <string>
#include <string_view>

namespace mien::cli {

/// A script that completes commands, options and their choices in `shell` (bash, zsh or fish), from the declarations.
/// Throws Error(usage) for another shell.
std::string completion_script(std::string_view shell);

/// The manual page mien(1) as roff source, from the declarations.
std::string manual_page();

}  // namespace mien::cli
