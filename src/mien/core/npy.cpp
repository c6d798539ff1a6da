#include "mien/core/npy.h"

#include <bit>
#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/core/files.h"

namespace mien {
namespace {

constexpr size_t kPrefixBytes = 10;  // magic, version, header length
static_assert(std::endian::native == std::endian::little, "the file says '<f4'");

}  // namespace

void write_npy(const std::filesystem::path& path, std::span<const float> values, std::span<const int64_t> shape) {
  int64_t elements = 1;
  for (const int64_t size : shape) elements *= size;
  if (elements != static_cast<int64_t>(values.size())) {
    throw std::logic_error(fmt::format(
        "write_npy: {} values do not fill the shape ({})", values.size(), fmt::join(shape.begin(), shape.end(), ", ")));
  }
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{}), }}",
                                   fmt::join(shape.begin(), shape.end(), ", "),
                                   shape.size() == 1 ? "," : "");  // Python's tuple of one
  header.append((64 - (kPrefixBytes + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  std::string prefix("\x93NUMPY\x01\x00", 8);
  prefix += static_cast<char>(length & 0xff);
  prefix += static_cast<char>(length >> 8);
  write_atomic(path, [&](const auto& sink) {
    sink(prefix);
    sink(header);
    sink({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  });
}

}  // namespace mien
