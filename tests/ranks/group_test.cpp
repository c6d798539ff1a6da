#include "mien/ranks/group.h"

#include <cmath>
#include <functional>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "mien/core/error.h"

namespace mien::ranks {
namespace {

/// `body` on `size` ranks, each a thread.
void on_ranks(int size, const std::function<void(Group&)>& body) {
  static int count = 0;
  const auto port = static_cast<uint16_t>(21000 + (::getpid() * 11 + 17 * count++) % 10000);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto group = join({.rank = rank, .size = size, .launcher = "test", .address = "127.0.0.1", .port = port});
      body(*group);
      group->leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Group, SumsOverAllRanks) {
  if (!can_join()) GTEST_SKIP() << "this libtorch has no c10d";
  on_ranks(4, [](Group& group) {
    std::vector<double> values{1.0 + group.rank(), -2};
    group.sum(values);
    EXPECT_EQ(values, (std::vector<double>{10, -8}));
    EXPECT_TRUE(group.any(group.rank() == 2));
    EXPECT_FALSE(group.any(false));
  });
}

TEST(Group, GivesEveryRankTheSameBytesInEveryTry) {
  if (!can_join()) GTEST_SKIP() << "this libtorch has no c10d";
  std::vector<std::vector<float>> results(6);
  for (int attempt = 0; attempt < 2; ++attempt) {
    on_ranks(3, [&](Group& group) {
      std::vector<float> values(10'000);
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = std::sin(static_cast<float>(i * 3 + static_cast<size_t>(group.rank())));
      group.start_sum(std::span<float>(values))->wait();
      results[static_cast<size_t>(attempt * 3 + group.rank())] = values;
    });
  }
  for (const auto& result : results) EXPECT_EQ(result, results.front());
}

TEST(Group, BroadcastsRank0sText) {
  if (!can_join()) GTEST_SKIP() << "this libtorch has no c10d";
  on_ranks(3, [](Group& group) {
    EXPECT_EQ(group.broadcast(group.is_first() ? std::string("the first") : std::string("x")), "the first");
    EXPECT_EQ(group.broadcast(std::string()), "");
    EXPECT_EQ(group.broadcast(1.5 * group.rank()), 0.0);
  });
}

TEST(Group, NamesTheRankWhoseTextDiffers) {
  if (!can_join()) GTEST_SKIP() << "this libtorch has no c10d";
  on_ranks(3, [](Group& group) {
    EXPECT_EQ(group.differing_rank("same"), -1);
    EXPECT_EQ(group.differing_rank(group.rank() == 1 ? "other" : "same"), 1);
  });
}

TEST(Group, LeavesTheTellingToRank0WhereAnotherRankFails) {
  if (!can_join()) GTEST_SKIP() << "this libtorch has no c10d";
  std::string told;
  bool is_silent = false;
  on_ranks(2, [&](Group& group) {
    try {
      try {
        if (group.rank() == 1) throw_bad_data("no faces here");
        group.any(false);
      } catch (...) {
        group.fail(std::current_exception());
      }
    } catch (const Error& error) {
      if (group.is_first()) told = error.line();
      if (!group.is_first()) is_silent = error.line().empty() && error.code() == ErrorCode::bad_data;
    }
  });
  EXPECT_NE(told.find("rank 1 of 2 on"), std::string::npos) << told;
  EXPECT_NE(told.find("no faces here"), std::string::npos) << told;
  EXPECT_TRUE(is_silent);
}

}  // namespace
}  // namespace mien::ranks
