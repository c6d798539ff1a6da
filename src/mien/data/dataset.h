#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mien::data {

/// FER2013's classes in label order.
inline constexpr std::array<std::string_view, 7> kExpressionNames{"angry", "disgust", "fear",   "happy",
                                                                  "sad",   "surprise", "neutral"};

/// Label of a face nobody has labelled.
inline constexpr int32_t kUnlabelled = -1;

/// The `Usage` column of FER2013; `unknown` where the source has none.
enum class Usage : uint8_t { unknown, training, public_test, private_test };

/// Faces in memory: bytes as the source has them, labels, and where each row came from.
struct Dataset {
  int64_t channels = 1;
  int64_t height = 48;
  int64_t width = 48;
  std::vector<std::string> class_names{kExpressionNames.begin(), kExpressionNames.end()};
  std::vector<uint8_t> pixels;             ///< [N, channels, height, width]
  std::vector<int32_t> labels;             ///< [N], 0..classes-1 or kUnlabelled
  std::vector<Usage> usages;               ///< [N]
  std::vector<int64_t> ids;                ///< [N] the source's `id` column, else the row's number, counted from 0
  std::vector<float> label_distribution;   ///< [N, classes], each row sums to 1; empty where labels are hard
  std::vector<uint8_t> evidence;           ///< [N, height, width], 255 where a drawn face carries its expression; or empty
  std::string source;                      ///< path or description, for messages and run records
  std::string checksum;                    ///< of the source's bytes (see mien::checksum)

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
  int64_t pixels_per_image() const { return channels * height * width; }
  std::span<const uint8_t> image(int64_t row) const {
    return {pixels.data() + row * pixels_per_image(), static_cast<size_t>(pixels_per_image())};
  }
  bool is_labelled() const {
    for (const int32_t label : labels) {
      if (label == kUnlabelled) return false;
    }
    return !labels.empty();
  }
  /// A copy that holds only `rows`, in that order (ids and distributions follow).
  Dataset subset(std::span<const int64_t> rows) const;
};

}  // namespace mien::data
