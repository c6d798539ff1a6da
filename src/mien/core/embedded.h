#pragma once

#include <span>
#include <string_view>

namespace mien {

/// A text file that the build put into the program.
struct EmbeddedFile {
  std::string_view name;  ///< file name without its ending
  std::string_view text;
};

}  // namespace mien
