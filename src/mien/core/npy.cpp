#include "mien/core/npy.h"

#include <string>

#include <fmt/format.h>

#include "mien/core/files.h"

namespace mien {

void write_npy(const std::filesystem::path& path, std::span<const float> values, std::span<const int64_t> shape) {
  std::string dimensions;
  for (const int64_t size : shape) dimensions += fmt::format("{}, ", size);
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dimensions);
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(length & 0xff);
  bytes += static_cast<char>(length >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  write_atomic(path, bytes);
}

}  // namespace mien
