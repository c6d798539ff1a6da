#include "mien/network/network.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/text.h"
#include "mien/network/batch_part.h"
#include "mien/network/block.h"
#include "mien/network/convolution.h"
#include "mien/network/graph/layer_traits.h"
#include "mien/network/plan.h"
#include "mien/network/precision.h"

namespace mien::network {
namespace {

/// Uniform in +-1/sqrt(fan_in), row-major values from the tensor's own random stream.
at::Tensor uniform_tensor(const ParameterSpec& spec, int64_t fan_in, uint64_t seed) {
  at::Tensor values = at::empty(spec.shape, at::kFloat);
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  RandomStream random(seed, "parameter " + spec.name);
  float* out = values.data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i) out[i] = static_cast<float>(random.uniform(-bound, bound));
  return values;
}

at::Tensor fresh_tensor(const ParameterSpec& spec, const Layer& layer, uint64_t seed) {
  if (!traits(layer).is_normalization) {
    const int64_t fan_in = layer.input_shape.channels / layer.groups *
                           (layer.kind == LayerKind::conv ? layer.kernel_height * layer.kernel_width : 1);
    return uniform_tensor(spec, fan_in, seed);
  }
  const bool is_one = spec.name.ends_with(".weight") || spec.name.ends_with(".running_var");
  return at::full(spec.shape, is_one ? 1.0 : 0.0, at::kFloat);
}

/// A copy whose strides are channels-last if it has four dimensions. A weight of one input channel is both layouts at
/// once, and only its strides tell libtorch which one the output shall have; .contiguous() would leave them.
at::Tensor in_storage_layout(const at::Tensor& values, const at::Device& device) {
  const auto format = values.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  at::Tensor stored = at::empty(values.sizes(), values.options().device(device).memory_format(format));
  stored.copy_(values);
  return stored;
}

/// The input of a convolution, and the stride that is left. A 1x1 kernel that strides reads some pixels only: they are
/// picked out first, because oneDNN 3.7.2 goes wrong there (docs/platforms.md).
std::pair<at::Tensor, int64_t> convolution_input(const Layer& layer, const Step& step, const at::Tensor& x) {
  const at::Tensor padded = step.pad_before.empty() ? x : at::constant_pad_nd(x, step.pad_before);
  const bool is_padded = std::any_of(step.padding.begin(), step.padding.end(), [](int64_t pad) { return pad != 0; });
  if (layer.stride == 1 || layer.kernel_height != 1 || layer.kernel_width != 1 || is_padded)
    return {padded, layer.stride};
  const at::Tensor picked = padded.slice(2, 0, {}, layer.stride).slice(3, 0, {}, layer.stride);
  return {picked.contiguous(padded.suggest_memory_format()), 1};
}

at::Tensor activate(const Layer& layer, const at::Tensor& x) {
  switch (layer.kind) {
    case LayerKind::relu:
      return at::relu(x);
    case LayerKind::leaky_relu:
      return at::leaky_relu(x, layer.negative_slope);
    case LayerKind::elu:
      return at::elu(x, layer.alpha);
    case LayerKind::silu:
      return at::silu(x);
    case LayerKind::gelu:
      return at::gelu(x);
    case LayerKind::hardswish:
      return at::hardswish(x);
    case LayerKind::softplus:
      return at::softplus(x);
    case LayerKind::tanh:
      return at::tanh(x);
    default:
      return at::sigmoid(x);
  }
}

at::Tensor activate_in_place(const Layer& layer, at::Tensor x) {
  switch (layer.kind) {
    case LayerKind::relu:
      return at::relu_(x);
    case LayerKind::leaky_relu:
      return at::leaky_relu_(x, layer.negative_slope);
    case LayerKind::elu:
      return at::elu_(x, layer.alpha);
    case LayerKind::silu:
      return at::silu_(x);
    case LayerKind::hardswish:
      return at::hardswish_(x);
    case LayerKind::tanh:
      return at::tanh_(x);
    case LayerKind::sigmoid:
      return at::sigmoid_(x);
    default:
      return activate(layer, x);
  }
}

void check_statistics(const Layer& layer, const at::Tensor& x) {
  if (x.numel() / x.size(1) >= 2) return;
  throw_usage(
      fmt::format("cannot train {} on a batch of {}: it needs more than one value a channel", layer.name, x.size(0)),
      "use batches of at least 2 images");
}

at::Tensor normalize(const Layer& layer, const at::Tensor& x, const std::vector<at::Tensor>& own, Mode mode) {
  if (layer.kind == LayerKind::group_norm) return at::group_norm(x, layer.groups, own[0], own[1], layer.epsilon);
  if (layer.kind == LayerKind::layer_norm) {
    const std::vector<int64_t> channels{x.size(1)};
    if (x.dim() == 2) return at::layer_norm(x, channels, own[0], own[1], layer.epsilon);
    // Channels-last images are rows of channels already.
    return at::layer_norm(x.permute({0, 2, 3, 1}), channels, own[0], own[1], layer.epsilon).permute({0, 3, 1, 2});
  }
  const bool is_training = mode == Mode::training;
  if (is_training) check_statistics(layer, x);
  return at::batch_norm(x,
                        own[0],
                        own[1],
                        own[2],
                        own[3],
                        is_training,
                        layer.momentum,
                        layer.epsilon,
                        /*cudnn_enabled=*/true);
}

DropoutKey dropout_key(const Layer& layer, int node, uint64_t seed) {
  return {.seed = seed, .layer = static_cast<uint32_t>(node), .probability = static_cast<float>(layer.probability)};
}

/// On the CPU the mask that a block would use; elsewhere libtorch's own kernel.
at::Tensor drop(const Layer& layer, int node, const at::Tensor& x, uint64_t seed, int64_t first_image) {
  if (layer.probability <= 0) return x;
  if (!x.is_cpu()) return at::dropout(x, layer.probability, /*train=*/true);
  DropoutKey key = dropout_key(layer, node, seed);
  key.first = first_image * (x.numel() / x.size(0));
  return x * dropout_mask(key, x);
}

/// One node's output. `own` are the tensors of its layer in the order of parameter_specs().
at::Tensor run_step(const Step& step,
                    const Layer& layer,
                    const std::vector<at::Tensor>& inputs,
                    const std::vector<at::Tensor>& own,
                    Mode mode,
                    uint64_t dropout_seed,
                    int64_t first_image,
                    bool is_fused,
                    bool in_place) {
  const at::Tensor& x = inputs.front();
  const std::vector<int64_t> kernel{layer.kernel_height, layer.kernel_width};
  const std::vector<int64_t> stride{layer.stride, layer.stride};
  const at::Tensor none;
  switch (layer.kind) {
    case LayerKind::input:
      return x;
    case LayerKind::conv: {
      const auto [input, left] = convolution_input(layer, step, x);
      const at::Tensor bias = layer.bias ? own[1] : none;
      if (is_fused) return run_convolution(input, own[0], bias, left, step.padding, layer.groups);
      return at::conv2d(input, own[0], bias, {left, left}, step.padding, /*dilation=*/{1, 1}, layer.groups);
    }
    case LayerKind::dense:
      if (x.scalar_type() == at::kBFloat16) return run_dense(x, own[0], layer.bias ? own[1] : none);
      return at::linear(x, own[0], layer.bias ? own[1] : none);
    case LayerKind::batch_norm:
    case LayerKind::group_norm:
    case LayerKind::layer_norm:
      return normalize(layer, x, own, mode);
    case LayerKind::max_pool:
    case LayerKind::global_max_pool:
      return at::max_pool2d(x, kernel, stride, step.padding);
    case LayerKind::avg_pool:
      return at::avg_pool2d(x, kernel, stride, step.padding, /*ceil_mode=*/false, /*count_include_pad=*/false);
    case LayerKind::global_avg_pool:
      return at::mean(x, {2, 3}, /*keepdim=*/true);
    case LayerKind::flatten:
      return at::flatten(x, 1);
    case LayerKind::dropout:
      return mode == Mode::training ? drop(layer, step.output(), x, dropout_seed, first_image) : x;
    case LayerKind::add:
      return in_place ? x.add_(inputs[1]) : at::add(x, inputs[1]);
    case LayerKind::multiply:
      return in_place ? x.mul_(inputs[1]) : at::mul(x, inputs[1]);
    case LayerKind::concat:
      return at::cat(inputs, 1);
    default:
      return in_place ? activate_in_place(layer, x) : activate(layer, x);
  }
}

std::vector<std::shared_ptr<PackedWeights>> fresh_caches(size_t layers) {
  std::vector<std::shared_ptr<PackedWeights>> caches;
  for (size_t i = 0; i < layers; ++i) caches.push_back(std::make_shared<PackedWeights>());
  return caches;
}

/// Makes the inputs of a step of one dtype, that which bf16 has for it.
void convert_inputs(const Graph& graph, const Step& step, std::vector<at::Tensor>& inputs) {
  const bool is_block = step.block && step.convolution < 0;
  const Layer& layer = graph.layers[static_cast<size_t>(step.layers.front())];
  const at::ScalarType type = compute_type(layer, is_block, inputs.front().scalar_type());
  for (at::Tensor& input : inputs) input = input.to(type);
}

/// Whether evaluation computes anything behind the convolution.
bool does_nothing(const Block& block) {
  return block.before < 0 && block.batch_norm < 0 && block.add < 0 && block.after < 0 && block.max_pool < 0;
}

Activation activation_of(const Layer& layer) {
  if (layer.kind == LayerKind::relu) return Activation::relu;
  return layer.kind == LayerKind::leaky_relu ? Activation::leaky_relu : Activation::silu;
}

thread_local const BatchPart* t_part = nullptr;

}  // namespace

