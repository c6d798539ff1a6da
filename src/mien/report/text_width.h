#pragma once

#include <string>
#include <string_view>

namespace mien::report {

/// How wide `text` is in DejaVu Sans of `points`, in page units (write_picture in gnuplot.h; a point is 4/3 unit).
/// Exact for ASCII; any other character counts as a letter of middling width, from Hangul and Kana on as a full square.
double text_width(std::string_view text, double points);

/// `text`, or as much of its beginning as fits into `width` together with an ellipsis.
std::string fit_text(std::string_view text, double points, double width);

}  // namespace mien::report
