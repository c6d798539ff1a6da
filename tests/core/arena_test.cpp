#include "mien/core/arena.h"

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "mien/core/random.h"

namespace mien {
namespace {

constexpr size_t kMega = size_t{1} << 20;

TEST(Arena, BlocksAreAlignedWritableAndApart) {
  Arena arena(64 * kMega);
  std::vector<char*> blocks;
  for (size_t i = 0; i < 20; ++i) {
    blocks.push_back(static_cast<char*>(arena.allocate(1000 + 77 * i)));
    ASSERT_NE(blocks.back(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(blocks.back()) % Arena::kAlignment, 0U);
    std::memset(blocks.back(), static_cast<int>(i), 1000 + 77 * i);
  }
  for (size_t i = 0; i < 20; ++i) {
    for (size_t k = 0; k < 1000 + 77 * i; ++k) ASSERT_EQ(blocks[i][k], static_cast<char>(i));
  }
}

TEST(Arena, WorkThatRepeatsItselfGetsTheSameBlocksAndTheArenaDoesNotGrow) {
  Arena arena(256 * kMega);
  const auto round = [&] {
    std::vector<void*> blocks;
    for (const size_t mega : {9, 4, 4, 1, 7}) blocks.push_back(arena.allocate(mega * kMega));
    for (void* block : {blocks[1], blocks[0], blocks[4], blocks[2], blocks[3]}) arena.release(block);
    return blocks;
  };
  const auto first = round();
  const size_t extent = arena.extent();
  EXPECT_EQ(extent, 25 * kMega);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(round(), first);
  EXPECT_EQ(arena.extent(), extent);
  EXPECT_EQ(arena.used(), 0U);
}

TEST(Arena, FreeNeighborsJoinInEveryOrderOfRelease) {
  for (const std::vector<int>& order : {std::vector{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    Arena arena(64 * kMega);
    const std::vector<void*> blocks{arena.allocate(kMega), arena.allocate(kMega), arena.allocate(kMega)};
    for (const int index : order) arena.release(blocks[static_cast<size_t>(index)]);
    EXPECT_EQ(arena.allocate(3 * kMega), blocks[0]);
    EXPECT_EQ(arena.extent(), 3 * kMega);
  }
}

TEST(Arena, TheSmallestBlockThatFitsIsTakenAndItsRestStaysFree) {
  Arena arena(64 * kMega);
  void* const large = arena.allocate(8 * kMega);
  void* const wall = arena.allocate(kMega);
  void* const small = arena.allocate(3 * kMega);
  void* const second_wall = arena.allocate(kMega);
  arena.release(large);
  arena.release(small);
  EXPECT_EQ(arena.allocate(2 * kMega), small);
  EXPECT_EQ(arena.allocate(kMega), static_cast<char*>(small) + 2 * kMega);
  EXPECT_EQ(arena.allocate(5 * kMega), large);
  EXPECT_TRUE(arena.contains(wall));
  EXPECT_NE(second_wall, nullptr);
  EXPECT_EQ(arena.extent(), 13 * kMega);
}

TEST(Arena, AFreeEndGrowsInsteadOfBeingLeftBehind) {
  Arena arena(64 * kMega);
  void* const block = arena.allocate(2 * kMega);
  arena.release(block);
  EXPECT_EQ(arena.allocate(5 * kMega), block);
  EXPECT_EQ(arena.extent(), 5 * kMega);
}

TEST(Arena, IsNullWhereTheRangeIsUsedUpOrWasRefused) {
  Arena arena(64 * kMega);
  EXPECT_EQ(arena.allocate(65 * kMega), nullptr);
  void* const block = arena.allocate(40 * kMega);
  EXPECT_NE(block, nullptr);
  EXPECT_EQ(arena.allocate(40 * kMega), nullptr);
  arena.release(block);
  EXPECT_NE(arena.allocate(60 * kMega), nullptr);
  Arena refused(size_t{1} << 60);
  EXPECT_EQ(refused.allocate(1), nullptr);
  EXPECT_FALSE(refused.contains(&refused));
}

TEST(Arena, RefusesABlockThatIsNotItsOwnOrWasGivenBack) {
  Arena arena(64 * kMega);
  void* const block = arena.allocate(kMega);
  EXPECT_THROW(arena.release(&arena), std::logic_error);
  EXPECT_THROW(arena.release(static_cast<char*>(block) + 64), std::logic_error);
  arena.release(block);
  EXPECT_THROW(arena.release(block), std::logic_error);
}

TEST(Arena, ThreadsNeverShareABlock) {
  Arena arena(512 * kMega);
  std::vector<std::jthread> workers;
  std::vector<int> spoilt(4, 0);
  for (size_t worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&, worker] {
      RandomStream random(worker, "arena");
      std::vector<std::pair<unsigned char*, size_t>> mine;
      const auto give_back = [&] {
        for (size_t k = 0; k < mine.back().second; k += 97)
          spoilt[worker] += mine.back().first[k] != worker + 1 ? 1 : 0;
        arena.release(mine.back().first);
        mine.pop_back();
      };
      for (int i = 0; i < 2000; ++i) {
        const auto bytes = static_cast<size_t>(1 + random.below(30000));
        mine.emplace_back(static_cast<unsigned char*>(arena.allocate(bytes)), bytes);
        std::memset(mine.back().first, static_cast<int>(worker + 1), bytes);
        while (mine.size() > 20 || (!mine.empty() && random.below(3) == 0)) give_back();
      }
      while (!mine.empty()) give_back();
    });
  }
  workers.clear();
  EXPECT_EQ(spoilt, (std::vector<int>(4, 0)));
  EXPECT_EQ(arena.used(), 0U);
}

}  // namespace
}  // namespace mien
