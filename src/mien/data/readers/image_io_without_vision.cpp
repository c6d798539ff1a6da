// Stands in for image_io.cpp in a build without OpenCV.
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/data/readers/image_io.h"

namespace mien::data {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw_usage(fmt::format("cannot {}: this build of mien has no support for picture files", what),
              "build with -DMIEN_WITH_VISION=ON, which needs OpenCV; csv files work without it");
}

}  // namespace

bool has_image_files() { return false; }
GrayImage read_gray_image(const std::filesystem::path& path) { refuse("read " + path.string()); }
RgbImage read_rgb_image(const std::filesystem::path& path) { refuse("read " + path.string()); }
RgbImage resize_rgb(const RgbImage&, int64_t, int64_t) { refuse("resize a picture"); }
GrayImage resize_gray(const GrayImage&, int64_t, int64_t) { refuse("resize a picture"); }
void write_png_gray(const std::filesystem::path& path, std::span<const uint8_t>, int64_t, int64_t) {
  refuse("write " + path.string());
}
void write_png_rgb(const std::filesystem::path& path, std::span<const uint8_t>, int64_t, int64_t) {
  refuse("write " + path.string());
}
void write_jpeg_rgb(const std::filesystem::path& path, std::span<const uint8_t>, int64_t, int64_t) {
  refuse("write " + path.string());
}
std::string encode_webp(std::span<const uint8_t>, int64_t, int64_t, int64_t, int) { refuse("encode a picture"); }
RgbImage decode_rgb(std::string_view) { refuse("decode a picture"); }

}  // namespace mien::data
