#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mien/core/options.h"
#include "mien/figures/face_maps.h"
#include "mien/figures/picture_options.h"

namespace mien::figures {

class FigureOutput;

/// Maps of several faces of each class side by side, recognized and not.
struct ContactFigure {
  static constexpr const char* kKind = "contact";
  PictureOptions picture{.file = "{method}/contact_{class}.png"};
  MapOptions map;
  std::string rows = "all";  ///< part that faces are chosen from
  int64_t sheet_faces = 6;   ///< recognized ones of each class, and as many that are not

  void bind(OptionSet& options);
  void check(const network::Graph& graph) const;
  std::string unused(std::string_view option) const;
  void draw(ExplainContext& context, FigureOutput& output) const;
  std::string part() const { return rows; }
};

}  // namespace mien::figures
