#define MIEN_KERNEL_SET avx512_bf16
#define MIEN_KERNEL_NAME "AVX512-BF16"
#define MIEN_KERNEL_LANES 16
#define MIEN_KERNEL_ELEMENT Bf16
#define MIEN_KERNEL_IS_BF16 1
#include "mien/network/kernels/convolution_kernels_body.h"
