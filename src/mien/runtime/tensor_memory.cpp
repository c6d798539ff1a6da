#include "mien/runtime/tensor_memory.h"

#include <cstdlib>
#include <mutex>
#include <new>

#include <c10/core/CPUAllocator.h>
#include <malloc.h>
#include <torch/version.h>
#include <unistd.h>

#include "mien/core/arena.h"

namespace mien::runtime {
namespace {

/// From here on glibc's malloc would map and unmap.
constexpr size_t kLeastArenaBytes = size_t{1} << 17;

size_t physical_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<size_t>(pages) * static_cast<size_t>(page) : size_t{1} << 36;
}

/// Lives to the end of the process: tensors in static variables are freed late.
Arena& arena() {
  static auto* const instance = new Arena(4 * physical_memory());
  return *instance;
}

void release(void* block) {
  if (arena().contains(block)) {
    arena().release(block);
  } else {
    std::free(block);
  }
}

class ArenaAllocator final : public c10::Allocator {
 public:
#if TORCH_VERSION_MAJOR >= 2
  c10::DataPtr allocate(size_t bytes) override { return take(bytes); }
  void copy_data(void* destination, const void* source, size_t bytes) const override {
    default_copy_data(destination, source, bytes);
  }
#else
  c10::DataPtr allocate(size_t bytes) const override { return take(bytes); }
#endif
  c10::DeleterFnPtr raw_deleter() const override { return &release; }

 private:
  static c10::DataPtr take(size_t bytes) {
    void* block = nullptr;
    if (bytes >= kLeastArenaBytes) block = arena().allocate(bytes);
    if (block == nullptr && bytes > 0 && ::posix_memalign(&block, Arena::kAlignment, bytes) != 0)
      throw std::bad_alloc();
    return {block, block, &release, c10::Device(c10::DeviceType::CPU)};
  }
};

bool installed = false;

}  // namespace

void reuse_tensor_memory() {
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
  static std::once_flag once;
  std::call_once(once, [] {
    c10::SetCPUAllocator(new ArenaAllocator, /*priority=*/100);
    installed = true;
  });
#endif
}

size_t tensor_memory_used() { return installed ? arena().used() : 0; }
size_t tensor_memory_extent() { return installed ? arena().extent() : 0; }

}  // namespace mien::runtime
