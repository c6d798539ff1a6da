#include "mien/network/block.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/graph_task.h>
#include <torch/csrc/autograd/variable.h>

#include "mien/network/autograd_node.h"

namespace mien::network {
namespace {

using torch::autograd::variable_list;

constexpr int64_t kSerialFloats = 32768;  // less than this is done before a second thread has woken up
constexpr int64_t kMostParts = 64;

at::Tensor channels_last(const at::Tensor& x) {
  return x.contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
}

at::Tensor empty_of(const std::vector<int64_t>& sizes, const at::Tensor& like) {
  const auto format = sizes.size() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  return at::empty(sizes, like.options().requires_grad(false).memory_format(format));
}

/// body(begin, end) over [0, count) of `floats` floats in all.
template <class Body>
void over_units(int64_t count, int64_t floats, const Body& body) {
  if (floats <= kSerialFloats) {
    body(0, count);
    return;
  }
  at::parallel_for(0, count, 1, body);
}

/// Sums of 2 C numbers over [0, count): cut into parts by the amount of work alone, and added up in their order.
template <class Body>
std::vector<double> summed(int64_t count, int64_t floats, int64_t channels, const Body& body) {
  const int64_t parts = std::clamp<int64_t>(std::min(count, floats / kSerialFloats), 1, kMostParts);
  const auto width = static_cast<size_t>(2 * channels);
  std::vector<double> sums(width * static_cast<size_t>(parts));
  over_units(parts, floats, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      body(count * part / parts, count * (part + 1) / parts, sums.data() + static_cast<size_t>(part) * width);
    }
  });
  for (size_t part = 1; part < static_cast<size_t>(parts); ++part) {
    for (size_t i = 0; i < width; ++i) sums[i] += sums[part * width + i];
  }
  sums.resize(width);
  return sums;
}

/// Sums and a number of rows, over all parts of the batch. Returns the rows.
double over_parts(const SumOverParts& sum, std::vector<double>& sums, double rows) {
  if (!sum) return rows;
  sums.push_back(rows);
  sum(sums);
  rows = sums.back();
  sums.pop_back();
  return rows;
}

/// Scale, shift, mean and inverse deviation of a block's batch norm, [4, C] in one allocation.
at::Tensor normalization(const BlockCall& call, const BlockArguments& block, const BlockKernels& kernels) {
  const int64_t channels = block.channels;
  at::Tensor table = at::empty({4, channels}, at::kFloat);
  float* const scale = table.data_ptr<float>();
  float* const shift = scale + channels;
  float* const mean = shift + channels;
  float* const inverse = mean + channels;
  const float* const gamma = call.gamma.data_ptr<float>();
  const float* const beta = call.beta.data_ptr<float>();
  float* const running_mean = call.running_mean.data_ptr<float>();
  float* const running_variance = call.running_variance.data_ptr<float>();
  std::vector<double> sums;
  auto rows = static_cast<double>(block.rows());
  if (call.batch_statistics) {
    sums = summed(block.rows(), block.rows() * channels, channels, [&](int64_t begin, int64_t end, double* part) {
      kernels.statistics(block, begin, end, part);
    });
    rows = over_parts(call.sum_over_parts, sums, rows);
  }
  for (int64_t c = 0; c < channels; ++c) {
    double m = running_mean[c];
    double variance = running_variance[c];
    if (call.batch_statistics) {
      m = sums[static_cast<size_t>(c)] / rows;
      variance = std::max(0.0, sums[static_cast<size_t>(channels + c)] / rows - m * m);
      if (std::isnan(sums[static_cast<size_t>(channels + c)])) variance = sums[static_cast<size_t>(channels + c)];
      const double unbiased = variance * rows / (rows - 1);
      running_mean[c] = static_cast<float>((1 - call.momentum) * running_mean[c] + call.momentum * m);
      running_variance[c] = static_cast<float>((1 - call.momentum) * running_variance[c] + call.momentum * unbiased);
    }
    const double inverse_deviation = 1.0 / std::sqrt(variance + call.epsilon);
    scale[c] = static_cast<float>(gamma[c] * inverse_deviation);
    shift[c] = static_cast<float>(beta[c] - m * gamma[c] * inverse_deviation);
    mean[c] = static_cast<float>(m);
    inverse[c] = static_cast<float>(inverse_deviation);
  }
  return table;
}

