#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mien/core/options.h"
#include "mien/figures/ascent_figure.h"
#include "mien/figures/contact_figure.h"
#include "mien/figures/explain_context.h"
#include "mien/figures/face_figure.h"
#include "mien/figures/map_figure.h"
#include "mien/figures/output_figure.h"
#include "mien/figures/unit_figure.h"
#include "mien/figures/weight_figure.h"
#include "mien/runs/run_summary.h"

namespace mien::figures {

/// One picture or several of a kind, as a [[figure]] of a recipe or a command describes it. Each kind is a struct with
/// exactly its options, and has
///   static constexpr const char* kKind            its name in recipes
///   PictureOptions picture
///   void bind(OptionSet&)                         its options
///   void check(const network::Graph&) const       throws Error(usage) for what the network alone can tell
///   void draw(ExplainContext&, FigureOutput&) const
///   std::string unused(std::string_view option) const   see unused; where an option can be idle
///   std::string part() const                      "test" if it looks at test rows, "validation", ...
using Figure = std::variant<MapFigure, ContactFigure, WeightFigure, OutputFigure, AscentFigure, FaceFigure, UnitFigure>;

/// "map", "contact", "weights", "outputs", "ascent", "faces", "units".
std::vector<std::string> figure_kinds();
/// A figure of that kind with its defaults. Throws Error(usage) with a suggestion.
Figure make_figure(const std::string& kind);

std::string_view kind_of(const Figure& figure);
const PictureOptions& picture_of(const Figure& figure);
/// The rows that it looks at: "all", "training", "validation" or "test".
std::string part_of(const Figure& figure);
/// Binds the options of the figure's kind.
void bind(Figure& figure, OptionSet& options);
/// All options with their values, as `name=value` lines: what decides the figure.
std::string options_text(const Figure& figure);

/// Why nothing comes of `option` as the figure stands: "belongs to lime", ...; empty where something does.
std::string unused(const Figure& figure, std::string_view option);
/// Throws Error(usage) for an option of `options`, bound to `figure`, that somebody gave another value and that nothing
/// comes of.
void check_used(const Figure& figure, const OptionSet& options);
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
