#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mien/network/graph/graph.h"
#include "mien/network/normalization.h"

namespace mien::network {
struct LoadedWeights;
}

namespace mien::exporting {

/// A trained network as plain numbers, for evaluation: what every exporter starts from.
struct FrozenNetwork {
  network::Graph graph;
  std::map<std::string, std::vector<float>> values;  ///< by the names of parameter_specs(), row-major
  network::Normalization normalization;
  std::vector<std::string> class_names;         ///< as many as the graph has classes
  double temperature = 1;                       ///< that the weights' probabilities are at, from calibration
  std::map<std::string, std::string> metadata;  ///< the weights' own, and "mien.weights", their file's checksum
};

/// Copies the numbers out of `weights`. Classes without names are called class0, class1, ...
FrozenNetwork freeze(const network::LoadedWeights& weights);

/// Writes each batch norm that alone reads a convolution or dense layer into its weights and bias; the norm's layer
/// stays, as a dropout, which does nothing in evaluation. Outputs change by rounding alone.
void fold_batch_norms(FrozenNetwork& network);

}  // namespace mien::exporting
