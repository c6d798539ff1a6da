#include "mien/network/precision.h"

#include "mien/core/error.h"
#include "mien/network/kernels/block_kernels.h"

namespace mien::network {
namespace {

constexpr int64_t kFewOutputs = 16;  // of a dense layer, below which there is nothing to gain: a network's last layer

thread_local Precision current_precision = Precision::float32;

}  // namespace

PrecisionScope::PrecisionScope(Precision precision) : before_(current_precision) { current_precision = precision; }
PrecisionScope::~PrecisionScope() { current_precision = before_; }
Precision PrecisionScope::current() { return current_precision; }

std::string to_text(Precision precision) { return precision == Precision::bf16 ? "bf16" : "float32"; }

Precision parse_precision(const std::string& word) {
  if (word == "float32" || (word == "auto" && !has_bf16())) return Precision::float32;
  if (!has_bf16()) {
    throw_failed("cannot compute in bf16: this processor has no AVX512-BF16",
                 "--precision auto is bf16 where the processor has it and float32 elsewhere");
  }
  return Precision::bf16;
}

at::ScalarType compute_type(const Layer& layer, bool is_in_block, at::ScalarType given) {
  if (is_in_block) return given;
  switch (layer.kind) {
    case LayerKind::conv:
      return layer.groups == 1 ? at::kBFloat16 : at::kFloat;
    case LayerKind::dense:
      return layer.output_shape.channels >= kFewOutputs ? at::kBFloat16 : at::kFloat;
    case LayerKind::flatten:
    case LayerKind::concat:
    case LayerKind::add:
    case LayerKind::multiply:
    case LayerKind::max_pool:
    case LayerKind::global_max_pool:
    case LayerKind::relu:
    case LayerKind::leaky_relu:
    case LayerKind::silu:
    case LayerKind::sigmoid:
      return given;
    default:
      return at::kFloat;
  }
}

}  // namespace mien::network
