#pragma once

namespace mien::network {

/// Whether libtorch's convolutions (oneDNN's) are right on this machine: the outputs and gradients of a few small ones
/// in both layouts, beside plain loops in float64. Computed once a process, in less than a tenth of a second. Not every
/// build is right on every processor: Debian 13's oneDNN 3.7.2 is not on an AMD EPYC of family 26 (docs/platforms.md).
bool library_convolutions_are_right();

/// Switches oneDNN off for this process where it is wrong; libtorch's own functions and Mien's kernels, which take
/// over, are right there, and slower. Returns whether it was right. Changes libtorch's global context, so it is for
/// programs; whoever uses the library calls it once before the first network, or lets `mien doctor` tell.
bool avoid_wrong_library_convolutions();

}  // namespace mien::network
