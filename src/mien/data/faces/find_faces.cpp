#include "mien/data/faces/find_faces.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/objdetect.hpp>
#include <opencv2/objdetect/face.hpp>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::data {
namespace {

namespace fs = std::filesystem;

constexpr double kWindow = 24;       // side of the cascade's window, pixels
constexpr double kRoom = 1.25;       // the smallest face is so much larger, so that a step of the pyramid meets it
constexpr double kStep = 1.1;        // between two sizes of the pyramid
constexpr double kMostEnlarged = 4;  // a picture is never enlarged more
constexpr double kYuNetSide = 640;   // longer side of the pictures that YuNet was trained with
constexpr float kYuNetScore = 0.7F;  // faces below are dropped
constexpr float kYuNetSuppression = 0.3F;
constexpr int64_t kLeastPicture = 8;  // pixels a side
constexpr const char* kFrontal = "haarcascade_frontalface_default.xml";
constexpr const char* kEye = "haarcascade_eye.xml";

/// Where OpenCV's cascades lie: Debian's place, then those of an OpenCV from its sources.
fs::path cascade_file(const char* name) {
  std::error_code ignored;
  constexpr std::array kFolders{"/usr/share/opencv4/haarcascades",
                                "/usr/local/share/opencv4/haarcascades",
                                "/usr/share/opencv/haarcascades",
                                "/usr/share/OpenCV/haarcascades"};
  for (const char* folder : kFolders) {
    if (fs::path file = fs::path(folder) / name; fs::is_regular_file(file, ignored)) return file;
  }
  return {};
}

cv::CascadeClassifier load_cascade(const fs::path& file) {
  cv::CascadeClassifier cascade;
  bool loaded = false;
  try {
    loaded = cascade.load(file.string());
  } catch (const cv::Exception&) {
    loaded = false;
  }
  if (!loaded || cascade.empty()) {
    throw_usage(fmt::format("cannot find faces with {}: it is no cascade that OpenCV reads", file.string()),
                "--detector haar takes OpenCV's own");
  }
  return cascade;
}

cv::Mat view(const GrayImage& picture) {
  return {static_cast<int>(picture.height),
          static_cast<int>(picture.width),
          CV_8UC1,
          const_cast<uint8_t*>(picture.pixels.data())};
}

/// By how much a picture is scaled so that its smallest wanted face fills `window` pixels.
double working_scale(double longer_side, double least_face, double window) {
  return std::min(kMostEnlarged, window / (least_face * longer_side));
}

cv::Mat scaled(const cv::Mat& picture, double scale) {
  const cv::Size size(std::max(1, static_cast<int>(std::lround(picture.cols * scale))),
                      std::max(1, static_cast<int>(std::lround(picture.rows * scale))));
  if (size == picture.size()) return picture;
  cv::Mat out;
  cv::resize(picture, out, size, 0, 0, scale < 1 ? cv::INTER_AREA : cv::INTER_LINEAR);
  return out;
}

/// The eyes of a face in equalized gray: the two boxes of the upper half that are most level and alike.
std::optional<EyeLine> find_eyes(cv::CascadeClassifier& cascade,
                                 const cv::Mat& gray,
                                 const FaceBox& box,
                                 double scale) {
  constexpr double kFaceSide = 128;  // at which eyes are looked for
  const cv::Rect whole(0, 0, gray.cols, gray.rows);
  const cv::Rect upper = cv::Rect(static_cast<int>(box.x * scale),
                                  static_cast<int>(box.y * scale),
                                  static_cast<int>(box.width * scale),
                                  static_cast<int>(box.height * scale * 0.6)) &
                         whole;
  if (upper.width < 12 || upper.height < 8) return std::nullopt;
  const double zoom = kFaceSide / (box.width * scale);
  std::vector<cv::Rect> eyes;
  cascade.detectMultiScale(scaled(gray(upper), zoom), eyes, 1.05, 3, 0, cv::Size(20, 20), cv::Size(56, 56));
  std::optional<EyeLine> best;
  double least = 0.35;  // how unlike two eyes may be placed and sized, in sides of the face
  for (const cv::Rect& left : eyes) {
    for (const cv::Rect& right : eyes) {
      const double dx = (right.x + right.width / 2.0 - left.x - left.width / 2.0) / kFaceSide;
      const double dy = (right.y + right.height / 2.0 - left.y - left.height / 2.0) / kFaceSide;
      if (dx < 0.25 || dx > 0.65 || std::abs(dy) > 0.25) continue;
      const double unlike = std::abs(dx - 0.42) + std::abs(left.width - right.width) / kFaceSide;
      if (unlike >= least) continue;
      least = unlike;
      const auto place = [&](double middle, int offset) { return (offset + middle / zoom) / scale; };
      best = EyeLine{place(left.x + left.width / 2.0, upper.x),
                     place(left.y + left.height / 2.0, upper.y),
                     place(right.x + right.width / 2.0, upper.x),
                     place(right.y + right.height / 2.0, upper.y)};
    }
  }
  return best;
}

}  // namespace

struct FaceFinder::Detector {
  FindFacesOptions options;
  std::string name;
  cv::CascadeClassifier cascade;
  cv::CascadeClassifier eyes;
  cv::Ptr<cv::FaceDetectorYN> yunet;

