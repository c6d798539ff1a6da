#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/explain/batches.h"
#include "mien/explain/gradients/backward_walk.h"
#include "mien/explain/gradients/gradient_family.h"
#include "mien/explain/methods.h"
#include "mien/network/channel_affine.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Layer;
using network::LayerKind;
using network::Network;

bool is_weighted(const Layer& layer) { return network::traits(layer).is_weighted; }

/// readers[i]: the layers that read layer i.
std::vector<std::vector<int>> readers_of(const Graph& graph) {
  std::vector<std::vector<int>> readers(graph.layers.size());
  for (size_t node = 1; node < graph.layers.size(); ++node) {
    for (const int input : graph.layers[node].inputs)
      readers[static_cast<size_t>(input)].push_back(static_cast<int>(node));
  }
  return readers;
}

/// How a conv or dense layer takes part once batch norm beside it is folded in.
struct Weighted {
  at::Tensor scale;  // of its output channels, by a batch norm right behind it; undefined: 1
  int output = 0;    // the layer whose output is its output: itself, or that batch norm
  at::Tensor shift;  // in its input, from a batch norm before it, as large as one input; undefined: 0
};

/// Which batch norms are folded, and into what. One right behind a weighted layer scales that layer's weights; one
/// whose readers (through flatten and dropout) are all weighted layers scales theirs, and its shift joins their bias.
/// Relevance passes a folded batch norm unchanged.
struct Folding {
  std::vector<Weighted> weighted;  // by layer
  std::vector<bool> is_folded;     // by layer
};

/// Follows flatten and dropout from `layer`'s readers to the weighted layers behind; false if anything else reads it.
bool weighted_readers(const Graph& graph,
                      const std::vector<std::vector<int>>& readers,
                      int layer,
                      std::vector<int>& found) {
  for (const int reader : readers[static_cast<size_t>(layer)]) {
    const Layer& node = graph.layers[static_cast<size_t>(reader)];
    if (is_weighted(node)) {
      found.push_back(reader);
    } else if (node.kind == LayerKind::flatten || node.kind == LayerKind::dropout) {
      if (!weighted_readers(graph, readers, reader, found)) return false;
    } else {
      return false;
    }
  }
  return !readers[static_cast<size_t>(layer)].empty();
}

Folding fold(const Network& network, bool is_wanted) {
  const Graph& graph = network.graph();
  const auto readers = readers_of(graph);
  Folding folding{.weighted = std::vector<Weighted>(graph.layers.size()),
                  .is_folded = std::vector<bool>(graph.layers.size())};
  for (size_t node = 0; node < graph.layers.size(); ++node) folding.weighted[node].output = static_cast<int>(node);
  for (size_t node = 1; is_wanted && node < graph.layers.size(); ++node) {
    const Layer& layer = graph.layers[node];
    if (layer.kind != LayerKind::batch_norm) continue;
    const network::ChannelAffine affine = network::channel_affine(network, layer);
    const auto before = static_cast<size_t>(layer.inputs.front());
    std::vector<int> behind;
    if (is_weighted(graph.layers[before]) && readers[before].size() == 1) {
      folding.weighted[before].scale = affine.scale;
      folding.weighted[before].output = static_cast<int>(node);
      folding.is_folded[node] = true;
    } else if (weighted_readers(graph, readers, static_cast<int>(node), behind)) {
      const network::Shape& shape = layer.output_shape;
      for (const int reader : behind) {
        const bool is_flat = graph.layers[static_cast<size_t>(reader)].input_shape.is_flat;
        const at::Tensor large =
            affine.shift.view({1, -1, 1, 1}).expand({1, shape.channels, shape.height, shape.width});
        folding.weighted[static_cast<size_t>(reader)].shift = is_flat ? large.flatten(1) : large.contiguous();
      }
      folding.is_folded[node] = true;
    }
  }
  return folding;
}

/// A weighted layer's linear map without its bias, for changed weights, and the map's transpose.
class LinearMap {
 public:
  LinearMap(const Layer& layer, const at::Tensor& input) : layer_(layer), input_(padded(input)) {}

  at::Tensor forward(const at::Tensor& input, const at::Tensor& weight) const {
    if (layer_.kind == LayerKind::dense) return at::linear(input, weight);
    return at::conv2d(padded(input), weight, at::Tensor(), stride(), padding(), kOne, layer_.groups);
  }

  at::Tensor transposed(const at::Tensor& signal, const at::Tensor& weight) const {
    if (layer_.kind == LayerKind::dense) return at::matmul(signal, weight);
    const std::array<bool, 3> input_only{true, false, false};
    const at::Tensor all = std::get<0>(at::convolution_backward(signal,
                                                                input_,
                                                                weight,
                                                                c10::nullopt,
                                                                stride(),
                                                                padding(),
                                                                kOne,
                                                                /*transposed=*/false,
                                                                /*output_padding=*/kZero,
                                                                layer_.groups,
                                                                input_only));
    if (layer_.padding.is_symmetric()) return all;
    return all.narrow(2, layer_.padding.top, layer_.input_shape.height)
        .narrow(3, layer_.padding.left, layer_.input_shape.width);
  }

