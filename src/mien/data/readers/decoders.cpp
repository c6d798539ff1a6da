#include "mien/data/readers/decoders.h"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

#include <jerror.h>
#include <jpeglib.h>
#include <png.h>

namespace mien::data {
namespace {

constexpr int kMostScans = 100;  // of a progressive jpg; usual ones have 10
constexpr png_uint_32 kLargestSide = 1 << 15;

/// Both libraries end by longjmp. What has a destructor therefore lives in these two classes, and the member functions
/// that call setjmp have nothing of the kind.
class JpegDecoder {
 public:
  explicit JpegDecoder(std::string_view bytes) : bytes_(bytes) {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = [](j_common_ptr info) {
      auto& self = *static_cast<JpegDecoder*>(info->client_data);
      info->err->format_message(info, self.message_.data());
      std::longjmp(self.exit_, 1);
    };
    errors_.emit_message = [](j_common_ptr info, int level) {
      auto& self = *static_cast<JpegDecoder*>(info->client_data);
      if (level >= 0 || self.damaged_ || !is_damage(info->err->msg_code)) return;
      self.damaged_ = true;
      info->err->format_message(info, self.message_.data());
    };
    errors_.output_message = [](j_common_ptr) {};
    progress_.progress_monitor = [](j_common_ptr info) {
      const auto* const decoder = reinterpret_cast<j_decompress_ptr>(info);
      if (decoder->input_scan_number <= kMostScans) return;
      auto& self = *static_cast<JpegDecoder*>(info->client_data);
      std::snprintf(self.message_.data(), self.message_.size(), "it has more than %d scans", kMostScans);
      std::longjmp(self.exit_, 1);
    };
    info_.client_data = this;
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  DecodedPicture decode(int channels) {
    if (!start(channels)) throw std::runtime_error(message_.data());
    DecodedPicture picture{.height = info_.output_height,
                           .width = info_.output_width,
                           .channels = channels,
                           .pixels = {},
                           .orientation = orientation()};
    const auto line = static_cast<size_t>(info_.output_width) * static_cast<size_t>(info_.output_components);
    std::vector<uint8_t> lines(line * info_.output_height);
    if (!read(lines.data(), line) || damaged_) throw std::runtime_error(message_.data());
    picture.pixels = info_.out_color_space == JCS_CMYK ? from_cmyk(lines, channels) : std::move(lines);
    return picture;
  }

 private:
  static bool is_damage(int code) {
    constexpr std::array kHarmless{JWRN_ADOBE_XFORM, JWRN_BOGUS_PROGRESSION, JWRN_JFIF_MAJOR, JWRN_TOO_MUCH_DATA};
    return std::find(kHarmless.begin(), kHarmless.end(), code) == kHarmless.end();
  }

  bool start(int channels) {
    if (setjmp(exit_) != 0) return false;
    jpeg_create_decompress(&info_);
    info_.progress = &progress_;
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&info_, TRUE);
    info_.out_color_space = info_.num_components == 4 ? JCS_CMYK : channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&info_);
    return true;
  }

  bool read(uint8_t* lines, size_t line) {
    if (setjmp(exit_) != 0) return false;
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = lines + line * info_.output_scanline;
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  int orientation() const {
    constexpr std::string_view kExif("Exif\0\0", 6);
    for (const jpeg_marker_struct* marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (data.starts_with(kExif)) return exif_orientation(data.substr(kExif.size()));
    }
    return 1;
  }

  /// Adobe's programs store ink upside down: 255 is none.
  std::vector<uint8_t> from_cmyk(const std::vector<uint8_t>& inks, int channels) const {
    const bool inverted = info_.saw_Adobe_marker != 0;
    std::vector<uint8_t> pixels;
    pixels.reserve(inks.size() / 4 * static_cast<size_t>(channels));
    for (size_t at = 0; at + 3 < inks.size(); at += 4) {
      std::array<int, 3> color{};
      for (size_t i = 0; i < 3; ++i) {
        const int light = inverted ? inks[at + i] : 255 - inks[at + i];
        const int black = inverted ? inks[at + 3] : 255 - inks[at + 3];
        color[i] = (light * black + 127) / 255;
      }
      if (channels == 3) {
        for (const int value : color) pixels.push_back(static_cast<uint8_t>(value));
      } else {
        pixels.push_back(static_cast<uint8_t>((299 * color[0] + 587 * color[1] + 114 * color[2] + 500) / 1000));
      }
    }
    return pixels;
  }

  std::string_view bytes_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf exit_{};
  std::array<char, JMSG_LENGTH_MAX> message_{};
  bool damaged_ = false;
};

class PngDecoder {
 public:
  explicit PngDecoder(std::string_view bytes) : bytes_(bytes) {
    png_ = png_create_read_struct(
        PNG_LIBPNG_VER_STRING,
        this,
        [](png_structp png, png_const_charp message) {
          auto& self = *static_cast<PngDecoder*>(png_get_error_ptr(png));
          std::snprintf(self.message_.data(), self.message_.size(), "%s", message);
          std::longjmp(self.exit_, 1);
        },
        [](png_structp, png_const_charp) {});
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, &info_, nullptr);
      throw std::bad_alloc();
    }
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  DecodedPicture decode(int channels) {
    if (!start(channels)) throw std::runtime_error(message_.data());
    DecodedPicture picture{.height = png_get_image_height(png_, info_),
                           .width = png_get_image_width(png_, info_),
                           .channels = channels,
                           .pixels = {},
                           .orientation = 1};
    const size_t line = png_get_rowbytes(png_, info_);
    const bool deep = png_get_bit_depth(png_, info_) == 16;
    const auto samples = static_cast<size_t>(picture.height * picture.width * channels);
    if (line * static_cast<size_t>(picture.height) != samples * (deep ? 2 : 1)) {
      throw std::runtime_error("its header contradicts itself");
    }
    std::vector<uint16_t> wide(deep ? samples : 0);
    if (!deep) picture.pixels.resize(samples);
    uint8_t* const lines = deep ? reinterpret_cast<uint8_t*>(wide.data()) : picture.pixels.data();
    if (!read(lines, line, static_cast<size_t>(picture.height))) throw std::runtime_error(message_.data());
    if (deep) picture.pixels = narrow_samples(wide.data(), wide.size());
    png_bytep exif = nullptr;
    png_uint_32 exif_size = 0;
    if (png_get_eXIf_1(png_, info_, &exif_size, &exif) != 0 && exif != nullptr) {
      picture.orientation = exif_orientation({reinterpret_cast<const char*>(exif), exif_size});
    }
    return picture;
  }

