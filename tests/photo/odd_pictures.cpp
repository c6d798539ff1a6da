#include "photo/odd_pictures.h"

#include <cstdio>
#include <vector>

#include <jpeglib.h>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "mien/core/files.h"

namespace mien::photo {
namespace {

namespace fs = std::filesystem;

std::string jpeg_bytes(const cv::Mat& image) {
  std::vector<uint8_t> bytes;
  cv::imencode(".jpg", image, bytes);
  return {bytes.begin(), bytes.end()};
}

/// A jpg with an EXIF block that holds the orientation alone.
void write_turned(const fs::path& path, const cv::Mat& image, char orientation) {
  std::string exif("\xff\xe1\0\0Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0", 36);
  exif[2] = 0;
  exif[3] = static_cast<char>(exif.size() - 2);
  exif[28] = orientation;
  const std::string bytes = jpeg_bytes(image);
  write_atomic(path, bytes.substr(0, 2) + exif + bytes.substr(2));
}

/// Four inks, stored upside down as Adobe's programs do.
void write_cmyk(const fs::path& path, const cv::Mat& bgr) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  FILE* const file = std::fopen(path.c_str(), "wb");
  jpeg_stdio_dest(&info, file);
  info.image_width = static_cast<JDIMENSION>(bgr.cols);
  info.image_height = static_cast<JDIMENSION>(bgr.rows);
  info.input_components = 4;
  info.in_color_space = JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_start_compress(&info, TRUE);
  std::vector<JSAMPLE> line(static_cast<size_t>(bgr.cols) * 4);
  for (int y = 0; y < bgr.rows; ++y) {
    for (int x = 0; x < bgr.cols; ++x) {
      const auto& color = bgr.at<cv::Vec3b>(y, x);
      for (int c = 0; c < 3; ++c) line[static_cast<size_t>(4 * x + c)] = color[2 - c];
      line[static_cast<size_t>(4 * x + 3)] = 255;
    }
    JSAMPROW row = line.data();
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::fclose(file);
}

}  // namespace

fs::path astronaut() { return fs::path(MIEN_SOURCE_DIR) / "tests" / "fixtures" / "photographs" / "astronaut.jpg"; }

void write_odd_pictures(const fs::path& folder) {
  fs::create_directories(folder);
  const cv::Mat bgr = cv::imread(astronaut().string());
  cv::Mat other;
  cv::cvtColor(bgr, other, cv::COLOR_BGR2BGRA);
  cv::imwrite((folder / "rgba.png").string(), other);
  bgr.convertTo(other, CV_16U, 257);
  cv::imwrite((folder / "sixteen.png").string(), other);
  cv::imwrite((folder / "deep.tif").string(), other);
  cv::cvtColor(bgr, other, cv::COLOR_BGR2GRAY);
  cv::imwrite((folder / "gray.png").string(), other);
  write_cmyk(folder / "cmyk.jpg", bgr);
  cv::rotate(bgr, other, cv::ROTATE_90_COUNTERCLOCKWISE);
  write_turned(folder / "exif6.jpg", other, 6);
  cv::rotate(bgr, other, cv::ROTATE_180);
  write_turned(folder / "exif3.jpg", other, 3);
}

void write_bad_pictures(const fs::path& folder) {
  fs::create_directories(folder);
  const std::string whole = read_text(astronaut());
  write_atomic(folder / "cut.jpg", whole.substr(0, whole.size() / 2));
  write_atomic(folder / "text.png", "this is no picture");
  write_atomic(folder / "empty.jpg", "");
  write_atomic(folder / "moving.gif", std::string("GIF89a\1\0\1\0\0\0\0;", 14));
  std::string webp("RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x0f\0\0\x0f\0\0ANIM\0\0\0\0", 38);
  write_atomic(folder / "moving.webp", webp);
  cv::imwrite((folder / "wall.png").string(), cv::Mat(120, 160, CV_8UC3, cv::Scalar(90, 120, 140)));
}

}  // namespace mien::photo
