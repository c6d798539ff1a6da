#include "mien/runtime/roofline.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <dlfcn.h>

#include "mien/core/parallel.h"

namespace mien::runtime {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Twelve chains hide the latency of four cycles on two units, and fit into the sixteen registers of AVX2.
constexpr int kChains = 12;

volatile float g_factor = 0.999F;  // volatile, so that the compiler cannot work the chains out
volatile float g_summand = 0.001F;
std::atomic<float> g_result{0};  // so that it cannot leave them out

// x = x * factor + summand, `steps` times in each chain; the values stay between 0 and 1.
// A macro, because GCC takes vectors apart before it inlines a template into a function for other instructions.
#define MIEN_CHAINS(NAME, TARGET, BYTES)                                      \
  TARGET void NAME(int64_t steps) {                                           \
    typedef float Vector __attribute__((vector_size(BYTES)));                 \
    const Vector factor = Vector{} + g_factor;                                \
    const Vector summand = Vector{} + g_summand;                              \
    Vector x[kChains];                                                        \
    for (int i = 0; i < kChains; ++i) x[i] = summand * static_cast<float>(i); \
    for (int64_t step = 0; step < steps; ++step) {                            \
      for (int i = 0; i < kChains; ++i) x[i] = x[i] * factor + summand;       \
    }                                                                         \
    Vector sum = x[0];                                                        \
    for (int i = 1; i < kChains; ++i) sum += x[i];                            \
    g_result.store(sum[0], std::memory_order_relaxed);                        \
  }

MIEN_CHAINS(chains_portable, , 16)
#if defined(__x86_64__)
MIEN_CHAINS(chains_avx2, __attribute__((target("avx2,fma"))), 32)
MIEN_CHAINS(chains_avx512, __attribute__((target("avx512f,fma,prefer-vector-width=512"))), 64)
#endif
#undef MIEN_CHAINS

struct RegisterLoop {
  const char* instructions;
  int lanes;
  void (*run)(int64_t steps);
};

RegisterLoop register_loop() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {"AVX-512", 16, chains_avx512};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {"AVX2", 8, chains_avx2};
#endif
  return {"portable", 4, chains_portable};
}

/// Best rate of `work`, which does `operations` a call: calls for about `seconds`, at least three, the first not
/// counted.
template <class Work>
double best_gflops(double operations, double seconds, const Work& work) {
  work();
  double best = 0;
  const auto begin = Clock::now();
  for (int call = 0; call < 2 || seconds_since(begin) < seconds; ++call) {
    const auto start = Clock::now();
    work();
    best = std::max(best, 1e-9 * operations / seconds_since(start));
  }
  return best;
}

at::Tensor ones(at::IntArrayRef shape) { return at::ones(shape, at::kFloat); }

/// Whether three repetitions of `operations` at the rate `gflops` are over in `seconds`.
bool fits(double operations, double gflops, double seconds) { return 3e-9 * operations < gflops * seconds; }

}  // namespace

std::string register_instructions() { return register_loop().instructions; }

double register_gflops(double seconds) {
  const RegisterLoop loop = register_loop();
  const int64_t workers = threads();
  const auto run = [&](int64_t steps) {
    parallel_for(workers, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) loop.run(steps);
    });
  };
  // Long enough that starting the threads does not count, short enough to fall between two disturbances.
  int64_t steps = 1 << 14;
  for (auto start = Clock::now(); run(steps), seconds_since(start) < 5e-3; start = Clock::now()) steps *= 2;
  const double operations = 2.0 * kChains * loop.lanes * static_cast<double>(steps * workers);
  return best_gflops(operations, seconds, [&] { run(steps); });
}

double convolution_gflops(double seconds) {
  constexpr int64_t kChannels = 128;
  constexpr int64_t kSide = 24;
  const at::NoGradGuard no_grad;
  const at::Tensor weight = ones({kChannels, kChannels, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast);
  double best = 0;
  for (const int64_t images : {2, 32}) {
    const double operations = 2.0 * static_cast<double>(images * kSide * kSide * kChannels * kChannels * 9);
    if (best > 0 && !fits(operations, best, seconds / 2)) break;
    const at::Tensor x = ones({images, kChannels, kSide, kSide}).contiguous(at::MemoryFormat::ChannelsLast);
    best = std::max(best, best_gflops(operations, seconds / 2, [&] { at::conv2d(x, weight, {}, 1, 1); }));
  }
  return best;
}

double matrix_product_gflops(double seconds) {
  const at::NoGradGuard no_grad;
  double best = 0;
  // A small product first: reference BLAS would need a second for the next one.
  for (const int64_t side : {256, 512, 1024, 2048}) {
    const double operations = 2.0 * static_cast<double>(side * side * side);
    if (best > 0 && !fits(operations, best, seconds / 2)) break;
    const at::Tensor a = ones({side, side});
    const at::Tensor b = ones({side, side});
    at::Tensor product = at::empty({side, side}, at::kFloat);
    best = std::max(best, best_gflops(operations, seconds / 4, [&] { at::mm_out(product, a, b); }));
  }
  return best;
}

std::string blas_kernels() {
  using CoreName = char* (*)();
  const auto name = reinterpret_cast<CoreName>(::dlsym(RTLD_DEFAULT, "openblas_get_corename"));
  return name == nullptr ? "" : name();
}

}  // namespace mien::runtime
