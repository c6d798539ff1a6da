#pragma once

namespace mien::runtime {

/// Tells glibc's malloc to keep memory that was freed instead of giving it back, for the whole process: libtorch asks
/// for every tensor, and each block fresh from the system costs one page fault for 4 KiB. No effect with another
/// malloc.
void keep_freed_memory();

}  // namespace mien::runtime
