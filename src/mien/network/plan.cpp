#include "mien/network/plan.h"

#include <algorithm>

namespace mien::network {
namespace {

/// Operations whose output may be the memory of their input: flatten is a view of it, dropout passes it on in
/// evaluation mode.
bool may_share_memory(LayerKind kind) { return kind == LayerKind::flatten || kind == LayerKind::dropout; }

bool can_overwrite(LayerKind kind) {
  switch (kind) {
    case LayerKind::relu:
    case LayerKind::leaky_relu:
    case LayerKind::silu:
    case LayerKind::sigmoid:
    case LayerKind::add:
    case LayerKind::multiply:
      return true;
    default:
      return false;
  }
}

}  // namespace

Plan make_plan(const Graph& graph) {
  const auto count = static_cast<int>(graph.layers.size());
  const auto at = [](auto& values, int index) -> auto& { return values[static_cast<size_t>(index)]; };

  std::vector<int> owner(graph.layers.size());       // the node that allocated a node's memory
  std::vector<int> last_read(graph.layers.size());   // of a node's output
  std::vector<int> owner_read(graph.layers.size());  // of a node's memory, by whatever name
  for (int node = 0; node < count; ++node) {
    const Layer& layer = at(graph.layers, node);
    at(owner, node) = may_share_memory(layer.kind) ? at(owner, layer.inputs.front()) : node;
    at(last_read, node) = node;
    for (const int input : layer.inputs) {
      at(last_read, input) = node;
      at(owner_read, at(owner, input)) = node;
    }
  }

  Plan plan;
  for (int node = 1; node < count; ++node) {
    const Layer& layer = at(graph.layers, node);
    Step step{.layers = {node}, .inputs = layer.inputs};
    for (const int input : layer.inputs) {
      const bool is_listed = std::find(step.release.begin(), step.release.end(), input) != step.release.end();
      if (at(last_read, input) == node && !is_listed) step.release.push_back(input);
    }
    const int memory = at(owner, layer.inputs.front());
    const bool is_callers = memory == 0;  // the images
    step.may_overwrite = can_overwrite(layer.kind) && !is_callers && at(owner_read, memory) == node;
    if (layer.padding.is_symmetric()) {
      step.padding = {layer.padding.top, layer.padding.left};
    } else {
      step.pad_before = {layer.padding.left, layer.padding.right, layer.padding.top, layer.padding.bottom};
    }
    plan.steps.push_back(std::move(step));
  }
  return plan;
}

}  // namespace mien::network
