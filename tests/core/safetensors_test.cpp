#include "mien/core/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "core/expect_error.h"
#include "core/temporary_folder.h"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/random.h"

namespace mien {
namespace {

/// A file of `header` and `data_bytes` zeros.
std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(data_bytes, '\0');
}

std::string with_length(uint64_t length) {
  return std::string(reinterpret_cast<const char*>(&length), 8) + "{}" + std::string(100, ' ');
}

std::string error_of(const std::string& bytes) {
  const std::string line = error_line(ErrorCode::bad_data, [&] { SafetensorsFile::parse(bytes, "w.safetensors"); });
  EXPECT_TRUE(contains(line, "cannot read w.safetensors as safetensors: "));
  return line;
}

struct Sample {
  std::vector<float> weight{1.0f, -2.5f, 3e38f, 1e-40f, 0.0f, -0.0f};
  std::vector<int64_t> steps{-7, 1LL << 60};
  std::vector<uint8_t> mask{1, 0, 1};
  double scalar = 0.1;
  std::map<std::string, std::string> metadata{{"classes", "angry,fröhlich"}, {"network", "name = \"x\"\nlayers = []"}};

  std::vector<NamedArray> arrays() const {
    return {{"mask", "BOOL", {3}, std::as_bytes(std::span(mask))},
            {"conv1.weight", "F32", {2, 1, 3}, std::as_bytes(std::span(weight))},
            {"empty", "F32", {0, 4}, {}},
            {"steps", "I64", {2}, std::as_bytes(std::span(steps))},
            {"scalar", "F64", {}, std::as_bytes(std::span(&scalar, 1))}};
  }
};

TEST(Safetensors, ComeBackBitForBit) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "w.safetensors", sample.arrays(), sample.metadata);
  const SafetensorsFile file = SafetensorsFile::open(folder / "w.safetensors");
  EXPECT_EQ(file.metadata(), sample.metadata);
  ASSERT_EQ(file.arrays().size(), 5u);
  for (const NamedArray& expected : sample.arrays()) {
    const NamedArray* found = file.find(expected.name);
    ASSERT_NE(found, nullptr) << expected.name;
    EXPECT_EQ(found->dtype, expected.dtype);
    EXPECT_EQ(found->shape, expected.shape);
    EXPECT_TRUE(std::equal(found->bytes.begin(), found->bytes.end(), expected.bytes.begin(), expected.bytes.end()));
  }
  const auto floats = file.floats("conv1.weight");
  ASSERT_EQ(floats.size(), sample.weight.size());
  EXPECT_EQ(std::memcmp(floats.data(), sample.weight.data(), floats.size_bytes()), 0);
}

TEST(Safetensors, OutliveTheFileTheyWereOpenedFrom) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "w.safetensors", sample.arrays(), {});
  const SafetensorsFile file = SafetensorsFile::open(folder / "w.safetensors");
  std::filesystem::remove(folder / "w.safetensors");
  const SafetensorsFile copy = file;
  EXPECT_EQ(copy.floats("conv1.weight")[1], -2.5f);
}

TEST(Safetensors, HaveTheBytesOfTheFormat) {
  const TemporaryFolder folder;
  const std::vector<float> values{1.0f, 2.0f};
  const std::vector<NamedArray> arrays{{"a", "F32", {2}, std::as_bytes(std::span(values))}};
  write_safetensors(folder / "w.safetensors", arrays, {{"k", "v"}});
  const std::string bytes = read_text(folder / "w.safetensors");
  const std::string header = R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(bytes.substr(8, header.size()), header);
  EXPECT_EQ(bytes.size() % 64, 8u) << "the data begins at a multiple of 64";
  EXPECT_EQ(bytes.substr(bytes.size() - 8), std::string("\0\0\x80\x3f\0\0\0\x40", 8));
}

TEST(Safetensors, AreTheSameBytesForTheSameInput) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "a", sample.arrays(), sample.metadata);
  write_safetensors(folder / "b", sample.arrays(), sample.metadata);
  EXPECT_EQ(read_text(folder / "a"), read_text(folder / "b"));
}

