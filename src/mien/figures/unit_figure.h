#pragma once

#include <cstdint>
#include <string>

#include "mien/core/options.h"
#include "mien/explain/units/units.h"
#include "mien/figures/layer_options.h"
#include "mien/figures/picture_options.h"

namespace mien::figures {

class ExplainContext;
class FigureOutput;

/// How active filters and dense units are for each class, and which are dead.
struct UnitFigure {
  static constexpr const char* kKind = "units";
  PictureOptions picture{.file = "units_{layer}.png"};
  std::string faces = "all";
  std::string rows = "all";  ///< part whose faces are looked at, unless `faces` says
  LayerOptions layers{.layers = {}, .units = "all"};
  int64_t seed = 0;                     ///< of faces that are chosen at random
  std::string values = "standardized";  ///< what colors stand for, or "mean"
  explain::UnitOptions unit{.score = "mean"};

  void bind(OptionSet& options);
  void check(const network::Graph& graph) const;
  void draw(ExplainContext& context, FigureOutput& output) const;
  std::string part() const;
};

}  // namespace mien::figures
