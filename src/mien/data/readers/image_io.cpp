#include "mien/data/readers/image_io.h"

#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <opencv2/core/mat.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"

namespace mien::data {
namespace {

constexpr uint64_t kLargestFile = uint64_t{256} << 20;

/// View of [height, width] pixels of `type` as a matrix; OpenCV has no read-only one.
cv::Mat view(std::span<const uint8_t> pixels, int64_t height, int64_t width, int type) {
  if (height < 1 || width < 1 || height > 1 << 15 || width > 1 << 15 ||
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

}  // namespace

bool has_image_files() { return true; }

GrayImage read_gray_image(const std::filesystem::path& path) {
  const std::string bytes = read_text(path, kLargestFile);
  cv::Mat image;
  std::string reason = "it is no picture that can be decoded (png, jpg, bmp, tif, webp, pgm)";
  if (bytes.empty()) reason = "it is empty, expected a picture";
  try {
    // OpenCV would print warnings of its decoders; what failed is said in the error instead.
    static const auto kSilenced = cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    static_cast<void>(kSilenced);
    const cv::Mat input(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<char*>(bytes.data()));
    if (!bytes.empty()) image = cv::imdecode(input, cv::IMREAD_GRAYSCALE);
  } catch (const cv::Exception& error) {
    reason = error.err;
  }
  if (image.empty()) throw_bad_data(fmt::format("cannot read {}: {}", path.string(), reason));
  return {image.rows, image.cols, std::vector<uint8_t>(image.begin<uint8_t>(), image.end<uint8_t>())};
}

GrayImage resize_gray(const GrayImage& image, int64_t height, int64_t width) {
  if (image.height == height && image.width == width) return image;
  GrayImage out{height, width, std::vector<uint8_t>(static_cast<size_t>(height * width))};
  cv::Mat target = view(out.pixels, height, width, CV_8UC1);
  cv::resize(view(image.pixels, image.height, image.width, CV_8UC1), target, target.size(), 0, 0, cv::INTER_AREA);
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

RgbImage decode_rgb(std::string_view bytes) {
  cv::Mat bgr;
  try {
    const cv::Mat input(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<char*>(bytes.data()));
    if (!bytes.empty()) bgr = cv::imdecode(input, cv::IMREAD_COLOR);
  } catch (const cv::Exception& error) {
    throw_bad_data(fmt::format("cannot decode a picture: {}", error.err));
  }
  if (bgr.empty()) throw_bad_data("cannot decode a picture: it is none that can be decoded (png, jpg, bmp, tif, webp)");
  RgbImage image{bgr.rows, bgr.cols, std::vector<uint8_t>(bgr.total() * 3)};
  cv::Mat rgb = view(image.pixels, image.height, image.width, CV_8UC3);
  cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
  return image;
}

}  // namespace mien::data