 private:
  bool start(int channels) {
    if (setjmp(exit_) != 0) return false;
    png_set_read_fn(png_, this, [](png_structp png, png_bytep out, size_t count) {
      auto& self = *static_cast<PngDecoder*>(png_get_io_ptr(png));
      if (count > self.bytes_.size() - self.at_) png_error(png, "it ends too early");
      std::memcpy(out, self.bytes_.data() + self.at_, count);
      self.at_ += count;
    });
    png_set_user_limits(png_, kLargestSide, kLargestSide);
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
    png_read_info(png_, info_);
    const bool has_color = (png_get_color_type(png_, info_) & PNG_COLOR_MASK_COLOR) != 0;
    png_set_expand(png_);
    png_set_strip_alpha(png_);
    if (png_get_bit_depth(png_, info_) == 16) png_set_swap(png_);  // the file has the upper byte first
    if (channels == 1 && has_color) png_set_rgb_to_gray(png_, PNG_ERROR_ACTION_NONE, 0.299, 0.587);
    if (channels == 3 && !has_color) png_set_gray_to_rgb(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool read(uint8_t* lines, size_t line, size_t height) {
    if (setjmp(exit_) != 0) return false;
    for (int pass = 0; pass < passes_; ++pass) {
      for (size_t y = 0; y < height; ++y) png_read_row(png_, lines + y * line, nullptr);
    }
    png_read_end(png_, info_);
    return true;
  }

  std::string_view bytes_;
  size_t at_ = 0;
  int passes_ = 1;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf exit_{};
  std::array<char, 200> message_{};
};

}  // namespace

DecodedPicture decode_jpeg(std::string_view bytes, int channels) { return JpegDecoder(bytes).decode(channels); }
DecodedPicture decode_png(std::string_view bytes, int channels) { return PngDecoder(bytes).decode(channels); }

std::vector<uint8_t> narrow_samples(const uint16_t* samples, size_t count) {
  const bool fits = std::all_of(samples, samples + count, [](uint16_t value) { return value <= 255; });
  std::vector<uint8_t> out(count);
  std::transform(samples, samples + count, out.begin(), [fits](uint16_t value) {
    return static_cast<uint8_t>(fits ? value : value >> 8);
  });
  return out;
}

int exif_orientation(std::string_view tiff) {
  const bool big_endian = tiff.starts_with("MM");
  if (!big_endian && !tiff.starts_with("II")) return 1;
  const auto number = [&](uint64_t place, uint64_t size) -> uint64_t {
    if (place > tiff.size() || size > tiff.size() - place) return 0;
    uint64_t value = 0;
    for (uint64_t i = 0; i < size; ++i) {
      value = value << 8 | static_cast<uint8_t>(tiff[place + (big_endian ? i : size - 1 - i)]);
    }
    return value;
  };
  constexpr uint64_t kOrientation = 0x112;
  const uint64_t directory = number(4, 4);
  for (uint64_t i = 0; i < number(directory, 2); ++i) {
    const uint64_t entry = directory + 2 + 12 * i;
    if (number(entry, 2) != kOrientation) continue;
    const uint64_t value = number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace mien::data
