#define MIEN_KERNEL_SET portable
#define MIEN_KERNEL_NAME "portable"
#define MIEN_KERNEL_LANES 4
#define MIEN_KERNEL_ELEMENT float
#define MIEN_KERNEL_IS_BF16 0
#include "mien/network/kernels/convolution_kernels_body.h"
