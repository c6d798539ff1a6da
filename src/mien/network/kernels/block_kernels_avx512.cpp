#define MIEN_KERNEL_SET avx512
#define MIEN_KERNEL_NAME "AVX-512"
#define MIEN_KERNEL_LANES 16
#define MIEN_KERNEL_ELEMENT float
#define MIEN_KERNEL_IS_BF16 0
#include "mien/network/kernels/convolution_kernels_body.h"
