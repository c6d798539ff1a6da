#include "mien/serve/part_faces.h"

#include <algorithm>
#include <mutex>

#include <fmt/format.h>

#include "mien/core/text.h"
#include "mien/runs/face_sheets.h"
#include "mien/serve/request_error.h"

namespace mien::serve {
namespace {

namespace fs = std::filesystem;

runs::FaceSheets sheets_of(const fs::path& run, const std::string& part) {
  static const std::vector<std::string> kParts{"val", "public_test", "vote", "eval", "examples"};
  if (std::find(kParts.begin(), kParts.end(), part) == kParts.end())
    throw RequestError{400, fmt::format("part is {}, expected one of {}", quote_sample(part), join(kParts, ", "))};
  const auto sheets = runs::read_face_sheets(run, part);
  if (!sheets) throw RequestError{404, fmt::format("the run keeps no faces of part {}", part)};
  return *sheets;
}

std::vector<uint8_t> face_of(const runs::FaceSheets& of,
                             const data::RgbImage& sheet,
                             int64_t index,
                             const ModelInput& input) {
  const int64_t inside = index % of.per_sheet;
  const int64_t x = inside % of.columns * of.width;
  const int64_t y = inside / of.columns * of.height;
  if (x + of.width > sheet.width || y + of.height > sheet.height)
    throw RequestError{404, "the sheet of faces is smaller than its description"};
  return as_input(cut(sheet, x, y, of.width, of.height), input);
}

}  // namespace

std::vector<uint8_t> as_input(data::RgbImage image, const ModelInput& input) {
  image = data::resize_rgb(image, input.height, input.width);
  const size_t plane = static_cast<size_t>(input.height * input.width);
  std::vector<uint8_t> out(plane * static_cast<size_t>(input.channels));
  for (size_t i = 0; i < plane; ++i) {
    const uint8_t* rgb = image.pixels.data() + 3 * i;
    if (input.channels == 1) {
      out[i] = static_cast<uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
    } else {
      for (size_t c = 0; c < 3; ++c) out[c * plane + i] = rgb[c];
    }
  }
  return out;
}

data::RgbImage cut(const data::RgbImage& image, int64_t x, int64_t y, int64_t width, int64_t height) {
  data::RgbImage out{height, width, std::vector<uint8_t>(static_cast<size_t>(3 * width * height))};
  for (int64_t row = 0; row < height; ++row) {
    const auto* from = image.pixels.data() + 3 * ((y + row) * image.width + x);
    std::copy(from, from + 3 * width, out.pixels.data() + 3 * row * width);
  }
  return out;
}

std::vector<uint8_t> part_face(const fs::path& run, const std::string& part, int64_t index, const ModelInput& input) {
  const runs::FaceSheets sheets = sheets_of(run, part);
  if (index < 0 || index >= sheets.count)
    throw RequestError{404, fmt::format("index is {}, expected 0 to {}", index, sheets.count - 1)};
  const auto& file = sheets.sheets[static_cast<size_t>(index / sheets.per_sheet)];
  // The last sheet stays decoded: questions about a face come in series.
  static std::mutex mutex;
  static fs::path last_file;
  static data::RgbImage last;
  const std::lock_guard lock(mutex);
  if (last_file != file) {
    last = data::read_rgb_image(file);
    last_file = file;
  }
  return face_of(sheets, last, index, input);
}

std::vector<std::vector<uint8_t>> part_faces(const fs::path& run, const std::string& part, const ModelInput& input) {
  const runs::FaceSheets sheets = sheets_of(run, part);
  std::vector<std::vector<uint8_t>> faces;
  data::RgbImage sheet;
  for (int64_t i = 0; i < sheets.count; ++i) {
    if (i % sheets.per_sheet == 0)
      sheet = data::read_rgb_image(sheets.sheets.at(static_cast<size_t>(i / sheets.per_sheet)));
    faces.push_back(face_of(sheets, sheet, i, input));
  }
  return faces;
}

}  // namespace mien::serve
