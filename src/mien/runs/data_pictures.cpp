#include "mien/runs/data_pictures.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/data/class_weights.h"
#include "mien/data/typical_face.h"
#include "mien/report/canvas.h"
#include "mien/report/gallery.h"
#include "mien/report/plots.h"
#include "mien/runs/load_faces.h"

namespace mien::runs {

void write_data_pictures(const data::Dataset& dataset, const std::filesystem::path& folder) {
  if (!report::can_draw()) return;
  std::vector<report::ClassCounts> parts;
  for (const data::Usage usage :
       {data::Usage::unknown, data::Usage::training, data::Usage::public_test, data::Usage::private_test}) {
    std::vector<int64_t> rows;
    for (int64_t row = 0; row < dataset.size(); ++row) {
      if (dataset.usages[static_cast<size_t>(row)] == usage) rows.push_back(row);
    }
    std::vector<int64_t> counts = data::class_counts(dataset, rows);
    const bool has_labels = std::any_of(counts.begin(), counts.end(), [](int64_t count) { return count > 0; });
    if (has_labels)
      parts.push_back({.name = usage == data::Usage::unknown ? "all" : std::string(data::to_text(usage)),
                       .counts = std::move(counts)});
  }
  if (parts.empty()) return;
  report::plot_class_counts(folder / "classes.png",
                            parts,
                            dataset.class_names,
                            "Faces of each class in " + std::filesystem::path(dataset.source).filename().string());
  std::vector<report::Tile> tiles;
  std::vector<std::vector<uint8_t>> pixels;
  pixels.reserve(dataset.class_names.size());
  for (size_t c = 0; c < dataset.class_names.size(); ++c) {
    const auto typical = data::typical_face(dataset, static_cast<int32_t>(c));
    if (!typical) continue;
    const int64_t row = *typical;
    pixels.push_back(tile_pixels(dataset, row));
    tiles.push_back(
        {.image = pixels.back(), .caption = fmt::format("{}\n{}", dataset.class_names[c], dataset.face_name(row))});
  }
  report::write_gallery(folder / "examples.png",
                        tiles,
                        static_cast<int64_t>(tiles.size()),
                        "One face of each class",
                        dataset.height,
                        dataset.width);
}

}  // namespace mien::runs
