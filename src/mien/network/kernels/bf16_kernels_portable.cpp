#define MIEN_KERNEL_SET portable_bf16
#define MIEN_KERNEL_NAME "portable, bf16"
#define MIEN_KERNEL_LANES 4
#define MIEN_KERNEL_ELEMENT Bf16
#define MIEN_KERNEL_IS_BF16 1
#include "mien/network/kernels/convolution_kernels_body.h"
