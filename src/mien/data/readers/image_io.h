#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mien::data {

/// A gray picture in memory.
struct GrayImage {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;  ///< [height, width], 0 black to 255 white
};

/// A color picture in memory.
struct RgbImage {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;  ///< [height, width, 3]: red, green, blue
};

/// False in a build without MIEN_WITH_VISION: then every function below throws Error(usage).
bool has_image_files();

/// Largest pictures that are decoded.
inline constexpr int64_t kLargestSide = 32'768;
inline constexpr int64_t kMostPixels = 64'000'000;

/// Decodes a png, jpg, bmp, tif, webp, pgm or ppm file (its first bytes decide, not its name) to 8-bit gray: EXIF
/// orientation applied, alpha dropped, colors weighted 0.299, 0.587, 0.114. Of 16 bits a sample the upper 8 are kept,
/// or the value itself where no sample of the picture is above 255. The size in the header is looked at first.
/// Throws Error(bad_data) naming the file and the reason if it is missing, no regular file, above 256 MB, 32,768
/// pixels a side or 64 million pixels, cut or damaged, of a format that is not read, or holds floating-point numbers.
GrayImage read_gray_image(const std::filesystem::path& path);

/// The same, in color; a gray picture has three equal channels.
RgbImage read_rgb_image(const std::filesystem::path& path);

/// `image` resampled to height x width: each pixel the mean of the area it covers when shrinking, bilinear when
/// growing.
GrayImage resize_gray(const GrayImage& image, int64_t height, int64_t width);
RgbImage resize_rgb(const RgbImage& image, int64_t height, int64_t width);

/// Writes [height, width] gray pixels as png, atomically. Throws Error(failed) if the file cannot be written.
void write_png_gray(const std::filesystem::path& path, std::span<const uint8_t> pixels, int64_t height, int64_t width);

/// Writes [height, width, 3] pixels in the order red, green, blue as png, atomically.
void write_png_rgb(const std::filesystem::path& path, std::span<const uint8_t> pixels, int64_t height, int64_t width);

/// The same as jpg of quality 95 (of 100). The same pixels give the same bytes.
void write_jpeg_rgb(const std::filesystem::path& path, std::span<const uint8_t> pixels, int64_t height, int64_t width);

/// [height, width, channels] pixels, gray (1) or red, green, blue (3), as the bytes of a WebP file of `quality` (1 to
/// 100), or above 100 without loss. The same pixels give the same bytes. Throws Error(failed) if it cannot be encoded.
std::string encode_webp(std::span<const uint8_t> pixels, int64_t height, int64_t width, int64_t channels, int quality);

/// Pixels of an encoded picture in memory, as read_rgb_image reads them. Throws Error(bad_data) if `bytes` are none.
RgbImage decode_rgb(std::string_view bytes);

}  // namespace mien::data