TEST(Safetensors, AlignEveryArrayToItsElement) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "w", sample.arrays(), {});
  const SafetensorsFile file = SafetensorsFile::open(folder / "w");
  for (const NamedArray& array : file.arrays()) {
    if (array.bytes.empty()) continue;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(array.bytes.data()) % static_cast<size_t>(*dtype_size(array.dtype)), 0u)
        << array.name;
  }
}

TEST(Safetensors, ReplaceMetadataThatIsNotUtf8InsteadOfLosingTheWeights) {
  const TemporaryFolder folder;
  write_safetensors(folder / "w", {}, {{"classes", "fr\xf6hlich"}});
  EXPECT_EQ(SafetensorsFile::open(folder / "w").metadata().at("classes"), "fr\xef\xbf\xbdhlich");
}

TEST(Safetensors, AreNotWrittenWithBytesThatDoNotFillTheShape) {
  const TemporaryFolder folder;
  const std::vector<float> values(3);
  const auto bytes = std::as_bytes(std::span(values));
  const auto write = [&](const std::vector<NamedArray>& arrays) { write_safetensors(folder / "w", arrays, {}); };
  EXPECT_THROW(write({{"a", "F32", {4}, bytes}}), std::logic_error);
  EXPECT_THROW(write({{"a", "FLOAT", {3}, bytes}}), std::logic_error);
  EXPECT_THROW(write({{"a", "F32", {3}, bytes}, {"a", "F32", {3}, bytes}}), std::logic_error);
  EXPECT_THROW(write({{"__metadata__", "F32", {3}, bytes}}), std::logic_error);
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(Safetensors, KeepTheOldWeightsWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "w", sample.arrays(), {});
  const std::string old_bytes = read_text(folder / "w");
  const std::vector<float> large(100'000);
  const std::vector<NamedArray> arrays{{"a", "F32", {100'000}, std::as_bytes(std::span(large))}};
  const FileSizeLimit full(8192);
  const std::string line = error_line(ErrorCode::failed, [&] { write_safetensors(folder / "w", arrays, {}); });
  EXPECT_TRUE(contains(line, "cannot write " + (folder / "w").string() + ": "));
  EXPECT_TRUE(contains(line, "what was saved before is kept"));
  EXPECT_EQ(read_text(folder / "w"), old_bytes);
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(SafetensorsReader, ReportsEveryTruncation) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "w", sample.arrays(), sample.metadata);
  const std::string bytes = read_text(folder / "w");
  for (size_t length = 0; length < bytes.size(); ++length) error_of(bytes.substr(0, length));
  error_of(bytes + "x");
  write_atomic(folder / "cut", bytes.substr(0, bytes.size() - 1));
  EXPECT_TRUE(
      contains(error_line(ErrorCode::bad_data, [&] { SafetensorsFile::open(folder / "cut"); }), "(a cut file?)"));
}

TEST(SafetensorsReader, ReportsAHeaderLengthBeyondTheFile) {
  for (const uint64_t length :
       {uint64_t{1} << 63, std::numeric_limits<uint64_t>::max(), uint64_t{103}, uint64_t{100'000'001}}) {
    EXPECT_TRUE(contains(error_of(with_length(length)), "its header length is " + std::to_string(length)));
  }
  EXPECT_TRUE(SafetensorsFile::parse(with_length(102), "empty").arrays().empty());
}

TEST(SafetensorsReader, ReportsOverlapsAndHoles) {
  EXPECT_TRUE(contains(error_of(file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                        R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                                        6)),
                       "tensor 'b' overlaps another or leaves a hole"));
  EXPECT_TRUE(contains(error_of(file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                        R"("b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}})",
                                        9)),
                       "tensor 'b' overlaps another or leaves a hole"));
  EXPECT_TRUE(contains(error_of(file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 5)),
                       "it has 5 bytes of data, its header describes 4"));
}

TEST(SafetensorsReader, AcceptsTensorsInAnyOrderOfTheirNames) {
  const auto bytes = file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[3,5]},)"
                             R"("b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})",
                             5);
  const SafetensorsFile file = SafetensorsFile::parse(bytes, "memory");
  ASSERT_EQ(file.arrays().size(), 2u);
  EXPECT_EQ(file.arrays()[0].name, "b") << "arrays stand in the order of their data";
}

TEST(SafetensorsReader, ReportsADuplicateName) {
  EXPECT_TRUE(contains(error_of(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                        R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                                        1)),
                       "its header names 'a' twice"));
}