  std::vector<FoundFace> find_by_cascade(const cv::Mat& gray) {
    const double longer = std::max(gray.cols, gray.rows);
    const double scale = working_scale(longer, options.least_face, kWindow * kRoom);
    const cv::Mat small = scaled(gray, scale);
    const int least = std::max(static_cast<int>(kWindow), static_cast<int>(options.least_face * longer * scale));
    std::vector<cv::Rect> boxes;
    std::vector<int> agreed;
    cascade.detectMultiScale(
        small, boxes, agreed, kStep, static_cast<int>(options.neighbors), 0, cv::Size(least, least));
    std::vector<FoundFace> faces;
    for (size_t i = 0; i < boxes.size(); ++i) {
      FoundFace face{.box = {boxes[i].x / scale, boxes[i].y / scale, boxes[i].width / scale, boxes[i].height / scale},
                     .eyes = {},
                     .score = static_cast<double>(agreed[i])};
      // Eyes are looked for in the picture's own pixels, unless the face is larger than that needs.
      const double eye_scale = std::min(1.0, 160 / face.box.width);
      if (options.eyes && !eyes.empty()) face.eyes = find_eyes(eyes, scaled(gray, eye_scale), face.box, eye_scale);
      faces.push_back(face);
    }
    return faces;
  }

  std::vector<FoundFace> find_by_yunet(const cv::Mat& bgr) {
    const double scale = std::min(kMostEnlarged, kYuNetSide / std::max(bgr.cols, bgr.rows));
    const cv::Mat small = scaled(bgr, scale);
    yunet->setInputSize(small.size());
    cv::Mat found;
    yunet->detect(small, found);
    std::vector<FoundFace> faces;
    for (int row = 0; row < found.rows; ++row) {
      const float* const values = found.ptr<float>(row);
      const auto at = [&](int i) { return values[i] / scale; };
      FoundFace face{
          .box = {at(0), at(1), at(2), at(3)}, .eyes = EyeLine{at(4), at(5), at(6), at(7)}, .score = values[14]};
      if (face.eyes->left_x > face.eyes->right_x) {
        std::swap(face.eyes->left_x, face.eyes->right_x);
        std::swap(face.eyes->left_y, face.eyes->right_y);
      }
      if (face.box.side() >= options.least_face * std::max(bgr.cols, bgr.rows)) faces.push_back(face);
    }
    return faces;
  }

  template <class Find>
  std::vector<FoundFace> find(const cv::Mat& picture, Find search) {
    if (picture.rows < kLeastPicture || picture.cols < kLeastPicture) return {};
    std::vector<FoundFace> faces;
    try {
      faces = search();
    } catch (const cv::Exception& error) {
      throw_failed(
          fmt::format("{} failed on a picture of {}x{} pixels: {}", name, picture.cols, picture.rows, error.err));
    }
    std::sort(faces.begin(), faces.end(), [](const FoundFace& a, const FoundFace& b) {
      return std::tuple(-a.box.side(), a.box.x, a.box.y) < std::tuple(-b.box.side(), b.box.x, b.box.y);
    });
    return faces;
  }
};

FaceFinder::FaceFinder(const FindFacesOptions& options) : detector_(std::make_unique<Detector>()) {
  static const auto kSilenced = cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  static_cast<void>(kSilenced);
  detector_->options = options;
  const fs::path file = options.is_default_detector() ? cascade_file(kFrontal) : fs::path(options.detector);
  if (file.empty())
    throw_usage(fmt::format("cannot find faces: {} is not installed", kFrontal),
                "apt-get install opencv-data, or name a detector's file: --detector FILE");
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored))
    throw_usage(fmt::format("cannot find faces with {}: there is no such file", quote_sample(file.string())),
                "--detector haar, or the path of a cascade (.xml) or a YuNet (.onnx)");
  detector_->name = options.detector_name();
  if (lower(file.extension().string()) == ".onnx") {
    try {
      detector_->yunet =
          cv::FaceDetectorYN::create(file.string(), "", cv::Size(320, 320), kYuNetScore, kYuNetSuppression);
    } catch (const cv::Exception&) {
      detector_->yunet.release();
    }
    if (!detector_->yunet)
      throw_usage(
          fmt::format("cannot find faces with {}: it is no YuNet that OpenCV {} reads", file.string(), CV_VERSION),
          "OpenCV's model zoo has face_detection_yunet; --detector haar needs no file");
    return;
  }
  detector_->cascade = load_cascade(file);
  if (const fs::path eye = cascade_file(kEye); options.eyes && !eye.empty()) detector_->eyes = load_cascade(eye);
}

FaceFinder::~FaceFinder() = default;
FaceFinder::FaceFinder(FaceFinder&&) noexcept = default;
FaceFinder& FaceFinder::operator=(FaceFinder&&) noexcept = default;

std::vector<FoundFace> FaceFinder::find(const GrayImage& picture) {
  const cv::Mat gray = view(picture);
  return detector_->find(gray, [&] {
    if (!detector_->yunet) return detector_->find_by_cascade(gray);
    cv::Mat bgr;
    cv::cvtColor(gray, bgr, cv::COLOR_GRAY2BGR);
    return detector_->find_by_yunet(bgr);
  });
}

std::vector<FoundFace> FaceFinder::find(const RgbImage& picture) {
  if (!detector_->yunet) return find(to_gray(picture));
  const cv::Mat rgb(static_cast<int>(picture.height),
                    static_cast<int>(picture.width),
                    CV_8UC3,
                    const_cast<uint8_t*>(picture.pixels.data()));
  return detector_->find(rgb, [&] {
    cv::Mat bgr;
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
    return detector_->find_by_yunet(bgr);
  });
}

const std::string& FaceFinder::name() const { return detector_->name; }

}  // namespace mien::data
