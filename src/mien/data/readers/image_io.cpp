#include "mien/data/readers/image_io.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iostream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/readers/decoders.h"
#include "mien/data/readers/file_kind.h"

namespace mien::data {
namespace {

constexpr uint64_t kLargestFile = uint64_t{256} << 20;

/// View of [height, width] pixels of `type` as a matrix; OpenCV has no read-only one.
cv::Mat view(std::span<const uint8_t> pixels, int64_t height, int64_t width, int type) {
  if (height < 1 || width < 1 || height > kLargestSide || width > kLargestSide ||
      pixels.size() != static_cast<size_t>(height * width * CV_MAT_CN(type))) {
    throw std::logic_error(fmt::format(
        "image_io: {} bytes for {}x{} pixels of {} channels", pixels.size(), height, width, CV_MAT_CN(type)));
  }
  return {static_cast<int>(height), static_cast<int>(width), type, const_cast<uint8_t*>(pixels.data())};
}

void write_encoded(const std::filesystem::path& path,
                   const char* ending,
                   const cv::Mat& image,
                   const std::vector<int>& parameters = {}) {
  std::vector<uint8_t> bytes;
  bool encoded = false;
  try {
    encoded = cv::imencode(ending, image, bytes, parameters);
  } catch (const cv::Exception& error) {
    throw_failed(fmt::format("cannot write {}: {}", path.string(), error.err));
  }
  if (!encoded) throw_failed(fmt::format("cannot write {}: encoding it as {} failed", path.string(), ending + 1));
  write_atomic(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

/// Turns the picture as its EXIF orientation asks.
void orient(DecodedPicture& picture) {
  if (picture.orientation == 1) return;
  const int type = picture.channels == 1 ? CV_8UC1 : CV_8UC3;
  cv::Mat image = view(picture.pixels, picture.height, picture.width, type).clone();
  if (picture.orientation >= 5) cv::transpose(image, image);
  constexpr std::array<std::optional<int>, 9> kFlips{{{}, {}, 1, -1, 0, {}, 1, -1, 0}};  // 1 mirrors left and right
  if (const auto flip = kFlips[static_cast<size_t>(picture.orientation)]) cv::flip(image, image, *flip);
  picture.height = image.rows;
  picture.width = image.cols;
  std::memcpy(picture.pixels.data(), image.data, picture.pixels.size());
}

/// Swallows what OpenCV writes to std::cerr about a cut picture, while any thread decodes one; what failed is said in
/// the error instead, with the file's name.
class Quiet {
 public:
  Quiet() {
    const std::lock_guard lock(mutex_);
    if (users_++ == 0) kept_ = std::cerr.rdbuf(nullptr);
  }
  ~Quiet() {
    const std::lock_guard lock(mutex_);
    if (--users_ > 0) return;
    std::cerr.rdbuf(kept_);
    std::cerr.clear();
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  static inline std::mutex mutex_;
  static inline int users_ = 0;
  static inline std::streambuf* kept_ = nullptr;
};

/// bmp, tif, webp, pgm and ppm.
DecodedPicture decode_by_opencv(std::string_view bytes, int channels) {
  const Quiet quiet;
  static const auto kSilenced = cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  static_cast<void>(kSilenced);
  cv::Mat image;
  try {
    const cv::Mat input(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<char*>(bytes.data()));
    const int color = channels == 1 ? cv::IMREAD_GRAYSCALE : cv::IMREAD_COLOR;
    image = cv::imdecode(input, color | cv::IMREAD_ANYDEPTH);  // turns it by EXIF, too
  } catch (const cv::Exception&) {
    image.release();
  }
  if (image.empty()) throw std::runtime_error("it is cut or damaged");
  if (image.depth() != CV_8U && image.depth() != CV_16U) {
    throw std::runtime_error("its samples are no whole numbers of 8 or 16 bits");
  }
  if (channels == 3) cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  if (!image.isContinuous()) image = image.clone();
  DecodedPicture picture{.height = image.rows, .width = image.cols, .channels = channels, .pixels = {}};
  const size_t samples = image.total() * static_cast<size_t>(channels);
  if (image.depth() == CV_16U) {
    picture.pixels = narrow_samples(image.ptr<uint16_t>(), samples);
  } else {
    picture.pixels.assign(image.data, image.data + samples);
  }
  return picture;
}

/// @source developers.google.com/speed/webp/docs/riff_container, "Extended File Format"
bool is_animated_webp(std::string_view bytes) {
  return bytes.size() > 20 && bytes.substr(12, 4) == "VP8X" && (bytes[20] & 2) != 0;
}

/// Throws std::runtime_error with the reason.
DecodedPicture decode(std::string_view bytes, int channels) {
  if (bytes.empty()) throw std::runtime_error("it is empty, expected a picture");
  const auto format = picture_format(bytes);
  if (!format) {
    const auto foreign = foreign_file(bytes);
    throw std::runtime_error(
        foreign ? fmt::format("it is {}, expected {}; {}", foreign->what, kPictureFormats, foreign->remedy)
                : fmt::format("it is no picture that can be decoded ({})", kPictureFormats));
  }
  if (*format == PictureFormat::webp && is_animated_webp(bytes)) {
    throw std::runtime_error("it is an animated webp, expected a still picture; ffmpeg or webpmux takes one frame out");
  }
  const auto size = picture_size(*format, bytes);
  if (!size)
    throw std::runtime_error(fmt::format("it is a cut or damaged {}: no size in its header", to_text(*format)));
  if (std::max(size->width, size->height) > kLargestSide || size->width * size->height > kMostPixels) {
    throw std::runtime_error(fmt::format("it is {}x{} pixels, expected at most {} a side and {} million in all",
                                         size->width,
                                         size->height,
                                         with_commas(kLargestSide),
                                         kMostPixels / 1'000'000));
  }
  // Large pictures are decoded one at a time, so that memory does not grow with the number of threads.
  constexpr int64_t kLarge = 4'000'000;
  static std::mutex mutex;
  std::unique_lock lock(mutex, std::defer_lock);
  if (size->width * size->height > kLarge) lock.lock();
  try {
    DecodedPicture picture = *format == PictureFormat::png    ? decode_png(bytes, channels)
                             : *format == PictureFormat::jpeg ? decode_jpeg(bytes, channels)
                                                              : decode_by_opencv(bytes, channels);
    orient(picture);
    return picture;
  } catch (const std::runtime_error& problem) {
    throw std::runtime_error(fmt::format("the {} cannot be decoded whole: {}", to_text(*format), problem.what()));
  }
}

DecodedPicture read_picture(const std::filesystem::path& path, int channels) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw_bad_data(fmt::format("cannot read {}: it is no regular file, expected a picture", path.string()));
  }
  const std::string bytes = read_text(path, kLargestFile);
  try {
    return decode(bytes, channels);
  } catch (const std::runtime_error& problem) {
    throw_bad_data(fmt::format("cannot read {}: {}", path.string(), problem.what()));
  }
}

}  // namespace

bool has_image_files() { return true; }

GrayImage read_gray_image(const std::filesystem::path& path) {
  DecodedPicture picture = read_picture(path, 1);
  return {picture.height, picture.width, std::move(picture.pixels)};
}

RgbImage read_rgb_image(const std::filesystem::path& path) {
  DecodedPicture picture = read_picture(path, 3);
  return {picture.height, picture.width, std::move(picture.pixels)};
}

GrayImage resize_gray(const GrayImage& image, int64_t height, int64_t width) {
  if (image.height == height && image.width == width) return image;
  GrayImage out{height, width, std::vector<uint8_t>(static_cast<size_t>(height * width))};
  cv::Mat target = view(out.pixels, height, width, CV_8UC1);
  cv::resize(view(image.pixels, image.height, image.width, CV_8UC1), target, target.size(), 0, 0, cv::INTER_AREA);
  return out;
}

RgbImage resize_rgb(const RgbImage& image, int64_t height, int64_t width) {
  if (image.height == height && image.width == width) return image;
  RgbImage out{height, width, std::vector<uint8_t>(static_cast<size_t>(height * width * 3))};
  cv::Mat target = view(out.pixels, height, width, CV_8UC3);
  cv::resize(view(image.pixels, image.height, image.width, CV_8UC3), target, target.size(), 0, 0, cv::INTER_AREA);
  return out;
}

void write_png_gray(const std::filesystem::path& path, std::span<const uint8_t> pixels, int64_t height, int64_t width) {
  write_encoded(path, ".png", view(pixels, height, width, CV_8UC1));
}

void write_png_rgb(const std::filesystem::path& path, std::span<const uint8_t> pixels, int64_t height, int64_t width) {
  cv::Mat bgr;
  cv::cvtColor(view(pixels, height, width, CV_8UC3), bgr, cv::COLOR_RGB2BGR);
  write_encoded(path, ".png", bgr);
}

void write_jpeg_rgb(const std::filesystem::path& path, std::span<const uint8_t> pixels, int64_t height, int64_t width) {
  cv::Mat bgr;
  cv::cvtColor(view(pixels, height, width, CV_8UC3), bgr, cv::COLOR_RGB2BGR);
  write_encoded(path, ".jpg", bgr, {cv::IMWRITE_JPEG_QUALITY, 95});
}

std::string encode_webp(std::span<const uint8_t> pixels, int64_t height, int64_t width, int64_t channels, int quality) {
  cv::Mat image = view(pixels, height, width, channels == 1 ? CV_8UC1 : CV_8UC3);
  if (channels != 1) {
    cv::Mat bgr;
    cv::cvtColor(image, bgr, cv::COLOR_RGB2BGR);
    image = bgr;
  }
  std::vector<uint8_t> bytes;
  try {
    if (cv::imencode(".webp", image, bytes, {cv::IMWRITE_WEBP_QUALITY, quality}))
      return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  } catch (const cv::Exception&) {
  }
  throw_failed(fmt::format("cannot encode a picture of {}x{} pixels as webp", width, height));
}

RgbImage decode_rgb(std::string_view bytes) {
  try {
    DecodedPicture picture = decode(bytes, 3);
    return {picture.height, picture.width, std::move(picture.pixels)};
  } catch (const std::runtime_error& problem) {
    throw_bad_data(fmt::format("cannot decode a picture: {}", problem.what()));
  }
}

}  // namespace mien::data
