#include "mien/report/colors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

namespace mien::report {
namespace {

double to_linear(uint8_t channel) {
  const double value = channel / 255.0;
  return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
}

uint8_t from_linear(double value) {
  const double light = std::clamp(value, 0.0, 1.0);
  const double encoded = light <= 0.0031308 ? 12.92 * light : 1.055 * std::pow(light, 1 / 2.4) - 0.055;
  return static_cast<uint8_t>(std::lround(255 * encoded));
}

/// Red, green and blue light; outside [0, 1] where a screen cannot show the color.
std::array<double, 3> linear_rgb(double lightness, double chroma, double hue_degrees) {
  const double hue = hue_degrees * std::numbers::pi / 180;
  const double a = chroma * std::cos(hue);
  const double b = chroma * std::sin(hue);
  const double long_cone = std::pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
  const double medium_cone = std::pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
  const double short_cone = std::pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
  return {4.0767416621 * long_cone - 3.3077115913 * medium_cone + 0.2309699292 * short_cone,
          -1.2684380046 * long_cone + 2.6097574011 * medium_cone - 0.3413193965 * short_cone,
          -0.0041960863 * long_cone - 0.7034186147 * medium_cone + 1.7076147010 * short_cone};
}

/// As oklch, with as much of `chroma` as a screen can show: clipping channels would change the lightness.
Color shown_color(double lightness, double chroma, double hue_degrees) {
  double low = 0;
  double high = chroma;
  for (int step = 0; step < 24; ++step) {
    const double middle = step == 0 ? chroma : (low + high) / 2;
    const auto light = linear_rgb(lightness, middle, hue_degrees);
    const bool is_shown =
        std::all_of(light.begin(), light.end(), [](double channel) { return channel >= -1e-9 && channel <= 1 + 1e-9; });
    (is_shown ? low : high) = middle;
    if (is_shown && step == 0) break;
  }
  return oklch(lightness, low, hue_degrees);
}

}  // namespace

std::string Color::hex() const { return fmt::format("#{:02x}{:02x}{:02x}", red, green, blue); }

double Color::luminance() const {
  return 0.2126 * to_linear(red) + 0.7152 * to_linear(green) + 0.0722 * to_linear(blue);
}

Color oklch(double lightness, double chroma, double hue_degrees) {
  const std::array<double, 3> light = linear_rgb(lightness, chroma, hue_degrees);
  return {from_linear(light[0]), from_linear(light[1]), from_linear(light[2])};
}

Color sequential_color(double position) {
  const double t = std::clamp(position, 0.0, 1.0);
  const double chroma = 0.008 + 0.13 * std::sin(std::numbers::pi * std::pow(t, 0.8) * 0.72);
  return oklch(0.985 - 0.665 * t, chroma, 225 + 40 * t);
}

Color heat_color(double position) {
  const double t = std::clamp(position, 0.0, 1.0);
  return shown_color(
      0.13 + 0.84 * t, 0.02 + 0.19 * std::sin(std::numbers::pi * std::pow(t, 0.85) * 0.93), 292 + 178 * t);
}

Color signed_color(double position) {
  const double t = std::clamp(position, -1.0, 1.0);
  return shown_color(0.62 + 0.28 * t, 0.22 * std::pow(std::abs(t), 0.8), t < 0 ? 262 : 88);
}

Color series_color(size_t index, size_t count) {
  constexpr Color kOkabeIto[] = {
      {0, 114, 178}, {213, 94, 0}, {0, 158, 115}, {204, 121, 167}, {230, 159, 0}, {86, 180, 233}, {70, 70, 70}};
  if (count <= std::size(kOkabeIto)) return kOkabeIto[index % std::size(kOkabeIto)];
  return oklch(
      index % 2 == 0 ? 0.58 : 0.70, 0.14, 250 + 360.0 * static_cast<double>(index) / static_cast<double>(count));
}

Color text_color_on(const Color& background) {
  constexpr Color kDark{17, 24, 39};
  constexpr Color kLight{255, 255, 255};
  const double luminance = background.luminance();
  const double with_dark = (luminance + 0.05) / (kDark.luminance() + 0.05);
  const double with_light = (kLight.luminance() + 0.05) / (luminance + 0.05);
  return with_dark > with_light ? kDark : kLight;
}

}  // namespace mien::report
