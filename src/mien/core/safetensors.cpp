#include "mien/core/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"

namespace mien {
namespace {

using nlohmann::json;

constexpr uint64_t kMostHeaderBytes = 100'000'000;  // the reference implementation's limit

constexpr std::array<std::pair<std::string_view, int64_t>, 12> kTypes{{{"F64", 8},
                                                                       {"F32", 4},
                                                                       {"F16", 2},
                                                                       {"BF16", 2},
                                                                       {"I64", 8},
                                                                       {"I32", 4},
                                                                       {"I16", 2},
                                                                       {"I8", 1},
                                                                       {"U8", 1},
                                                                       {"BOOL", 1},
                                                                       {"U64", 8},
                                                                       {"U32", 4}}};

/// The header may be one object of objects; deeper nesting or a duplicate name is refused while parsing.
class HeaderGuard {
 public:
  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    if (depth > 4) too_deep = true;
    if (event == json::parse_event_t::key && depth == 1) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!names_.emplace(name, 0).second) duplicate = name;
    }
    return !too_deep;
  }
  bool too_deep = false;
  std::string duplicate;

 private:
  std::map<std::string, int> names_;
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
    fail(fmt::format("its header length is {}, expected at most {}", header_bytes,
                     std::min<uint64_t>(kMostHeaderBytes, bytes.size() - 8)));
  }
  HeaderGuard guard;
  json header = json::parse(
      bytes.substr(8, header_bytes), [&](int depth, json::parse_event_t event, json& parsed) { return guard(depth, event, parsed); },
      /*allow_exceptions=*/false);
  if (guard.too_deep) fail("its header is nested too deeply");
  if (header.is_discarded() || !header.is_object()) fail("its header is not a JSON object");
  if (!guard.duplicate.empty()) fail(fmt::format("its header names {} twice", quote_sample(guard.duplicate)));

  SafetensorsFile result;
  result.origin_ = origin;
  const std::string_view data = bytes.substr(8 + header_bytes);
  struct Extent {
    int64_t begin, end;
  };
  std::vector<Extent> extents;
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
    if (begin < 0 || end < begin || static_cast<uint64_t>(end) > data.size()) {
      fail(fmt::format("tensor {} ends at byte {} of its data, which has {} (a cut file?)", shown,
                       entry["data_offsets"][1].dump(), data.size()));
    }
    if (end - begin != expected) {
      fail(fmt::format("tensor {} has {} bytes, its shape and dtype need {}", shown, end - begin, expected));
    }
    array.bytes = std::as_bytes(std::span(data.data() + begin, static_cast<size_t>(end - begin)));
    extents.push_back({begin, end});
    result.arrays_.push_back(std::move(array));
  }
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  int64_t reached = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != reached) fail("its tensors overlap or leave holes");
    reached = extent.end;
  }
  if (static_cast<uint64_t>(reached) != data.size()) {
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
  // Arrays with wider elements first, so that every array is aligned to its element's size (as the reference writer).
  std::vector<const NamedArray*> order;
  for (const NamedArray& array : arrays) order.push_back(&array);
  std::stable_sort(order.begin(), order.end(), [](const NamedArray* a, const NamedArray* b) {
    return dtype_size(a->dtype).value_or(0) > dtype_size(b->dtype).value_or(0);
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const NamedArray* array : order) {
    header[array->name] = {
        {"dtype", array->dtype}, {"shape", array->shape}, {"data_offsets", {offset, offset + array->bytes.size()}}};
    offset += array->bytes.size();
  }
  std::string text = header.dump();
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
