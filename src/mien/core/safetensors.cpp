#include "mien/core/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/progress.h"
#include "mien/core/text.h"

namespace mien {
namespace {

using nlohmann::json;

constexpr uint64_t kMostHeaderBytes = 100'000'000;  // the reference implementation's limit

constexpr std::array<std::pair<std::string_view, int64_t>, 15> kTypes{{{"F64", 8},
                                                                       {"F32", 4},
                                                                       {"F16", 2},
                                                                       {"BF16", 2},
                                                                       {"F8_E5M2", 1},
                                                                       {"F8_E4M3", 1},
                                                                       {"I64", 8},
                                                                       {"I32", 4},
                                                                       {"I16", 2},
                                                                       {"I8", 1},
                                                                       {"U64", 8},
                                                                       {"U32", 4},
                                                                       {"U16", 2},
                                                                       {"U8", 1},
                                                                       {"BOOL", 1}}};
static_assert(std::endian::native == std::endian::little, "the format is little-endian");

int64_t natural(uint64_t number) { return number > (uint64_t{1} << 48) ? -1 : static_cast<int64_t>(number); }

/// One tensor as the header describes it.
struct Described {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<int64_t> offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

/// Reads the header in one pass, in time and memory that grow with its length only, and stops at the first thing that
/// a header does not have. `problem` then says what it is.
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  std::map<std::string, std::string> metadata;
  std::vector<Described> tensors;
  std::string problem;

  bool start_object(size_t) override {
    if (depth_ == 0 || (depth_ == 1 && !in_list_)) {
      ++depth_;
      return true;
    }
    return misplaced("an object");
  }
  bool end_object() override {
    --depth_;
    if (depth_ != 1 || in_metadata_) return true;
    const Described& tensor = tensors.back();
    if (tensor.has_dtype && tensor.has_shape && tensor.has_offsets && tensor.offsets.size() == 2) return true;
    return fail(fmt::format("tensor {} lacks dtype, shape or data_offsets", quote_sample(tensor.name)));
  }
  bool key(std::string& name) override {
    key_ = name;
    if (depth_ == 1) return start_entry();
    bool is_new = true;
    if (in_metadata_) {
      is_new = !metadata.contains(name);
    } else {
      Described& tensor = tensors.back();
      is_new = !((name == "dtype" && std::exchange(tensor.has_dtype, true)) ||
                 (name == "shape" && std::exchange(tensor.has_shape, true)) ||
                 (name == "data_offsets" && std::exchange(tensor.has_offsets, true)));
    }
    return is_new || fail(fmt::format("its header names {} twice", quote_sample(name)));
  }
  bool start_array(size_t) override {
    if (depth_ != 2 || in_list_ || in_metadata_ || (key_ != "shape" && key_ != "data_offsets"))
      return misplaced("a list");
    in_list_ = true;
    return true;
  }
  bool end_array() override {
    in_list_ = false;
    return true;
  }
  bool string(std::string& value) override {
    if (depth_ != 2 || in_list_ || (!in_metadata_ && key_ != "dtype")) return misplaced("a text");
    if (in_metadata_) {
      metadata.emplace(key_, std::move(value));
    } else {
      tensors.back().dtype = std::move(value);
    }
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    if (!in_list_) return misplaced("a number");
    std::vector<int64_t>& list = key_ == "shape" ? tensors.back().shape : tensors.back().offsets;
    const size_t most = key_ == "shape" ? kMostDimensions : 2;
    if (natural(value) < 0 || list.size() == most) {
      return fail(fmt::format("tensor {} has an impossible {}", quote_sample(tensors.back().name), key_));
    }
    list.push_back(natural(value));
    return true;
  }
  bool number_integer(int64_t) override { return misplaced("a negative number"); }
  bool number_float(double, const std::string&) override { return misplaced("a fraction"); }
  bool boolean(bool) override { return misplaced("true or false"); }
  bool null() override { return misplaced("null"); }
  bool binary(json::binary_t&) override { return misplaced("binary data"); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return fail("its header is not a JSON object");
  }

 private:
  bool start_entry() {
    in_metadata_ = key_ == "__metadata__";
    if (!names_.insert(key_).second) return fail(fmt::format("its header names {} twice", quote_sample(key_)));
    if (in_metadata_) return true;
    if (tensors.size() == kMostTensors) return fail(fmt::format("it has more than {} tensors", kMostTensors));
    tensors.push_back({.name = key_});
    return true;
  }
  bool fail(std::string what) {
    if (problem.empty()) problem = std::move(what);
    return false;
  }
  bool misplaced(std::string_view what) {
    if (depth_ == 0) return fail("its header is not a JSON object");
    if (in_metadata_) {
      return fail(depth_ == 1 ? "__metadata__ is not an object of texts"
                              : fmt::format("metadata {} is {}, expected a text", quote_sample(key_), what));
    }
    if (in_list_ && (what == "a list" || what == "an object")) return fail("its header is nested too deeply");
    const std::string name = quote_sample(tensors.back().name);
    if (depth_ == 1) return fail(fmt::format("tensor {} is {}, expected dtype, shape and data_offsets", name, what));
    return fail(fmt::format("tensor {} has {} for {}", name, what, quote_sample(key_)));
  }

