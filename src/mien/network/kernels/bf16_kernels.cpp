#include "mien/network/kernels/block_kernels.h"
#include "mien/network/kernels/convolution_kernels.h"

namespace mien::network {

namespace portable_bf16 {
extern const BlockKernels kKernels;
extern const ConvolutionKernels kConvolutionKernels;
}  // namespace portable_bf16

const BlockKernels& portable_bf16_block_kernels() { return portable_bf16::kKernels; }
const ConvolutionKernels& portable_bf16_convolution_kernels() { return portable_bf16::kConvolutionKernels; }

#ifdef MIEN_X86_KERNELS

namespace avx512_bf16 {
extern const BlockKernels kKernels;
extern const ConvolutionKernels kConvolutionKernels;
}  // namespace avx512_bf16

bool has_bf16() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512bf16");
  return has;
}

const BlockKernels& block_kernels(Storage storage) {
  if (storage == Storage::float32) return block_kernels();
  return has_bf16() ? avx512_bf16::kKernels : portable_bf16::kKernels;
}

const ConvolutionKernels& convolution_kernels(Storage storage) {
  if (storage == Storage::float32) return convolution_kernels();
  return has_bf16() ? avx512_bf16::kConvolutionKernels : portable_bf16::kConvolutionKernels;
}

#else

bool has_bf16() { return false; }
const BlockKernels& block_kernels(Storage storage) {
  return storage == Storage::float32 ? block_kernels() : portable_bf16::kKernels;
}
const ConvolutionKernels& convolution_kernels(Storage storage) {
  return storage == Storage::float32 ? convolution_kernels() : portable_bf16::kConvolutionKernels;
}

#endif

}  // namespace mien::network
