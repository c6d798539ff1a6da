#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace mien {

/// Writes `values` as a NumPy .npy file (format 1.0, float32, C order; `shape` empty for a
/// scalar). Throws std::logic_error if the product of `shape` is not values.size(), Error(failed) if it cannot write.
void write_npy(const std::filesystem::path& path, std::span<const float> values, std::span<const int64_t> shape);

}  // namespace mien