  int depth_ = 0;  ///< 1: among tensors; 2: in a tensor's object or in the metadata's
  bool in_list_ = false;
  bool in_metadata_ = false;
  std::string key_;
  std::unordered_set<std::string> names_;
};

[[noreturn]] void refuse(const std::string& origin, const std::string& what, const std::string& hint = {}) {
  throw_bad_data(fmt::format("cannot read {} as safetensors: {}", origin, what),
                 hint.empty() ? "the file is damaged or not a safetensors file; write it again from its source" : hint);
}

/// Refuses files of other kinds that hold weights, by their first bytes.
void refuse_other_formats(std::string_view begin, const std::string& origin) {
  const char* const save =
      "in Python: safetensors.torch.save_file(model.state_dict(), \"weights.safetensors\"), then `mien import`";
  if (begin.starts_with("PK\x03\x04") || begin.starts_with("\x80\x02") || begin.starts_with("\x80\x04")) {
    refuse(origin, "it is a pickle or a zip archive, such as PyTorch's .pt and .pth files", save);
  }
  if (begin.starts_with("\x89HDF")) {
    refuse(origin, "it is an HDF5 file, such as Keras's .h5", "write its arrays with Python's safetensors.numpy");
  }
  if (begin.starts_with("\x1f\x8b")) refuse(origin, "it is a gzip archive", "unpack it first");
  if (begin.starts_with("version https://git-lfs")) {
    refuse(origin, "it is a Git LFS pointer, not the file itself", "fetch it: git lfs pull");
  }
}

/// Checks a header's length, which the first 8 bytes of a file of `file_bytes` give.
uint64_t header_length(std::string_view begin, uint64_t file_bytes, const std::string& origin) {
  refuse_other_formats(begin, origin);
  if (file_bytes < 8) refuse(origin, fmt::format("it has {} bytes, expected at least 8", file_bytes));
  uint64_t length = 0;
  std::memcpy(&length, begin.data(), 8);
  const uint64_t most = std::min<uint64_t>(kMostHeaderBytes, file_bytes - 8);
  if (length > most) refuse(origin, fmt::format("its header length is {}, expected at most {}", length, most));
  return length;
}

}  // namespace

std::optional<int64_t> dtype_size(std::string_view dtype) {
  for (const auto& [name, size] : kTypes) {
    if (name == dtype) return size;
  }
  return std::nullopt;
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path, const HeaderCheck& check) {
  const std::string origin = path.string();
  std::error_code ignored;
  std::string begin;  // of the file: its header's length and the header
  if (std::filesystem::is_regular_file(path, ignored)) {
    std::ifstream file(path, std::ios::binary);
    const uint64_t size = std::filesystem::file_size(path, ignored);
    const auto read_to = [&](uint64_t bytes) {
      const size_t done = begin.size();
      begin.resize(bytes);
      file.read(begin.data() + done, static_cast<std::streamsize>(bytes - done));
      begin.resize(done + static_cast<size_t>(file.gcount()));
    };
    read_to(8);
    // What cannot be opened is left to FileCopy, which says why.
    if (begin.size() == 8 && !ignored) {
      const uint64_t length = header_length(begin, size, origin);
      read_to(8 + length);
      const SafetensorsFile header =
          parse_header(std::string_view(begin).substr(8), size - std::min<uint64_t>(size, 8 + length), origin);
      if (check) check(header);
    }
  }
  const auto copy = std::make_shared<const FileCopy>(path);
  SafetensorsFile result = parse(copy->text(), origin);
  if (begin.size() > 8 && !copy->text().starts_with(begin)) {
    refuse(origin, "it was changed while it was read", "wait until nothing writes it");
  }
  if (check && begin.size() <= 8) check(result);
  result.storage_ = copy;
  return result;
}

SafetensorsFile SafetensorsFile::parse(std::string_view bytes, const std::string& origin) {
  const uint64_t length = header_length(bytes.substr(0, 64), bytes.size(), origin);
  SafetensorsFile result = parse_header(bytes.substr(8, length), bytes.size() - 8 - length, origin);
  result.attach(bytes);
  return result;
}

SafetensorsFile SafetensorsFile::parse_header(std::string_view header, uint64_t data_bytes, const std::string& origin) {
  HeaderReader reader;
  const bool is_read = json::sax_parse(header.begin(), header.end(), &reader);
  if (!is_read) refuse(origin, reader.problem.empty() ? "its header is not a JSON object" : reader.problem);

  std::stable_sort(reader.tensors.begin(), reader.tensors.end(), [](const Described& a, const Described& b) {
    return a.offsets < b.offsets;
  });
  SafetensorsFile result;
  result.origin_ = origin;
  result.metadata_ = std::move(reader.metadata);
  int64_t reached = 0;
  for (Described& tensor : reader.tensors) {
    const std::string shown = quote_sample(tensor.name);
    const auto element = dtype_size(tensor.dtype);
    if (!element) {
      refuse(origin, fmt::format("tensor {} has the unknown dtype {}", shown, quote_sample(tensor.dtype)));
    }
    int64_t expected = *element;
    for (const int64_t size : tensor.shape) {
      if (size > 0 && expected > (int64_t{1} << 48) / size) {
        refuse(origin, fmt::format("tensor {} is impossibly large", shown));
      }
      expected *= size;
    }
    const int64_t begin = tensor.offsets[0];
    const int64_t end = tensor.offsets[1];
    if (end < begin) refuse(origin, fmt::format("tensor {} has impossible data_offsets", shown));
    if (static_cast<uint64_t>(end) > data_bytes) {
      refuse(origin,
             fmt::format("tensor {} ends at byte {} of the data, which has {} (a cut file?)", shown, end, data_bytes));
    }
    if (end - begin != expected) {
      refuse(origin, fmt::format("tensor {} has {} bytes, its shape and dtype need {}", shown, end - begin, expected));
    }
    if (begin != reached) refuse(origin, fmt::format("tensor {} overlaps another or leaves a hole before it", shown));
    reached = end;
    result.index_.emplace(tensor.name, result.arrays_.size());
    result.offsets_.push_back({begin, end});
    result.arrays_.push_back({std::move(tensor.name), std::move(tensor.dtype), std::move(tensor.shape), {}});
  }
  if (static_cast<uint64_t>(reached) != data_bytes) {
    refuse(origin, fmt::format("it has {} bytes of data, its header describes {}", data_bytes, reached));
  }
  return result;
}

void SafetensorsFile::attach(std::string_view bytes) {
  bytes_ = bytes;
  const uint64_t data_bytes = arrays_.empty() ? 0 : static_cast<uint64_t>(offsets_.back().second);
  const char* const data = bytes.data() + (bytes.size() - data_bytes);
  for (size_t i = 0; i < arrays_.size(); ++i) {
    const auto [begin, end] = offsets_[i];
    arrays_[i].bytes = std::as_bytes(std::span(data + begin, static_cast<size_t>(end - begin)));
  }
}

const NamedArray* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &arrays_[found->second];
}

