#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "mien/explain/attribution.h"
#include "mien/explain/methods.h"
#include "mien/network/network.h"

// The front door of the library: one function a method, each with its own options.
//
//   const auto maps = explain::grad_cam(network, images, targets, {.layer = "conv4"});
//
// `network` is only read, parameters that require gradients included. `images` [N,C,H,W] float32 are normalized as the
// network wants them, `targets` [N] int64 are the classes asked about. All throw Error(usage) where the method is not
// defined for the network, where a shape or target does not fit, and for option values that are out of range.
namespace mien::explain {

/// The method called `name`, as `mien methods` lists them, with all options of the program.
Attributions attribute(const std::string& name,
                       const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const MethodOptions& options = {},
                       Score score = Score::logit);

/// Of methods without a choice of their own.
struct PlainOptions {
  Score score = Score::logit;
  int64_t batch_size = 128;  ///< images in one pass; bounds memory
};
Attributions saliency(const network::Network&,
                      const at::Tensor& images,
                      const at::Tensor& targets,
                      const PlainOptions& = {});
Attributions gradient_x_input(const network::Network&,
                              const at::Tensor& images,
                              const at::Tensor& targets,
                              const PlainOptions& = {});
Attributions guided_backprop(const network::Network&,
                             const at::Tensor& images,
                             const at::Tensor& targets,
                             const PlainOptions& = {});
Attributions deconvnet(const network::Network&,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const PlainOptions& = {});
Attributions fullgrad(const network::Network&,
                      const at::Tensor& images,
                      const at::Tensor& targets,
                      const PlainOptions& = {});
Attributions cam(const network::Network&,
                 const at::Tensor& images,
                 const at::Tensor& targets,
                 const PlainOptions& = {});

/// Of smoothgrad, squaregrad and vargrad.
struct SmoothOptions {
  int64_t samples = 25;
  double noise = 0.15;  ///< deviation, as a share of each image's range
  int64_t seed = 0;
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions smoothgrad(const network::Network&,
                        const at::Tensor& images,
                        const at::Tensor& targets,
                        const SmoothOptions& = {});
Attributions squaregrad(const network::Network&,
                        const at::Tensor& images,
                        const at::Tensor& targets,
                        const SmoothOptions& = {});
Attributions vargrad(const network::Network&,
                     const at::Tensor& images,
                     const at::Tensor& targets,
                     const SmoothOptions& = {});

struct IntegratedGradientsOptions {
  int64_t steps = 50;
  std::string baseline = "zero";  ///< zero, black, mean, blur
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions integrated_gradients(const network::Network&,
                                  const at::Tensor& images,
                                  const at::Tensor& targets,
                                  const IntegratedGradientsOptions& = {});

struct ExpectedGradientsOptions {
  int64_t samples = 200;
  at::Tensor background{};  ///< [B,C,H,W] normalized images to compare with; undefined: the explained ones
  int64_t seed = 0;
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions expected_gradients(const network::Network&,
                                const at::Tensor& images,
                                const at::Tensor& targets,
                                const ExpectedGradientsOptions& = {});

struct DeepLiftOptions {
  std::string baseline = "zero";     ///< zero, black, mean, blur
  std::string max_pool = "rescale";  ///< or "captum"
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions deep_lift(const network::Network&,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const DeepLiftOptions& = {});

/// Of all rules of layer-wise relevance propagation; each reads what is its own.
struct LrpOptions {
  double epsilon = 1e-6;
  double gamma = 0.25;
  double alpha = 2;                 ///< beta is alpha - 1
  std::string batch_norm = "fold";  ///< or "layer"
  std::string dense = "epsilon";    ///< or "same"
  Score score = Score::logit;       ///< or sum_of_logits
  int64_t batch_size = 128;
};
Attributions lrp_epsilon(const network::Network&,
                         const at::Tensor& images,
                         const at::Tensor& targets,
                         const LrpOptions& = {});
Attributions lrp_gamma(const network::Network&,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LrpOptions& = {});
Attributions lrp_alpha_beta(const network::Network&,
                            const at::Tensor& images,
                            const at::Tensor& targets,
                            const LrpOptions& = {});

/// Of class activation methods.
struct LayerOptions {
  std::string layer;  ///< see choose_layer; empty: the finest of the last stage
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions grad_cam(const network::Network&,
                      const at::Tensor& images,
                      const at::Tensor& targets,
                      const LayerOptions& = {});
Attributions grad_cam_plus_plus(const network::Network&,
                                const at::Tensor& images,
                                const at::Tensor& targets,
                                const LayerOptions& = {});
Attributions hires_cam(const network::Network&,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LayerOptions& = {});
Attributions layer_cam(const network::Network&,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LayerOptions& = {});
Attributions eigen_cam(const network::Network&,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LayerOptions& = {});
Attributions score_cam(const network::Network&,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LayerOptions& = {});

struct AblationCamOptions {
  std::string layer;
  std::string value = "package";  ///< what is written over a channel; or "zero"
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions ablation_cam(const network::Network&,
                          const at::Tensor& images,
                          const at::Tensor& targets,
                          const AblationCamOptions& = {});

struct GuidedGradCamOptions {
  std::string layer;
  std::string resize = "nearest";  ///< or "bilinear"
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions guided_grad_cam(const network::Network&,
                             const at::Tensor& images,
                             const at::Tensor& targets,
                             const GuidedGradCamOptions& = {});

struct OcclusionOptions {
  int64_t window = 6;          ///< pixels
  int64_t stride = 3;          ///< pixels, at most the window
  std::string hide = "black";  ///< mean, black, zero, image-mean, blur
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions occlusion(const network::Network&,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const OcclusionOptions& = {});

struct RiseOptions {
  int64_t samples = 4000;
  int64_t cells = 7;  ///< along each side
  double keep = 0.5;  ///< probability that a cell is seen
  std::string hide = "black";
  int64_t seed = 0;
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions rise(const network::Network&,
                  const at::Tensor& images,
                  const at::Tensor& targets,
                  const RiseOptions& = {});

struct LimeOptions {
  int64_t samples = 1000;  ///< at least two a region
  int64_t features = 0;    ///< regions of the model; 0: all
  double kernel_width = 0.25;
  double ridge = 1;
  int64_t seeds = 1;  ///< repetitions that tell how stable it is
  SegmentOptions segments{};
  std::string hide = "mean";
  int64_t seed = 0;
  Score score = Score::probability;
  int64_t batch_size = 128;
};
Attributions lime(const network::Network&,
                  const at::Tensor& images,
                  const at::Tensor& targets,
                  const LimeOptions& = {});

struct KernelShapOptions {
  int64_t samples = 1000;  ///< at least two a region
  SegmentOptions segments{};
  std::string hide = "mean";
  int64_t seed = 0;
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions kernel_shap(const network::Network&,
                         const at::Tensor& images,
                         const at::Tensor& targets,
                         const KernelShapOptions& = {});

struct FeatureAblationOptions {
  SegmentOptions segments{};
  std::string hide = "black";
  Score score = Score::logit;
  int64_t batch_size = 128;
};
Attributions feature_ablation(const network::Network&,
                              const at::Tensor& images,
                              const at::Tensor& targets,
                              const FeatureAblationOptions& = {});

}  // namespace mien::explain
