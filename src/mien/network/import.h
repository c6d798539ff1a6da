#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "mien/network/network.h"

namespace mien::network {

/// A layer of a foreign file and the layer of the network that took its tensors.
struct ImportedLayer {
  std::string from;  ///< "features.0"
  std::string to;    ///< "conv1"
  std::string how;   ///< "given", "name" or "shape and order"
};

struct ImportedWeights {
  Network network;
  std::vector<ImportedLayer> layers;  ///< in the network's order
};

/// Fills a network with the tensors of a safetensors file that another program wrote, such as a PyTorch state dict.
/// Layers meet by `names` (foreign name to the network's), else by equal names (after a prefix that all foreign names
/// share, "module."), else by shape: foreign layers of the same shapes, in the natural order of their names, fill the
/// network's in order. F64, F16 and BF16 become float32; `num_batches_tracked` is passed over.
/// Throws Error(usage) for a name in `names` that neither side has, Error(bad_data) listing the layers of both sides
/// that found no partner, and for values that are not finite.
ImportedWeights import_weights(const std::filesystem::path& path,
                               Graph graph,
                               const std::map<std::string, std::string>& names = {});

}  // namespace mien::network
