#include "mien/core/parallel.h"

#include <atomic>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace mien {
namespace {

/// The thread count is a setting of the whole process: puts it back.
class ParallelFor : public testing::Test {
 protected:
  void TearDown() override { set_threads(0); }
};

TEST_F(ParallelFor, CoversEveryIndexOnce) {
  for (const int thread_count : {1, 2, 3, 7}) {
    set_threads(thread_count);
    for (const int64_t count : {1, 2, 6, 7, 8, 1000}) {
      for (const int64_t least_block : {0, 1, 5, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
        parallel_for(
            count,
            [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
            },
            least_block);
        for (const auto& visit : visits) ASSERT_EQ(visit, 1) << count << " on " << thread_count << " threads";
      }
    }
  }
}

TEST_F(ParallelFor, OfNothingDoesNothing) {
  parallel_for(0, [](int64_t, int64_t) { FAIL(); });
  parallel_for(-3, [](int64_t, int64_t) { FAIL(); });
}

TEST_F(ParallelFor, UsesAsManyThreadsAsAllowed) {
  set_threads(3);
  EXPECT_EQ(threads(), 3);
  std::vector<std::thread::id> ids(3);
  parallel_for(3, [&](int64_t begin, int64_t) { ids[static_cast<size_t>(begin)] = std::this_thread::get_id(); });
  EXPECT_EQ(std::set<std::thread::id>(ids.begin(), ids.end()).size(), 3u);
  EXPECT_EQ(ids[0], std::this_thread::get_id()) << "the caller's thread works too";
}

TEST_F(ParallelFor, DoesNotSplitBelowTheLeastBlock) {
  set_threads(4);
  std::atomic<int> blocks{0};
  parallel_for(
      19, [&](int64_t, int64_t) { ++blocks; }, 10);
  EXPECT_EQ(blocks, 1);
  blocks = 0;
  parallel_for(
      20, [&](int64_t begin, int64_t end) { blocks += (end - begin >= 10) ? 1 : 100; }, 10);
  EXPECT_EQ(blocks, 2);
}

TEST_F(ParallelFor, ThrowsABlocksExceptionAfterAllBlocksEnded) {
  set_threads(4);
  for (const int64_t bad : {0, 3}) {
    std::atomic<int> finished{0};
    try {
      parallel_for(4, [&](int64_t begin, int64_t) {
        if (begin == bad) throw std::runtime_error("block " + std::to_string(begin));
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        ++finished;
      });
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), "block " + std::to_string(bad));
    }
    EXPECT_EQ(finished, 3);
  }
}

TEST(Threads, AreAtLeastOne) {
  set_threads(-5);
  EXPECT_GE(threads(), 1);
  set_threads(0);
  EXPECT_GE(threads(), 1);
}

}  // namespace
}  // namespace mien