void set_table(BlockArguments& block, const at::Tensor& table) {
  block.normalizes = table.defined();
  if (!block.normalizes) return;
  const float* const values = table.data_ptr<float>();
  block.scale = values;
  block.shift = values + block.channels;
  block.mean = values + 2 * block.channels;
  block.inverse_deviation = values + 3 * block.channels;
}

/// The backward pass. Inputs: x, residual, gamma, beta.
struct BlockBackward final : torch::autograd::Node {
  at::Tensor x, residual, table;
  BlockArguments arguments;
  SumOverParts sum_over_parts;
  bool batch_statistics = false;
  bool may_reuse = false;
  bool is_released = false;

  std::string name() const override { return "MienBlockBackward"; }
  void release_variables() override {
    x.reset();
    residual.reset();
    is_released = true;
  }
  variable_list apply(variable_list&& output_gradients) override;
};

variable_list BlockBackward::apply(variable_list&& output_gradients) {
  variable_list result(4);
  if (!output_gradients[0].defined()) return result;
  if (at::GradMode::is_enabled()) {
    throw std::logic_error("a fused block has no second derivative: run the network with set_fused(false)");
  }
  if (is_released) throw std::logic_error("a fused block's backward pass ran a second time without retain_graph");
  const bool needs_x = task_should_compute_output(0);
  const bool needs_residual = residual.defined() && task_should_compute_output(1);
  const bool needs_parameters = table.defined() && (task_should_compute_output(2) || task_should_compute_output(3));
  BlockArguments block = arguments;
  const at::Tensor gradient = channels_last(output_gradients[0]);
  block.x = x.data_ptr();
  block.residual = residual.defined() ? residual.data_ptr() : nullptr;
  set_table(block, table);
  BlockGradients gradients{.output = gradient.data_ptr()};
  const BlockKernels& kernels = block_kernels(storage_of(x));

  const int64_t channels = block.channels;
  const int64_t floats = block.rows() * channels;
  std::vector<float> coefficients(static_cast<size_t>(2 * channels), 0.0F);
  if (needs_parameters || (table.defined() && batch_statistics && needs_x)) {
    auto sums = summed(block.units(), floats, channels, [&](int64_t begin, int64_t end, double* part) {
      kernels.backward_sums(block, gradients, begin, end, part);
    });
    result[2] = at::empty({channels}, at::kFloat);
    result[3] = at::empty({channels}, at::kFloat);
    for (int64_t c = 0; c < channels; ++c) {  // of this part: whoever cut the batch adds up all gradients
      result[3].data_ptr<float>()[c] = static_cast<float>(sums[static_cast<size_t>(c)]);
      result[2].data_ptr<float>()[c] = static_cast<float>(sums[static_cast<size_t>(c + channels)]);
    }
    auto rows = static_cast<double>(block.rows());
    if (batch_statistics) rows = over_parts(sum_over_parts, sums, rows);
    for (int64_t c = 0; batch_statistics && c < channels; ++c) {
      const auto i = static_cast<size_t>(c);
      const double d_beta = sums[i];
      const double d_gamma = sums[i + static_cast<size_t>(channels)];
      const double scale = block.scale[c];
      coefficients[i] = static_cast<float>(-scale * d_beta / rows);
      coefficients[i + static_cast<size_t>(channels)] =
          static_cast<float>(-scale * d_gamma * static_cast<double>(block.inverse_deviation[c]) / rows);
    }
  }
  gradients.constant = coefficients.data();
  gradients.linear = coefficients.data() + channels;

  const bool passes_through = block.after == Activation::none;  // dL/d residual is dL/d output itself
  if (needs_residual) result[1] = passes_through ? gradient : at::empty_like(residual);
  if (needs_x || (needs_residual && !passes_through)) {
    const bool overwrites = may_reuse && !torch::autograd::get_current_graph_task_keep_graph();
    at::Tensor x_gradient = overwrites ? x.detach() : at::empty_like(x.detach());
    gradients.x = x_gradient.data_ptr();
    gradients.residual = needs_residual && !passes_through ? result[1].data_ptr() : nullptr;
    over_units(
        block.units(), floats, [&](int64_t begin, int64_t end) { kernels.backward(block, gradients, begin, end); });
    result[0] = x_gradient;
  }
  return result;
}

}  // namespace

