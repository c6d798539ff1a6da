#include "mien/core/hash.h"

#include <array>

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace mien {
namespace {

constexpr std::array<uint32_t, 256> make_crc32c_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78U : 0U);
    table[i] = value;
  }
  return table;
}

}  // namespace

std::string checksum(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

uint64_t hash64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = make_crc32c_table();
  uint32_t value = 0xffffffffU;
  for (const char c : bytes) value = kTable[(value ^ static_cast<uint8_t>(c)) & 0xffU] ^ (value >> 8);
  return ~value;
}

}  // namespace mien
