#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "mien/network/graph/graph.h"

namespace mien::network {

/// In what a fused network on the CPU keeps what flows between its layers and multiplies. Parameters, their gradients
/// and every sum are float32 in both.
enum class Precision : uint8_t { float32, bf16 };

std::string to_text(Precision precision);

/// The precision that "float32", "bf16" or "auto" means on this machine: auto is bf16 where the processor multiplies
/// pairs of bf16. Throws Error(failed) for bf16 where it does not.
Precision parse_precision(const std::string& word);

/// The precision of the passes that this thread starts while the object lives: of every Network::forward,
/// forward_until and forward_after that is fused (compute_type says of each layer which dtype). Images, logits and what
/// forward_until gives stay float32. float32 where there is none.
class PrecisionScope {
 public:
  explicit PrecisionScope(Precision precision);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;
  static Precision current();

 private:
  Precision before_;
};

/// The dtype in which a fused network of bf16 computes a layer whose input is `given`: bf16 for convolutions without
/// groups and dense layers of at least 16 outputs, what it is given for layers that move or compare values or stand in
/// fused blocks, and float32 for all others.
at::ScalarType compute_type(const Layer& layer, bool is_in_block, at::ScalarType given);

}  // namespace mien::network
