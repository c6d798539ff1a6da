#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace mien::report {

/// Whether a program named gnuplot stands on PATH.
bool gnuplot_available();

/// Hands `script` to gnuplot on its standard input (no shell, no start-up files) and returns what it wrote to standard
/// output: the picture, for a script that sets a terminal and no output. Throws Error(failed) with gnuplot's own
/// message if it fails, and with the package to install if there is no gnuplot.
std::string run_gnuplot(const std::string& script);

/// `text` as a string expression of gnuplot: single-quoted, so that neither quotes, backslashes nor back-quotes act;
/// control characters become spaces, bytes that are not UTF-8 question marks.
std::string gnuplot_string(std::string_view text);

/// The same for the label of a tic, in which gnuplot would take a per cent sign for a number format.
std::string gnuplot_tic_label(std::string_view text);

/// `value` as gnuplot reads it in data: "NaN" where it is not finite.
std::string gnuplot_number(double value);

/// Runs `body` (plot commands) on a white page of `width` x `height` units and writes the picture to `path`, whole or
/// not at all: an svg if the path ends in .svg, else a png of twice as many pixels as units. Text is DejaVu Sans at
/// 11 points and never reads markup. Throws as run_gnuplot and write_atomic, and Error(usage) for another file ending.
void write_picture(const std::filesystem::path& path, int64_t width, int64_t height, const std::string& body);

}  // namespace mien::report
