#define MIEN_KERNEL_SET avx512
#define MIEN_KERNEL_NAME "AVX-512"
#define MIEN_KERNEL_LANES 16
#include "mien/network/kernels/convolution_kernels_body.h"
