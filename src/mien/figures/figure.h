#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/explain/faithfulness/faithfulness.h"
#include "mien/explain/methods.h"
#include "mien/explain/units/activation_maximization.h"
#include "mien/explain/units/units.h"
#include "mien/figures/explain_context.h"
#include "mien/runs/run_summary.h"

namespace mien::figures {

/// Kinds of pictures that explain a network.
enum class FigureKind {
  map,      ///< what the network looks at, by the methods of the method table
  contact,  ///< the same for several faces of each class, recognized and not
  weights,  ///< kernels of convolutions
  outputs,  ///< what layers make of faces
  ascent,   ///< the inputs that drive filters and dense units most
  faces,    ///< the faces that drive them most
  units,    ///< how active they are for each class
};
std::string_view to_text(FigureKind kind);  // "map", ...
/// Throws Error(usage) with a suggestion.
FigureKind figure_kind(const std::string& text);

/// One picture or several of a kind, as a [[figure]] of a recipe or a command describes it.
struct Figure {
  FigureKind kind = FigureKind::map;
  /// Name of the picture, ending in .png or .jpg. With {row}, {label}, {class}, {method} or {layer} in it there is one
  /// picture for each; else one for all.
  std::string file;
  std::string title;              ///< empty: made from what is shown
  std::vector<std::string> runs;  ///< of a recipe; empty: all
  std::string faces = "correct-per-class";
  std::string target = "predicted";
  std::string score = "logit";
  std::vector<std::string> methods{"saliency"};
  std::vector<std::string> panels{"image", "map", "overlay"};
  double clip = 99;
  bool recall = false;
  bool measure = true;
  int64_t sheet_faces = 6;
  std::vector<std::string> layers;  ///< empty: see figure_layers
  std::string units = "first 64";
  int64_t channel = 0;
  bool ascend = false;  ///< faces: also the inputs found by ascent from them
  std::string part = "all";
  std::string unit_values = "standardized";  ///< units: what colors stand for, or "mean"
  explain::MethodOptions method;
  explain::AscentOptions ascent;
  explain::UnitOptions unit;
  explain::FaithfulnessOptions faithfulness;

  /// The options of the figure's kind.
  void bind(OptionSet& options);
};

/// A figure with the defaults of its kind: `units` looks at all faces and units, at the mean over positions.
Figure default_figure(FigureKind kind);

/// The methods that the figure names; for "all", those that are defined for the network.
std::vector<std::string> figure_methods(const Figure& figure, const network::Graph& graph);

/// Throws Error(usage) for what can be told from the network alone: unknown methods, methods that are not defined for
/// it, layers and units that it does not have, faces that are none, a file name of another ending.
void check_figure(const Figure& figure, const network::Graph& graph);

/// Draws `figure` of `context` into `folder`. With `raw`, beside every picture stand its numbers as .npy and a sidecar
/// .json that says how they were made: method, options, layer, target, probability, seed, hash of the weights, smallest
/// and largest value before scaling, and (`measure`) how faithful the map is. The same context, options and threads
/// give the same bytes. Lines about layers, and warnings about maps that show nothing, go to the context's listener.
/// Throws Error(interrupted) when the user asks to stop.
std::vector<runs::DrawnPicture> draw_figure(const Figure& figure,
                                            ExplainContext& context,
                                            const std::filesystem::path& folder,
                                            bool raw);

}  // namespace mien::figures
