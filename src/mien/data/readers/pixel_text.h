#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mien::data {

/// Reads `text`, whole numbers 0-255 separated by spaces or tabs, into out[0, count). Returns what is wrong with it
/// ("has 2303 pixels, expected 2304 (48x48)"), or nothing. This function defines what a pixels cell may hold.
std::optional<std::string> parse_pixels(std::string_view text, int64_t count, uint8_t* out);

/// The same for the text that starts at `begin`, many times faster and for the usual spelling only: single spaces, no
/// leading zeros beyond three digits, nothing but digits and spaces before the end of the cell. Returns the end of the
/// cell (the first byte that is neither digit nor space), or nullptr where parse_pixels has to decide.
/// Reads whole blocks before `readable_end`, and up to 4 bytes before `begin`, which must be readable.
const char* parse_usual_pixels(const char* begin, const char* readable_end, int64_t count, uint8_t* out);

/// "2304 (48x48)" for squares, else "2303".
std::string describe_pixel_count(int64_t count);

}  // namespace mien::data
