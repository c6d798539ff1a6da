#define MIEN_KERNEL_SET portable
#define MIEN_KERNEL_NAME "portable"
#define MIEN_KERNEL_LANES 4
#include "mien/network/kernels/convolution_kernels_body.h"
