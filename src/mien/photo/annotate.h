#pragma once

#include <string>
#include <vector>

#include "mien/data/readers/image_io.h"
#include "mien/photo/face_reader.h"
#include "mien/report/canvas.h"
#include "mien/report/raster.h"

namespace mien::photo {

/// The photograph with a numbered frame around each face, and below it a card a face: what the network saw, its
/// probabilities as bars, and why it is not reliable where it is not. Large photographs are shrunk to 2,400 pixels,
/// small ones enlarged, so that words are legible. `overlays` (none, or one a face) replace the faces' crops on the
/// cards; `note` stands below.
report::Canvas annotated(const data::RgbImage& picture,
                         const std::vector<ReadFace>& faces,
                         const std::vector<std::string>& class_names,
                         const std::string& title,
                         const std::string& note = {});

/// `picture` with a face's map laid over its square: the more opaque the larger the value's magnitude. `values` are
/// [side, side]; nothing is laid over where the map is not usable.
void lay_over(data::RgbImage& picture,
              const data::FaceBox& square,
              const std::vector<float>& values,
              int64_t side,
              const report::MapRange& range,
              bool is_signed);

/// Color of a class's frames, bars and curves.
report::Color class_color(int64_t label, size_t classes);

}  // namespace mien::photo
