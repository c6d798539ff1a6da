#include "mien/explain/units/unit_objective.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>

#include "mien/core/error.h"
#include "mien/explain/units/evaluation_block.h"
#include "mien/network/channel_affine.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::is_channelwise;
using network::is_depthwise;
using network::Layer;
using network::LayerKind;
using network::Mode;
using network::Network;

at::Tensor index_tensor(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

}  // namespace

struct UnitObjective::Impl {
  const Network network;
  int layer;
  Reduction reduction;
  int64_t count;
  bool affine = true;

  std::vector<bool> is_full;                     // nodes of which every channel is needed
  std::vector<int> read;                         // of those, the ones that the selected part reads
  std::map<int, std::vector<int64_t>> selected;  // nodes of which one channel an image is needed: which
  std::map<int, std::unique_ptr<EvaluationBlock>> blocks;
  mutable std::vector<at::Tensor> constant_gradient;  // of `read`, in order, where the selected part is affine
  mutable at::Tensor constant_value;                  // [N], with zeros for everything read

  Impl(const Network& net, int at_layer, std::vector<int64_t> units, Reduction how)
      : network(net), layer(at_layer), reduction(how), count(static_cast<int64_t>(units.size())) {
    const Graph& graph = network.graph();
    if (layer <= 0 || layer >= static_cast<int>(graph.layers.size())) {
      throw_usage(fmt::format(
          "cannot maximize units of layer {} of {}, expected 1 to {}", layer, graph.name, graph.layers.size() - 1));
    }
    const int64_t available = node(layer).output_shape.channels;
    for (const int64_t unit : units) {
      if (unit < 0 || unit >= available) {
        throw_usage(fmt::format(
            "{} of {} has no unit {}, expected 0 to {}", node(layer).name, graph.name, unit, available - 1));
      }
    }
    if (units.empty()) throw_usage(fmt::format("no unit of {} was chosen", node(layer).name));
    is_full.assign(graph.layers.size(), false);
    select(layer, std::move(units));
    for (size_t i = 0; i < is_full.size(); ++i) {
      // What is needed in full anyway (a residual's shortcut) is read there.
      if (is_full[i]) selected.erase(static_cast<int>(i));
    }
    for (const auto& [index, chosen] : selected) {
      affine = affine && network::traits(node(index)).is_affine;
      for (const int input : node(index).inputs) {
        if (is_full[static_cast<size_t>(input)] && std::find(read.begin(), read.end(), input) == read.end()) {
          read.push_back(input);
        }
      }
    }
    find_blocks();
    if (is_full[static_cast<size_t>(layer)]) throw std::logic_error("the layer itself needs no more than its units");
  }

  const Layer& node(int index) const { return network.graph().layers[static_cast<size_t>(index)]; }
  at::Tensor parameter(const Layer& of, const char* name) const { return network.tensor(of.name + "." + name); }

  void need(int index) {
    if (is_full[static_cast<size_t>(index)]) return;
    is_full[static_cast<size_t>(index)] = true;
    for (const int input : node(index).inputs) need(input);
  }

  /// Channels of its inputs that `units` of a channelwise layer are computed from.
  static std::vector<int64_t> channels_of(const Layer& at_node, std::vector<int64_t> units) {
    if (!is_depthwise(at_node)) return units;
    const int64_t multiplier = at_node.output_shape.channels / at_node.groups;
    for (int64_t& unit : units) unit /= multiplier;
    return units;
  }

  void select(int index, std::vector<int64_t> units) {
    const Layer& at_node = node(index);
    for (const int input : at_node.inputs) {
      if (is_channelwise(at_node) && input != 0) {
        select(input, channels_of(at_node, units));
      } else {
        need(input);
      }
    }
    selected[index] = std::move(units);
  }

  /// One channel an image of a full output, [N,1,h,w] (flat: h = w = 1).
  at::Tensor pick(const at::Tensor& full, const std::vector<int64_t>& channels) const {
    const at::Tensor index = index_tensor(channels).to(full.device());
    const int64_t height = full.dim() == 4 ? full.size(2) : 1;
    const int64_t width = full.dim() == 4 ? full.size(3) : 1;
    return full.reshape({full.size(0), full.size(1), height, width})
        .gather(1, index.view({-1, 1, 1, 1}).expand({-1, 1, height, width}));
  }

