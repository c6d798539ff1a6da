#include "mien/core/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
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

/// The header may be one object of objects; deeper nesting or a duplicate name is refused while parsing.
class HeaderGuard {
 public:
  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    if (depth > 3) too_deep_ = true;  // the deepest thing allowed: a number in a tensor's shape
    if (event == json::parse_event_t::key && depth == 1 && duplicate_.empty()) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!names_.insert(name).second) duplicate_ = quote_sample(name);
    }
    return !too_deep_;
  }
  bool too_deep() const { return too_deep_; }
  /// The first name that stands twice, quoted; empty if there is none.
  const std::string& duplicate() const { return duplicate_; }

 private:
  bool too_deep_ = false;
  std::string duplicate_;
  std::unordered_set<std::string> names_;
};

int64_t natural(const json& value) {
  if (!value.is_number_unsigned()) return -1;
  const auto number = value.get<uint64_t>();
  return number > (uint64_t{1} << 48) ? -1 : static_cast<int64_t>(number);
}

}  // namespace

std::optional<int64_t> dtype_size(std::string_view dtype) {
  for (const auto& [name, size] : kTypes) {
    if (name == dtype) return size;
  }
  return std::nullopt;
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  auto file = std::make_shared<MappedFile>(path);
  SafetensorsFile result = parse(file->text(), path.string());
  result.storage_ = std::move(file);
  return result;
}

SafetensorsFile SafetensorsFile::parse(std::string_view bytes, const std::string& origin) {
  const auto fail = [&](const std::string& what) {
    throw_bad_data(fmt::format("cannot read {} as safetensors: {}", origin, what),
                   "the file is damaged or not a safetensors file; write it again from its source");
  };
  if (bytes.size() < 8) fail(fmt::format("it has {} bytes, expected at least 8", bytes.size()));
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  if (header_bytes > kMostHeaderBytes || header_bytes > bytes.size() - 8) {
    fail(fmt::format("its header length is {}, expected at most {}",
                     header_bytes,
                     std::min<uint64_t>(kMostHeaderBytes, bytes.size() - 8)));
  }
  HeaderGuard guard;
  const json header = json::parse(bytes.substr(8, header_bytes), std::ref(guard), /*allow_exceptions=*/false);
  if (guard.too_deep()) fail("its header is nested too deeply");
  if (header.is_discarded() || !header.is_object()) fail("its header is not a JSON object");
  if (!guard.duplicate().empty()) fail(fmt::format("its header names {} twice", guard.duplicate()));

  SafetensorsFile result;
  result.origin_ = origin;
  const std::string_view data = bytes.substr(8 + header_bytes);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail("__metadata__ is not an object of texts");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) fail(fmt::format("metadata {} is not a text", quote_sample(key)));
        result.metadata_.emplace(key, value.get<std::string>());
      }
      continue;
    }
    const std::string shown = quote_sample(name);
    if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets") ||
        !entry["dtype"].is_string() || !entry["shape"].is_array() || !entry["data_offsets"].is_array() ||
        entry["data_offsets"].size() != 2) {
      fail(fmt::format("tensor {} lacks dtype, shape or data_offsets", shown));
    }
    NamedArray array{.name = name, .dtype = entry["dtype"].get<std::string>(), .shape = {}, .bytes = {}};
    const auto element = dtype_size(array.dtype);
    if (!element) fail(fmt::format("tensor {} has the unknown dtype {}", shown, quote_sample(array.dtype)));
    int64_t expected = *element;
    for (const json& value : entry["shape"]) {
      const int64_t size = natural(value);
      if (size < 0) fail(fmt::format("tensor {} has an impossible shape", shown));
      if (size > 0 && expected > (int64_t{1} << 48) / size) fail(fmt::format("tensor {} is impossibly large", shown));
      expected *= size;
      array.shape.push_back(size);
    }
    const int64_t begin = natural(entry["data_offsets"][0]);
    const int64_t end = natural(entry["data_offsets"][1]);
    if (begin < 0 || end < begin) fail(fmt::format("tensor {} has impossible data_offsets", shown));
    if (static_cast<uint64_t>(end) > data.size()) {
      fail(fmt::format("tensor {} ends at byte {} of the data, which has {} (a cut file?)", shown, end, data.size()));
    }
    if (end - begin != expected) {
      fail(fmt::format("tensor {} has {} bytes, its shape and dtype need {}", shown, end - begin, expected));
    }
    array.bytes = std::as_bytes(std::span(data.data() + begin, static_cast<size_t>(end - begin)));
    result.arrays_.push_back(std::move(array));
  }
  const auto extent = [](const NamedArray& array) {
    return std::pair(array.bytes.data(), array.bytes.data() + array.bytes.size());
  };
  std::stable_sort(result.arrays_.begin(), result.arrays_.end(), [&](const NamedArray& a, const NamedArray& b) {
    return extent(a) < extent(b);
  });
  uint64_t reached = 0;
  for (const NamedArray& array : result.arrays_) {
    if (reinterpret_cast<const char*>(array.bytes.data()) != data.data() + reached) {
      fail(fmt::format("tensor {} overlaps another or leaves a hole before it", quote_sample(array.name)));
    }
    reached += array.bytes.size();
  }
  if (reached != data.size()) {
    fail(fmt::format("it has {} bytes of data, its header describes {}", data.size(), reached));
  }
  return result;
}

const NamedArray* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::find_if(arrays_.begin(), arrays_.end(), [&](const NamedArray& a) { return a.name == name; });
  return found == arrays_.end() ? nullptr : &*found;
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
