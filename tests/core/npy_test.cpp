#include "mien/core/npy.h"

#include <cstring>
#include <stdexcept>
#include <vector>

#include "core/expect_error.h"
#include "core/temporary_folder.h"
#include <gtest/gtest.h>

#include "mien/core/files.h"

namespace mien {
namespace {

std::string header_of(const std::string& bytes) {
  const size_t length = static_cast<uint8_t>(bytes.at(8)) + 256u * static_cast<uint8_t>(bytes.at(9));
  return bytes.substr(10, length);
}

TEST(WriteNpy, WritesNumpysFormatOne) {
  const TemporaryFolder folder;
  const std::vector<float> values{0.0f, 1.5f, -2.0f, 3e38f, 1e-40f, 6.0f};
  write_npy(folder / "a.npy", values, std::vector<int64_t>{2, 3});
  const std::string bytes = read_text(folder / "a.npy");
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const std::string header = header_of(bytes);
  EXPECT_EQ((10 + header.size()) % 64, 0u);
  EXPECT_EQ(header.back(), '\n');
  EXPECT_EQ(header.substr(0, header.find_last_not_of(" \n") + 1),
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
  const std::string data = bytes.substr(10 + header.size());
  ASSERT_EQ(data.size(), values.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(data.data(), values.data(), data.size()), 0);
}

TEST(WriteNpy, SpellsTuplesAsPythonDoes) {
  const TemporaryFolder folder;
  const std::vector<float> one{7.0f};
  write_npy(folder / "vector.npy", one, std::vector<int64_t>{1});
  EXPECT_NE(header_of(read_text(folder / "vector.npy")).find("'shape': (1,), }"), std::string::npos);
  write_npy(folder / "scalar.npy", one, {});
  EXPECT_NE(header_of(read_text(folder / "scalar.npy")).find("'shape': (), }"), std::string::npos);
}

TEST(WriteNpy, RefusesValuesThatDoNotFillTheShape) {
  const TemporaryFolder folder;
  const std::vector<float> values(5);
  EXPECT_THROW(write_npy(folder / "a.npy", values, std::vector<int64_t>{2, 3}), std::logic_error);
  EXPECT_EQ(folder.entries(), 0u);
}

}  // namespace
}  // namespace mien
