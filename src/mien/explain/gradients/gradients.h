#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/explain/attribution.h"

namespace mien::explain {

/// Options of the gradient methods.
struct GradientOptions {
  int64_t smooth_samples = 25;  ///< of smoothgrad, squaregrad and vargrad
  double smooth_noise = 0.15;   ///< deviation, as a share of each image's range
  int64_t ig_steps = 50;
  std::string baseline = "zero";              ///< of integrated-gradients and deeplift: zero, black, mean, blur
  std::string deeplift_max_pool = "rescale";  ///< or "captum"
  int64_t expected_samples = 200;
  double lrp_epsilon = 1e-6;
  double lrp_gamma = 0.25;
  double lrp_alpha = 2;                   ///< beta is alpha - 1
  std::string lrp_batch_norm = "fold";    ///< or "layer": a layer of its own, as Captum's LRP has it
  std::string lrp_dense = "epsilon";      ///< or "same": the rule of the convolutions
  std::string guided_resize = "nearest";  ///< or "bilinear": how guided-grad-cam enlarges its class activation map

  /// Images [B,C,H,W] that expected-gradients draws its baselines from, normalized as the explained ones; no flag.
  /// Null: the explained images themselves. Behind a pointer, so that a program which only reads options needs no
  /// libtorch.
  std::shared_ptr<const at::Tensor> background;

  void bind(OptionSet& options);
};

/// saliency, gradient-x-input, smoothgrad, vargrad, squaregrad, integrated-gradients, expected-gradients,
/// guided-backprop, deconvnet, deeplift, lrp-epsilon, lrp-gamma, lrp-alpha-beta, guided-grad-cam, fullgrad.
std::vector<MethodSpec> gradient_methods();

}  // namespace mien::explain
