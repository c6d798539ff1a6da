#pragma once

#include <span>
#include <string>

namespace mien::cli {

/// Whether this is `mien` itself, which is linked without libtorch (it takes 0.7 s to load): it answers help, mistakes
/// on the command line and small questions, and hands everything else over to `mien-compute`, which is built of the
/// same sources and complete.
#ifdef MIEN_LAUNCHER
inline constexpr bool kIsLauncher = true;
#else
inline constexpr bool kIsLauncher = false;
#endif

/// Goes on as the program `mien-compute` beside this one (links followed) or in ../libexec/mien or ../lib/mien, with
/// the same words, process and standard streams, and with OpenMP's and OpenBLAS's busy waiting cut short where the user
/// has not set it. Throws Error(failed) if it cannot be started.
[[noreturn]] void exec_compute(std::span<const std::string> words);

}  // namespace mien::cli
