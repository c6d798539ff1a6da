#pragma once

#include <string>
#include <string_view>

// toml++ checks itself by assert, which would end a debug build on a strange file instead of reporting it.
#ifndef TOML_ASSERT
#define TOML_ASSERT(expression) static_cast<void>(0)
#endif
#include <toml++/toml.h>

namespace mien {

// For .cpp files that read TOML of their own form (recipes, networks); takes a second to compile. They include toml++
// through this header only.

/// Parses TOML text; `file` is its name in messages. Throws Error(usage) with a hint, as "file:line: not valid TOML:
/// ...", and for text that is valid but would exhaust the stack: more than `most_bytes`, a key of more than 16 parts
/// (a.b.c), more than 100 lists and tables inside each other.
toml::table parse_toml(std::string_view text, const std::string& file, size_t most_bytes = size_t{1} << 20);

/// "file:line".
std::string toml_place(const std::string& file, const toml::source_region& region);

/// A value as OptionSet::set reads it; a list's items are joined by commas. Throws Error(usage) beginning with `where`
/// and naming `key` for dates, tables, nested lists and items that hold a comma.
std::string toml_value_text(const toml::node& node, const std::string& where, std::string_view key);

}  // namespace mien
