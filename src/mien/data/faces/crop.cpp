// Pixels of a face's square.
#include "mien/data/faces/crop.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "mien/core/error.h"

namespace mien::data {
namespace {

void check_square(const FaceBox& square, int64_t height, int64_t width) {
  const double longest = 4.0 * static_cast<double>(std::max(height, width));
  const bool is_sound = square.width > 0 && square.width <= longest && square.height > 0 && square.height <= longest;
  const bool is_inside = square.x < static_cast<double>(width) && square.y < static_cast<double>(height) &&
                         square.x + square.width > 0 && square.y + square.height > 0;
  if (is_sound && is_inside) return;
  throw_usage(fmt::format("cannot crop {:.0f}x{:.0f} pixels at {:.0f},{:.0f} from a picture of {}x{} pixels",
                          square.width,
                          square.height,
                          square.x,
                          square.y,
                          width,
                          height));
}

/// `square` of `picture` as side x side pixels.
cv::Mat crop(const cv::Mat& picture, const FaceBox& square, int side) {
  cv::Mat out;
  if (square.side() <= side) {  // grows: bilinear, at fractions of a pixel
    const double step = square.width / side;
    const cv::Matx23d places(step, 0, square.x + step / 2 - 0.5, 0, square.height / side, square.y + step / 2 - 0.5);
    cv::warpAffine(
        picture, out, places, cv::Size(side, side), cv::INTER_LINEAR | cv::WARP_INVERSE_MAP, cv::BORDER_REPLICATE);
    return out;
  }
  const int left = static_cast<int>(std::lround(square.x));
  const int top = static_cast<int>(std::lround(square.y));
  const int right = std::max(left + 1, static_cast<int>(std::lround(square.x + square.width)));
  const int bottom = std::max(top + 1, static_cast<int>(std::lround(square.y + square.height)));
  const cv::Rect inner(cv::Point(std::clamp(left, 0, picture.cols - 1), std::clamp(top, 0, picture.rows - 1)),
                       cv::Point(std::clamp(right, 1, picture.cols), std::clamp(bottom, 1, picture.rows)));
  cv::Mat padded;
  cv::copyMakeBorder(picture(inner),
                     padded,
                     inner.y - top,
                     bottom - inner.br().y,
                     inner.x - left,
                     right - inner.br().x,
                     cv::BORDER_REPLICATE | cv::BORDER_ISOLATED);
  cv::resize(padded, out, cv::Size(side, side), 0, 0, cv::INTER_AREA);
  return out;
}

template <class Image>
Image crop_of(const Image& picture, int channels, const FaceBox& square, int64_t side) {
  check_square(square, picture.height, picture.width);
  if (side < 1 || side > kLargestSide) throw_usage(fmt::format("a crop's side is {} pixels", side));
  const cv::Mat whole(static_cast<int>(picture.height),
                      static_cast<int>(picture.width),
                      CV_MAKETYPE(CV_8U, channels),
                      const_cast<uint8_t*>(picture.pixels.data()));
  const cv::Mat face = crop(whole, square, static_cast<int>(side));
  return {side, side, {face.data, face.data + side * side * channels}};
}

}  // namespace

GrayImage crop_gray(const GrayImage& picture, const FaceBox& square, int64_t side) {
  return crop_of(picture, 1, square, side);
}

GrayImage crop_gray(const RgbImage& picture, const FaceBox& square, int64_t side) {
  return to_gray(crop_of(picture, 3, square, side));
}

RgbImage crop_rgb(const RgbImage& picture, const FaceBox& square, int64_t side) {
  return crop_of(picture, 3, square, side);
}

}  // namespace mien::data
