#pragma once

#include <cstdint>

namespace mien::network {

enum class Activation : uint8_t { none, relu, leaky_relu, silu };

/// How maps lie in memory. Kernels compute in float32 whatever they read and write.
enum class Storage : uint8_t { float32, bf16 };

/// The upper half of a float32, rounded to nearest, ties to even. What is closer to 0 than the least normal number is
/// 0, and what is not a number stays none: as the processor's own conversion (VCVTNEPS2BF16) has it.
struct Bf16 {
  uint16_t bits;
};

/// Dropout's mask as a function of its coordinates: element `e` (in channels-last order) of layer `layer` is kept where
/// the generator's 32 bits at (seed, layer, e) are at least probability * 2^32.
/// @source Philox4x32-10: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"
struct DropoutKey {
  uint64_t seed = 0;      ///< one number a forward pass
  uint32_t layer = 0;     ///< the dropout's node
  float probability = 0;  ///< in [0, 1]; 0 keeps everything
  int64_t first = 0;      ///< element of the whole batch that a part of it begins with
};

/// Everything that a block's kernels read. A block computes, from x [N,H,W,C] in channels-last order (a dense layer's
/// [N,C] has H = W = 1):
///   u = before(x);  z = scale * u + shift (+ residual);  v = after(z);  y = max of v over pool x pool windows;
///   output = y * keep / (1 - probability)
/// with a step left out where the network has none. Its work is cut into units, one row [out_width, C] of the output.
struct BlockArguments {
  Activation before = Activation::none, after = Activation::none;
  float before_slope = 0, after_slope = 0;  ///< of leaky_relu
  bool normalizes = false;                  ///< whether scale and shift are there
  int64_t images = 0, height = 1, width = 1, channels = 0;
  int64_t pool = 1;                          ///< windows of pool x pool pixels, side by side; 1 for none
  int64_t out_height = 1, out_width = 1;     ///< height / pool and width / pool, rounded down
  const void* x = nullptr;                   ///< [N,H,W,C], float or Bf16: of the kernels' storage
  const void* residual = nullptr;            ///< [N,H,W,C] of the same, only where pool is 1, or nothing
  const float* scale = nullptr;              ///< [C]: gamma / sqrt(variance + epsilon)
  const float* shift = nullptr;              ///< [C]: beta - mean * scale
  const float* mean = nullptr;               ///< [C]; for the backward pass
  const float* inverse_deviation = nullptr;  ///< [C]; for the backward pass
  DropoutKey dropout;

  int64_t units() const { return images * out_height; }
  int64_t rows() const { return images * height * width; }
};

/// What the backward pass reads and writes beside that; `output`, `x` and `residual` are of the kernels' storage.
struct BlockGradients {
  const void* output = nullptr;     ///< dL/d output [N,out_height,out_width,C]
  const float* constant = nullptr;  ///< [C]: k0 of dL/du = scale * dL/dz + k0 + k1 * (u - mean)
  const float* linear = nullptr;    ///< [C]: k1
  void* x = nullptr;                ///< dL/dx [N,H,W,C]; may be the memory of x itself
  void* residual = nullptr;         ///< dL/d residual [N,H,W,C], or nothing
};

/// The kernels for one instruction set and storage. `begin` and `end` cut the work; results do not depend on how. Sums
/// over pixels are taken in float32 over at most 32 pixels and in float64 beyond.
struct BlockKernels {
  const char* name;
  /// Adds the sums of u and of (u - mean of its part)^2 + ..., that is of u^2 without cancellation, over pixels
  /// [begin, end) of rows() to sums[0..C) and sums[C..2C).
  void (*statistics)(const BlockArguments& block, int64_t begin, int64_t end, double* sums);
  /// Writes units [begin, end) of the output [N,out_height,out_width,C]; may be x's memory where pool is 1.
  void (*forward)(const BlockArguments& block, int64_t begin, int64_t end, void* output);
  /// Adds the sums of dL/dz and of dL/dz * x-hat over units [begin, end) to sums[0..C) and sums[C..2C).
  void (*backward_sums)(
      const BlockArguments& block, const BlockGradients& gradients, int64_t begin, int64_t end, double* sums);
  /// Writes dL/dx (and dL/d residual) of the pixels that belong to units [begin, end).
  void (*backward)(const BlockArguments& block, const BlockGradients& gradients, int64_t begin, int64_t end);
  /// Writes 1 / (1 - probability) for kept elements and 0 for others to out[0 .. end - begin).
  void (*keep)(const DropoutKey& key, int64_t begin, int64_t end, float* out);
};

/// Throws std::bad_alloc; stands outside the kernels, which use nothing of the standard library.
[[noreturn]] void throw_out_of_memory();

/// Those for this processor and float32.
const BlockKernels& block_kernels();

/// Whether this processor multiplies pairs of bf16 and adds them up in float32 (AVX512-BF16).
bool has_bf16();
/// Those for a storage. Without has_bf16() those for bf16 are the portable ones, which give the same bits, slowly.
const BlockKernels& block_kernels(Storage storage);
const BlockKernels& portable_bf16_block_kernels();

}  // namespace mien::network
