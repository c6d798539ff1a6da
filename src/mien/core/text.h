#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mien {

/// The candidate nearest to `word` by edit distance (a swap of neighbors counts as one), if one is near enough to be a
/// likely typing slip.
std::optional<std::string> did_you_mean(std::string_view word, std::span<const std::string> candidates);

/// "did you mean 'x'?" or, where nothing is near, "one of: a, b, c"; empty without candidates.
std::string suggestion(std::string_view word, std::span<const std::string> candidates);

std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);
std::string_view trim(std::string_view text);
/// `text` with A to Z as a to z; every other byte stays as it is.
std::string lower(std::string_view text);

/// 1234567 -> "1,234,567".
std::string with_commas(int64_t value);

/// 75.3 -> "1 min 15 s"; 0.42 -> "0.42 s"; 7322 -> "2 h 2 min"; "unknown" where not finite.
std::string format_duration(double seconds);

/// Shortest text that reads back as the same double ("0.1", "1e-05").
std::string format_double(double value);

/// Whole `text` as a number, or nothing.
std::optional<double> parse_double(std::string_view text);
std::optional<int64_t> parse_int(std::string_view text);

/// Text made safe inside HTML.
std::string escape_html(std::string_view text);

/// A one-line sample of `text` for error messages: quoted, control characters and bytes that are not UTF-8
/// escaped, cut before the character that passes `limit` bytes.
std::string quote_sample(std::string_view text, size_t limit = 40);

/// Whether all of `text` is well-formed UTF-8, as JSON and TOML demand.
bool is_utf8(std::string_view text);

}  // namespace mien
