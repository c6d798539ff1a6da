#include "mien/report/gallery.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/report/gnuplot.h"
#include "mien/report/text_width.h"

namespace mien::report {
namespace {

constexpr size_t kMostTiles = 400;
constexpr int64_t kGap = 16;         // between tiles and around the sheet, in units
constexpr int64_t kLineHeight = 16;  // of a caption
constexpr double kCaptionPoints = 8.5;

/// Lanczos kernel of three lobes.
/// @source Duchon 1979, "Lanczos filtering in one and two dimensions"
double lanczos(double x) {
  if (x == 0) return 1;
  if (std::abs(x) >= 3) return 0;
  const double angle = std::numbers::pi * x;
  return 3 * std::sin(angle) * std::sin(angle / 3) / (angle * angle);
}

/// Weights of the six samples around each of `scale` positions inside a pixel; each row sums to 1.
std::vector<std::array<double, 6>> lanczos_weights(int64_t scale) {
  std::vector<std::array<double, 6>> weights(static_cast<size_t>(scale));
  for (int64_t i = 0; i < scale; ++i) {
    const double offset = (static_cast<double>(i) + 0.5) / static_cast<double>(scale) - 0.5;  // from the pixel's center
    const double first = std::floor(offset) - 2;
    double sum = 0;
    for (int k = 0; k < 6; ++k) sum += weights[static_cast<size_t>(i)][k] = lanczos(offset - first - k);
    for (double& weight : weights[static_cast<size_t>(i)]) weight /= sum;
  }
  return weights;
}

/// `lines` rows of `length` samples, `step` apart, each stretched `scale` times; samples beyond an end repeat the last.
std::vector<float> stretch_rows(
    const std::vector<float>& source, int64_t lines, int64_t length, int64_t channels, int64_t scale) {
  const auto weights = lanczos_weights(scale);
  std::vector<float> out(static_cast<size_t>(lines * length * scale * channels));
  for (int64_t line = 0; line < lines; ++line) {
    for (int64_t x = 0; x < length * scale; ++x) {
      const int64_t phase = x % scale;
      const int64_t first = x / scale + (2 * phase + 1 < scale ? -3 : -2);
      for (int64_t channel = 0; channel < channels; ++channel) {
        double sum = 0;
        for (int64_t k = 0; k < 6; ++k) {
          const int64_t from = std::clamp<int64_t>(first + k, 0, length - 1);
          sum += weights[static_cast<size_t>(phase)][static_cast<size_t>(k)] *
                 source[static_cast<size_t>((line * length + from) * channels + channel)];
        }
        out[static_cast<size_t>((line * length * scale + x) * channels + channel)] = static_cast<float>(sum);
      }
    }
  }
  return out;
}

/// [height, width, channels] as [width, height, channels].
std::vector<float> transposed(const std::vector<float>& source, int64_t height, int64_t width, int64_t channels) {
  std::vector<float> out(source.size());
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < channels; ++c) {
        out[static_cast<size_t>((x * height + y) * channels + c)] =
            source[static_cast<size_t>((y * width + x) * channels + c)];
      }
    }
  }
  return out;
}

/// The bytes of `image`, `scale` times as high and wide.
std::string enlarged(std::span<const uint8_t> image, int64_t height, int64_t width, int64_t channels, int64_t scale) {
  std::vector<float> pixels(image.begin(), image.end());
  pixels = stretch_rows(pixels, height, width, channels, scale);
  pixels = transposed(pixels, height, width * scale, channels);
  pixels = stretch_rows(pixels, width * scale, height, channels, scale);
  pixels = transposed(pixels, width * scale, height * scale, channels);
  std::string bytes(pixels.size(), '\0');
  for (size_t i = 0; i < pixels.size(); ++i) {
    bytes[i] = static_cast<char>(static_cast<uint8_t>(std::lround(std::clamp(pixels[i], 0.0f, 255.0f))));
  }
  return bytes;
}

