#pragma once

#include <cstdint>

#include "mien/network/graph/graph.h"

namespace mien::explain {

/// A rectangle of pixels, bottom and right exclusive.
struct PixelWindow {
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  int64_t height() const { return bottom - top; }
  int64_t width() const { return right - left; }
  bool operator==(const PixelWindow&) const = default;
};

/// How a layer's positions see the image, if the image had no borders: position (y, x) sees rows
/// [y * stride + offset_y, y * stride + offset_y + height), columns likewise.
/// @source Araujo, Norris, Sim 2019, "Computing receptive fields of convolutional neural networks"
struct ReceptiveField {
  int64_t height = 1, width = 1;
  int64_t stride = 1;
  int64_t offset_y = 0, offset_x = 0;
  bool is_whole_image = false;  ///< behind flatten or global pooling: every position sees everything
};
ReceptiveField receptive_field(const network::Graph& graph, int layer);

/// The pixels that position (y, x) of `layer` can depend on in evaluation mode: the smallest rectangle inside the image
/// that holds them all. Throws Error(usage) for a position outside the layer's output.
PixelWindow receptive_window(const network::Graph& graph, int layer, int64_t y, int64_t x);

}  // namespace mien::explain
