#include "mien/core/text.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace mien {
namespace {

const std::vector<std::string> kWords{"epochs", "batch-size", "learning-rate", "seed"};

TEST(DidYouMean, FindsTheWordBehindALikelySlip) {
  EXPECT_EQ(did_you_mean("epoch", kWords), "epochs");
  EXPECT_EQ(did_you_mean("batchsize", kWords), "batch-size");
  EXPECT_EQ(did_you_mean("sede", kWords), "seed");  // neighbors swapped: one slip, not two
}

TEST(DidYouMean, StaysSilentWhenNothingIsNear) {
  EXPECT_EQ(did_you_mean("dropout", kWords), std::nullopt);
  EXPECT_EQ(did_you_mean(std::string(100'000, 'e'), kWords), std::nullopt);
  EXPECT_EQ(did_you_mean("epochs", {}), std::nullopt);
}

TEST(Suggestion, ListsTheChoicesWhenNothingIsNear) {
  EXPECT_EQ(suggestion("epoch", kWords), "did you mean 'epochs'?");
  EXPECT_EQ(suggestion("dropout", kWords), "one of: epochs, batch-size, learning-rate, seed");
  EXPECT_EQ(suggestion("dropout", {}), "");
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string>{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), std::vector<std::string>{""});
}

TEST(Join, UndoesSplit) {
  EXPECT_EQ(join(split("a,,b,", ','), ","), "a,,b,");
  EXPECT_EQ(join({}, ","), "");
}

TEST(Trim, RemovesSpacesAtBothEndsOnly) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n "), "");
}

TEST(WithCommas, GroupsDigitsByThree) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
  EXPECT_EQ(with_commas(-123), "-123");
  EXPECT_EQ(with_commas(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(FormatDuration, ChangesUnitWhereTheRoundedNumberWould) {
  EXPECT_EQ(format_duration(0.42), "0.42 s");
  EXPECT_EQ(format_duration(0.999), "1.0 s");
  EXPECT_EQ(format_duration(59.9), "59.9 s");
  EXPECT_EQ(format_duration(59.97), "1 min 0 s");
  EXPECT_EQ(format_duration(75.3), "1 min 15 s");
  EXPECT_EQ(format_duration(3599.7), "1 h 0 min");
  EXPECT_EQ(format_duration(7322), "2 h 2 min");
}

TEST(FormatDuration, CallsAnEndlessTimeUnknown) {
  EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "unknown");
  EXPECT_EQ(format_duration(std::nan("")), "unknown");
  EXPECT_EQ(format_duration(1e300), "unknown");
}

TEST(FormatDouble, ReadsBackAsTheSameNumber) {
  for (const double value : {0.1, 1.0 / 3.0, 1e-5, 5e-324, 1.7976931348623157e308, -0.0, 3.0, 2305843009213693951.0}) {
    const auto back = parse_double(format_double(value));
    ASSERT_TRUE(back.has_value()) << format_double(value);
    EXPECT_EQ(std::signbit(*back), std::signbit(value));
    EXPECT_EQ(*back, value);
  }
  EXPECT_EQ(format_double(0.1), "0.1");
  EXPECT_EQ(format_double(1e-5), "1e-05");
}

TEST(ParseDouble, RefusesWhatIsNotAFiniteNumberInFull) {
  EXPECT_EQ(parse_double("1e-3"), 0.001);
  for (const char* text : {"", " 1", "1 ", "1x", "nan", "inf", "1e999", "0x10", "1,5", "--1"}) {
    EXPECT_EQ(parse_double(text), std::nullopt) << text;
  }
}

TEST(ParseInt, RefusesWhatIsNotAWholeNumberInFull) {
  EXPECT_EQ(parse_int("-42"), -42);
  EXPECT_EQ(parse_int("9223372036854775807"), std::numeric_limits<int64_t>::max());
  for (const char* text : {"", " 1", "1 ", "1.0", "1e3", "9223372036854775808", "0x10"}) {
    EXPECT_EQ(parse_int(text), std::nullopt) << text;
  }
}

TEST(EscapeHtml, LeavesNothingThatOpensATagOrEndsAnAttribute) {
  EXPECT_EQ(escape_html("<a href=\"x\" b='y'>&amp;"), "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
}

TEST(QuoteSample, EscapesControlsAndCutsLongText) {
  EXPECT_EQ(quote_sample("a\tb\x7f"), "'a\\x09b\\x7f'");
  EXPECT_EQ(quote_sample("abcdef", 6), "'abcdef'");
  EXPECT_EQ(quote_sample("abcdefg", 6), "'abcdef...'");
}

TEST(Lower, ChangesTheLettersAToZAndNoOtherByte) {
  EXPECT_EQ(lower("@AZ[`az{ PublicTest.PNG 09"), "@az[`az{ publictest.png 09");
  EXPECT_EQ(lower("\xc3\x84\xff"), "\xc3\x84\xff");
  EXPECT_EQ(lower(""), "");
}

TEST(QuoteSample, IsUtf8WhateverItIsGiven) {
  EXPECT_EQ(quote_sample("gr\xfc\xdf"), "'gr\\xfc\\xdf'");  // Latin-1
  EXPECT_EQ(quote_sample("größe", 3), "'gr...'");           // never cuts a letter in half
  for (int length = 0; length < 12; ++length) {
    std::string bytes;
    for (int i = 0; i < length; ++i) bytes += static_cast<char>(131 * (length + 7) * (i + 3) >> 2);
    EXPECT_TRUE(is_utf8(quote_sample(bytes)));
  }
}

TEST(IsUtf8, AcceptsEveryLengthOfCharacter) { EXPECT_TRUE(is_utf8("a \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80")); }

TEST(IsUtf8, RefusesOverlongSurrogateCutAndTooLargeCharacters) {
  for (const char* text : {"\xc0\xaf",
                           "\xe0\x80\xaf",
                           "\xed\xa0\x80",
                           "\xf0\x80\x80\xaf",
                           "\xf4\x90\x80\x80",
                           "\xe2\x82",
                           "\x80",
                           "\xff"}) {
    EXPECT_FALSE(is_utf8(text));
  }
}

}  // namespace
}  // namespace mien