  /// One filter an image of a convolution: every kernel position's products over all positions of the image are one
  /// matrix product an image; a convolution with a one-hot kernel then moves each where it belongs and adds them up.
  at::Tensor convolve(const Layer& at_node, at::Tensor input, const std::vector<int64_t>& units) const {
    const int64_t inputs_of_a_filter = at_node.input_shape.channels / at_node.groups;
    const int64_t taps = at_node.kernel_height * at_node.kernel_width;
    const at::Tensor index = index_tensor(units).to(input.device());
    if (inputs_of_a_filter != input.size(1)) {
      const int64_t filters_of_a_group = at_node.output_shape.channels / at_node.groups;
      const at::Tensor first = index.div(filters_of_a_group, "floor") * inputs_of_a_filter;
      const at::Tensor channels = first.unsqueeze(1) + at::arange(inputs_of_a_filter, first.options());
      input = input.gather(1, channels.view({count, -1, 1, 1}).expand({-1, -1, input.size(2), input.size(3)}));
    }
    const int64_t height = input.size(2);
    const int64_t width = input.size(3);
    const at::Tensor kernels =
        parameter(at_node, "weight").index_select(0, index).reshape({count, inputs_of_a_filter, taps});
    const at::Tensor products =
        at::bmm(input.permute({0, 2, 3, 1}).reshape({count, height * width, inputs_of_a_filter}), kernels);
    at::Tensor maps = products.view({count, height, width, taps}).permute({0, 3, 1, 2});
    std::vector<int64_t> padding{at_node.padding.top, at_node.padding.left};
    if (!at_node.padding.is_symmetric()) {
      maps = at::constant_pad_nd(
          maps, {at_node.padding.left, at_node.padding.right, at_node.padding.top, at_node.padding.bottom});
      padding = {0, 0};
    }
    const at::Tensor one_hot =
        at::eye(taps, input.options()).view({1, taps, at_node.kernel_height, at_node.kernel_width});
    at::Tensor output = at::conv2d(maps, one_hot, {}, {at_node.stride, at_node.stride}, padding);
    if (at_node.bias) output = output + parameter(at_node, "bias").index_select(0, index).view({count, 1, 1, 1});
    return output;
  }

  at::Tensor normalize(const Layer& at_node, const at::Tensor& input, const std::vector<int64_t>& units) const {
    const at::Tensor index = index_tensor(units).to(input.device());
    const network::ChannelAffine affine_form = network::channel_affine(network, at_node);
    const auto chosen = [&](const at::Tensor& values) { return values.index_select(0, index).view({count, 1, 1, 1}); };
    return input * chosen(affine_form.scale) + chosen(affine_form.shift);
  }

  /// The chosen channel of a selected node, [N,1,h,w].
  at::Tensor run_selected(int index, const std::map<int, at::Tensor>& full, std::map<int, at::Tensor>& done) const {
    if (const auto found = done.find(index); found != done.end()) return found->second;
    const Layer& at_node = node(index);
    const std::vector<int64_t>& units = selected.at(index);
    const auto input = [&](size_t which) {
      const int from = at_node.inputs[which];
      if (const auto found = full.find(from); found != full.end())
        return pick(found->second, channels_of(at_node, units));
      return run_selected(from, full, done);
    };
    const auto whole = [&] { return full.at(at_node.inputs.front()); };
    at::Tensor output;
    if (at_node.kind == LayerKind::conv) {
      output = convolve(at_node, is_depthwise(at_node) ? input(0) : whole(), units);
    } else if (at_node.kind == LayerKind::dense) {
      const at::Tensor rows = index_tensor(units).to(whole().device());
      output = (whole() * parameter(at_node, "weight").index_select(0, rows)).sum(1);
      if (at_node.bias) output = output + parameter(at_node, "bias").index_select(0, rows);
      output = output.view({count, 1, 1, 1});
    } else if (at_node.kind == LayerKind::batch_norm) {
      output = normalize(at_node, input(0), units);
    } else {
      // What has no values of its own a channel computes one channel as it computes all; of the rest one is picked.
      std::vector<at::Tensor> inputs;
      for (size_t i = 0; i < at_node.inputs.size(); ++i)
        inputs.push_back(is_channelwise(at_node) ? input(i) : full.at(at_node.inputs[i]));
      output = network.run_layer(index, inputs, Mode::evaluation);
      if (!is_channelwise(at_node)) output = pick(output, units);
    }
    done[index] = output;
    return output;
  }

  /// The objective from what the selected part reads (`read`, in order).
  at::Tensor head(const std::vector<at::Tensor>& inputs) const {
    std::map<int, at::Tensor> full;
    for (size_t i = 0; i < read.size(); ++i) full[read[i]] = inputs[i];
    std::map<int, at::Tensor> done;
    const at::Tensor maps = run_selected(layer, full, done).squeeze(1);  // [N,h,w]
    switch (reduction) {
      case Reduction::mean:
        return maps.mean({1, 2});
      case Reduction::sum:
        return maps.sum({1, 2});
      case Reduction::center:
        return maps.select(2, maps.size(2) / 2).select(1, maps.size(1) / 2);
    }
    throw std::logic_error("reduction");
  }

