#pragma once

#include <string>
#include <vector>

#include "mien/core/options.h"

namespace mien::figures {

/// Name and words of a figure's pictures: what all kinds of figures have in common.
struct PictureOptions {
  /// Name of the picture, ending in .png, .jpg, .svg or .pdf. With a {placeholder} of the kind in it there is one
  /// picture for each row, layer, ...; else one for all.
  std::string file;
  std::string title;                 ///< empty: made from what is shown
  std::string caption = "full";      ///< words in the picture: none, short or full
  std::vector<std::string> formats;  ///< also written, beside that of the file name: png, jpg, svg, pdf

  /// `placeholders` are those of the kind, without braces.
  void bind(OptionSet& options, const std::vector<std::string>& placeholders);
  /// Throws Error(usage) for another ending, a path that leaves the folder, and a {placeholder} that the kind lacks.
  void check(const std::vector<std::string>& placeholders) const;
};

/// Declarations of options that several kinds have: which faces (see FaceSelection), and which part of the rows.
OptionSpec face_option();
OptionSpec part_option();

}  // namespace mien::figures
