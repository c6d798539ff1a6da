#include "mien/core/error.h"

#include <gtest/gtest.h>

namespace mien {
namespace {

TEST(Error, IsOneLineWhateverTheMessageHolds) {
  const Error error(ErrorCode::bad_data, "cannot read a\nb\x1b[31m.csv", "try\r\nagain");
  EXPECT_EQ(error.line(), "cannot read a b [31m.csv. hint: try  again");
}

TEST(Error, LeavesOutAnEmptyHint) { EXPECT_EQ(Error(ErrorCode::failed, "it broke").line(), "it broke"); }

TEST(Error, KeepsLettersBeyondAscii) {
  EXPECT_EQ(Error(ErrorCode::failed, "Gesichter/fröhlich").line(), "Gesichter/fröhlich");
}

TEST(Error, CodesHaveTheDocumentedExitStatus) {
  EXPECT_EQ(exit_status(ErrorCode::failed), 1);
  EXPECT_EQ(exit_status(ErrorCode::usage), 2);
  EXPECT_EQ(exit_status(ErrorCode::bad_data), 3);
  EXPECT_EQ(exit_status(ErrorCode::interrupted), 130);
}

TEST(Error, ThrowersUseTheirOwnCode) {
  const auto code_of = [](auto thrower) {
    try {
      thrower("message", "hint");
    } catch (const Error& error) {
      return exit_status(error.code());
    }
    return 0;
  };
  EXPECT_EQ(code_of(throw_failed), 1);
  EXPECT_EQ(code_of(throw_usage), 2);
  EXPECT_EQ(code_of(throw_bad_data), 3);
}

}  // namespace
}  // namespace mien
