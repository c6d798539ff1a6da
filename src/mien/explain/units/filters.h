#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/network/network.h"

namespace mien::explain {

/// What one convolution has learned.
struct FilterWeights {
  int layer = -1;
  std::string name;   ///< "conv1"
  at::Tensor weight;  ///< [out, in/groups, kh, kw] float32, row-major copy
  at::Tensor bias;    ///< [out]; undefined where the layer has none
};
/// Weights of every convolution, in order; empty for dense networks.
std::vector<FilterWeights> convolution_weights(const network::Network& network);

/// Weights of one layer as pictures, [units, h, w]: of a convolution, the kernels for input channel `channel`; of a
/// dense layer that reads the image (directly or flattened), each unit's weights in the image's shape. Throws
/// Error(usage) for other layers and for a channel that the layer does not read.
at::Tensor weight_pictures(const network::Network& network, int layer, int64_t channel = 0);

/// Outputs of `layers` for a batch of normalized images [N,C,H,W], in evaluation mode, each row-major: [N,C,H,W] or
/// [N,F]. At most `batch_size` images in one pass, which stops at the last of the layers.
std::vector<at::Tensor> layer_outputs(const network::Network& network,
                                      const at::Tensor& images,
                                      const std::vector<int>& layers,
                                      int64_t batch_size = 128);

/// Number of filters of a [C,H,W] output, of features of a flat one.
int64_t unit_count(const network::Graph& graph, int layer);

/// Units of a layer from text: "all", "first 64" (or fewer if there are fewer), "3", "0-31", "0-31,40,47-60". Throws
/// Error(usage) for what is none of these and for units that the layer does not have.
std::vector<int64_t> parse_units(const std::string& text, const network::Graph& graph, int layer);

/// Pictures [N,h,w] as one, row by row: [rows*(h+margin)-margin, columns*(w+margin)-margin] float32, `fill` between
/// them and in places without a picture. columns 0: the smallest number that makes the picture at least as wide as
/// high.
at::Tensor tile(const at::Tensor& pictures, int64_t columns = 0, int64_t margin = 1, double fill = 1);

}  // namespace mien::explain
