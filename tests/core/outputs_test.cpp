#include "mien/core/outputs.h"

#include <string>
#include <vector>

#include "core/expect_error.h"
#include "core/temporary_folder.h"
#include <gtest/gtest.h>

#include "mien/core/files.h"
#include "mien/core/safetensors.h"

namespace mien {
namespace {

TEST(CheckOutput, LetsAResultReplaceItsLikeAlone) {
  const TemporaryFolder folder;
  const auto check = [&](const char* name) { check_output_is_like(folder / name, {}, "--out", "id,", "predictions"); };
  check("absent.csv");
  check(folder.write("empty.csv", "").filename().c_str());
  check(folder.write("old.csv", "id,label\n0,3\n").filename().c_str());
  for (const char* other : {"emotion,pixels\n3,0 0 0 0\n", "id"}) {
    folder.write("other.csv", other);
    EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check("other.csv"); }), "is not predictions: it stays"));
    EXPECT_EQ(read_text(folder / "other.csv"), other);
  }
}

TEST(CheckOutput, LetsWeightsReplaceOnlyThoseOfTheSameTask) {
  const TemporaryFolder folder;
  write_safetensors(folder / "packed.safetensors", {}, {{"mien.summary", "good"}});
  write_safetensors(folder / "trained.safetensors", {}, {});
  folder.write("faces.csv", "emotion,pixels\n3,0 0 0 0\n");
  const auto check = [&](const char* name) {
    check_safetensors_output(folder / name, {}, "--out", "mien.summary", "packed weights");
  };
  check("absent.safetensors");
  check("packed.safetensors");
  for (const char* other : {"trained.safetensors", "faces.csv"}) {
    EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check(other); }), "is not packed weights: it stays"));
  }
}

TEST(CheckFolderResult, LetsACommandReplaceItsEarlierResultAndNothingElse) {
  const TemporaryFolder folder;
  const FolderResult result{
      .command = "mien photo", .mark = "faces.csv", .beginning = "picture,", .names = {"faces.csv", "me.jpg"}};
  const auto check = [&](const std::vector<std::filesystem::path>& inputs) {
    check_folder_result(folder.path(), result, inputs, "--out");
  };
  check({});
  folder.write("thesis.txt", "beside them anything may lie");
  check({});
  const auto photograph = folder.write("me.jpg", "a photograph");
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check({photograph}); }), "is read by this command"));
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check({}); }), "me.jpg is there and is not of an earlier"));
  folder.write("faces.csv", "picture,face\n");
  check({});
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check({photograph}); }), "is read by this command"));
  folder.write("faces.csv", "emotion,pixels\n");
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check({}); }), "faces.csv is there"));
}

TEST(CheckOutput, ReplacesNothingUnlessToldTo) {
  const TemporaryFolder folder;
  const auto file = folder.write("faces.csv", "mine");
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { check_new_output(file, false); }), "--exist-ok"));
  check_new_output(file, true);
  check_new_output(folder / "absent.csv", false);
}

}  // namespace
}  // namespace mien
