#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mien {

/// One named array of a safetensors file. `bytes` is little-endian, C order.
struct NamedArray {
  std::string name;
  std::string dtype;           ///< "F32", "F64", "I64", "U8", "BOOL", ... (the format's spelling)
  std::vector<int64_t> shape;  ///< empty for a scalar
  std::span<const std::byte> bytes;
};

/// Size in bytes of one element of `dtype`; nothing for a spelling the format does not have.
std::optional<int64_t> dtype_size(std::string_view dtype);

/// A safetensors file, memory-mapped and checked in full before anything is handed out.
/// Format: 8-byte little-endian header length, JSON header, raw data (huggingface/safetensors, format.md).
class SafetensorsFile {
 public:
  /// Throws Error(bad_data) naming the file and what is wrong: too short, header length beyond the file or over
  /// 100 MB, JSON that is malformed or nested, offsets that overlap, leave holes or do not match shape and dtype,
  /// duplicate names.
  static SafetensorsFile open(const std::filesystem::path& path);
  /// The same for bytes in memory; `origin` stands for the file name in messages. `bytes` must outlive the result.
  static SafetensorsFile parse(std::string_view bytes, const std::string& origin);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// In the order of their data.
  const std::vector<NamedArray>& arrays() const { return arrays_; }
  const NamedArray* find(std::string_view name) const;
  /// Array `name` as float32 values. Throws Error(bad_data) if it is missing or not F32.
  std::span<const float> floats(std::string_view name) const;
  const std::string& origin() const { return origin_; }

 private:
  std::shared_ptr<const void> storage_;
  std::string origin_;
  std::map<std::string, std::string> metadata_;
  std::vector<NamedArray> arrays_;
};

/// Writes arrays (wider elements first, otherwise in the given order) and metadata atomically; Python's `safetensors`
/// reads the result. Data starts at a multiple of 64 bytes; the same input gives the same bytes. Throws Error(failed)
/// when the disk is full, std::logic_error if an array's bytes do not fill its shape or a name is taken.
void write_safetensors(const std::filesystem::path& path,
                       std::span<const NamedArray> arrays,
                       const std::map<std::string, std::string>& metadata);

}  // namespace mien
