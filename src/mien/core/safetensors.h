#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
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

/// Most tensors of a safetensors file, and most sizes of one tensor's shape, that are read.
inline constexpr size_t kMostTensors = 100'000;
inline constexpr size_t kMostDimensions = 8;

/// A safetensors file, copied into memory and checked in full before anything is handed out.
/// Format: 8-byte little-endian header length, JSON header, raw data (huggingface/safetensors, format.md).
class SafetensorsFile {
 public:
  /// Looks at the header before the data are read; throws if it is not the file that the caller wants. Names, dtypes,
  /// shapes and metadata are there, `bytes` are not.
  using HeaderCheck = std::function<void(const SafetensorsFile& header)>;

  /// Throws Error(bad_data) naming the file and what is wrong: too short, header length beyond the file or over
  /// 100 MB, JSON that is malformed or nested, more than kMostTensors, offsets that overlap, leave holes or do not
  /// match shape and dtype, duplicate names, a file that changes while it is read. A PyTorch, Keras or other file is
  /// named for what it is. Memory and time grow with the header alone until `check` has returned.
  /// Throws Error(interrupted) when the user stops a long header.
  static SafetensorsFile open(const std::filesystem::path& path, const HeaderCheck& check = {});
  /// The same for bytes in memory; `origin` stands for the file name in messages. `bytes` must outlive the result.
  static SafetensorsFile parse(std::string_view bytes, const std::string& origin);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// In the order of their data.
  const std::vector<NamedArray>& arrays() const { return arrays_; }
  const NamedArray* find(std::string_view name) const;
  /// Array `name` as float32 values. Throws Error(bad_data) if it is missing or not F32.
  std::span<const float> floats(std::string_view name) const;
  const std::string& origin() const { return origin_; }
  /// The whole file; empty for the header alone.
  std::string_view bytes() const { return bytes_; }

 private:
  static SafetensorsFile parse_header(std::string_view header, uint64_t data_bytes, const std::string& origin);
  void attach(std::string_view bytes);

  std::shared_ptr<const void> storage_;
  std::string_view bytes_;
  std::string origin_;
  std::map<std::string, std::string> metadata_;
  std::vector<NamedArray> arrays_;
  std::vector<std::pair<int64_t, int64_t>> offsets_;  // of arrays_ in the data: begin, end
  std::unordered_map<std::string, size_t> index_;     // of arrays_, by name
};

/// Writes arrays (wider elements first, otherwise in the given order) and metadata atomically; Python's `safetensors`
/// reads the result. Data starts at a multiple of 64 bytes; the same input gives the same bytes. Throws Error(failed)
/// when the disk is full, std::logic_error if an array's bytes do not fill its shape or a name is taken.
void write_safetensors(const std::filesystem::path& path,
                       std::span<const NamedArray> arrays,
                       const std::map<std::string, std::string>& metadata);

}  // namespace mien
