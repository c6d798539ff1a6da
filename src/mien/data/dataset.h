#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mien::data {

/// FER2013's classes in label order.
inline constexpr std::array<std::string_view, 7> kExpressionNames{
    "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"};

/// Label of a face nobody has labeled.
inline constexpr int32_t kUnlabeled = -1;

/// The `Usage` column of FER2013; `unknown` where the source has none.
enum class Usage : uint8_t { unknown, training, public_test, private_test };

/// Faces in memory: bytes as the source has them, labels, and where each row came from.
struct Dataset {
  int64_t channels = 1;
  int64_t height = 48;
  int64_t width = 48;
  std::vector<std::string> class_names{kExpressionNames.begin(), kExpressionNames.end()};
  std::vector<uint8_t> pixels;            ///< [N, channels, height, width]
  std::vector<int32_t> labels;            ///< [N], 0..classes-1 or kUnlabeled
  std::vector<Usage> usages;              ///< [N]
  std::vector<int64_t> ids;               ///< [N] the source's `id` column, else the row's number, counted from 0
  std::vector<int64_t> source_rows;       ///< [N] see row_of; empty where no row was left out
  std::vector<std::string> files;         ///< [N] paths below the source; empty where that is no folder of pictures
  std::vector<float> label_distribution;  ///< [N, classes], each row sums to 1; empty where labels are hard
  std::vector<uint8_t> evidence;  ///< [N, height, width], 255 where a drawn face carries its expression; or empty
  std::string source;             ///< path or description, for messages and run records
  std::string checksum;           ///< of the source's bytes and of what load made of them (see mien::checksum)
  std::string source_checksum;    ///< of the source's bytes alone
  std::string label_source;       ///< whose labels these are ("FER+ majority"); empty: the source's own

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
  int64_t pixels_per_image() const { return channels * height * width; }
  std::span<const uint8_t> image(int64_t row) const {
    return {pixels.data() + row * pixels_per_image(), static_cast<size_t>(pixels_per_image())};
  }
  bool is_labeled() const {
    for (const int32_t label : labels) {
      if (label == kUnlabeled) return false;
    }
    return !labels.empty();
  }
  /// The row of the user's own data that face `index` is, from 0: every row of the file counts, also those that were
  /// left out since; of a folder, every picture in byte order of the paths.
  int64_t row_of(int64_t index) const { return source_rows.empty() ? index : source_rows[static_cast<size_t>(index)]; }
  /// The index of the user's row; nothing if it does not exist or was left out.
  std::optional<int64_t> index_of(int64_t row) const;
  /// What face `index` is called: "row 12", or its file below the source, "train/angry/a.png".
  std::string face_name(int64_t index) const;
  /// A copy that holds only `rows` (indices), in that order; all that is known of a face follows.
  /// Throws std::out_of_range if a row is not one of this data set's.
  Dataset subset(std::span<const int64_t> rows) const;
};

/// "unknown", "Training", "PublicTest" or "PrivateTest", as FER2013 spells them.
std::string_view to_text(Usage usage);

/// The rows of `first`, then those of `second`; a row of neither loses its usage, and each is called after its source.
/// Throws Error(bad_data) where image shapes or class names differ. A part without label distribution (evidence) gets
/// one-hot rows (zeros) if the other part has one, the uniform distribution where it has no label.
Dataset concatenate(const Dataset& first, const Dataset& second);

/// Rows of each class, one line a class and one column a usage that occurs, with shares in percent.
std::string class_table(const Dataset& dataset);

}  // namespace mien::data
