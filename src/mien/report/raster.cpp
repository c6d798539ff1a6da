#include "mien/report/raster.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

namespace mien::report {
namespace {

constexpr double kMostOpaque = 0.75;

void check_size(size_t count, int64_t height, int64_t width) {
  if (height < 1 || width < 1 || count != static_cast<size_t>(height * width)) {
    throw std::logic_error(fmt::format("raster: {} values for {}x{} pixels", count, height, width));
  }
}

uint8_t to_byte(double value) { return static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0))); }

/// Colors of evenly spaced positions, looked up instead of computed for every pixel.
struct ColorTable {
  static constexpr int kSteps = 512;
  std::array<Color, kSteps + 1> colors;

  explicit ColorTable(bool is_signed) {
    for (int i = 0; i <= kSteps; ++i) {
      const double part = static_cast<double>(i) / kSteps;
      colors[static_cast<size_t>(i)] = is_signed ? signed_color(2 * part - 1) : heat_color(part);
    }
  }
  static const ColorTable& of(bool is_signed) {
    static const ColorTable one_sided(false);
    static const ColorTable two_sided(true);
    return is_signed ? two_sided : one_sided;
  }
};

/// `value` on the scale: [0, 1], or [-1, 1] with a sign.
double position(double value, const MapRange& range, bool is_signed) {
  return std::clamp(value / range.shown, is_signed ? -1.0 : 0.0, 1.0);
}

Color color_of(double position, bool is_signed) {
  const double part = is_signed ? (position + 1) / 2 : position;
  return ColorTable::of(is_signed).colors[static_cast<size_t>(std::lround(part * ColorTable::kSteps))];
}

}  // namespace

Raster Raster::filled(int64_t height, int64_t width, const Color& color) {
  Raster raster{height, width, std::vector<uint8_t>(static_cast<size_t>(3 * height * width))};
  for (size_t i = 0; i < raster.rgb.size(); i += 3) {
    raster.rgb[i] = color.red;
    raster.rgb[i + 1] = color.green;
    raster.rgb[i + 2] = color.blue;
  }
  return raster;
}

Color Raster::at(int64_t y, int64_t x) const {
  const auto place = static_cast<size_t>(3 * (y * width + x));
  return {rgb[place], rgb[place + 1], rgb[place + 2]};
}

void Raster::set(int64_t y, int64_t x, const Color& color) {
  const auto place = static_cast<size_t>(3 * (y * width + x));
  rgb[place] = color.red;
  rgb[place + 1] = color.green;
  rgb[place + 2] = color.blue;
}

void Raster::paste(const Raster& other, int64_t y, int64_t x) {
  const int64_t first = std::max<int64_t>(0, -x);
  const int64_t last = std::min(other.width, width - x);
  if (first >= last) return;
  for (int64_t row = std::max<int64_t>(0, -y); row < std::min(other.height, height - y); ++row) {
    std::copy(other.rgb.begin() + 3 * (row * other.width + first),
              other.rgb.begin() + 3 * (row * other.width + last),
              rgb.begin() + 3 * ((y + row) * width + x + first));
  }
}

Raster enlarged(const Raster& raster, int64_t factor) {
  Raster out{raster.height * factor,
             raster.width * factor,
             std::vector<uint8_t>(raster.rgb.size() * static_cast<size_t>(factor * factor))};
  for (int64_t y = 0; y < out.height; ++y) {
    for (int64_t x = 0; x < out.width; ++x) out.set(y, x, raster.at(y / factor, x / factor));
  }
  return out;
}

std::vector<float> enlarged(
    std::span<const float> values, int64_t height, int64_t width, int64_t factor, Enlarging enlarging) {
  check_size(values.size(), height, width);
  std::vector<float> out(values.size() * static_cast<size_t>(factor * factor));
  const auto value = [&](int64_t y, int64_t x) {
    return static_cast<double>(values[static_cast<size_t>(std::clamp<int64_t>(y, 0, height - 1) * width +
                                                          std::clamp<int64_t>(x, 0, width - 1))]);
  };
  for (int64_t y = 0; y < height * factor; ++y) {
    const double source_y = (static_cast<double>(y) + 0.5) / static_cast<double>(factor) - 0.5;
    const auto top = static_cast<int64_t>(std::floor(source_y));
    const double down = source_y - static_cast<double>(top);
    for (int64_t x = 0; x < width * factor; ++x) {
      double result = 0;
      if (enlarging == Enlarging::squares) {
        result = value(y / factor, x / factor);
      } else {
        const double source_x = (static_cast<double>(x) + 0.5) / static_cast<double>(factor) - 0.5;
        const auto left = static_cast<int64_t>(std::floor(source_x));
        const double right = source_x - static_cast<double>(left);
        result = (1 - down) * ((1 - right) * value(top, left) + right * value(top, left + 1)) +
                 down * ((1 - right) * value(top + 1, left) + right * value(top + 1, left + 1));
      }
      out[static_cast<size_t>(y * width * factor + x)] = static_cast<float>(result);
    }
  }
  return out;
}

