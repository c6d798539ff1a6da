#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/data/readers/image_io.h"

namespace mien::data {

/// A rectangle in a picture, pixels from the upper left corner; edges, not centers of pixels.
struct FaceBox {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;

  double center_x() const { return x + width / 2; }
  double center_y() const { return y + height / 2; }
  double side() const { return width > height ? width : height; }  ///< the longer one
};

/// Share of the area of both together that two boxes have in common, 0 to 1.
double overlap(const FaceBox& first, const FaceBox& second);

/// Centers of the two eyes in the picture, the left one of the picture first.
struct EyeLine {
  double left_x = 0;
  double left_y = 0;
  double right_x = 0;
  double right_y = 0;

  /// Angle of the line between the eyes, degrees against the clock; 0 is level.
  double degrees() const;
};

/// One face that a detector found.
struct FoundFace {
  FaceBox box;                  ///< as the detector gives it; the cascade's is a square
  std::optional<EyeLine> eyes;  ///< nothing where they were not found
  double score = 0;             ///< YuNet: probability; cascade: windows that agreed
};

/// How faces are looked for.
struct FindFacesOptions {
  std::string detector = "haar";  ///< or "": Debian's frontal cascade; else a cascade (.xml) or YuNet (.onnx) by path
  double least_face = 0.04;       ///< smallest face, as a share of the picture's longer side
  int64_t neighbors = 6;          ///< of a cascade: windows that must agree
  bool eyes = true;               ///< no option: also look for the eyes (cascade)

  /// `condition`: of all of them, where the command can do without faces being looked for.
  void bind(OptionSet& options, const std::vector<OptionCondition>& condition = {});
  /// "haarcascade_frontalface_default", or the file's name without its ending and with underscores for spaces.
  std::string detector_name() const;
  bool is_default_detector() const { return detector.empty() || detector == "haar"; }
};

/// Finds faces in upright pictures. Not for several threads at a time: each thread makes its own. The picture is
/// brought to a size at which the smallest wanted face is a little larger than the detector's window, so the time does
/// not grow with the picture, and faces of 20 and of 4,000 pixels are found alike.
class FaceFinder {
 public:
  /// Throws Error(usage) in a build without MIEN_WITH_VISION, and for a detector file that is missing or none.
  explicit FaceFinder(const FindFacesOptions& options);
  ~FaceFinder();
  FaceFinder(FaceFinder&&) noexcept;
  FaceFinder& operator=(FaceFinder&&) noexcept;

  /// Faces in reading order: the largest first, of equal ones the left one. Empty where there is none. Throws
  /// Error(failed) if the detector cannot work on the picture.
  std::vector<FoundFace> find(const GrayImage& picture);
  std::vector<FoundFace> find(const RgbImage& picture);

  /// Name of the detector: "haarcascade_frontalface_default", or the file's name without its ending.
  const std::string& name() const;

 private:
  struct Detector;
  std::unique_ptr<Detector> detector_;
};

/// 0.299 red + 0.587 green + 0.114 blue.
GrayImage to_gray(const RgbImage& picture);

}  // namespace mien::data
