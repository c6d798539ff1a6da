#pragma once

#include <vector>

#include "mien/core/options.h"
#include "mien/explain/attribution.h"

namespace mien::explain {

/// Options of the perturbation methods.
struct PerturbationOptions {
  void bind(OptionSet& options);
};

/// occlusion, rise, lime, kernel-shap, feature-ablation.
std::vector<MethodSpec> perturbation_methods();

}  // namespace mien::explain
