#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "mien/network/graph/graph.h"

namespace mien::network {

/// Nodes that one pass over memory computes, in this order; -1 where the block has none of a kind. An activation stands
/// before the normalization or after it, not on both sides; a block with an add has neither pool nor dropout.
struct Block {
  int before = -1;  ///< activation in front of the batch norm
  int batch_norm = -1;
  int add = -1;       ///< its other operand is inputs[1] of the step
  int after = -1;     ///< activation behind the batch norm and the add, or without any
  int max_pool = -1;  ///< windows side by side, without padding
  int dropout = -1;
  bool may_reuse = false;  ///< the input's memory is of no use to anyone after this block's backward pass
};

/// One operation of an execution plan: one node, or a block of several.
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

  std::optional<Block> block;  ///< of a step that computes one
  int convolution = -1;        ///< the convolution in front of the block, in plans for evaluation

  int output() const { return layers.back(); }
};

/// How far a plan goes beyond one step a node.
enum class Fusion : uint8_t {
  none,
  blocks,  ///< activation, batch norm, residual add, max pool and dropout drawn together wherever one follows the other
           ///< and nobody else reads what is in between
  evaluation,  ///< the same, and each convolution with the block behind it (or with an empty one); for passes without a
               ///< gradient, by running statistics
};

/// What Network::forward executes: a graph's nodes as steps in order, with everything decided that does not depend on
/// the images.
struct Plan {
  Fusion fusion = Fusion::none;
  std::vector<Step> steps;
};

/// The plan of a checked graph. The nodes up to `barrier` are computed by steps of their own, so that a pass can stop
/// there and another one go on; what they give is the caller's, as the images are, and no later step changes it.
Plan make_plan(const Graph& graph, Fusion fusion, int barrier = 0);

/// Plans of one graph, each made when it is first asked for. May be asked from several threads.
class PlanCache {
 public:
  /// As make_plan; always for the same graph. The plan lives as long as the cache.
  const Plan& get(const Graph& graph, Fusion fusion, int barrier = 0);

 private:
  std::mutex mutex_;
  std::map<std::pair<Fusion, int>, Plan> plans_;
};

}  // namespace mien::network
