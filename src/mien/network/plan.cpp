#include "mien/network/plan.h"

#include <algorithm>

#include "mien/network/graph/layer_traits.h"

namespace mien::network {
namespace {

auto& at(auto& values, int index) { return values[static_cast<size_t>(index)]; }

/// Activations that blocks compute themselves.
bool is_fusible_activation(LayerKind kind) {
  return kind == LayerKind::relu || kind == LayerKind::leaky_relu || kind == LayerKind::silu;
}

bool is_fusible_pool(const Layer& layer) {
  return layer.kind == LayerKind::max_pool && layer.kernel_height == layer.kernel_width &&
         layer.stride == layer.kernel_height && layer.padding == Padding{};
}

/// Steps in order of their last node, with everything but `release` and `may_overwrite`.
using Steps = std::vector<Step>;

Step single_step(const Graph& graph, int node) {
  const Layer& layer = at(graph.layers, node);
  Step step{.layers = {node}, .inputs = layer.inputs};
  if (layer.padding.is_symmetric()) {
    step.padding = {layer.padding.top, layer.padding.left};
  } else {
    step.pad_before = {layer.padding.left, layer.padding.right, layer.padding.top, layer.padding.bottom};
  }
  return step;
}

/// Fills in what depends on the order of the steps.
Plan plan_memory(const Graph& graph, Fusion fusion, Steps steps, int barrier) {
  std::vector<int> owner(graph.layers.size());       // the node that allocated a node's memory
  std::vector<int> last_read(graph.layers.size());   // of a node's output: the step's last node
  std::vector<int> owner_read(graph.layers.size());  // of a node's memory, by whatever name
  for (const Step& step : steps) {
    const int node = step.output();
    const bool shares = !step.block && traits(at(graph.layers, node)).may_share_memory;
    at(owner, node) = shares ? at(owner, step.inputs.front()) : node;
    at(last_read, node) = node;
    for (const int input : step.inputs) {
      at(last_read, input) = node;
      at(owner_read, at(owner, input)) = node;
    }
  }
  for (Step& step : steps) {
    const int node = step.output();
    for (const int input : step.inputs) {
      const bool is_listed = std::find(step.release.begin(), step.release.end(), input) != step.release.end();
      if (at(last_read, input) == node && !is_listed) step.release.push_back(input);
    }
    const int memory = at(owner, step.inputs.front());
    const bool is_callers = memory == 0 || (memory <= barrier && node > barrier);
    const bool can =
        step.block ? step.block->max_pool < 0 && step.convolution < 0 : traits(at(graph.layers, node)).can_overwrite;
    step.may_overwrite = can && !is_callers && at(owner_read, memory) == node;
    if (step.block) {
      step.block->may_reuse = traits(at(graph.layers, step.inputs.front())).is_weighted &&
                              step.inputs.front() > barrier && at(last_read, step.inputs.front()) == node &&
                              std::count(step.inputs.begin(), step.inputs.end(), step.inputs.front()) == 1;
    }
  }
  return Plan{.fusion = fusion, .steps = std::move(steps)};
}

/// The longest block that starts at a node: its nodes in order; fewer than one where none does.
class BlockFinder {
 public:
  BlockFinder(const Graph& graph, Fusion fusion, int barrier)
      : graph_(graph),
        fusion_(fusion),
        barrier_(barrier),
        readers_(graph.layers.size()),
        is_taken_(graph.layers.size()) {
    for (int node = 1; node < static_cast<int>(graph.layers.size()); ++node) {
      for (const int input : at(graph.layers, node).inputs) at(readers_, input).push_back(node);
    }
  }

  /// A shortcut's batch norm ends in an add that the main branch's block has already.
  void mark_taken(const Step& step) {
    for (const int node : step.layers) is_taken_[static_cast<size_t>(node)] = true;
  }
  bool is_taken(int node) const { return is_taken_[static_cast<size_t>(node)]; }

  std::optional<Step> find(int start) {
    step_ = Step{};
    step_.inputs = {at(graph_.layers, start).inputs.front()};
    next_ = start;
    Block block;
    if (fusion_ == Fusion::evaluation && kind() == LayerKind::conv) {
      const Step alone = single_step(graph_, start);
      step_.pad_before = alone.pad_before;
      step_.padding = alone.padding;
      take(step_.convolution);
    }
    const bool starts_with_activation = is_fusible_activation(kind());
    if (starts_with_activation && kind_after(next_) == LayerKind::batch_norm) take(block.before);
    if (kind() == LayerKind::batch_norm) take(block.batch_norm);
    if (kind() == LayerKind::add && add_fits() && step_.convolution < 0) take_add(block.add);
    if (block.before < 0 && is_fusible_activation(kind())) take(block.after);
    if (block.add < 0 && next_ >= 0 && is_fusible_pool(at(graph_.layers, next_))) take(block.max_pool);
    if (block.add < 0 && kind() == LayerKind::dropout) take(block.dropout);
    // One activation or add alone is libtorch's single pass already.
    const bool is_worthwhile = step_.layers.size() > 1 || block.batch_norm >= 0 || block.max_pool >= 0 ||
                               block.dropout >= 0 || step_.convolution >= 0;
    if (!is_worthwhile) return std::nullopt;
    step_.block = block;
    return step_;
  }

 private:
  LayerKind kind() const { return next_ < 0 ? LayerKind::input : at(graph_.layers, next_).kind; }
  LayerKind kind_after(int node) const {
    const int after = only_reader(node);
    return after < 0 ? LayerKind::input : at(graph_.layers, after).kind;
  }
  int only_reader(int node) const {
    const std::vector<int>& readers = at(readers_, node);
    if (readers.size() != 1 || is_taken(readers.front())) return -1;
    const bool crosses_barrier = node <= barrier_ && readers.front() > barrier_;
    return crosses_barrier ? -1 : readers.front();
  }

  void take(int& role) {
    role = next_;
    step_.layers.push_back(next_);
    next_ = only_reader(next_);
  }

  /// Both operands are of one shape (graphs check that) and the other one is not this block's own start.
  bool add_fits() const { return at(graph_.layers, next_).inputs.size() == 2; }
  void take_add(int& role) {
    const std::vector<int>& operands = at(graph_.layers, next_).inputs;
    const int own = step_.layers.empty() ? step_.inputs.front() : step_.layers.back();
    step_.inputs.push_back(operands[0] == own ? operands[1] : operands[0]);
    take(role);
  }

  const Graph& graph_;
  Fusion fusion_;
  int barrier_;
  std::vector<std::vector<int>> readers_;
  std::vector<bool> is_taken_;
  Step step_;
  int next_ = -1;
};

}  // namespace

Plan make_plan(const Graph& graph, Fusion fusion, int barrier) {
  BlockFinder finder(graph, fusion, barrier);
  Steps steps;
  for (int node = 1; node < static_cast<int>(graph.layers.size()); ++node) {
    if (finder.is_taken(node)) continue;
    auto block = fusion == Fusion::none ? std::nullopt : finder.find(node);
    steps.push_back(block ? std::move(*block) : single_step(graph, node));
    finder.mark_taken(steps.back());
  }
  // A block runs where its last node stands: by then an add's other operand is there.
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.output() < b.output(); });
  return plan_memory(graph, fusion, std::move(steps), barrier);
}

const Plan& PlanCache::get(const Graph& graph, Fusion fusion, int barrier) {
  const std::lock_guard lock(mutex_);
  const auto [found, is_new] = plans_.try_emplace({fusion, barrier});
  if (is_new) found->second = make_plan(graph, fusion, barrier);
  return found->second;
}

}  // namespace mien::network