 private:
  at::Tensor padded(const at::Tensor& input) const {
    const auto& border = layer_.padding;
    if (layer_.kind == LayerKind::dense || border.is_symmetric()) return input;
    return at::constant_pad_nd(input, {border.left, border.right, border.top, border.bottom});
  }
  std::vector<int64_t> stride() const { return {layer_.stride, layer_.stride}; }
  std::vector<int64_t> padding() const {
    if (!layer_.padding.is_symmetric()) return kZero;
    return {layer_.padding.top, layer_.padding.left};
  }

  inline static const std::vector<int64_t> kOne{1, 1};
  inline static const std::vector<int64_t> kZero{0, 0};
  const Layer& layer_;
  at::Tensor input_;
};

enum class Rule { epsilon, gamma, alpha_beta };

class Propagation {
 public:
  Propagation(const Network& network,
              const BackwardWalk& walk,
              const Folding& folding,
              Rule rule,
              const GradientOptions& options)
      : network_(network), walk_(walk), folding_(folding), rule_(rule), options_(options) {
    const auto& layers = network.graph().layers;
    const bool has_convolutions =
        std::any_of(layers.begin(), layers.end(), [](const Layer& layer) { return layer.kind == LayerKind::conv; });
    dense_rule_ = options.lrp_dense == "epsilon" && has_convolutions ? Rule::epsilon : rule;
  }

  std::vector<at::Tensor> operator()(int index, const at::Tensor& relevance) const {
    const Layer& layer = walk_.layer(index);
    switch (layer.kind) {
      case LayerKind::conv:
        return {at_weights(index, relevance, rule_)};
      case LayerKind::dense:
        return {at_weights(index, relevance, dense_rule_)};
      case LayerKind::batch_norm:
        if (folding_.is_folded[static_cast<size_t>(index)]) return {relevance};
        return in_proportion(index, relevance);
      case LayerKind::max_pool:  // all to the winner
      case LayerKind::avg_pool:
      case LayerKind::global_avg_pool:
      case LayerKind::global_max_pool:
      case LayerKind::add:
        return in_proportion(index, relevance);
      case LayerKind::multiply:
        return {relevance, at::Tensor()};
      case LayerKind::flatten:
      case LayerKind::concat:  // each input gets its own part
        return walk_.gradient(index, relevance);
      default:
        return {relevance};
    }
  }

 private:
  /// values / (denominator moved away from zero by epsilon)
  at::Tensor quotient(const at::Tensor& values, const at::Tensor& denominator) const {
    return values /
           (denominator + at::where(denominator < 0, -options_.lrp_epsilon, options_.lrp_epsilon).to(at::kFloat));
  }

  /// The epsilon rule where the layer is linear, but for a shift or the choice of a winner: R_i = x_i (J^T R / (z +
  /// epsilon sign z))_i.
  std::vector<at::Tensor> in_proportion(int index, const at::Tensor& relevance) const {
    std::vector<at::Tensor> shares = walk_.gradient(index, quotient(relevance, walk_.output(index)));
    for (size_t i = 0; i < shares.size(); ++i) shares[i] = shares[i] * walk_.input(index, i);
    return shares;
  }

  at::Tensor at_weights(int index, const at::Tensor& relevance, Rule rule) const {
    const Layer& layer = walk_.layer(index);
    const Weighted& own = folding_.weighted[static_cast<size_t>(index)];
    const at::Tensor x = own.shift.defined() ? walk_.input(index) - own.shift : walk_.input(index);
    const at::Tensor& z = walk_.output(own.output);
    at::Tensor weight = network_.tensor(layer.name + ".weight");
    if (own.scale.defined()) {
      std::vector<int64_t> over_outputs(static_cast<size_t>(weight.dim()), 1);
      over_outputs.front() = -1;
      weight = weight * own.scale.view(over_outputs);
    }
    const LinearMap map(layer, x);
    if (rule == Rule::epsilon) return x * map.transposed(quotient(relevance, z), weight);
    return signed_rule(map, x, z, weight, relevance, rule);
  }

