#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mien/data/faces/find_faces.h"
#include "mien/data/readers/image_io.h"

namespace mien::data {

/// How a face's box becomes the square that a network sees. The defaults are measured (docs/photo.md): with them a
/// photograph's face is cropped as the faces of FER2013 are.
struct CropRecipe {
  std::string detector = "haarcascade_frontalface_default";  ///< whose boxes the numbers are for
  double scale = 1.0;                                        ///< side of the square, in sides of the box
  double down = 0.0;  ///< center of the square below that of the box, in sides of the box

  /// "haarcascade_frontalface_default scale 1 down 0"
  std::string text() const;
  /// The inverse of text(). Throws Error(bad_data).
  static CropRecipe parse(const std::string& text);
  /// The recipe that a weights file's metadata hold, or the default. Throws Error(bad_data).
  static CropRecipe of(const std::map<std::string, std::string>& metadata);
  bool operator==(const CropRecipe&) const = default;
};

/// Key of a weights file's metadata that holds CropRecipe::text(); weights without it are cropped by the default.
inline constexpr const char* kCropKey = "mien.crop";

/// What a user says of the crop.
struct CropOptions {
  double scale = 0;  ///< 0: as the weights were trained, else the default
  double down = 0;   ///< of `scale` 0: added to the weights' own

  void bind(OptionSet& options, const std::vector<OptionCondition>& condition = {});
  /// The recipe for boxes of `detector`.
  CropRecipe resolve(const CropRecipe& of_weights, const std::string& detector) const;
};

/// How the faces of photographs become a data set.
struct FaceCropping {
  FindFacesOptions find;
  CropRecipe crop;
};

/// The square around a box that `recipe` asks for; it may reach beyond the picture.
FaceBox crop_square(const FaceBox& box, const CropRecipe& recipe);

/// Pixels of `square` as [side, side]: each pixel the mean of what it covers when shrinking, bilinear when growing.
/// Beyond the picture its edge is repeated. Throws Error(usage) for a square that lies outside the picture altogether
/// or is more than four times as long as the picture.
GrayImage crop_gray(const GrayImage& picture, const FaceBox& square, int64_t side);
GrayImage crop_gray(const RgbImage& picture, const FaceBox& square, int64_t side);
RgbImage crop_rgb(const RgbImage& picture, const FaceBox& square, int64_t side);

/// What can be said of a face before a network sees it.
struct FaceQuality {
  double side = 0;    ///< of the square, pixels of the picture
  double inside = 1;  ///< share of the square's area inside the picture
  double sharpness =
      0;  ///< mean absolute Laplacian of the crop at 48 x 48, divided by its deviation; 0 where it is flat
  double brightness = 0;              ///< mean gray level of the crop, 0 to 255
  double contrast = 0;                ///< deviation of the gray levels of the crop
  std::optional<double> eye_line;     ///< degrees against the clock; nothing where no eyes were found
  std::vector<std::string> problems;  ///< why a network's word is not reliable: "small (18 pixels)", "blurred", ...

  bool is_reliable() const { return problems.empty(); }
};

/// Below or above these a face is "not reliable" (docs/photo.md says how they were chosen).
struct QualityLimits {
  double least_side = 32;         ///< pixels
  double least_inside = 0.9;      ///< share
  double least_sharpness = 0.12;  ///< see FaceQuality::sharpness
  double least_brightness = 35;   ///< gray level
  double most_brightness = 225;   ///< gray level
  double least_contrast = 16;     ///< gray levels
  double most_eye_line = 25;      ///< degrees
};

FaceQuality face_quality(const GrayImage& picture,
                         const FoundFace& face,
                         const FaceBox& square,
                         const QualityLimits& limits = {});

}  // namespace mien::data
