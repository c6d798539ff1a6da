#include "mien/report/tensorboard.h"

#include <array>
#include <bit>
#include <map>
#include <regex>
#include <vector>

#include "report/tools.h"

#include "mien/core/error.h"

namespace mien::report {
namespace {

/// CRC-32C bit by bit, from its definition (RFC 3720, appendix B.4), independent of the library's.
uint32_t bitwise_crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
  }
  return ~crc;
}

uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

template <typename Unsigned>
Unsigned little_endian(std::string_view bytes) {
  Unsigned value = 0;
  for (size_t i = 0; i < sizeof value; ++i) value |= static_cast<Unsigned>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  return value;
}

/// The records of a TFRecord file, each with its two checksums verified.
std::vector<std::string> records(std::string_view file) {
  std::vector<std::string> out;
  while (!file.empty()) {
    if (file.size() < 16) throw std::runtime_error("cut record");
    const auto length = little_endian<uint64_t>(file);
    EXPECT_EQ(little_endian<uint32_t>(file.substr(8)), masked(bitwise_crc32c(file.substr(0, 8))));
    if (file.size() < 16 + length) throw std::runtime_error("cut record");
    const std::string_view data = file.substr(12, length);
    EXPECT_EQ(little_endian<uint32_t>(file.substr(12 + length)), masked(bitwise_crc32c(data)));
    out.emplace_back(data);
    file.remove_prefix(16 + length);
  }
  return out;
}

/// The fields of a protobuf message by number: varints and fixed values as numbers, bytes as bytes.
struct Message {
  std::map<uint64_t, uint64_t> numbers;
  std::map<uint64_t, std::string> bytes;

  explicit Message(std::string_view wire) {
    const auto varint = [&] {
      uint64_t value = 0;
      for (int shift = 0;; shift += 7) {
        const auto byte = static_cast<uint8_t>(wire.at(0));
        wire.remove_prefix(1);
        value |= static_cast<uint64_t>(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
      }
    };
    while (!wire.empty()) {
      const uint64_t key = varint();
      size_t used = 0;
      switch (key & 7) {
        case 0:
          numbers[key >> 3] = varint();
          break;
        case 1:
          numbers[key >> 3] = little_endian<uint64_t>(wire), used = 8;
          break;
        case 2:
          used = varint();
          bytes[key >> 3] = std::string(wire.substr(0, used));
          break;
        case 5:
          numbers[key >> 3] = little_endian<uint32_t>(wire), used = 4;
          break;
        default:
          throw std::runtime_error("unknown wire type");
      }
      wire.remove_prefix(used);
    }
  }
};

TEST(EventWriter, BeginsWithTheVersionThatTensorBoardAsksFor) {
  const TemporaryFolder folder;
  const EventWriter writer(folder.path() / "run");
  const auto all = records(read_text(writer.path()));
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(Message(all[0]).bytes.at(3), "brain.Event:2");
}

TEST(EventWriter, NamesItsFileAsTensorBoardExpects) {
  const TemporaryFolder folder;
  const EventWriter writer(folder.path());
  const std::string name = writer.path().filename().string();
  EXPECT_TRUE(std::regex_match(name, std::regex(R"(events\.out\.tfevents\.\d{10}\..+\.\d+\.\d+)"))) << name;
}

TEST(EventWriter, WritesScalarsThatDecodeToWhatWentIn) {
  const TemporaryFolder folder;
  EventWriter writer(folder.path());
  writer.scalar("loss/train", 1, 1.75, 1234.5);
  writer.scalar("accuracy/validation", 300, 0.1, 1235.0);
  writer.scalar("loss/train", int64_t{1} << 40, -2.5, 1236.0);
  writer.flush();
  const auto all = records(read_text(writer.path()));
  ASSERT_EQ(all.size(), 4u);

  struct Point {
    std::string tag;
    uint64_t step;
    float value;
    double time;
  };
  const std::array<Point, 3> expected{{{"loss/train", 1, 1.75f, 1234.5},
                                       {"accuracy/validation", 300, 0.1f, 1235.0},
                                       {"loss/train", uint64_t{1} << 40, -2.5f, 1236.0}}};
  for (size_t i = 0; i < expected.size(); ++i) {
    const Message event(all[i + 1]);
    EXPECT_EQ(std::bit_cast<double>(event.numbers.at(1)), expected[i].time);
    EXPECT_EQ(event.numbers.at(2), expected[i].step);
    const Message value(Message(event.bytes.at(5)).bytes.at(1));
    EXPECT_EQ(value.bytes.at(1), expected[i].tag);
    EXPECT_EQ(std::bit_cast<float>(static_cast<uint32_t>(value.numbers.at(2))), expected[i].value);
  }
}

TEST(EventWriter, TakesTheClockWhereNoTimeIsGiven) {
  const TemporaryFolder folder;
  EventWriter writer(folder.path());
  const double before = static_cast<double>(::time(nullptr));
  writer.scalar("x", 1, 1);
  writer.flush();
  const double written = std::bit_cast<double>(Message(records(read_text(writer.path())).at(1)).numbers.at(1));
  EXPECT_GE(written, before);
  EXPECT_LE(written, static_cast<double>(::time(nullptr)) + 1);
}

TEST(EventWriter, KeepsPointsUntilTheyAreFlushedOrTheObjectEnds) {
  const TemporaryFolder folder;
  std::filesystem::path path;
  {
    EventWriter writer(folder.path());
    path = writer.path();
    writer.scalar("x", 1, 1);
    EXPECT_EQ(records(read_text(path)).size(), 1u);
  }
  EXPECT_EQ(records(read_text(path)).size(), 2u);
}

TEST(EventWriter, TellsTensorBoardFromWhichStepAResumedRunReplacesTheOld) {
  const TemporaryFolder folder;
  EventWriter first(folder.path());
  first.scalar("x", 7, 1);
  first.flush();
  const std::string before = read_text(first.path());
  EventWriter second(folder.path(), 7);
  second.scalar("x", 7, 2);
  second.flush();
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(read_text(first.path()), before);

  const auto all = records(read_text(second.path()));
  ASSERT_EQ(all.size(), 3u);
  const Message start(all[1]);
  EXPECT_EQ(start.numbers.at(2), 7u);
  EXPECT_EQ(Message(start.bytes.at(7)).numbers.at(1), 1u) << "SessionLog.status is not START";
}

TEST(EventWriter, NamesAFolderItCannotWriteInto) {
  try {
    EventWriter writer("/proc/no-such-folder");
    FAIL() << "wrote into /proc";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::failed);
    EXPECT_TRUE(test::contains(error.what(), "cannot write /proc/no-such-folder/events.out.tfevents")) << error.what();
  }
}

}  // namespace
}  // namespace mien::report
