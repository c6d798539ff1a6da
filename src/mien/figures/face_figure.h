#pragma once

#include <string>
#include <string_view>

#include "mien/core/options.h"
#include "mien/explain/units/activation_maximization.h"
#include "mien/explain/units/units.h"
#include "mien/figures/layer_options.h"
#include "mien/figures/picture_options.h"

namespace mien::figures {

class ExplainContext;
class FigureOutput;

/// The faces that drive filters and dense units most.
struct FaceFigure {
  static constexpr const char* kKind = "faces";
  PictureOptions picture{.file = "faces_{layer}.png"};
  LayerOptions layers;
  std::string rows = "all";  ///< part that is searched
  bool ascend = false;       ///< also the inputs found by ascent from them
  explain::UnitOptions unit;
  explain::AscentOptions ascent;

  void bind(OptionSet& options);
  void check(const network::Graph& graph) const;
  std::string unused(std::string_view option) const;
  void draw(ExplainContext& context, FigureOutput& output) const;
  std::string part() const { return rows; }
};

}  // namespace mien::figures
