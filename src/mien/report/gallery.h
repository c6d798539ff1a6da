#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace mien::report {

/// Color of the line around a face.
enum class TileFrame { none, right, wrong };

/// One face of a gallery.
struct Tile {
  std::span<const uint8_t> image;  ///< gray [height, width] or color [height, width, 3] (red, green, blue), row by row
  std::string caption;             ///< lines separated by '\n'; cut with an ellipsis where wider than the face
  TileFrame frame = TileFrame::none;
};

/// Contact sheet of `tiles`, `columns` in a row, each of `height` x `width` pixels enlarged to about 150 units with its
/// caption below, under `title` (which may be empty). Png or svg by the ending of `path`. Throws Error(usage) for no
/// tiles, no columns, more than 400 tiles or an image of another size, and as write_picture does (gnuplot.h).
void write_gallery(const std::filesystem::path& path,
                   std::span<const Tile> tiles,
                   int64_t columns,
                   const std::string& title,
                   int64_t height = 48,
                   int64_t width = 48);

}  // namespace mien::report
