#include "mien/runtime/memory.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace mien::runtime {

void keep_freed_memory() {
#ifdef __GLIBC__
  ::mallopt(M_MMAP_MAX, 0);         // large blocks lie in the heap, too
  ::mallopt(M_TRIM_THRESHOLD, -1);  // and it never shrinks
  ::mallopt(M_TOP_PAD, 64 << 20);
  ::mallopt(M_ARENA_MAX, 1);  // or each thread that makes tensors keeps a heap of its own
#endif
}

}  // namespace mien::runtime
