#pragma once

#include <string>

namespace mien::runtime {

/// Rates of float32 arithmetic in GFLOP/s, a multiplication and an addition counted apart, on all threads: each the
/// best of many repetitions on warm memory, over about `seconds`.

/// Multiply-adds in registers alone, which no program on this processor surpasses.
double register_gflops(double seconds);
/// The vector instructions that register_gflops uses: "AVX-512", "AVX2" or "portable".
std::string register_instructions();

/// libtorch's 3x3 convolution of 128 into 128 channels of 24 x 24 pixels, channels-last (oneDNN's, where libtorch has
/// it).
double convolution_gflops(double seconds);

/// libtorch's product of square matrices (the BLAS library's sgemm): the fastest of the sides 256, 512, 1,024 and
/// 2,048, of which those that would take longer than `seconds` are left out.
double matrix_product_gflops(double seconds);
/// The processor that OpenBLAS has chosen its kernels for ("Zen"); empty where BLAS is another library.
std::string blas_kernels();

}  // namespace mien::runtime
