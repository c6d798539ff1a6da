#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace mien {

/// Large blocks of memory that are kept when they are freed and handed out again: work that repeats itself asks the
/// system for memory the first time only. Blocks lie in one range of addresses that grows at its end; the smallest free
/// block that fits is taken, its rest stays free, and free neighbors join, so that little more is touched than is in
/// use at the worst moment. Memory goes back to the system with the arena. Safe to use from several threads.
class Arena {
 public:
  /// Blocks begin at multiples of this.
  static constexpr size_t kAlignment = 64;

  /// Sets aside `reserve_bytes` of addresses, not of memory. Where the system refuses, allocate always fails.
  explicit Arena(size_t reserve_bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// A block of at least `bytes`, with any content; null if the range is used up or the system has no more memory.
  void* allocate(size_t bytes);
  /// Takes back what allocate returned. Throws std::logic_error if `block` is none of this arena's blocks in use.
  void release(void* block);
  /// Whether an address lies in this arena's range.
  bool contains(const void* address) const;

  /// Bytes of the blocks in use.
  size_t used() const;
  /// Bytes from the beginning of the range to the end of the furthest block so far: what the system has given at most.
  size_t extent() const;

 private:
  bool extend(size_t bytes);
  void add_free(size_t offset, size_t bytes);
  void remove_free(size_t offset, size_t bytes);

  mutable std::mutex mutex_;
  void* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
  char* begin_ = nullptr;
  size_t reserved_ = 0;
  size_t writable_ = 0;  // from the beginning on
  size_t extent_ = 0;
  size_t used_ = 0;
  std::map<size_t, size_t> free_by_offset_;           // offset, bytes
  std::set<std::pair<size_t, size_t>> free_by_size_;  // bytes, offset
  std::map<size_t, size_t> in_use_;                   // offset, bytes
};

}  // namespace mien
