#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "mien/core/options.h"
#include "mien/explain/attribution.h"
#include "mien/explain/cam/cam.h"
#include "mien/explain/gradients/gradients.h"
#include "mien/explain/perturbation/perturbation.h"

namespace mien::explain {

/// What decides a map besides network, image and target. Each family declares its own options beside its methods.
struct MethodOptions {
  std::string layer;         ///< of class activation methods; see choose_layer
  int64_t seed = 0;          ///< of everything random
  int64_t batch_size = 128;  ///< images in one pass: bounds memory, whatever the number of samples
  GradientOptions gradient;
  CamOptions cam;
  PerturbationOptions perturbation;

  void bind(OptionSet& options);
};

/// All methods, family by family.
std::span<const MethodSpec> methods();

/// The method called `name`. Throws Error(usage) with a suggestion.
const MethodSpec& method(const std::string& name);

/// `spec.explain`, after a check of `spec.unsupported_reason`, shapes and targets, and with images split into batches
/// no larger than the memory that one image's passes need allows. Throws Error(usage).
Attributions explain(const MethodSpec& spec, const AttributionRequest& request, const MethodOptions& options);

}  // namespace mien::explain
