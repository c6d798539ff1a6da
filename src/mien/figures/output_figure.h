#pragma once

#include <cstdint>
#include <string>

#include "mien/core/options.h"
#include "mien/figures/layer_options.h"
#include "mien/figures/picture_options.h"

namespace mien::figures {

class ExplainContext;
class FigureOutput;

/// What layers make of faces: of one face all filters, of several each filter as a strip.
struct OutputFigure {
  static constexpr const char* kKind = "outputs";
  PictureOptions picture{.file = "outputs_{layer}.png"};
  std::string faces = "correct-per-class";
  LayerOptions layers;
  int64_t seed = 0;          ///< of faces that are chosen at random
  int64_t batch_size = 128;  ///< faces in one pass

  void bind(OptionSet& options);
  void check(const network::Graph& graph) const;
  void draw(ExplainContext& context, FigureOutput& output) const;
  std::string part() const;
};

}  // namespace mien::figures
