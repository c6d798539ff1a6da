#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/figures/explain_context.h"
#include "mien/figures/layer_options.h"
#include "mien/report/sheet.h"

namespace mien::figures {

// What the pictures of several kinds are put together from.

/// "angry 0.93"
std::string class_text(const ExplainContext& context, int64_t index, double probability);
/// A face as a panel: row, label, what the network takes it for; framed by whether that is right.
report::Panel face_panel(const ExplainContext& context, const Face& face, int64_t factor);
/// Gray levels of a face, [H,W]: of several channels the mean.
std::vector<uint8_t> gray_levels(const ExplainContext& context, int64_t row);
/// Where the faces come from, for a subtitle: the data's file name, or "drawn faces".
std::string source_name(const ExplainContext& context);
/// The longer side of a face, pixels.
int64_t face_pixels(const ExplainContext& context);
/// The indices of `faces` in the data set.
std::vector<int64_t> rows_of(const std::vector<Face>& faces);

/// A number with three significant digits and, between 0.001 and a million, without an exponent: "1220", "0.0123".
std::string short_number(double value);

/// As many columns as make `count` tiles about half as wide again as high.
int64_t columns_for(size_t count);
/// By how much a picture of `pixels` is enlarged to be about `wanted` units; a unit is two pixels.
int64_t factor_for(int64_t pixels, int64_t wanted);
/// Side of the tile that such a picture fills, units.
int64_t tile_for(int64_t pixels, int64_t wanted);

/// Values [h,w] in colors, with `caption` and, where they show nothing, the reason below it.
report::Panel level_panel(const at::Tensor& values,
                          const report::MapRange& range,
                          bool is_signed,
                          const std::string& caption);
/// One picture [C,H,W] uint8: gray of one channel, color of three, else the first.
report::Raster image_raster(const at::Tensor& levels, int64_t factor);
/// A bar from 0, or from -top, to `top`.
report::ColorBar bar_of(bool is_signed, const std::string& top, const std::string& caption);

/// "conv1"
const std::string& layer_name(const network::Graph& graph, int layer);
/// What a layer's channels are called: "unit" of a flat layer, else "filter".
std::string unit_noun(const network::Graph& graph, int layer);
/// "filters 0 to 63", "units 3, 7, 9", "filter 3".
std::string units_text(const network::Graph& graph, int layer, const std::vector<int64_t>& units);
/// "conv1 (64*48*48): filters 0 to 31 of 64"
std::string heading_of(const network::Graph& graph, const LayerUnits& chosen);
/// A unit's name below its picture: its number, or of the network's last layer its class.
std::string unit_name(const ExplainContext& context, int layer, int64_t unit);

/// Layers that one picture shows, and their names: "conv1, conv2".
struct LayerGroup {
  std::vector<size_t> members;  ///< positions in the figure's layers
  std::string names;
};
/// One picture a layer (`apart`), or one for all.
std::vector<LayerGroup> groups(const network::Graph& graph, const std::vector<LayerUnits>& layers, bool apart);

}  // namespace mien::figures
