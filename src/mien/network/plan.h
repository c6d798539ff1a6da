#pragma once

#include <cstdint>
#include <vector>

#include "mien/network/graph.h"

namespace mien::network {

/// One operation of an execution plan. Today each covers one node; an operation that computes several nodes in one
/// pass over memory takes the place of theirs.
struct Step {
  std::vector<int> layers;     ///< nodes that it computes, in order; the last one's output is the step's output
  std::vector<int> inputs;     ///< nodes whose outputs it reads
  std::vector<int> release;    ///< nodes whose outputs no later step reads
  bool may_overwrite = false;  ///< inputs[0]'s memory is read by no later step, directly or through a view, and the
                               ///< operation can write its result there (where autograd does not need it)

  /// Zeros to add at the borders beforehand, as at::constant_pad_nd takes them (left, right, top, bottom); empty where
  /// the operation itself can pad.
  std::vector<int64_t> pad_before;
  std::vector<int64_t> padding{0, 0};  ///< of the operation itself: height, width

  int output() const { return layers.back(); }
};

/// What Network::forward executes: a graph's nodes as steps in order, with everything decided that does not depend on
/// the images.
struct Plan {
  std::vector<Step> steps;
};

/// The plan of a checked graph.
Plan make_plan(const Graph& graph);

}  // namespace mien::network
