#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace mien::data {

/// A gray picture in memory.
struct GrayImage {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;  ///< [height, width], 0 black to 255 white
};

/// False in a build without MIEN_WITH_VISION: then every function below throws Error(usage).
bool has_image_files();

/// Decodes a png, jpg, bmp, tif, webp or pgm file to gray (8 bits; EXIF orientation applied, alpha dropped).
/// Throws Error(bad_data) naming the file if it is missing, larger than 256 MB, or no picture.
GrayImage read_gray_image(const std::filesystem::path& path);

/// `image` resampled to height x width: each pixel the mean of the area it covers when shrinking, bilinear when
/// growing.
GrayImage resize_gray(const GrayImage& image, int64_t height, int64_t width);

/// Writes [height, width] gray pixels as png, atomically. Throws Error(failed) if the file cannot be written.
void write_png_gray(const std::filesystem::path& path, std::span<const uint8_t> pixels, int64_t height, int64_t width);

/// Writes [height, width, 3] pixels in the order red, green, blue as png, atomically.
void write_png_rgb(const std::filesystem::path& path, std::span<const uint8_t> pixels, int64_t height, int64_t width);

/// The same as jpg of quality 95 (of 100). The same pixels give the same bytes.
void write_jpeg_rgb(const std::filesystem::path& path, std::span<const uint8_t> pixels, int64_t height, int64_t width);

/// Pixels of an encoded picture (png, jpg, ...) in memory.
struct RgbImage {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;  ///< [height, width, 3]: red, green, blue
};
/// Throws Error(bad_data) if `bytes` are no picture.
RgbImage decode_rgb(std::string_view bytes);

}  // namespace mien::data
