#include "mien/runs/face_sheets.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/data/readers/image_io.h"
#include "mien/runs/load_faces.h"

namespace mien::runs {
namespace {

constexpr int64_t kLargestCell = 64;
constexpr int64_t kColumns = 32;
constexpr int64_t kPerSheet = kColumns * kColumns;
constexpr int kLossless = 101;

/// The face's pixels as [height, width, channels], shrunk to the cell.
std::vector<uint8_t> cell_pixels(const data::Dataset& dataset, int64_t index, int64_t height, int64_t width) {
  std::vector<uint8_t> pixels = tile_pixels(dataset, index);
  if (dataset.channels == 1)
    return data::resize_gray({dataset.height, dataset.width, std::move(pixels)}, height, width).pixels;
  return data::resize_rgb({dataset.height, dataset.width, std::move(pixels)}, height, width).pixels;
}

/// The sheet that holds `indices`.
std::string sheet_bytes(const data::Dataset& dataset, std::span<const int64_t> indices, int64_t height, int64_t width) {
  const int64_t channels = dataset.channels == 1 ? 1 : 3;
  const auto count = static_cast<int64_t>(indices.size());
  const int64_t columns = std::min(kColumns, count);
  const int64_t rows = (count + kColumns - 1) / kColumns;
  std::vector<uint8_t> sheet(static_cast<size_t>(rows * height * columns * width * channels));
  for (int64_t i = 0; i < count; ++i) {
    const auto cell = cell_pixels(dataset, indices[static_cast<size_t>(i)], height, width);
    for (int64_t y = 0; y < height; ++y) {
      const auto* from = cell.data() + y * width * channels;
      auto* to = sheet.data() + ((i / kColumns * height + y) * columns + i % kColumns) * width * channels;
      std::copy(from, from + width * channels, to);
    }
  }
  return data::encode_webp(sheet, rows * height, columns * width, channels, kLossless);
}

}  // namespace

void write_face_sheets(const std::filesystem::path& folder,
                       const std::string& part,
                       const data::Dataset& dataset,
                       std::span<const int64_t> indices) {
  if (!data::has_image_files() || indices.empty() || (dataset.channels != 1 && dataset.channels != 3)) return;
  const double scale =
      std::min(1.0, static_cast<double>(kLargestCell) / static_cast<double>(std::max(dataset.height, dataset.width)));
  const int64_t height = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(dataset.height) * scale));
  const int64_t width = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(dataset.width) * scale));
  nlohmann::ordered_json json{{"width", width},
                              {"height", height},
                              {"columns", kColumns},
                              {"per_sheet", kPerSheet},
                              {"count", indices.size()},
                              {"sheets", nlohmann::ordered_json::array()}};
  for (size_t first = 0; first < indices.size(); first += kPerSheet) {
    const auto some = indices.subspan(first, std::min<size_t>(kPerSheet, indices.size() - first));
    const std::string name = fmt::format("{}-{}.webp", part, first / kPerSheet);
    write_atomic(folder / "faces" / name, sheet_bytes(dataset, some, height, width));
    json["sheets"].push_back(name);
  }
  write_atomic(folder / "faces" / (part + ".json"), json.dump() + "\n");
}

std::optional<FaceSheets> read_face_sheets(const std::filesystem::path& folder, const std::string& part) {
  const auto file = folder / "faces" / (part + ".json");
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) return std::nullopt;
  const auto json = nlohmann::json::parse(read_text(file, 1 << 22), nullptr, /*allow_exceptions=*/false);
  try {
    FaceSheets faces{.width = json.at("width"),
                     .height = json.at("height"),
                     .columns = json.at("columns"),
                     .per_sheet = json.at("per_sheet"),
                     .count = json.at("count"),
                     .sheets = {}};
    for (const auto& entry : json.at("sheets")) {
      const std::filesystem::path name = entry.get<std::string>();
      if (name.empty() || name != name.filename())
        throw_bad_data(fmt::format("{} names {}, expected a file beside it", file.string(), name.string()));
      faces.sheets.push_back(folder / "faces" / name);
    }
    const auto sheets = static_cast<int64_t>(faces.sheets.size());
    if (faces.width < 1 || faces.height < 1 || faces.columns < 1 || faces.per_sheet < 1 || faces.count < 0 ||
        faces.count > sheets * faces.per_sheet)
      throw_bad_data(fmt::format("{} does not fit its sheets", file.string()));
    return faces;
  } catch (const nlohmann::json::exception& error) {
    throw_bad_data(fmt::format("cannot read {}: {}", file.string(), error.what()),
                   "judge the run again, or remove the file to do without its faces");
  }
}

}  // namespace mien::runs
