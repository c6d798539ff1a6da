#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mien {

/// XXH3-128 of `bytes` as 32 lower-case hex digits: what `xxh128sum` prints for the same file.
std::string checksum(std::string_view bytes);

/// XXH3-64 of `bytes`.
uint64_t hash64(std::string_view bytes);

/// CRC-32C (Castagnoli), as TensorBoard's record format uses it (unmasked).
uint32_t crc32c(std::string_view bytes);

}  // namespace mien
