#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mien/network/graph/layer_traits.h"

namespace mien::network {

/// Writes a graph node by node: gives each node its name and shapes and checks it against what it reads.
/// Failures are Error(usage) as "FILE:LINE: what is wrong", with a hint.
class GraphBuilder {
 public:
  /// Starts with the input node, which stands in line `line` of `file`.
  GraphBuilder(std::string file, const Shape& input, int line);

  /// Appends `layer` (kind, options and line set; of output_shape only the channels of conv and dense; a name only
  /// where the file gives one) reading the nodes `inputs`; returns its index.
  int add(Layer layer, std::vector<int> inputs);

  /// Name that the next node of this kind gets.
  std::string next_name(LayerKind kind) const;
  const Shape& shape(int node) const { return layers_[static_cast<size_t>(node)].output_shape; }
  const Layer& layer(int node) const { return layers_[static_cast<size_t>(node)]; }

  /// The nodes, after the checks of the whole: the last one gives the scores.
  std::vector<Layer> finish();

  [[noreturn]] void fail(int line, const std::string& message, const std::string& hint) const;

 private:
  void set_name(Layer& layer);
  void check_flatness(const Layer& layer) const;
  Shape joined(const Layer& layer) const;
  Shape output_of_window(const Layer& layer, int64_t channels) const;
  Shape output_shape(const Layer& layer) const;

  std::string file_;
  std::vector<Layer> layers_;
  std::map<LayerKind, int> counts_;
  std::set<std::string> names_{"input"};
  int64_t parameters_ = 0;
};

}  // namespace mien::network