const BatchPart& current_batch_part() {
  static const BatchPart whole;
  return t_part == nullptr ? whole : *t_part;
}

BatchPartGuard::BatchPartGuard(BatchPart part) : part_(std::move(part)), before_(std::exchange(t_part, &part_)) {}
BatchPartGuard::~BatchPartGuard() { t_part = before_; }

Network::Network(Graph graph, uint64_t seed)
    : graph_(std::move(graph)),
      plans_(std::make_shared<PlanCache>()),
      plan_(&plans_->get(graph_, Fusion::none)),
      specs_(graph_.parameter_specs()),
      layer_tensors_(graph_.layers.size()),
      packed_(fresh_caches(graph_.layers.size())) {
  for (const ParameterSpec& spec : specs_) {
    const auto layer = static_cast<size_t>(spec.layer);
    layer_tensors_[layer].push_back(static_cast<int>(tensors_.size()));
    at::Tensor values = in_storage_layout(fresh_tensor(spec, graph_.layers[layer], seed), at::kCPU);
    tensors_.push_back(values.set_requires_grad(spec.trainable));
  }
}

void Network::check_images(const at::Tensor& images_nchw) const {
  const Shape input = graph_.input_shape();
  if (images_nchw.dim() != 4 || images_nchw.size(1) != input.channels || images_nchw.size(2) != input.height ||
      images_nchw.size(3) != input.width) {
    throw_usage(fmt::format("cannot run network {} on images of shape [{}], expected [N,{},{},{}]",
                            graph_.name,
                            fmt::join(images_nchw.sizes(), ","),
                            input.channels,
                            input.height,
                            input.width));
  }
  if (images_nchw.size(0) == 0) {
    throw_usage(fmt::format("cannot run network {} on an empty batch, expected at least 1 image", graph_.name));
  }
  if (!images_nchw.is_floating_point()) {
    throw_usage(fmt::format("cannot run network {} on whole numbers, expected normalized float32 images", graph_.name));
  }
}

