#include "mien/training/rank_work.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <span>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include "mien/core/error.h"

namespace mien::training {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kBucketFloats = 262'144;

std::span<float> floats_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

/// A tensor over part of `bucket` with the strides of `like`, which has no gaps.
at::Tensor part_of(const at::Tensor& bucket, int64_t begin, const at::Tensor& like) {
  return at::as_strided(bucket, like.sizes(), like.strides(), begin);
}

}  // namespace

Share share_of(const BatchRange& batch, int rank, int size) {
  const int64_t count = batch.end - batch.begin;
  if (count < 2 * size) return {.range = batch, .is_whole = true};
  return {.range = {.begin = batch.begin + count * rank / size, .end = batch.begin + count * (rank + 1) / size}};
}

GradientSums::GradientSums(ranks::Group& group, std::vector<at::Tensor> parameters) : group_(group) {
  // The last layers' gradients come first.
  std::vector<int64_t> begins;
  int64_t floats = 0;
  for (size_t i = parameters.size(); i-- > 0;) {
    if (buckets_.empty() || floats + parameters[i].numel() > kBucketFloats) {
      if (!buckets_.empty()) buckets_.back().values = at::empty({floats}, at::kFloat);
      buckets_.emplace_back();
      floats = 0;
    }
    slots_.push_back({.parameter = parameters[i], .bucket = buckets_.size() - 1});
    begins.push_back(floats);
    floats += parameters[i].numel();
    bytes_ += parameters[i].numel() * static_cast<int64_t>(sizeof(float));
    ++buckets_.back().missing;
  }
  if (!buckets_.empty()) buckets_.back().values = at::empty({floats}, at::kFloat);
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    slot.part = part_of(buckets_[slot.bucket].values, begins[i], slot.parameter);
    auto node = torch::autograd::impl::grad_accumulator(slot.parameter);
    node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [this, i](const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>&) {
          take(i);
          return outputs;
        }));
    listened_.push_back(std::make_shared<decltype(node)>(std::move(node)));
  }
}

GradientSums::~GradientSums() {
  // A sum that nobody waited for (a rank was lost) may still be written: its memory stays as long as the process.
  for (Bucket& bucket : buckets_) {
    if (bucket.pending) new at::Tensor(bucket.values);
  }
}

void GradientSums::take(size_t index) {
  const at::NoGradGuard no_grad;
  Slot& slot = slots_[index];
  slot.part.copy_(slot.parameter.grad());
  slot.is_ready = true;
  --buckets_[slot.bucket].missing;
  send_filled();
}

void GradientSums::send_filled() {
  while (sent_ < buckets_.size() && buckets_[sent_].missing == 0) {
    buckets_[sent_].pending = group_.start_sum(floats_of(buckets_[sent_].values));
    ++sent_;
  }
}

void GradientSums::finish() {
  const at::NoGradGuard no_grad;
  for (Slot& slot : slots_) {
    if (slot.is_ready) continue;
    slot.part.zero_();  // of a parameter that the loss does not depend on
    --buckets_[slot.bucket].missing;
  }
  send_filled();
  for (Bucket& bucket : buckets_) {
    bucket.pending->wait();
    bucket.pending.reset();
  }
  for (Slot& slot : slots_) {
    if (slot.is_ready && slot.parameter.is_cpu()) slot.parameter.mutable_grad() = slot.part;
    if (slot.is_ready && !slot.parameter.is_cpu()) slot.parameter.mutable_grad().copy_(slot.part);
    slot.is_ready = false;
    ++buckets_[slot.bucket].missing;
  }
  sent_ = 0;
}

RankWork::RankWork(ranks::Group& group, std::vector<at::Tensor> parameters, bool syncs)
    : group_(group), syncs_(syncs), gradients_(group, std::move(parameters)) {}

void RankWork::check_same(const std::string& fingerprint) {
  const int other = group_.differing_rank(fingerprint);
  if (other < 0) return;
  throw_usage(
      fmt::format("rank {} on {} would train something else than rank 0 on {}: its data, network or options differ",
                  other,
                  group_.facts().hosts[static_cast<size_t>(other)],
                  group_.facts().hosts.front()),
      "give every host the same files");
}