  /// Gamma and alpha-beta, for inputs and weights of both signs. With z_ij the contribution of input i to output j, z+
  /// and z- the sums of its positive and negative parts, and the bias b counted in, R_i is the sum over j of
  ///   gamma, z > 0: (z_ij + gamma z_ij+) R_j / (z + gamma (z+ + b+)), and for z < 0 the same with the negative parts;
  ///   alpha-beta:   (alpha z_ij+ / (z+ + b+) - beta z_ij- / (z- + b-)) R_j.
  /// @source Montavon et al. 2019, section 10.2.1 (gamma), in zennit's form for both signs; Bach et al. 2015, equation
  /// 60
  at::Tensor signed_rule(const LinearMap& map,
                         const at::Tensor& x,
                         const at::Tensor& z,
                         const at::Tensor& weight,
                         const at::Tensor& relevance,
                         Rule rule) const {
    const at::Tensor x_plus = x.clamp_min(0);
    const at::Tensor x_minus = x.clamp_max(0);
    const at::Tensor w_plus = weight.clamp_min(0);
    const at::Tensor w_minus = weight.clamp_max(0);
    const bool has_negative = x.min().item<float>() < 0;
    // sums over inputs of z_ij+ and z_ij-, and what each input gets back through those
    const auto sums = [&](const at::Tensor& for_plus, const at::Tensor& for_minus) {
      const at::Tensor sum = map.forward(x_plus, for_plus);
      return has_negative ? sum + map.forward(x_minus, for_minus) : sum;
    };
    const auto shares = [&](const at::Tensor& signal, const at::Tensor& for_plus, const at::Tensor& for_minus) {
      const at::Tensor share = x_plus * map.transposed(signal, for_plus);
      return has_negative ? share + x_minus * map.transposed(signal, for_minus) : share;
    };
    const at::Tensor z_plus = sums(w_plus, w_minus);
    const at::Tensor z_minus = sums(w_minus, w_plus);
    const at::Tensor bias = z - (z_plus + z_minus);  // the shift of a folded batch norm included
    const at::Tensor all_plus = z_plus + bias.clamp_min(0);
    const at::Tensor all_minus = z_minus + bias.clamp_max(0);
    if (rule == Rule::alpha_beta) {
      const double alpha = options_.lrp_alpha;
      const at::Tensor positive = alpha * shares(relevance / (all_plus + options_.lrp_epsilon), w_plus, w_minus);
      if (alpha == 1) return positive;
      return positive - (alpha - 1) * shares(relevance / (all_minus - options_.lrp_epsilon), w_minus, w_plus);
    }
    const double gamma = options_.lrp_gamma;
    const at::Tensor up = (z > 0) * relevance / (z + gamma * all_plus + options_.lrp_epsilon);
    const at::Tensor down = (z < 0) * relevance / (z + gamma * all_minus - options_.lrp_epsilon);
    return x * map.transposed(up + down, weight) +
           gamma * (shares(up, w_plus, w_minus) + shares(down, w_minus, w_plus));
  }

  const Network& network_;
  const BackwardWalk& walk_;
  const Folding& folding_;
  Rule rule_;
  Rule dense_rule_;
  const GradientOptions& options_;
};

Attributions lrp(const AttributionRequest& request, const MethodOptions& options, Rule rule) {
  if (request.score == Score::probability) {
    throw_usage("layer-wise relevance propagation explains logits, not a probability: no rule leads through softmax",
                "ask for the logit");
  }
  const Folding folding = fold(request.network, options.gradient.lrp_batch_norm == "fold");
  return in_batches(request, options.batch_size, [&](const AttributionRequest& part) {
    const at::NoGradGuard no_gradient;
    const BackwardWalk walk(part.network, part.images);
    const Propagation propagation(part.network, walk, folding, rule, options.gradient);
    const at::Tensor start = walk.logits() * score_gradient(walk.logits(), part.targets, part.score);
    const at::Tensor channels = walk.run(start, propagation);
    const at::Tensor absorbed = start.sum(1, false, at::kDouble) - channels.flatten(1).sum(1, false, at::kDouble);
    Attributions maps{.values = sum_channels(channels), .channels = channels};
    for (int64_t i = 0; i < absorbed.size(0); ++i)
      maps.diagnostics.push_back({{"absorbed", absorbed[i].item<double>()}});
    return maps;
  });
}

}  // namespace

Attributions lrp_epsilon(const AttributionRequest& request, const MethodOptions& options) {
  return lrp(request, options, Rule::epsilon);
}

Attributions lrp_gamma(const AttributionRequest& request, const MethodOptions& options) {
  return lrp(request, options, Rule::gamma);
}

Attributions lrp_alpha_beta(const AttributionRequest& request, const MethodOptions& options) {
  return lrp(request, options, Rule::alpha_beta);
}

std::string obstacle_of_lrp(const Graph& graph) {
  const auto readers = readers_of(graph);
  for (size_t node = 1; node < graph.layers.size(); ++node) {
    const network::LayerTraits& facts = network::traits(graph.layers[node]);
    if (facts.is_normalization && !facts.is_affine) {
      return fmt::format(
          "{} of {} is {}, for which the method has no rule", graph.layers[node].name, graph.name, facts.title);
    }
    if (!facts.is_activation || facts.is_zero_at_zero) continue;
    const bool is_gate = std::all_of(readers[node].begin(), readers[node].end(), [&](int reader) {
      const Layer& layer = graph.layers[static_cast<size_t>(reader)];
      return layer.kind == LayerKind::multiply && layer.inputs[1] == static_cast<int>(node);
    });
    if (!is_gate || readers[node].empty()) {
      return fmt::format("{} of {} is {}, not 0 where its input is 0, so relevance cannot be handed down through it",
                         graph.layers[node].name,
                         graph.name,
                         facts.title);
    }
  }
  return {};
}

}  // namespace mien::explain
