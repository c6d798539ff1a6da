#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/network/network.h"

namespace mien::explain {

/// How a unit's output map becomes one number: over all positions, or the one at (h/2, w/2). A feature of a flat layer
/// has one position, so all three are the same there.
enum class Reduction { mean, sum, center };

/// One number an image: the output of a unit of some layer, each image having a unit of its own, and the gradient with
/// respect to the images; in evaluation mode. Computes no more than that number depends on:
/// - nothing behind the layer;
/// - of the layer, and of what lies between it and the nearest mixing layers (convolutions, dense), one channel an
/// image, since
///   everything there is channelwise;
/// - where that part is affine in what the mixing layers read (the layer is a convolution, say), its gradient is a
///   constant, found once, and the number an inner product with it.
class UnitObjective {
 public:
  /// Image i is asked for units[i]. `network`'s parameters must require no gradient (see `frozen_copy`). Throws
  /// Error(usage) for the input layer, for a layer or unit that does not exist.
  UnitObjective(const network::Network& network, int layer, std::vector<int64_t> units, Reduction reduction);
  ~UnitObjective();

  struct Value {
    at::Tensor values;    ///< [N] float32
    at::Tensor gradient;  ///< [N,C,H,W] float32, of each value with respect to its image; undefined if not asked for
  };
  /// `images` [N,C,H,W], N = number of units.
  Value evaluate(const at::Tensor& images, bool with_gradient) const;

  /// Whether the gradient with respect to what the mixing layers read is a constant.
  bool is_affine() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mien::explain