Raster gray_raster(
    std::span<const uint8_t> levels, int64_t height, int64_t width, int64_t factor, Enlarging enlarging) {
  const std::vector<float> values =
      enlarged(std::vector<float>(levels.begin(), levels.end()), height, width, factor, enlarging);
  Raster raster{height * factor, width * factor, std::vector<uint8_t>(3 * values.size())};
  for (size_t i = 0; i < values.size(); ++i)
    std::fill_n(raster.rgb.begin() + static_cast<std::ptrdiff_t>(3 * i), 3, to_byte(values[i]));
  return raster;
}

std::string MapRange::problem() const {
  switch (state) {
    case MapState::usable:
      return "";
    case MapState::all_zero:
      return "all zero";
    case MapState::constant:
      return fmt::format("constant ({:.3g})", maximum);
    case MapState::not_finite:
      return not_finite == 1 ? "1 value is not finite" : fmt::format("{} values are not finite", not_finite);
  }
  return "";
}

MapRange measure_map(std::span<const float> values, double clip_percent) {
  MapRange range;
  std::vector<float> magnitudes;
  magnitudes.reserve(values.size());
  for (const float value : values) {
    if (!std::isfinite(value)) {
      ++range.not_finite;
      continue;
    }
    range.minimum = magnitudes.empty() ? value : std::min<double>(range.minimum, value);
    range.maximum = magnitudes.empty() ? value : std::max<double>(range.maximum, value);
    magnitudes.push_back(std::abs(value));
  }
  const double largest = std::max(std::abs(range.minimum), std::abs(range.maximum));
  range.shown = largest;
  if (range.not_finite > 0) {
    range.state = MapState::not_finite;
  } else if (largest == 0) {
    range.state = MapState::all_zero;
  } else if (range.maximum - range.minimum <= 1e-6 * largest) {
    range.state = MapState::constant;
  } else if (clip_percent < 100) {
    const auto place =
        static_cast<std::ptrdiff_t>(std::ceil(clip_percent / 100 * static_cast<double>(magnitudes.size()))) - 1;
    const auto nth =
        magnitudes.begin() + std::clamp<std::ptrdiff_t>(place, 0, static_cast<std::ptrdiff_t>(magnitudes.size()) - 1);
    std::nth_element(magnitudes.begin(), nth, magnitudes.end());
    if (*nth > 0) range.shown = *nth;  // else hardly any pixel is above 0: all of them are shown
  }
  return range;
}

Raster hatched(int64_t height, int64_t width) {
  constexpr Color kGround{229, 231, 235};
  constexpr Color kLine{156, 163, 175};
  Raster raster = Raster::filled(height, width, kGround);
  const int64_t spacing = std::max<int64_t>(4, std::min(height, width) / 12);
  const int64_t thickness = std::max<int64_t>(1, spacing / 8);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      if ((x + y) % spacing < thickness) raster.set(y, x, kLine);
    }
  }
  return raster;
}

Raster map_raster(std::span<const float> values,
                  int64_t height,
                  int64_t width,
                  const MapRange& range,
                  bool is_signed,
                  int64_t factor,
                  Enlarging enlarging) {
  check_size(values.size(), height, width);
  if (range.state != MapState::usable) return hatched(height * factor, width * factor);
  const std::vector<float> large = enlarged(values, height, width, factor, enlarging);
  Raster raster = Raster::filled(height * factor, width * factor, {});
  for (size_t i = 0; i < large.size(); ++i) {
    const Color color = color_of(position(large[i], range, is_signed), is_signed);
    raster.rgb[3 * i] = color.red;
    raster.rgb[3 * i + 1] = color.green;
    raster.rgb[3 * i + 2] = color.blue;
  }
  return raster;
}

Raster overlay_raster(std::span<const uint8_t> levels,
                      std::span<const float> values,
                      int64_t height,
                      int64_t width,
                      const MapRange& range,
                      bool is_signed,
                      int64_t factor,
                      Enlarging enlarging) {
  Raster raster = gray_raster(levels, height, width, factor);
  if (range.state != MapState::usable) return raster;
  const std::vector<float> large = enlarged(values, height, width, factor, enlarging);
  for (size_t i = 0; i < large.size(); ++i) {
    const double place = position(large[i], range, is_signed);
    const double opacity = kMostOpaque * std::abs(place);
    const Color color = color_of(place, is_signed);
    const uint8_t channels[] = {color.red, color.green, color.blue};
    for (size_t c = 0; c < 3; ++c)
      raster.rgb[3 * i + c] = to_byte((1 - opacity) * raster.rgb[3 * i + c] + opacity * channels[c]);
  }
  return raster;
}

void draw_borders(
    Raster& raster, std::span<const float> values, int64_t height, int64_t width, int64_t factor, const Color& color) {
  check_size(values.size(), height, width);
  const auto value = [&](int64_t y, int64_t x) { return values[static_cast<size_t>(y * width + x)]; };
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t k = 0; k < factor; ++k) {
        if (y + 1 < height && value(y, x) != value(y + 1, x)) raster.set((y + 1) * factor - 1, x * factor + k, color);
        if (x + 1 < width && value(y, x) != value(y, x + 1)) raster.set(y * factor + k, (x + 1) * factor - 1, color);
      }
    }
  }
}

}  // namespace mien::report
