#include "mien/core/arena.h"

#include <algorithm>
#include <stdexcept>

#include <sys/mman.h>

namespace mien {
namespace {

constexpr size_t kHugePage = size_t{1} << 21;
/// Memory is asked for in pieces of this size, so that growing costs few system calls.
constexpr size_t kGrowth = size_t{1} << 26;

constexpr size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

Arena::Arena(size_t reserve_bytes) {
  const size_t reserve = round_up(reserve_bytes, kGrowth);
  void* const mapping =
      ::mmap(nullptr, reserve + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return;
  mapping_ = mapping;
  mapping_bytes_ = reserve + kHugePage;
  begin_ = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(mapping), kHugePage));
  reserved_ = reserve;
#ifdef MADV_HUGEPAGE
  ::madvise(begin_, reserved_, MADV_HUGEPAGE);  // a kernel without huge pages refuses: pages are small then
#endif
}

Arena::~Arena() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_bytes_);
}

void Arena::add_free(size_t offset, size_t bytes) {
  free_by_offset_.emplace(offset, bytes);
  free_by_size_.emplace(bytes, offset);
}

void Arena::remove_free(size_t offset, size_t bytes) {
  free_by_offset_.erase(offset);
  free_by_size_.erase({bytes, offset});
}

bool Arena::extend(size_t bytes) {
  size_t begin = extent_;
  if (!free_by_offset_.empty()) {
    const auto& [offset, size] = *free_by_offset_.rbegin();
    if (offset + size == extent_) begin = offset;
  }
  if (bytes > reserved_ - begin) return false;
  const size_t end = begin + bytes;
  if (end > writable_) {
    const size_t wanted = std::min(round_up(end, kGrowth), reserved_);
    if (::mprotect(begin_ + writable_, wanted - writable_, PROT_READ | PROT_WRITE) != 0) return false;
    writable_ = wanted;
  }
  if (begin != extent_) remove_free(begin, extent_ - begin);
  add_free(begin, bytes);
  extent_ = end;
  return true;
}

void* Arena::allocate(size_t bytes) {
  if (bytes > reserved_) return nullptr;
  const size_t wanted = round_up(std::max<size_t>(bytes, 1), kAlignment);
  const std::lock_guard<std::mutex> lock(mutex_);
  auto found = free_by_size_.lower_bound({wanted, 0});
  if (found == free_by_size_.end()) {
    if (!extend(wanted)) return nullptr;
    found = free_by_size_.lower_bound({wanted, 0});
  }
  const auto [size, offset] = *found;
  remove_free(offset, size);
  if (size > wanted) add_free(offset + wanted, size - wanted);
  in_use_.emplace(offset, wanted);
  used_ += wanted;
  return begin_ + offset;
}

void Arena::release(void* block) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found =
      contains(block) ? in_use_.find(static_cast<size_t>(static_cast<char*>(block) - begin_)) : in_use_.end();
  if (found == in_use_.end()) throw std::logic_error("a block was given back to an arena that did not hand it out");
  size_t offset = found->first;
  size_t bytes = found->second;
  in_use_.erase(found);
  used_ -= bytes;
  const auto next = free_by_offset_.lower_bound(offset);
  if (next != free_by_offset_.end() && next->first == offset + bytes) {
    const auto [next_offset, next_bytes] = *next;
    bytes += next_bytes;
    remove_free(next_offset, next_bytes);
  }
  const auto after = free_by_offset_.lower_bound(offset);
  if (after != free_by_offset_.begin()) {
    const auto [before_offset, before_bytes] = *std::prev(after);
    if (before_offset + before_bytes == offset) {
      remove_free(before_offset, before_bytes);
      offset = before_offset;
      bytes += before_bytes;
    }
  }
  add_free(offset, bytes);
}

bool Arena::contains(const void* address) const {
  const auto value = reinterpret_cast<uintptr_t>(address);
  const auto begin = reinterpret_cast<uintptr_t>(begin_);
  return value >= begin && value - begin < reserved_;
}

size_t Arena::used() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return used_;
}

size_t Arena::extent() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return extent_;
}

}  // namespace mien
