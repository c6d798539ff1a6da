#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mien::report {

/// A screen color (sRGB).
struct Color {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;

  /// "#0072b2"
  std::string hex() const;
  /// Relative luminance, 0 (black) to 1 (white).
  /// @source WCAG 2.1, definition of relative luminance
  double luminance() const;
};

/// Color of given lightness (0..1), chroma (0..0.3) and hue (degrees), clipped to what a screen can show.
/// @source Ottosson 2020, "A perceptual color space for image processing" (OKLab)
Color oklch(double lightness, double chroma, double hue_degrees);

/// Color of `position` in [0, 1] from nearly white to dark blue; lightness falls linearly, so that equal steps look
/// equal.
Color sequential_color(double position);

/// Color of `position` in [0, 1] of a one-sided heat map, from nearly black over violet, red and orange to light
/// yellow. Lightness (OKLab's L) rises linearly from 0.13 to 0.97, so that equal steps look equal and a gray print
/// keeps them; chroma is at most what a screen can show at that lightness and hue.
Color heat_color(double position);

/// Color of `position` in [-1, 1] of a map that has a sign: blue and dark below 0, gray at 0, yellow and light above.
/// Lightness rises linearly, so that a gray print still tells the signs apart.
Color signed_color(double position);

/// Color of curve `index` of `count`: up to seven that color-blind readers can tell apart, beyond that evenly spaced
/// hues.
/// @source Okabe and Ito 2008, "Color universal design"
Color series_color(size_t index, size_t count);

/// Nearly black or white, whichever has more contrast with `background`.
/// @source WCAG 2.1, definition of contrast ratio
Color text_color_on(const Color& background);

}  // namespace mien::report
