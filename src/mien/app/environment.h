#pragma once

#include <string>
#include <vector>

namespace mien::app {

/// Measured and reported facts of this build on this machine.
struct Environment {
  std::string mien_version;  ///< "0.1.0"
  std::string mien_commit;   ///< of the sources it was built from, or "unknown"
  std::string compiler;
  std::string libtorch_version;
  std::string blas;  ///< file name of the loaded BLAS library
  int threads = 0;
  double blas_gflops = 0;     ///< of a 1024 x 1024 float32 product, multiply and add counted apart
  bool blas_is_slow = false;  ///< reference BLAS: 20 and more times too slow
  bool has_mkldnn = false;
  bool has_cuda = false;
  bool has_vision = false;  ///< image folders
  bool has_gnuplot = false;
  std::string cpu_capability;  ///< vector instructions libtorch uses ("AVX512")
};

/// Lets tensors reuse memory (tensor_memory.h), flushes denormal numbers to zero and sets the number of threads of this
/// process's libtorch, BLAS and own loops; 0 means all cores. Debian's libtorch starts with one.
void configure_threads(int count);

/// Facts without measuring (blas_gflops stays 0).
Environment environment();
/// Multiplies two matrices for about `seconds` and returns float32 GFLOP/s.
double measure_blas_gflops(double seconds = 0.1);
/// environment() with the BLAS measurement.
Environment measured_environment();
/// One line with the remedy if BLAS is the slow reference one, else empty.
std::string blas_warning(const Environment& environment);

/// `mien doctor`'s text.
std::string doctor_text(const Environment& environment);
std::string environment_json(const Environment& environment);

}  // namespace mien::app