  void find_constant_gradient(const std::vector<at::Tensor>& inputs) const {
    const at::AutoGradMode with_gradient(true);
    std::vector<at::Tensor> zeros;
    for (const at::Tensor& input : inputs) zeros.push_back(at::zeros_like(input).set_requires_grad(true));
    const at::Tensor values = head(zeros);
    std::vector<at::Tensor> gradients = torch::autograd::grad({values.sum()}, zeros);
    constant_value = values.detach();
    constant_gradient = std::move(gradients);
  }

  /// Blocks of layers that are computed in one pass, by their first node.
  void find_blocks() {
    const Graph& graph = network.graph();
    std::vector<int> readers(graph.layers.size(), 0);
    for (size_t i = 0; i < graph.layers.size(); ++i) {
      if (!is_full[i]) continue;
      for (const int input : graph.layers[i].inputs) ++readers[static_cast<size_t>(input)];
    }
    std::vector<bool> goes_on(graph.layers.size());
    for (size_t i = 0; i < graph.layers.size(); ++i) {
      const bool is_read = std::find(read.begin(), read.end(), static_cast<int>(i)) != read.end();
      goes_on[i] = is_full[i] && readers[i] == 1 && !is_read;
    }
    for (int index = 1; index < static_cast<int>(graph.layers.size()); ++index) {
      if (!is_full[static_cast<size_t>(index)]) continue;
      if (auto block = EvaluationBlock::find(network, index, goes_on)) {
        const int last = block->last();
        blocks[index] = std::move(block);
        index = last;
      }
    }
  }

  /// Outputs of `read` for a batch of images.
  std::vector<at::Tensor> run_full(const at::Tensor& images) const {
    std::vector<at::Tensor> outputs(network.graph().layers.size());
    outputs.front() = images;
    const int last = *std::max_element(read.begin(), read.end());
    for (int index = 1; index <= last; ++index) {
      if (!is_full[static_cast<size_t>(index)]) continue;
      std::vector<at::Tensor> inputs;
      for (const int input : node(index).inputs) inputs.push_back(outputs[static_cast<size_t>(input)]);
      if (const auto block = blocks.find(index); block != blocks.end()) {
        index = block->second->last();
        outputs[static_cast<size_t>(index)] = block->second->run(inputs.front());
      } else {
        outputs[static_cast<size_t>(index)] = network.run_layer(index, inputs, Mode::evaluation);
      }
    }
    std::vector<at::Tensor> chosen;
    for (const int index : read) chosen.push_back(outputs[static_cast<size_t>(index)]);
    return chosen;
  }
};

UnitObjective::UnitObjective(const Network& network, int layer, std::vector<int64_t> units, Reduction reduction)
    : impl_(std::make_unique<Impl>(network, layer, std::move(units), reduction)) {}

UnitObjective::~UnitObjective() = default;

bool UnitObjective::is_affine() const { return impl_->affine; }

UnitObjective::Value UnitObjective::evaluate(const at::Tensor& images, bool with_gradient) const {
  if (images.dim() != 4 || images.size(0) != impl_->count) {
    throw_usage(fmt::format("cannot ask {} units about images of shape [{}], expected one image a unit",
                            impl_->count,
                            fmt::join(images.sizes(), ",")));
  }
  const at::AutoGradMode mode(with_gradient);
  const at::Tensor input =
      images.detach().to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast).set_requires_grad(with_gradient);
  const std::vector<at::Tensor> outputs = impl_->run_full(input);
  Value result;
  if (!impl_->affine) {
    const at::Tensor values = impl_->head(outputs);
    result.values = values.detach();
    if (with_gradient) result.gradient = torch::autograd::grad({values.sum()}, {input}).front();
    return result;
  }
  if (impl_->constant_gradient.empty()) impl_->find_constant_gradient(outputs);
  result.values = impl_->constant_value.clone();
  for (size_t i = 0; i < outputs.size(); ++i) {
    result.values += (outputs[i].detach() * impl_->constant_gradient[i]).flatten(1).sum(1);
  }
  if (!with_gradient) return result;
  const bool is_image_alone = impl_->read.size() == 1 && impl_->read.front() == 0;
  result.gradient = is_image_alone ? impl_->constant_gradient.front()
                                   : torch::autograd::grad(outputs, {input}, impl_->constant_gradient).front();
  return result;
}

}  // namespace mien::explain
