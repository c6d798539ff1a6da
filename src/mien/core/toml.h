#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mien/core/options.h"

namespace mien {

/// Sets options from TOML text. A top-level key or a key of any table named like an option group sets the option of
/// that name; tables listed in `skip_tables` are left to the caller. `file` is the name used in messages.
/// Throws Error(usage) as "file:line: ..." for malformed TOML, unknown tables, unknown keys (with a suggestion) and
/// values out of range.
void set_from_toml(OptionSet& options,
                   std::string_view text,
                   const std::string& file,
                   Origin origin,
                   const std::vector<std::string>& skip_tables = {});

}  // namespace mien
