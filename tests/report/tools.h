#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include "core/temporary_folder.h"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mien/core/files.h"

namespace mien::report::test {

/// Sets an environment variable for as long as the object lives.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { ::setenv(name_, old_.c_str(), 1); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::string old_;
};

/// Width and height of a png by its header; {0, 0} for anything else.
inline std::pair<int64_t, int64_t> png_size(const std::filesystem::path& path) {
  const std::string bytes = read_text(path);
  if (!bytes.starts_with("\x89PNG\r\n\x1a\n") || bytes.size() < 24) return {0, 0};
  const auto number = [&](size_t at) {
    int64_t value = 0;
    for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    return value;
  };
  return {number(16), number(20)};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace mien::report::test
