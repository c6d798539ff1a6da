#pragma once

#include <string>
#include <string_view>

#include <toml++/toml.h>

namespace mien {

// For .cpp files that read TOML of their own form (recipes, networks); takes a second to compile.

/// Parses TOML text; `file` is its name in messages. Throws Error(usage) as "file:line: not valid TOML: ...".
toml::table parse_toml(std::string_view text, const std::string& file);

/// "file:line".
std::string toml_place(const std::string& file, const toml::source_region& region);

/// A value as OptionSet::set reads it; a list's items are joined by commas. Throws Error(usage) beginning with `where`
/// and naming `key` for dates, tables, nested lists and items that hold a comma.
std::string toml_value_text(const toml::node& node, const std::string& where, std::string_view key);

}  // namespace mien