TEST(SafetensorsReader, RefusesDeepNestingInsteadOfCrashing) {
  for (const char* open : {"[", "{\"a\":"}) {
    std::string header = R"({"a":)";
    for (int i = 0; i < 100'000; ++i) header += open;
    error_of(file_of(header, 0));
  }
  std::string closed = R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_TRUE(contains(error_of(file_of(closed, 0)), "tensor 'a' is a list, expected dtype, shape and data_offsets"));
  const std::string shape = R"({"a":{"dtype":"F32","shape":)" + std::string(100'000, '[');
  EXPECT_TRUE(contains(error_of(file_of(shape, 0)), "its header is nested too deeply"));
}

TEST(SafetensorsReader, BoundsTheNumberOfTensorsAndDimensions) {
  // A hundred thousand names take milliseconds: the header is read once, whatever it holds.
  std::string header = "{";
  for (int i = 0; i <= 100'000; ++i) {
    header += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", i == 0 ? "" : ",", i);
  }
  EXPECT_TRUE(contains(error_of(file_of(header + "}", 0)), "it has more than 100000 tensors"));
  EXPECT_TRUE(contains(error_of(file_of(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1)),
                       "tensor 'a' has an impossible shape"));
  EXPECT_TRUE(
      contains(error_of(file_of(R"({"a":{"dtype":"U8","shape":[4611686018427387904],"data_offsets":[0,1]}})", 1)),
               "tensor 'a' has an impossible shape"));
}

TEST(SafetensorsReader, ShowsTheHeaderBeforeItReadsTheData) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "w", sample.arrays(), sample.metadata);
  const auto refuse = [&](const SafetensorsFile& header) {
    EXPECT_EQ(header.metadata(), sample.metadata);
    EXPECT_EQ(header.find("conv1.weight")->shape, (std::vector<int64_t>{2, 1, 3}));
    EXPECT_EQ(header.find("conv1.weight")->bytes.data(), nullptr);
    throw_bad_data("another network");
  };
  EXPECT_EQ(error_line(ErrorCode::bad_data, [&] { SafetensorsFile::open(folder / "w", refuse); }), "another network");
  // 64 GiB of data that nobody has to read before the header is refused
  const auto header = file_of(R"({"a":{"dtype":"U8","shape":[68719476736],"data_offsets":[0,68719476736]}})", 0);
  write_atomic(folder / "large", header);
  std::filesystem::resize_file(folder / "large", header.size() + 68719476736);  // a hole: takes no space
  const auto refuse_all = [](const SafetensorsFile&) { throw_bad_data("too large"); };
  EXPECT_EQ(error_line(ErrorCode::bad_data, [&] { SafetensorsFile::open(folder / "large", refuse_all); }), "too large");
}

TEST(SafetensorsReader, KeepsItsOwnCopyWhenTheFileIsCutLater) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "w", sample.arrays(), {});
  const SafetensorsFile file = SafetensorsFile::open(folder / "w");
  std::filesystem::resize_file(folder / "w", 0);  // a mapped file would end the program at the next look
  EXPECT_EQ(file.floats("conv1.weight")[1], -2.5f);
}

TEST(SafetensorsReader, NamesOtherFilesThatHoldWeights) {
  const auto of = [](std::string begin) { return error_of(begin + std::string(100, '\0')); };
  EXPECT_TRUE(contains(of("PK\x03\x04"), "such as PyTorch's .pt and .pth files. hint: in Python: safetensors.torch"));
  EXPECT_TRUE(contains(of("\x80\x02}q"), "it is a pickle or a zip archive"));
  EXPECT_TRUE(contains(of("\x89HDF\r\n"), "it is an HDF5 file, such as Keras's .h5"));
  EXPECT_TRUE(contains(of("\x1f\x8b"), "it is a gzip archive"));
  EXPECT_TRUE(contains(of("version https://git-lfs.github.com/spec/v1\n"), "it is a Git LFS pointer"));
}

TEST(SafetensorsReader, ReportsHeadersThatDescribeNoTensor) {
  for (const char* header : {"",
                             "[]",
                             "null",
                             "{",
                             "{}x",
                             R"({"a":1})",
                             R"({"a":{}})",
                             R"({"a":{"dtype":"F32","shape":[1]}})",
                             R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":4,"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})",
                             R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})",
                             R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})",
                             R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,5]}})",
                             R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8]}})",
                             R"({"__metadata__":3})",
                             R"({"__metadata__":{"k":3}})"}) {
    error_of(file_of(header, 4));
  }
}

