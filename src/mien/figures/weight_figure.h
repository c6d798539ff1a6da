#pragma once

#include <cstdint>
#include <string>

#include "mien/core/options.h"
#include "mien/figures/layer_options.h"
#include "mien/figures/picture_options.h"

namespace mien::figures {

class ExplainContext;
class FigureOutput;

/// Kernels of convolutions, and weights of dense units that read the image.
struct WeightFigure {
  static constexpr const char* kKind = "weights";
  PictureOptions picture{.file = "weights_{layer}.png"};
  LayerOptions layers;
  int64_t channel = 0;  ///< input channel

  void bind(OptionSet& options);
  void check(const network::Graph& graph) const;
  void draw(ExplainContext& context, FigureOutput& output) const;
  std::string part() const { return "all"; }
};

}  // namespace mien::figures
