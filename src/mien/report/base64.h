#pragma once

#include <string>
#include <string_view>

namespace mien::report {

/// `bytes` in base64 with padding, on one line.
/// @source RFC 4648, section 4
std::string base64(std::string_view bytes);

}  // namespace mien::report