std::vector<at::Tensor> Network::tensors_of(int node) const {
  std::vector<at::Tensor> own;
  for (const int tensor : layer_tensors_[static_cast<size_t>(node)])
    own.push_back(tensors_[static_cast<size_t>(tensor)]);
  return own;
}

uint64_t Network::next_dropout_seed(Mode mode) const {
  const auto drops = [](const Layer& layer) { return layer.kind == LayerKind::dropout && layer.probability > 0; };
  const bool needs_one = mode == Mode::training && std::any_of(graph_.layers.begin(), graph_.layers.end(), drops);
  return needs_one ? draw_dropout_seed() : 0;
}

bool Network::can_fuse(const at::Tensor& images_nchw) const {
  const auto fits = [](const at::Tensor& t) { return t.is_cpu() && t.scalar_type() == at::kFloat; };
  return is_fused_ && fits(images_nchw) && std::all_of(tensors_.begin(), tensors_.end(), fits);
}

at::Tensor Network::run_node(int node, const std::vector<at::Tensor>& inputs, Mode mode, uint64_t dropout_seed) const {
  if (node == 0) return inputs.front();
  const auto index = static_cast<size_t>(node);
  return run_step(plan_->steps[index - 1],
                  graph_.layers[index],
                  inputs,
                  tensors_of(node),
                  mode,
                  dropout_seed,
                  current_batch_part().first_image,
                  /*is_fused=*/can_fuse(inputs.front()),
                  /*in_place=*/false);
}

