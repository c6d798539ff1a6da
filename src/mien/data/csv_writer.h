#pragma once

#include <filesystem>

#include "mien/data/dataset.h"

namespace mien::data {

/// The spellings of FER2013's csv; read_csv reads all of them.
enum class CsvStyle {
  fer2013,       ///< `emotion,pixels,Usage`; the Usage cell is empty where the usage is unknown
  kaggle_train,  ///< `emotion,pixels`, quoted, CRLF
  kaggle_test,   ///< `pixels`, quoted, CRLF
  course_train,  ///< `label,feature`
  course_test,   ///< `id,feature`
};

/// The style named "fer2013", "kaggle-train", "kaggle-test", "course-train" or "course-test"; throws Error(usage).
CsvStyle csv_style(std::string_view name);

/// Writes all rows in order, atomically. Throws Error(bad_data) for images of several channels or that are not square,
/// for custom class names (the csv has numbers only), and Error(failed) if the file cannot be written.
void write_csv(const Dataset& dataset, const std::filesystem::path& path, CsvStyle style = CsvStyle::fer2013);

}  // namespace mien::data
