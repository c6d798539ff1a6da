#include "mien/report/tensorboard.h"

#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"

namespace mien::report {
namespace {

constexpr size_t kBufferBytes = 64 << 10;

// The part of protobuf's wire format that an event needs.
enum class WireType : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

template <typename Unsigned>
void append_little_endian(std::string& out, Unsigned value) {
  for (size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(static_cast<uint8_t>(value >> (8 * i)));
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(static_cast<uint8_t>(value | 0x80));
  out += static_cast<char>(static_cast<uint8_t>(value));
}

void append_key(std::string& out, uint32_t field, WireType type) {
  append_varint(out, field << 3 | static_cast<uint8_t>(type));
}

void append_double(std::string& out, uint32_t field, double value) {
  append_key(out, field, WireType::fixed64);
  append_little_endian(out, std::bit_cast<uint64_t>(value));
}

void append_float(std::string& out, uint32_t field, float value) {
  append_key(out, field, WireType::fixed32);
  append_little_endian(out, std::bit_cast<uint32_t>(value));
}

void append_integer(std::string& out, uint32_t field, int64_t value) {
  append_key(out, field, WireType::varint);
  append_varint(out, static_cast<uint64_t>(value));
}

void append_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  append_key(out, field, WireType::bytes);
  append_varint(out, bytes.size());
  out += bytes;
}

/// @source TFRecord: a rotated and shifted checksum, so that one of data that holds checksums is no weaker
uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// An event's fields 1 (wall_time) and 2 (step).
std::string event(double wall_time, int64_t step) {
  std::string out;
  append_double(out, 1, wall_time);
  append_integer(out, 2, step);
  return out;
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "localhost";
  return name;
}

}  // namespace

EventWriter::EventWriter(const std::filesystem::path& folder, std::optional<int64_t> resumed_at) {
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  const double now = seconds_since_1970();
  for (int number = 0; file_ < 0; ++number) {
    path_ =
        folder /
        fmt::format("events.out.tfevents.{:010}.{}.{}.{}", static_cast<int64_t>(now), host_name(), ::getpid(), number);
    file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (file_ < 0 && errno != EEXIST) {
      throw_failed(fmt::format("cannot write {}: {}", path_.string(), std::strerror(errno)),
                   "check that the folder exists and may be written");
    }
  }
  std::string version;
  append_double(version, 1, now);
  append_bytes(version, 3, "brain.Event:2");
  record(version);
  if (resumed_at) {
    std::string session_log;
    append_integer(session_log, 1, 1);  // SessionLog.status = START
    std::string start = event(now, *resumed_at);
    append_bytes(start, 7, session_log);
    record(start);
  }
  try {
    flush();
  } catch (...) {
    ::close(file_);
    throw;
  }
}

EventWriter::~EventWriter() {
  try {
    flush();
  } catch (const Error&) {  // a destructor cannot say so; whoever wants to know calls flush
  }
  ::close(file_);
}

void EventWriter::scalar(std::string_view tag, int64_t step, double value, std::optional<double> wall_time) {
  std::string entry;
  append_bytes(entry, 1, tag);
  append_float(entry, 2, static_cast<float>(value));
  std::string summary;
  append_bytes(summary, 1, entry);
  std::string point = event(wall_time.value_or(seconds_since_1970()), step);
  append_bytes(point, 5, summary);
  record(point);
  if (buffer_.size() >= kBufferBytes) flush();
}

void EventWriter::record(std::string_view event) {
  std::string length;
  append_little_endian(length, uint64_t{event.size()});
  buffer_ += length;
  append_little_endian(buffer_, masked_crc32c(length));
  buffer_ += event;
  append_little_endian(buffer_, masked_crc32c(event));
}

void EventWriter::flush() {
  size_t written = 0;
  while (written < buffer_.size()) {
    const ssize_t count = ::write(file_, buffer_.data() + written, buffer_.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error_number = errno;
      buffer_.erase(0, written);
      throw_failed(fmt::format("cannot write {}: {}", path_.string(), std::strerror(error_number)));
    }
    written += static_cast<size_t>(count);
  }
  buffer_.clear();
}

}  // namespace mien::report
