#include "mien/core/hash.h"

#include <gtest/gtest.h>

namespace mien {
namespace {

TEST(Crc32c, MatchesTheStandardsCheckValue) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(""), 0U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);    // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);  // RFC 3720, B.4
}

// The expected texts were printed by xxh128sum and `xxhsum -H3` (xxHash 0.8.1).
TEST(Checksum, EqualsWhatXxh128sumPrints) {
  EXPECT_EQ(checksum("123456789"), "33119477ede5dcd5e9716427681d5860");
  EXPECT_EQ(checksum(""), "99aa06d3014798d86001c324468d497f");
  std::string long_text;  // longer than the short-input paths of XXH3
  for (int i = 0; i < 5000; ++i) long_text += static_cast<char>(i * 7 % 256);
  EXPECT_EQ(checksum(long_text), "a4ba2a60fb07e0166abe8be5abcb2760");
}

TEST(Hash64, EqualsWhatXxhsumPrints) { EXPECT_EQ(hash64("123456789"), 0x72dcb18b67a17dffULL); }

}  // namespace
}  // namespace mien
