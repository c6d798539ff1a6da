#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mien/data/dataset.h"
#include "mien/data/readers/image_io.h"
#include "mien/serve/served_model.h"

namespace mien::serve {

/// Red, green, blue -> [C,H,W] of the input's size; gray as read_gray_image weighs colors.
std::vector<uint8_t> as_input(data::RgbImage image, const ModelInput& input);

/// A part of a picture that lies inside it.
data::RgbImage cut(const data::RgbImage& image, int64_t x, int64_t y, int64_t width, int64_t height);

/// A face of a run's part ("val", ...) as [C,H,W] of the model's input. Throws RequestError for a part that the run has
/// no faces of, and for an index beyond them.
std::vector<uint8_t> part_face(const std::filesystem::path& run,
                               const std::string& part,
                               int64_t index,
                               const ModelInput& input);

/// All faces of a part in order. Throws RequestError as part_face.
std::vector<std::vector<uint8_t>> part_faces(const std::filesystem::path& run,
                                             const std::string& part,
                                             const ModelInput& input);

}  // namespace mien::serve
