#include "mien/report/gallery.h"

#include <algorithm>

#include <fmt/format.h>

#include "mien/core/error.h"

namespace mien::report {
namespace {

constexpr size_t kMostTiles = 400;
constexpr int64_t kTile = 144;

Raster enlarged_face(const Tile& tile, int64_t height, int64_t width, int64_t factor) {
  if (static_cast<int64_t>(tile.image.size()) == height * width) return gray_raster(tile.image, height, width, factor);
  Raster raster = Raster::filled(height * factor, width * factor, {});
  std::vector<uint8_t> plane(static_cast<size_t>(height * width));
  for (size_t channel = 0; channel < 3; ++channel) {
    for (size_t i = 0; i < plane.size(); ++i) plane[i] = tile.image[3 * i + channel];
    const Raster large = gray_raster(plane, height, width, factor);
    for (size_t i = channel; i < raster.rgb.size(); i += 3) raster.rgb[i] = large.rgb[i];
  }
  return raster;
}

}  // namespace

void write_gallery(const std::filesystem::path& path,
                   std::span<const Tile> tiles,
                   int64_t columns,
                   const std::string& title,
                   int64_t height,
                   int64_t width) {
  if (tiles.empty() || tiles.size() > kMostTiles || columns < 1 || height < 1 || width < 1) {
    throw_usage(
        fmt::format("cannot draw {}: {} faces of {}x{} pixels in {} columns, expected 1 to {} faces and one column "
                    "or more",
                    path.string(),
                    tiles.size(),
                    height,
                    width,
                    columns,
                    kMostTiles));
  }
  const int64_t longest = std::max(height, width);
  PanelGrid grid{.columns = std::min(columns, static_cast<int64_t>(tiles.size())),
                 .tile = std::max(kTile, (longest + 1) / 2)};
  for (const Tile& tile : tiles) {
    const auto size = static_cast<int64_t>(tile.image.size());
    if (size != height * width && size != 3 * height * width) {
      throw_usage(fmt::format("cannot draw {}: face {} has {} bytes, expected {} (gray) or {} (color)",
                              path.string(),
                              &tile - tiles.data(),
                              size,
                              height * width,
                              3 * height * width));
    }
    grid.panels.push_back(
        {enlarged_face(tile, height, width, std::max<int64_t>(1, 2 * kTile / longest)), tile.caption, tile.frame});
  }
  write_sheet(path, {.title = title, .grids = {std::move(grid)}});
}

}  // namespace mien::report
