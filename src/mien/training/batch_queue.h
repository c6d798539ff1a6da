#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <vector>

#include "mien/training/batch_builder.h"

namespace mien::training {

/// One batch's faces: order[begin, end) of its epoch.
struct BatchRange {
  int64_t begin = 0;
  int64_t end = 0;
};

/// The batches of one epoch in turn, made on a thread of its own, at most two ahead, while the step before them
/// computes. They are the bytes that BatchBuilder::make returns. Refers to `batches`; the end of its life waits for the
/// batch being made.
class BatchQueue {
 public:
  BatchQueue(const BatchBuilder& batches, std::vector<int64_t> order, std::vector<BatchRange> ranges, int64_t epoch);
  ~BatchQueue();
  BatchQueue(const BatchQueue&) = delete;
  BatchQueue& operator=(const BatchQueue&) = delete;

  /// The next batch, waiting for it if need be. Throws what making it has thrown, and std::out_of_range after the last.
  Batch next();

 private:
  void make_all(const std::stop_token& stop);

  const BatchBuilder& batches_;
  std::vector<int64_t> order_;
  std::vector<BatchRange> ranges_;
  int64_t epoch_;
  size_t taken_ = 0;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Batch> ready_;
  std::exception_ptr error_;
  std::jthread maker_;  // last, so that it ends before what it uses
};

}  // namespace mien::training
