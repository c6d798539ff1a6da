#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "mien/core/error.h"

namespace mien::fuzz {

/// The bytes as a file that parsers can open; the same file each time, in memory.
std::filesystem::path as_file(std::string_view bytes);

/// Runs `parse`; an Error is what bad input is answered with, every other exception is a fault.
template <class Parse>
int tried(const Parse& parse) {
  try {
    parse();
  } catch (const Error& error) {
    if (error.line().empty() || error.line().find('\n') != std::string::npos) __builtin_trap();  // not one clear line
  }
  return 0;
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace mien::fuzz