BlockCall Network::block_call(const Step& step, const at::Tensor& x, Mode mode, uint64_t dropout_seed) const {
  const Block& block = *step.block;
  const auto layer = [&](int node) -> const Layer& { return graph_.layers[static_cast<size_t>(node)]; };
  BlockCall call{.first_image = current_batch_part().first_image,
                 .may_overwrite = step.may_overwrite,
                 .may_reuse = block.may_reuse};
  BlockArguments& arguments = call.arguments;
  if (block.before >= 0) {
    arguments.before = activation_of(layer(block.before));
    arguments.before_slope = static_cast<float>(layer(block.before).negative_slope);
  }
  if (block.batch_norm >= 0) {
    const Layer& norm = layer(block.batch_norm);
    call.batch_statistics = mode == Mode::training;
    if (call.batch_statistics) call.sum_over_parts = current_batch_part().sum_over_parts;
    if (call.batch_statistics && !call.sum_over_parts) check_statistics(norm, x);
    const std::vector<at::Tensor> own = tensors_of(block.batch_norm);
    call.gamma = own[0];
    call.beta = own[1];
    call.running_mean = own[2];
    call.running_variance = own[3];
    call.epsilon = norm.epsilon;
    call.momentum = norm.momentum;
  }
  if (block.after >= 0) {
    arguments.after = activation_of(layer(block.after));
    arguments.after_slope = static_cast<float>(layer(block.after).negative_slope);
  }
  if (block.max_pool >= 0) arguments.pool = layer(block.max_pool).stride;
  if (block.dropout >= 0 && mode == Mode::training) {
    arguments.dropout = dropout_key(layer(block.dropout), block.dropout, dropout_seed);
  }
  return call;
}

at::Tensor Network::run_fused(const Step& step,
                              const std::vector<at::Tensor>& inputs,
                              Mode mode,
                              uint64_t dropout_seed) const {
  const at::Tensor& x = inputs.front();
  BlockCall call = block_call(step, x, mode, dropout_seed);
  if (step.convolution < 0) return run_block(std::move(call), x, step.block->add >= 0 ? inputs[1] : at::Tensor());
  const auto node = static_cast<size_t>(step.convolution);
  const Layer& layer = graph_.layers[node];
  const std::vector<at::Tensor> own = tensors_of(step.convolution);
  const auto [input, left] = convolution_input(layer, step, x);
  return run_convolution_block({.weight = own[0],
                                .bias = layer.bias ? own[1] : at::Tensor(),
                                .stride = left,
                                .padding = step.padding,
                                .groups = layer.groups},
                               does_nothing(*step.block) ? nullptr : &call,
                               input,
                               *packed_[node]);
}

at::Tensor Network::run_layer(int layer, const std::vector<at::Tensor>& inputs, Mode mode) const {
  const Layer& node = graph_.layers.at(static_cast<size_t>(layer));
  const size_t expected = std::max<size_t>(1, node.inputs.size());
  if (inputs.size() != expected) {
    throw_usage(
        fmt::format("cannot run {} of {} on {} inputs, expected {}", node.name, graph_.name, inputs.size(), expected));
  }
  return run_node(layer, inputs, mode, node.kind == LayerKind::dropout ? next_dropout_seed(mode) : 0);
}

/// Fills in the outputs of the steps whose last node lies in (after, last], and drops those that no later step reads.
void Network::run_steps(const Plan& plan, int after, int last, std::vector<at::Tensor>& outputs, Mode mode) const {
  const uint64_t dropout_seed = next_dropout_seed(mode);
  // Autograd keeps some outputs for the backward pass; without it a dead input's memory is free for the result.
  const bool may_overwrite = !at::GradMode::is_enabled();
  const bool is_bf16 = plan.fusion != Fusion::none && PrecisionScope::current() == Precision::bf16;
  std::vector<at::Tensor> inputs;
  for (const Step& step : plan.steps) {
    if (step.output() <= after || step.output() > last) continue;
    const auto node = static_cast<size_t>(step.output());
    inputs.clear();
    for (const int input : step.inputs) inputs.push_back(outputs[static_cast<size_t>(input)]);
    if (is_bf16) convert_inputs(graph_, step, inputs);
    if (step.block) {
      outputs[node] = run_fused(step, inputs, mode, dropout_seed);
    } else {
      const bool in_place = may_overwrite && step.may_overwrite;
      outputs[node] = run_step(step,
                               graph_.layers[node],
                               inputs,
                               tensors_of(step.output()),
                               mode,
                               dropout_seed,
                               current_batch_part().first_image,
                               plan.fusion != Fusion::none,
                               in_place);
    }
    for (const int dead : step.release) outputs[static_cast<size_t>(dead)] = at::Tensor();
  }
}

