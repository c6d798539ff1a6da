#include "mien/data/corrections.h"

#include "core/expect_error.h"
#include "core/temporary_folder.h"
#include <gtest/gtest.h>

#include "mien/core/files.h"
#include "mien/data/load.h"

namespace mien::data {
namespace {

class Corrections : public testing::Test {
 protected:
  Dataset corrected(const std::string& text) {
    write_atomic(folder_.path() / "c.csv", text);
    return load({.data = "drawn:14", .corrections = (folder_.path() / "c.csv").string()}, silent_listener());
  }
  std::string refusal(const std::string& text) {
    try {
      corrected(text);
    } catch (const Error& error) {
      return error.line();
    }
    return "";
  }
  TemporaryFolder folder_;
};

TEST_F(Corrections, ReplaceLabelsByNameOrNumberAndDropRows) {
  const Dataset plain = load({.data = "drawn:14"}, silent_listener());
  const Dataset faces = corrected("row,label,was\n3,happy,angry\n5,6,x\n0,drop,x\n");
  ASSERT_EQ(faces.size(), 13);
  EXPECT_FALSE(faces.index_of(0).has_value());
  EXPECT_EQ(faces.labels[static_cast<size_t>(*faces.index_of(3))], 3);
  EXPECT_EQ(faces.labels[static_cast<size_t>(*faces.index_of(5))], 6);
  EXPECT_EQ(faces.labels[static_cast<size_t>(*faces.index_of(7))], plain.labels[7]);
  EXPECT_NE(faces.checksum, plain.checksum);
  EXPECT_EQ(faces.source_checksum, plain.source_checksum);
  EXPECT_EQ(faces.label_source, "corrected");
}

TEST_F(Corrections, SayWhichLineIsWrong) {
  EXPECT_NE(refusal("face,label\n1,happy\n").find("row and label"), std::string::npos);
  EXPECT_NE(refusal("row,label\n1,happy\n99,happy\n").find("c.csv:3"), std::string::npos);
  EXPECT_NE(refusal("row,label\n1,hapy\n").find("'hapy'"), std::string::npos) << refusal("row,label\n1,hapy\n");
  EXPECT_NE(refusal("row,label\n1,7\n").find("no class"), std::string::npos);
  EXPECT_NE(refusal("row,label\n1,happy\n1,sad\n").find("twice"), std::string::npos);
  EXPECT_NE(refusal("row,label\n1\n").find("c.csv:2"), std::string::npos);
}

}  // namespace
}  // namespace mien::data