void RankWork::share_tensors(const std::vector<at::Tensor>& tensors) {
  const at::NoGradGuard no_grad;
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor values = tensor.detach().to(at::kCPU).contiguous().clone();
    group_.broadcast(std::as_writable_bytes(floats_of(values)));
    if (!group_.is_first()) tensor.detach().copy_(values);
  }
}

std::optional<TrainingState> RankWork::share_state(const std::optional<TrainingState>& state,
                                                   const NamedTensors& tensors) {
  const std::string text = group_.broadcast(state ? to_text(*state) : std::string());
  if (text.empty()) return std::nullopt;
  TrainingState shared = state_from_text(text);
  std::vector<at::Tensor> values;
  for (const auto& [name, tensor] : tensors) values.push_back(tensor);
  if (!shared.is_over) share_tensors(values);
  return shared;
}

void RankWork::begin_step(const Share& share, const BatchRange& batch, double label_weight, bool wants_to_stop) {
  share_ = share;
  batch_faces_ = batch.end - batch.begin;
  own_weight_ = label_weight;
  step_sums_[0] = label_weight;
  step_sums_[1] = wants_to_stop ? 1 : 0;
  step_pending_ = group_.start_sum(std::span<double>(step_sums_));
  network::BatchPart part;
  if (!share.is_whole) {
    part.first_image = share.range.begin - batch.begin;
    if (syncs_) part.sum_over_parts = [this](std::span<double> sums) { group_.sum(sums); };
  }
  part_.emplace(std::move(part));
}

std::optional<LossShare> RankWork::loss_share() {
  step_pending_->wait();
  step_pending_.reset();
  if (step_sums_[1] > 0) return std::nullopt;
  const double equal = 1.0 / group_.size();
  if (share_.is_whole) return LossShare{.of_labels = equal, .of_teacher = equal};
  const auto faces = static_cast<double>(share_.range.end - share_.range.begin);
  return LossShare{.of_labels = own_weight_ / step_sums_[0], .of_teacher = faces / static_cast<double>(batch_faces_)};
}

void RankWork::finish_step() {
  const auto start = Clock::now();
  gradients_.finish();
  seconds_waited_ += std::chrono::duration<double>(Clock::now() - start).count();
}

std::string RankWork::end_epoch(std::vector<double>& sums, const std::vector<network::Network*>& networks) {
  const at::NoGradGuard no_grad;
  part_.reset();
  group_.sum(sums);
  std::string bytes;
  std::vector<at::Tensor> all;
  for (const network::Network* network : networks) {
    const auto specs = network->graph().parameter_specs();
    for (size_t i = 0; i < specs.size(); ++i) {
      const at::Tensor& tensor = network->tensors()[i];
      if (specs[i].trainable || syncs_) {
        const at::Tensor values = tensor.detach().to(at::kCPU).contiguous();
        bytes.append(static_cast<const char*>(values.data_ptr()), values.nbytes());
        all.push_back(tensor);
        continue;
      }
      // Running statistics of each rank's own faces: their mean.
      std::vector<double> values(static_cast<size_t>(tensor.numel()));
      const at::Tensor own = tensor.detach().to(at::kCPU).contiguous();
      std::copy_n(own.data_ptr<float>(), values.size(), values.begin());
      group_.sum(values);
      std::transform(values.begin(), values.end(), own.data_ptr<float>(), [&](double sum) {
        return static_cast<float>(sum / group_.size());
      });
      tensor.detach().copy_(own);
    }
  }
  const int other = group_.differing_rank(bytes);
  if (other < 0) return "";
  share_tensors(all);
  return fmt::format(
      "rank {} on {} rounds otherwise than rank 0 (another processor or BLAS): all go on with rank 0's numbers",
      other,
      group_.facts().hosts[static_cast<size_t>(other)]);
}

}  // namespace mien::training
