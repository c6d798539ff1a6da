#define MIEN_KERNEL_SET avx2
#define MIEN_KERNEL_NAME "AVX2"
#define MIEN_KERNEL_LANES 8
#define MIEN_KERNEL_ELEMENT float
#define MIEN_KERNEL_IS_BF16 0
#include "mien/network/kernels/convolution_kernels_body.h"
