#include "mien/training/batch_queue.h"

#include <stdexcept>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace mien::training {
namespace {

constexpr size_t kAhead = 2;

}  // namespace

BatchQueue::BatchQueue(const BatchBuilder& batches,
                       std::vector<int64_t> order,
                       std::vector<BatchRange> ranges,
                       int64_t epoch)
    : batches_(batches),
      order_(std::move(order)),
      ranges_(std::move(ranges)),
      epoch_(epoch),
      maker_([this](const std::stop_token& stop) { make_all(stop); }) {}

BatchQueue::~BatchQueue() {
  maker_.request_stop();
  maker_.join();
}

void BatchQueue::make_all(const std::stop_token& stop) {
  const at::NoGradGuard no_grad;
  try {
    for (size_t i = 0; i < ranges_.size(); ++i) {
      {
        std::unique_lock lock(mutex_);
        if (!changed_.wait(lock, stop, [&] { return ready_.size() < kAhead; })) return;
      }
      const auto [begin, end] = ranges_[i];
      const auto rows = std::span(order_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
      Batch batch = batches_.make(rows, epoch_, begin, static_cast<int64_t>(i));
      const std::lock_guard lock(mutex_);
      ready_.push_back(std::move(batch));
      changed_.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

Batch BatchQueue::next() {
  if (taken_ == ranges_.size()) throw std::out_of_range("an epoch has no batch behind its last one");
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || error_; });
  if (ready_.empty()) std::rethrow_exception(error_);
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  ++taken_;
  changed_.notify_all();
  return batch;
}

}  // namespace mien::training
