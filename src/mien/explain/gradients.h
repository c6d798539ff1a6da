#pragma once

#include <vector>

#include "mien/core/options.h"
#include "mien/explain/attribution.h"

namespace mien::explain {

/// Options of the gradient methods.
struct GradientOptions {
  void bind(OptionSet& options);
};

/// saliency, gradient-x-input, smoothgrad, vargrad, squaregrad, integrated-gradients, expected-gradients,
/// guided-backprop, deconvnet, deeplift, lrp-epsilon, lrp-gamma, lrp-alpha-beta, guided-grad-cam, fullgrad.
std::vector<MethodSpec> gradient_methods();

}  // namespace mien::explain
