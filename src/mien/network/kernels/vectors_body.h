#pragma once
/// The vectors that the kernels' text (block_kernels_body.h, convolution_kernels_body.h) is written in; compiled with
/// it once for each instruction set.

#include <cstddef>
#include <cstdint>

#if MIEN_KERNEL_LANES == 16
#include <immintrin.h>
#endif

#include "mien/network/kernels/block_kernels.h"

namespace mien::network::MIEN_KERNEL_SET {
namespace {

#define MIEN_INLINE inline __attribute__((always_inline))

/// Buffers of one call, freed at its end.
class Scratch {
 public:
  explicit Scratch(int64_t floats)
      : memory_(static_cast<float*>(__builtin_malloc(sizeof(float) * static_cast<size_t>(floats + 16)))) {
    if (memory_ == nullptr) throw_out_of_memory();
  }
  ~Scratch() { __builtin_free(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  float* take(int64_t floats) {
    float* const taken = memory_ + used_;
    used_ += floats;
    return taken;
  }

 private:
  float* memory_;
  int64_t used_ = 0;
};

constexpr int64_t kLanes = MIEN_KERNEL_LANES;
typedef float V __attribute__((vector_size(4 * MIEN_KERNEL_LANES)));
typedef int32_t I __attribute__((vector_size(4 * MIEN_KERNEL_LANES)));  // comparisons of V give 0 or -1 a lane
typedef uint32_t U __attribute__((vector_size(4 * MIEN_KERNEL_LANES)));
typedef uint16_t H __attribute__((vector_size(2 * MIEN_KERNEL_LANES)));
typedef double D __attribute__((vector_size(8 * MIEN_KERNEL_LANES)));
typedef float LooseV __attribute__((vector_size(4 * MIEN_KERNEL_LANES), aligned(4), may_alias));
typedef uint16_t LooseH __attribute__((vector_size(2 * MIEN_KERNEL_LANES), aligned(2), may_alias));
typedef double LooseD __attribute__((vector_size(8 * MIEN_KERNEL_LANES), aligned(8), may_alias));

/// The number of lanes in use, known when compiling for all vectors but a row's last.
struct AllLanes {};

MIEN_INLINE V load(const float* p, AllLanes) { return *reinterpret_cast<const LooseV*>(p); }
MIEN_INLINE void store(float* p, V v, AllLanes) { *reinterpret_cast<LooseV*>(p) = v; }
MIEN_INLINE H load_bits(const Bf16* p, AllLanes) { return *reinterpret_cast<const LooseH*>(p); }
MIEN_INLINE void store_bits(Bf16* p, H h, AllLanes) { *reinterpret_cast<LooseH*>(p) = h; }

#if MIEN_KERNEL_LANES == 16
MIEN_INLINE __mmask16 mask_of(int64_t lanes) { return static_cast<__mmask16>((1U << lanes) - 1U); }
MIEN_INLINE V load(const float* p, int64_t lanes) {
  return reinterpret_cast<V>(_mm512_maskz_loadu_ps(mask_of(lanes), p));
}
MIEN_INLINE void store(float* p, V v, int64_t lanes) {
  _mm512_mask_storeu_ps(p, mask_of(lanes), reinterpret_cast<__m512>(v));
}
MIEN_INLINE H load_bits(const Bf16* p, int64_t lanes) {
  return reinterpret_cast<H>(_mm256_maskz_loadu_epi16(mask_of(lanes), p));
}
MIEN_INLINE void store_bits(Bf16* p, H h, int64_t lanes) {
  _mm256_mask_storeu_epi16(p, mask_of(lanes), reinterpret_cast<__m256i>(h));
}
#else
MIEN_INLINE V load(const float* p, int64_t lanes) {
  V v{};
  for (int64_t i = 0; i < lanes; ++i) v[i] = p[i];
  return v;
}
MIEN_INLINE void store(float* p, V v, int64_t lanes) {
  for (int64_t i = 0; i < lanes; ++i) p[i] = v[i];
}
MIEN_INLINE H load_bits(const Bf16* p, int64_t lanes) {
  H h{};
  for (int64_t i = 0; i < lanes; ++i) h[i] = p[i].bits;
  return h;
}
MIEN_INLINE void store_bits(Bf16* p, H h, int64_t lanes) {
  for (int64_t i = 0; i < lanes; ++i) p[i].bits = h[i];
}
#endif

MIEN_INLINE void add_to(double* p, D v, AllLanes) { *reinterpret_cast<LooseD*>(p) += v; }
MIEN_INLINE void add_to(double* p, D v, int64_t lanes) {
  for (int64_t i = 0; i < lanes; ++i) p[i] += v[i];
}
MIEN_INLINE V all(float x) { return x - V{}; }
MIEN_INLINE D wide(V v) { return __builtin_convertvector(v, D); }

// ---- bf16 ----

MIEN_INLINE H rounded(V v) {
#ifdef __AVX512BF16__
  return reinterpret_cast<H>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(v)));
#else
  const U bits = reinterpret_cast<U>(v);
  const U magnitude = bits & 0x7FFFFFFFU;
  U upper = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  upper = magnitude > 0x7F800000U ? (bits >> 16) | 0x40U : upper;    // not a number
  upper = magnitude < 0x00800000U ? (bits >> 16) & 0x8000U : upper;  // less than the least normal number
  return __builtin_convertvector(upper, H);
#endif
}

template <class N>
MIEN_INLINE V load(const Bf16* p, N lanes) {
  return reinterpret_cast<V>(__builtin_convertvector(load_bits(p, lanes), U) << 16);
}
template <class N>
MIEN_INLINE void store(Bf16* p, V v, N lanes) {
  store_bits(p, rounded(v), lanes);
}

/// body(c, lanes) for every vector of a row's channels.
template <class Body>
MIEN_INLINE void each_vector(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) body(c, AllLanes{});
  if (c < channels) body(c, channels - c);
}
#define MIEN_VECTORS(channels) each_vector(channels, [&](int64_t c, auto n) __attribute__((always_inline))

}  // namespace
}  // namespace mien::network::MIEN_KERNEL_SET
