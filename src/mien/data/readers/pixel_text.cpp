#include "mien/data/readers/pixel_text.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <fmt/format.h>

#include "mien/core/text.h"

namespace mien::data {
namespace {

static_assert(std::endian::native == std::endian::little, "three_digits reads digits as a little-endian word");

constexpr int64_t kBlock = 64;

/// Bit i says what byte i of a block is.
struct BlockBits {
  uint64_t digits = 0;
  uint64_t spaces = 0;
};

BlockBits classify(const char* block) {
  BlockBits bits;
#ifdef __SSE2__
  for (int part = 0; part < 4; ++part) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * part));
    const __m128i from_zero = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    const __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(from_zero, _mm_set1_epi8(9)), from_zero);
    const __m128i is_space = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' '));
    bits.digits |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(is_digit))) << (16 * part);
    bits.spaces |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(is_space))) << (16 * part);
  }
#else
  for (int i = 0; i < kBlock; ++i) {
    bits.digits |= static_cast<uint64_t>(static_cast<uint8_t>(block[i] - '0') < 10) << i;
    bits.spaces |= static_cast<uint64_t>(block[i] == ' ') << i;
  }
#endif
  return bits;
}

/// The number of `length` (1 to 3) digits that ends just before `end`. Another length gives some number up to 999.
uint32_t three_digits(const char* end, uint64_t length) {
  static constexpr std::array<uint32_t, 4> kKeep{0, 0xff000000U, 0xffff0000U, 0xffffff00U};
  uint32_t word;
  std::memcpy(&word, end - 4, sizeof word);
  const uint32_t digits = (word ^ 0x30303030U) & kKeep[length & 3];    // bytes 0, hundreds, tens, ones
  const uint32_t pairs = (digits * 10 + (digits >> 8)) & 0x00ff00ffU;  // byte 0: hundreds; byte 2: tens and ones
  return (pairs * (100U << 16 | 1U)) >> 16;
}

}  // namespace

std::string describe_pixel_count(int64_t count) {
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(count))));
  return side * side == count ? fmt::format("{} ({}x{})", count, side, side) : fmt::format("{}", count);
}

std::optional<std::string> parse_pixels(std::string_view text, int64_t count, uint8_t* out) {
  const auto is_separator = [](char c) { return c == ' ' || c == '\t'; };
  int64_t found = 0;
  size_t at = 0;
  while (true) {
    while (at < text.size() && is_separator(text[at])) ++at;
    if (at == text.size()) break;
    const size_t begin = at;
    uint32_t value = 0;
    bool is_number = true;
    for (; at < text.size() && !is_separator(text[at]); ++at) {
      const auto digit = static_cast<uint32_t>(static_cast<uint8_t>(text[at] - '0'));
      is_number = is_number && digit < 10;
      if (value < 1000) value = value * 10 + digit;
    }
    if (!is_number || value > 255) {
      return fmt::format("has {} as pixel {}, expected a whole number from 0 to 255",
                         quote_sample(text.substr(begin, at - begin)),
                         found + 1);
    }
    if (found < count) out[found] = static_cast<uint8_t>(value);
    ++found;
  }
  if (found == count) return std::nullopt;
  return fmt::format("has {} pixels, expected {}", found, describe_pixel_count(count));
}

const char* parse_usual_pixels(const char* begin, const char* readable_end, int64_t count, uint8_t* out) {
  // Everything questionable is collected in these two and looked at once, so that the loop has no branch per number.
  uint64_t all_lengths = 0;
  uint32_t all_values = 0;
  int64_t found = 0;
  const char* number = begin;  // where the current number starts
  const auto finish_number = [&](const char* end) {
    const auto length = static_cast<uint64_t>(end - number);
    const uint32_t value = three_digits(end, length);
    all_lengths |= length | (length - 1);  // above 3 unless the length is 1, 2 or 3
    all_values |= value;                   // above 255 if any value is
    out[found++] = static_cast<uint8_t>(value);
    number = end + 1;
  };
  for (const char* block = begin; readable_end - block >= kBlock; block += kBlock) {
    const BlockBits bits = classify(block);
    const uint64_t others = ~(bits.digits | bits.spaces);
    uint64_t ends = bits.spaces;
    if (others != 0) ends &= (others & (0 - others)) - 1;        // only those before the end of the cell
    const int64_t room = count - found - (others == 0 ? 0 : 1);  // the number at the end of the cell needs one, too
    if (room < kBlock && room < std::popcount(ends)) return nullptr;
    for (; ends != 0; ends &= ends - 1) finish_number(block + std::countr_zero(ends));
    if (others != 0) {
      const char* const end = block + std::countr_zero(others);
      finish_number(end);
      return found == count && all_lengths <= 3 && all_values <= 255 ? end : nullptr;
    }
  }
  return nullptr;
}

}  // namespace mien::data
