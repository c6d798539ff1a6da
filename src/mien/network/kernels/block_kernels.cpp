#include "mien/network/kernels/block_kernels.h"

#include <new>

#include "mien/network/kernels/convolution_kernels.h"

namespace mien::network {

namespace portable {
extern const BlockKernels kKernels;
extern const ConvolutionKernels kConvolutionKernels;
}  // namespace portable

#ifdef MIEN_X86_KERNELS

namespace avx2 {
extern const BlockKernels kKernels;
extern const ConvolutionKernels kConvolutionKernels;
}  // namespace avx2
namespace avx512 {
extern const BlockKernels kKernels;
extern const ConvolutionKernels kConvolutionKernels;
}  // namespace avx512

namespace {

enum class InstructionSet { portable, avx2, avx512 };

InstructionSet best_set() {
  static const InstructionSet chosen = [] {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq")) {
      return InstructionSet::avx512;
    }
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? InstructionSet::avx2
                                                                           : InstructionSet::portable;
  }();
  return chosen;
}

}  // namespace

const BlockKernels& block_kernels() {
  const InstructionSet set = best_set();
  if (set == InstructionSet::avx512) return avx512::kKernels;
  return set == InstructionSet::avx2 ? avx2::kKernels : portable::kKernels;
}

const ConvolutionKernels& convolution_kernels() {
  const InstructionSet set = best_set();
  if (set == InstructionSet::avx512) return avx512::kConvolutionKernels;
  return set == InstructionSet::avx2 ? avx2::kConvolutionKernels : portable::kConvolutionKernels;
}

#else

const BlockKernels& block_kernels() { return portable::kKernels; }
const ConvolutionKernels& convolution_kernels() { return portable::kConvolutionKernels; }

#endif

void throw_out_of_memory() { throw std::bad_alloc(); }

}  // namespace mien::network
