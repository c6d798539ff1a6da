#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mien/core/options.h"
#include "mien/explain/faithfulness/faithfulness.h"
#include "mien/explain/methods.h"
#include "mien/figures/explain_context.h"
#include "mien/report/sheet.h"

namespace mien::figures {

/// How faces are explained: what `map` and `contact` have in common.
struct MapOptions {
  std::vector<std::string> methods{"saliency"};  ///< or "all"
  std::string target = "predicted";              ///< or "label", or a class
  std::string score = "logit";
  double clip = 99;  ///< per cent of a map's pixels below the last color
  explain::MethodOptions method;

  void bind(OptionSet& options);
  /// Throws Error(usage) for methods that are unknown or not defined for the network, and for layers that it lacks.
  void check(const network::Graph& graph) const;
  /// Why nothing comes of `option` as the others stand: "belongs to lime", where no method that is named uses it; empty
  /// where something does.
  std::string unused(std::string_view option) const;
  /// The methods by name; for "all", those that are defined for the network.
  std::vector<std::string> names(const network::Graph& graph) const;
};

/// One face's map by one method, and what is said of it.
struct FaceMap {
  const explain::MethodSpec* spec = nullptr;
  Face face;
  int64_t target = 0;
  std::string score;          ///< that was explained: lime has its own
  std::vector<float> values;  ///< [H,W]
  report::MapRange range;
  std::string layer;                           ///< "max_pool4 (128*3*3)", or empty
  std::map<std::string, double> diagnostics;   ///< that the method gives: "r2", ...
  std::map<std::string, double> faithfulness;  ///< by measure; only those that are defined
  at::Tensor at_layer{};                       ///< [h,w] the map at the layer's size, or undefined
  at::Tensor regions{};                        ///< [H,W] int64 the region of each pixel, or undefined

  /// "" or why the map shows nothing: "all zero", "rounding only (at most 2e-08)", ...
  std::string problem() const;
};

/// The class of each face that is explained, and all else that a method asks.
explain::AttributionRequest attribution_request(const MapOptions& options,
                                                ExplainContext& context,
                                                const std::vector<Face>& faces);
/// `options.method` with the faces that expected-gradients draws from.
explain::MethodOptions with_background(const MapOptions& options, ExplainContext& context);
/// [N,H,W]: where drawn faces carry their expression; undefined for other data.
at::Tensor evidence_of(const ExplainContext& context, const std::vector<int64_t>& rows);

/// Maps of `faces` by one method; with `measure`, how faithful they are. Warns of maps that show nothing.
std::vector<FaceMap> compute_maps(const MapOptions& options,
                                  ExplainContext& context,
                                  const explain::MethodSpec& spec,
                                  const std::vector<Face>& faces,
                                  const explain::FaithfulnessOptions* measure);

/// Side of the tile that a face and its maps fill, units.
int64_t map_tile(const ExplainContext& context);
/// The face ("image"), its map ("map"), or the map over the face ("overlay").
report::Panel map_panel(const std::string& name, const ExplainContext& context, const FaceMap& map);
/// Bar and words for the colors of `maps`.
void explain_colors(report::Sheet& sheet, const std::vector<FaceMap>& maps);

}  // namespace mien::figures
