#pragma once

#include <string>
#include <string_view>

#include "mien/core/options.h"
#include "mien/explain/units/activation_maximization.h"
#include "mien/figures/layer_options.h"
#include "mien/figures/picture_options.h"

namespace mien::figures {

class ExplainContext;
class FigureOutput;

/// The inputs that drive filters and dense units most, found by gradient ascent.
struct AscentFigure {
  static constexpr const char* kKind = "ascent";
  PictureOptions picture{.file = "ascent_{layer}.png"};
  std::string faces = "correct-per-class";  ///< that the ascent starts from
  LayerOptions layers;
  explain::AscentOptions ascent{.preset = "regularized"};  // a plain gradient's steps hardly leave the noise

  void bind(OptionSet& options);
  void check(const network::Graph& graph) const;
  std::string unused(std::string_view option) const;
  void draw(ExplainContext& context, FigureOutput& output) const;
  /// Whether the ascent starts from faces or their mean.
  bool reads_faces() const { return ascent.start == "faces" || ascent.start == "mean-face"; }
  std::string part() const;
};

/// What an ascent started from and how it climbed, for the reader.
std::string ascent_text(const explain::AscentOptions& options);

}  // namespace mien::figures
