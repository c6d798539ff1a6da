#pragma once

#include <string>
#include <vector>

namespace mien::runtime {

/// Measured and reported facts of this build on this machine.
struct Environment {
  std::string mien_version;  ///< "0.1.0"
  std::string mien_commit;   ///< of the sources it was built from, or "unknown"
  std::string compiler;
  std::string libtorch_version;
  std::string blas;  ///< file name of the loaded BLAS library
  int threads = 0;
  std::string blas_kernels;       ///< the processor that OpenBLAS has chosen its kernels for; empty for another BLAS
  double blas_gflops = 0;         ///< machine_speed.h: of a product of matrices
  double convolution_gflops = 0;  ///< of a convolution
  double register_gflops = 0;     ///< of multiply-adds in registers, the ceiling
  bool blas_is_slow = false;      ///< reference BLAS: 20 and more times too slow
  bool blas_is_right = true;      ///< its products agree with ones computed in double
  bool has_mkldnn = false;
  bool onednn_is_right = true;  ///< network::library_convolutions_are_right(); where not, it is switched off
  bool has_cuda = false;
  bool has_vision = false;     ///< image folders
  bool has_pictures = false;   ///< draws plots and sheets
  std::string cpu_capability;  ///< vector instructions libtorch uses ("AVX512")
};

/// Lets tensors reuse memory (memory.h), flushes denormal numbers to zero and sets the number of threads of this
/// process's libtorch, BLAS and own loops; 0 means all cores. Debian's libtorch starts with one.
void configure_threads(int count);

/// Facts without measuring (the rates stay 0).
Environment environment();
/// Whether a BLAS is the slow reference one: by its file's name if that tells, else by its rate on so many threads, no
/// more than the machine has cores.
bool is_slow_blas(const std::string& library, double gflops, int threads);
/// Largest error of a few small products of floats, as a share of the sum of their absolute terms.
double blas_error();
/// environment() with the rate of BLAS, the best of several measurements of about `seconds` together, and whether it is
/// slow.
Environment environment_with_blas(double seconds = 0.1);
/// environment() with all three rates, each measured for about a second.
Environment measured_environment();
/// One line with the remedy if BLAS is the slow reference one, else empty.
std::string blas_warning(const Environment& environment);
/// What to say of a oneDNN that miscalculates; empty where it does not.
std::string convolution_warning(const Environment& environment);

/// The three rates by name: "sgemm 203, convolution 371, multiply-adds in registers (AVX-512) 480 GFLOP/s".
std::string speed_text(const Environment& environment);
/// `mien doctor`'s text.
std::string doctor_text(const Environment& environment);
std::string environment_json(const Environment& environment);

}  // namespace mien::runtime
