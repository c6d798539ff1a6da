#include "mien/training/batch_queue.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "training/trainer_testing.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "mien/data/split.h"

namespace mien::training {
namespace {

data::AugmentOptions everything() {
  data::AugmentOptions augment;
  augment.flip = 0.5;
  augment.rotate = 10;
  augment.mixup = 0.2;
  return augment;
}

std::vector<BatchRange> ranges_of(int64_t count, int64_t size) {
  std::vector<BatchRange> ranges;
  for (int64_t begin = 0; begin < count; begin += size) ranges.push_back({begin, std::min(begin + size, count)});
  return ranges;
}

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.strides() == b.strides() &&
         std::memcmp(a.data_ptr(), b.data_ptr(), static_cast<size_t>(a.numel()) * a.element_size()) == 0;
}

TEST(BatchQueue, HandsOutTheBytesThatTheMakerMakes) {
  const BatchBuilder batches(faces(), {}, everything(), 0.1, 7);
  const std::vector<int64_t> order = data::epoch_order(rows_of(faces(), data::Usage::training), 7, 3);
  const auto ranges = ranges_of(static_cast<int64_t>(order.size()), 25);
  ASSERT_GT(ranges.size(), 3U);
  BatchQueue queue(batches, order, ranges, 3);
  for (size_t i = 0; i < ranges.size(); ++i) {
    const Batch batch = queue.next();
    const auto rows = std::span(order).subspan(static_cast<size_t>(ranges[i].begin),
                                               static_cast<size_t>(ranges[i].end - ranges[i].begin));
    const Batch wanted = batches.make(rows, 3, ranges[i].begin, static_cast<int64_t>(i));
    EXPECT_TRUE(same_bytes(batch.images, wanted.images)) << i;
    EXPECT_TRUE(same_bytes(batch.targets, wanted.targets)) << i;
  }
  EXPECT_THROW(queue.next(), std::out_of_range);
}

TEST(BatchQueue, EndsInTheMiddleOfAnEpochWithoutMakingTheRest) {
  const BatchBuilder batches(faces(), {}, everything(), 0, 7);
  const std::vector<int64_t> order(1'000'000, 0);
  const auto start = std::chrono::steady_clock::now();
  {
    BatchQueue queue(batches, order, ranges_of(1'000'000, 10), 1);
    queue.next();
  }
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 5);
}

TEST(BatchQueue, ThrowsWhatMakingABatchHasThrownInItsTurn) {
  data::Dataset broken = faces();
  const BatchBuilder batches(broken, {}, {}, 0, 7);
  // A range that the order does not have stands for whatever may go wrong: its memory cannot be had.
  const std::vector<int64_t> order(4, 0);
  BatchQueue queue(batches, order, {{0, 2}, {0, int64_t{1} << 55}}, 1);
  EXPECT_EQ(queue.next().images.size(0), 2);
  EXPECT_ANY_THROW(queue.next());
  EXPECT_ANY_THROW(queue.next());
}

}  // namespace
}  // namespace mien::training