Fusion Network::fusion_for(const at::Tensor& images_nchw, Mode mode) const {
  if (!can_fuse(images_nchw)) return Fusion::none;
  return mode == Mode::evaluation && !at::GradMode::is_enabled() ? Fusion::evaluation : Fusion::blocks;
}

at::Tensor Network::forward(const at::Tensor& images_nchw, Mode mode) const {
  check_images(images_nchw);
  const Plan& plan = plans_->get(graph_, fusion_for(images_nchw, mode));
  std::vector<at::Tensor> outputs(graph_.layers.size());
  outputs.front() = images_nchw;
  run_steps(plan, 0, static_cast<int>(graph_.layers.size()) - 1, outputs, mode);
  return outputs.back().to(images_nchw.scalar_type());
}

void Network::check_layer(int layer) const {
  if (layer >= 0 && layer < static_cast<int>(graph_.layers.size())) return;
  throw_usage(fmt::format("cannot stop {} after layer {}, it has {}", graph_.name, layer, graph_.layers.size()));
}

std::vector<at::Tensor> Network::forward_until(const at::Tensor& images_nchw, Mode mode, int layer) const {
  check_images(images_nchw);
  check_layer(layer);
  std::vector<at::Tensor> outputs(graph_.layers.size());
  outputs.front() = images_nchw;
  run_steps(plans_->get(graph_, fusion_for(images_nchw, mode), layer), 0, layer, outputs, mode);
  for (at::Tensor& output : outputs) {
    if (output.defined()) output = output.to(images_nchw.scalar_type());
  }
  return outputs;
}

at::Tensor Network::forward_after(std::vector<at::Tensor> outputs, Mode mode, int layer) const {
  check_layer(layer);
  const Fusion fusion = fusion_for(outputs.at(static_cast<size_t>(layer)), mode);
  const at::ScalarType type = outputs[static_cast<size_t>(layer)].scalar_type();
  run_steps(plans_->get(graph_, fusion, layer), layer, static_cast<int>(graph_.layers.size()) - 1, outputs, mode);
  return outputs.back().to(type);
}

at::Tensor Network::forward_visit(const at::Tensor& images_nchw,
                                  Mode mode,
                                  const std::function<void(int layer, const at::Tensor& output)>& visit,
                                  int last) const {
  check_images(images_nchw);
  const int end = last < 0 ? static_cast<int>(graph_.layers.size()) - 1 : last;
  check_layer(end);
  const uint64_t dropout_seed = next_dropout_seed(mode);
  std::vector<at::Tensor> outputs(graph_.layers.size());
  outputs.front() = images_nchw;
  visit(0, images_nchw);
  for (int node = 1; node <= end; ++node) {
    std::vector<at::Tensor> inputs;
    for (const int input : graph_.layers[static_cast<size_t>(node)].inputs) {
      inputs.push_back(outputs[static_cast<size_t>(input)]);
    }
    outputs[static_cast<size_t>(node)] = run_node(node, inputs, mode, dropout_seed);
    visit(node, outputs[static_cast<size_t>(node)]);
    for (const int dead : plan_->steps[static_cast<size_t>(node) - 1].release) {
      outputs[static_cast<size_t>(dead)] = at::Tensor();
    }
  }
  return outputs[static_cast<size_t>(end)];
}

std::vector<at::Tensor> Network::trainable() const {
  std::vector<at::Tensor> chosen;
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (specs_[i].trainable) chosen.push_back(tensors_[i]);
  }
  return chosen;
}

std::vector<std::string> Network::trainable_names() const {
  std::vector<std::string> names;
  for (const ParameterSpec& spec : specs_) {
    if (spec.trainable) names.push_back(spec.name);
  }
  return names;
}

at::Tensor Network::tensor(const std::string& name) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (specs_[i].name == name) return tensors_[i];
    names.push_back(specs_[i].name);
  }
  throw_usage(fmt::format("network {} has no tensor {}", graph_.name, quote_sample(name)), suggestion(name, names));
}

Network Network::to(const at::Device& device) const {
  Network copy = *this;
  copy.packed_ = fresh_caches(graph_.layers.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    copy.tensors_[i] = in_storage_layout(tensors_[i].detach(), device).set_requires_grad(specs_[i].trainable);
  }
  return copy;
}

Network Network::clone() const { return to(tensors_.empty() ? at::Device(at::kCPU) : tensors_.front().device()); }

}  // namespace mien::network