TEST(SafetensorsReader, ReportsDataThatDoesNotFillTheShape) {
  EXPECT_TRUE(contains(error_of(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,3]}})", 3)),
                       "tensor 'a' has 3 bytes, its shape and dtype need 4"));
  EXPECT_TRUE(
      contains(error_of(file_of(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0)),
               "tensor 'a' is impossibly large"));  // 2^64 bytes, which 64 bits would take for none
}

TEST(SafetensorsReader, RefusesAHeaderOverTheFormatsLimit) {
  const TemporaryFolder folder;
  write_atomic(folder / "w", with_length(100'000'001));
  std::filesystem::resize_file(folder / "w", 200'000'000);  // a hole: takes no space
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { SafetensorsFile::open(folder / "w"); }),
                       "its header length is 100000001, expected at most 100000000"));
}

TEST(SafetensorsReader, RefusesAnotherTypeThanFloat) {
  const SafetensorsFile file =
      SafetensorsFile::parse(file_of(R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}})", 4), "w.safetensors");
  EXPECT_EQ(error_line(ErrorCode::bad_data, [&] { file.floats("a"); }),
            "cannot read w.safetensors: tensor 'a' is I32, expected F32");
  EXPECT_EQ(error_line(ErrorCode::bad_data, [&] { file.floats("b"); }),
            "cannot read w.safetensors: it has no tensor 'b'");
}

TEST(SafetensorsReader, SaysThatAFileIsMissing) {
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [] { SafetensorsFile::open("/nowhere/w"); }),
                       "cannot read /nowhere/w: No such file"));
}

/// What the reader hands out must lie inside the bytes it was given, whatever they are.
void expect_error_or_sound(const std::string& bytes) {
  try {
    const SafetensorsFile file = SafetensorsFile::parse(bytes, "fuzz");
    size_t described = 0;
    for (const NamedArray& array : file.arrays()) {
      const auto* begin = reinterpret_cast<const char*>(array.bytes.data());
      ASSERT_GE(begin, bytes.data());
      ASSERT_LE(begin + array.bytes.size(), bytes.data() + bytes.size());
      described += array.bytes.size();
    }
    ASSERT_LE(described + 8, bytes.size());
  } catch (const Error& error) {
    ASSERT_EQ(exit_status(error.code()), exit_status(ErrorCode::bad_data));
    ASSERT_LT(error.line().size(), 1000u);
  }
}

TEST(SafetensorsReader, SurvivesThousandsOfDamagedFiles) {
  const TemporaryFolder folder;
  const Sample sample;
  write_safetensors(folder / "w", sample.arrays(), sample.metadata);
  const std::string original = read_text(folder / "w");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, original.data(), 8);
  const std::string alphabet = "{}[]\":,0123456789-.eE\\u \x7f\xff";
  for (uint64_t i = 0; i < 8000; ++i) {
    RandomStream stream(1, "safetensors-fuzz", i);
    std::string bytes = original;
    for (uint64_t change = 1 + stream.below(4); change > 0 && !bytes.empty(); --change) {
      // Three of four changes hit the length and the header, where the decisions are made.
      const uint64_t reach = stream.below(4) == 0 ? bytes.size() : std::min<uint64_t>(bytes.size(), 8 + header_bytes);
      const auto at = static_cast<size_t>(stream.below(reach));
      switch (stream.below(5)) {
        case 0:
          bytes[at] = static_cast<char>(stream.below(256));
          break;
        case 1:
          bytes[at] = alphabet[static_cast<size_t>(stream.below(alphabet.size()))];
          break;
        case 2:
          bytes.erase(at, 1 + static_cast<size_t>(stream.below(8)));
          break;
        case 3:
          bytes.insert(at, bytes.substr(at, 1 + static_cast<size_t>(stream.below(32))));
          break;
        default:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << stream.below(8)));
          break;
      }
    }
    expect_error_or_sound(bytes);
    if (HasFatalFailure()) FAIL() << "in case " << i;
  }
}

}  // namespace
}  // namespace mien
