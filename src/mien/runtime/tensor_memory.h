#pragma once

#include <cstddef>

namespace mien::runtime {

/// From now on libtorch's CPU tensors of 128 KiB and more lie in an Arena: those of a training step take the memory
/// that the step before has freed, on huge pages, instead of having the system map, clear and unmap it every step.
/// Smaller ones stay with malloc. Calls after the first do nothing; only on Linux and without sanitizers, else nothing
/// happens at all.
void reuse_tensor_memory();

/// Bytes that the arena holds in tensors now; 0 before reuse_tensor_memory.
size_t tensor_memory_used();
/// Bytes that the arena has asked the system for so far.
size_t tensor_memory_extent();

}  // namespace mien::runtime
