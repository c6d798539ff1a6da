#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace mien::data {

/// A decoded picture.
struct DecodedPicture {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 1;         ///< 1 gray, 3 red, green, blue
  std::vector<uint8_t> pixels;  ///< [height, width, channels], 0 to 255
  int orientation = 1;          ///< EXIF's, 1 to 8: how the pixels are to be turned
};

/// Decodes with libpng and libjpeg directly, because they tell a damaged picture from a whole one and say why, where
/// OpenCV prints to the terminal or takes what it got. `channels` is 1 (gray: 0.299 red + 0.587 green + 0.114 blue)
/// or 3. Alpha is dropped. Throws std::runtime_error with the reason where the picture is cut or damaged in any place.
DecodedPicture decode_png(std::string_view bytes, int channels);
DecodedPicture decode_jpeg(std::string_view bytes, int channels);

/// 8 bits of each 16-bit sample: the value itself where no sample is above 255 (8-bit values stored in 16 bits), else
/// the upper 8 bits.
std::vector<uint8_t> narrow_samples(const uint16_t* samples, size_t count);

/// The orientation (1 to 8) that an EXIF block (a TIFF header and its directories) names, 1 where it names none.
int exif_orientation(std::string_view tiff);

}  // namespace mien::data