std::span<const float> SafetensorsFile::floats(std::string_view name) const {
  const NamedArray* array = find(name);
  if (array == nullptr) throw_bad_data(fmt::format("cannot read {}: it has no tensor '{}'", origin_, name));
  if (array->dtype != "F32") {
    throw_bad_data(fmt::format("cannot read {}: tensor '{}' is {}, expected F32", origin_, name, array->dtype));
  }
  if (reinterpret_cast<uintptr_t>(array->bytes.data()) % alignof(float) != 0) {
    throw_bad_data(fmt::format("cannot read {}: tensor '{}' is not aligned to 4 bytes", origin_, name));
  }
  return {reinterpret_cast<const float*>(array->bytes.data()), array->bytes.size() / sizeof(float)};
}

void write_safetensors(const std::filesystem::path& path,
                       std::span<const NamedArray> arrays,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const NamedArray*> order;
  std::unordered_set<std::string> names{"__metadata__"};
  for (const NamedArray& array : arrays) {
    int64_t needed = dtype_size(array.dtype).value_or(-1);
    for (const int64_t size : array.shape) needed *= size;
    if (needed != static_cast<int64_t>(array.bytes.size()) || !names.insert(array.name).second) {
      throw std::logic_error(
          fmt::format("write_safetensors: array {} has a taken name, or {} bytes of {} that do not "
                      "fill its shape",
                      quote_sample(array.name),
                      array.bytes.size(),
                      array.dtype));
    }
    order.push_back(&array);
  }
  // Wider elements first keeps every array aligned to its element's size (as the reference writer does).
  std::stable_sort(order.begin(), order.end(), [](const NamedArray* a, const NamedArray* b) {
    return dtype_size(a->dtype) > dtype_size(b->dtype);
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const NamedArray* array : order) {
    header[array->name] = {
        {"dtype", array->dtype}, {"shape", array->shape}, {"data_offsets", {offset, offset + array->bytes.size()}}};
    offset += array->bytes.size();
  }
  // A class may be named after a folder whose name is not UTF-8: better a strange letter than no weights.
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.append((64 - (8 + text.size()) % 64) % 64, ' ');
  const uint64_t length = text.size();
  write_atomic(path, [&](const auto& sink) {
    sink({reinterpret_cast<const char*>(&length), sizeof length});
    sink(text);
    for (const NamedArray* array : order) {
      sink({reinterpret_cast<const char*>(array->bytes.data()), array->bytes.size()});
    }
  });
}

}  // namespace mien
