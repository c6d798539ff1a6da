#pragma once

#include <cstdint>
#include <functional>

namespace mien {

/// Number of threads the computation uses: what set_threads said, else the cores this process may run on.
int threads();
/// 0 means all cores.
void set_threads(int count);

/// Splits [0, count) into one contiguous block a thread and runs body(begin, end) on each, the caller's thread
/// included. The first exception that a block throws is thrown again here, after all blocks have ended.
void parallel_for(int64_t count, const std::function<void(int64_t begin, int64_t end)>& body, int64_t least_block = 1);

}  // namespace mien
