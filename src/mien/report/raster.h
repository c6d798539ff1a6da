#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mien/report/colors.h"

namespace mien::report {

/// A color picture in memory.
struct Raster {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> rgb;  ///< [height, width, 3]: red, green, blue

  static Raster filled(int64_t height, int64_t width, const Color& color);
  Color at(int64_t y, int64_t x) const;
  void set(int64_t y, int64_t x, const Color& color);
  /// Puts `other`'s upper left corner at (y, x); what lies outside is cut off.
  void paste(const Raster& other, int64_t y, int64_t x);
};

/// `factor` times as high and wide, each pixel a square.
Raster enlarged(const Raster& raster, int64_t factor);

/// How a picture of few pixels is made larger.
enum class Enlarging {
  squares,  ///< every pixel a square: shows what is there
  smooth,   ///< bilinear between the pixels' centers
};
/// [height, width] values as [height * factor, width * factor].
std::vector<float> enlarged(
    std::span<const float> values, int64_t height, int64_t width, int64_t factor, Enlarging enlarging);

/// Gray levels 0 to 255 of [height, width] bytes, `factor` times as large.
Raster gray_raster(std::span<const uint8_t> levels,
                   int64_t height,
                   int64_t width,
                   int64_t factor = 1,
                   Enlarging enlarging = Enlarging::smooth);

/// Whether a heat map has anything to show.
enum class MapState { usable, all_zero, constant, not_finite };

/// What a map's numbers are before they become colors.
struct MapRange {
  MapState state = MapState::usable;
  double minimum = 0;  ///< of the finite values; 0 where there is none
  double maximum = 0;
  int64_t not_finite = 0;  ///< values that are NaN or infinite
  double shown = 0;        ///< magnitude that gets the last color, as do all larger ones

  /// "" or what is wrong: "all zero", "constant (0.25)", "3 values are not finite".
  std::string problem() const;
};

/// Measures [height * width] values. `clip_percent` (above 0, at most 100) of the magnitudes are at most `shown`, so
/// that a single pixel does not make all others dark; 100 shows the largest. Values whose spread is below a millionth
/// of their magnitude count as constant.
MapRange measure_map(std::span<const float> values, double clip_percent = 100);

/// The map in colors (heat_color from 0, or signed_color around 0), `factor` times as large. A map that is not usable
/// becomes hatched gray, never a color.
Raster map_raster(std::span<const float> values,
                  int64_t height,
                  int64_t width,
                  const MapRange& range,
                  bool is_signed,
                  int64_t factor = 1,
                  Enlarging enlarging = Enlarging::squares);

/// The face with the map's colors over it, the more opaque the larger the value's magnitude; without them where the
/// map is not usable.
Raster overlay_raster(std::span<const uint8_t> levels,
                      std::span<const float> values,
                      int64_t height,
                      int64_t width,
                      const MapRange& range,
                      bool is_signed,
                      int64_t factor = 1,
                      Enlarging enlarging = Enlarging::smooth);

/// Lines between neighboring pixels whose values differ, on a raster made `factor` times as large: borders of regions.
void draw_borders(
    Raster& raster, std::span<const float> values, int64_t height, int64_t width, int64_t factor, const Color& color);

/// Gray with diagonal lines: the place of a picture that cannot be shown.
Raster hatched(int64_t height, int64_t width);

}  // namespace mien::report
