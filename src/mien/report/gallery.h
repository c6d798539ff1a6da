#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "mien/report/sheet.h"

namespace mien::report {

/// One face of a gallery.
struct Tile {
  std::span<const uint8_t> image;  ///< gray [height, width] or color [height, width, 3] (red, green, blue), row by row
  std::string caption;             ///< lines separated by '\n'; cut with an ellipsis where wider than the face
  TileFrame frame = TileFrame::none;
};

/// A sheet of `tiles`, `columns` in a row, each of `height` x `width` pixels enlarged to about 144 units with its
/// caption below, under `title` (which may be empty). Written as write_sheet does. Throws Error(usage) for no tiles, no
/// columns, more than 400 tiles or an image of another size.
void write_gallery(const std::filesystem::path& path,
                   std::span<const Tile> tiles,
                   int64_t columns,
                   const std::string& title,
                   int64_t height = 48,
                   int64_t width = 48);

}  // namespace mien::report