at::Tensor run_block(BlockCall call, const at::Tensor& x_as_given, const at::Tensor& residual_as_given) {
  const bool records = torch::autograd::compute_requires_grad(x_as_given, residual_as_given, call.gamma, call.beta);
  at::Tensor output;
  at::Tensor x;
  at::Tensor residual;
  at::Tensor table;
  BlockArguments& block = call.arguments;
  {
    const at::NoGradGuard no_grad;
    x = channels_last(x_as_given.detach());
    if (residual_as_given.defined()) residual = channels_last(residual_as_given.detach());
    const bool is_image = x.dim() == 4;
    block.images = x.size(0);
    block.channels = x.size(1);
    block.height = is_image ? x.size(2) : 1;
    block.width = is_image ? x.size(3) : 1;
    block.out_height = block.height / block.pool;
    block.out_width = block.width / block.pool;
    block.dropout.first = call.first_image * block.out_height * block.out_width * block.channels;
    block.x = x.data_ptr();
    block.residual = residual.defined() ? residual.data_ptr() : nullptr;
    const BlockKernels& kernels = block_kernels(storage_of(x));
    if (call.gamma.defined()) table = normalization(call, block, kernels);
    set_table(block, table);
    std::vector<int64_t> sizes{block.images, block.channels};
    if (is_image) sizes.insert(sizes.end(), {block.out_height, block.out_width});
    output = !records && call.may_overwrite && block.pool == 1 ? x : empty_of(sizes, x);
    over_units(block.units(), block.rows() * block.channels, [&](int64_t begin, int64_t end) {
      kernels.forward(block, begin, end, output.data_ptr());
    });
  }
  if (!records) return output;
  const auto node = make_node<BlockBackward>();
  node->set_next_edges(torch::autograd::collect_next_edges(x_as_given, residual_as_given, call.gamma, call.beta));
  node->x = x;
  node->residual = residual;
  node->table = table;
  node->arguments = block;
  node->batch_statistics = call.batch_statistics;
  node->sum_over_parts = call.sum_over_parts;
  node->may_reuse = call.may_reuse && x.is_alias_of(x_as_given);
  torch::autograd::set_history(output, node);
  return output;
}

at::Tensor set_evaluation_table(BlockCall& call, int64_t channels) {
  at::Tensor table;
  call.arguments.channels = channels;
  if (call.gamma.defined()) table = normalization(call, call.arguments, block_kernels());
  set_table(call.arguments, table);
  return table;
}

at::Tensor dropout_mask(const DropoutKey& key, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  const bool is_image = x.dim() == 4;
  std::vector<int64_t> sizes = x.sizes().vec();
  if (is_image) std::rotate(sizes.begin() + 1, sizes.begin() + 2, sizes.end());  // [N,H,W,C]
  const at::Tensor mask = at::empty(sizes, at::kFloat);
  float* const values = mask.data_ptr<float>();
  at::parallel_for(0, mask.numel(), kSerialFloats, [&](int64_t begin, int64_t end) {
    block_kernels().keep(key, begin, end, values + begin);
  });
  return (is_image ? mask.permute({0, 3, 1, 2}) : mask).to(x.options().requires_grad(false));
}

uint64_t draw_dropout_seed() {
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return generator.get<at::CPUGeneratorImpl>()->random64();
}

}  // namespace mien::network