std::string_view frame_color(TileFrame frame) {
  switch (frame) {
    case TileFrame::none:
      return "#d1d5db";
    case TileFrame::right:
      return "#009e73";
    case TileFrame::wrong:
      return "#d55e00";
  }
  return "#d1d5db";
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
  const auto count = static_cast<int64_t>(tiles.size());
  columns = std::min(columns, count);
  int64_t caption_lines = 0;
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
    if (!tile.caption.empty()) {
      caption_lines = std::max<int64_t>(caption_lines, 1 + std::count(tile.caption.begin(), tile.caption.end(), '\n'));
    }
  }

  // A unit is two pixels of a png: an even factor puts every face's edge on a pixel.
  const int64_t scale = std::max<int64_t>(2, 2 * std::lround(150.0 / static_cast<double>(std::max(height, width))));
  const int64_t tile_width = width * scale / 2;
  const int64_t tile_height = height * scale / 2;
  const int64_t cell_height = tile_height + (caption_lines > 0 ? 6 + kLineHeight * caption_lines : 0) + kGap;
  const int64_t title_height = title.empty() ? kGap : 46;
  const int64_t sheet_width = kGap + columns * (tile_width + kGap);
  const int64_t sheet_height = title_height + (count + columns - 1) / columns * cell_height;

  // The page's coordinates are units from its upper left corner.
  std::string script =
      "set lmargin at screen 0\nset rmargin at screen 1\nset bmargin at screen 0\nset tmargin at screen 1\n"
      "unset border\nunset tics\nunset grid\nunset key\n";
  script += fmt::format("set xrange [0:{}]\nset yrange [{}:0]\n", sheet_width, sheet_height);
  if (!title.empty()) {
    script += fmt::format("set label {} at {},{} left font 'DejaVu Sans:Bold,12' textcolor rgb '#111827'\n",
                          gnuplot_string(fit_text(title, 12 * 1.13, static_cast<double>(sheet_width - 2 * kGap))),
                          kGap,
                          title_height / 2);
  }
  std::string images;
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    const Tile& tile = tiles[static_cast<size_t>(i)];
    const int64_t x = kGap + i % columns * (tile_width + kGap);
    const int64_t y = title_height + i / columns * cell_height;
    const int64_t channels = static_cast<int64_t>(tile.image.size()) / (height * width);
    images +=
        fmt::format("{}'-' binary array=({},{}) format='%uchar' dx=0.5 dy=0.5 origin=({},{}) using {} with rgbimage",
                    i == 0 ? "plot " : ", ",
                    width * scale,
                    height * scale,
                    static_cast<double>(x) + 0.25,
                    static_cast<double>(y) + 0.25,
                    channels == 1 ? "1:1:1" : "1:2:3");
    bytes += enlarged(tile.image, height, width, channels, scale);
    script +=
        fmt::format("set object rectangle from {},{} to {},{} front fillstyle empty border rgb '{}' linewidth {}\n",
                    x,
                    y,
                    x + tile_width,
                    y + tile_height,
                    frame_color(tile.frame),
                    tile.frame == TileFrame::none ? 0.5 : 2.2);
    if (tile.caption.empty()) continue;
    const std::vector<std::string> lines = split(tile.caption, '\n');
    for (size_t line = 0; line < lines.size(); ++line) {
      script += fmt::format("set label {} at {},{} left font 'DejaVu Sans,{}' textcolor rgb '{}'\n",
                            gnuplot_string(fit_text(lines[line], kCaptionPoints, static_cast<double>(tile_width + 4))),
                            x,
                            y + tile_height + 6 + kLineHeight / 2 + kLineHeight * static_cast<int64_t>(line),
                            kCaptionPoints,
                            line == 0 ? "#111827" : "#4b5563");
    }
  }
  write_picture(path, sheet_width, sheet_height, script + images + "\n" + bytes);
}

}  // namespace mien::report
