#include "mien/explain/explain.h"

#include <memory>

#include <ATen/ATen.h>

namespace mien::explain {
namespace {

/// What all methods have in common.
template <class Options>
MethodOptions common(const Options& options) {
  MethodOptions all;
  all.batch_size = options.batch_size;
  if constexpr (requires { options.seed; }) all.seed = options.seed;
  if constexpr (requires { options.layer; }) all.layer = options.layer;
  if constexpr (requires { options.hide; }) all.perturbation.hide = options.hide;
  if constexpr (requires { options.segments; }) all.perturbation.segment = options.segments;
  return all;
}

MethodOptions all_options(const PlainOptions& options) { return common(options); }
MethodOptions all_options(const LayerOptions& options) { return common(options); }
MethodOptions all_options(const FeatureAblationOptions& options) { return common(options); }

MethodOptions all_options(const SmoothOptions& options) {
  MethodOptions all = common(options);
  all.gradient.smooth_samples = options.samples;
  all.gradient.smooth_noise = options.noise;
  return all;
}

MethodOptions all_options(const IntegratedGradientsOptions& options) {
  MethodOptions all = common(options);
  all.gradient.ig_steps = options.steps;
  all.gradient.baseline = options.baseline;
  return all;
}

MethodOptions all_options(const ExpectedGradientsOptions& options) {
  MethodOptions all = common(options);
  all.gradient.expected_samples = options.samples;
  if (options.background.defined()) all.gradient.background = std::make_shared<const at::Tensor>(options.background);
  return all;
}

MethodOptions all_options(const DeepLiftOptions& options) {
  MethodOptions all = common(options);
  all.gradient.baseline = options.baseline;
  all.gradient.deeplift_max_pool = options.max_pool;
  return all;
}

MethodOptions all_options(const LrpOptions& options) {
  MethodOptions all = common(options);
  all.gradient.lrp_epsilon = options.epsilon;
  all.gradient.lrp_gamma = options.gamma;
  all.gradient.lrp_alpha = options.alpha;
  all.gradient.lrp_batch_norm = options.batch_norm;
  all.gradient.lrp_dense = options.dense;
  return all;
}

MethodOptions all_options(const AblationCamOptions& options) {
  MethodOptions all = common(options);
  all.cam.ablation_value = options.value;
  return all;
}

MethodOptions all_options(const GuidedGradCamOptions& options) {
  MethodOptions all = common(options);
  all.gradient.guided_resize = options.resize;
  return all;
}

MethodOptions all_options(const OcclusionOptions& options) {
  MethodOptions all = common(options);
  all.perturbation.occlusion_window = options.window;
  all.perturbation.occlusion_stride = options.stride;
  return all;
}

MethodOptions all_options(const RiseOptions& options) {
  MethodOptions all = common(options);
  all.perturbation.rise_samples = options.samples;
  all.perturbation.rise_cells = options.cells;
  all.perturbation.rise_keep = options.keep;
  return all;
}

MethodOptions all_options(const LimeOptions& options) {
  MethodOptions all = common(options);
  all.perturbation.lime_samples = options.samples;
  all.perturbation.lime_features = options.features;
  all.perturbation.lime_kernel_width = options.kernel_width;
  all.perturbation.lime_ridge = options.ridge;
  all.perturbation.lime_seeds = options.seeds;
  all.perturbation.lime_score_on = to_text(options.score);
  return all;
}

MethodOptions all_options(const KernelShapOptions& options) {
  MethodOptions all = common(options);
  all.perturbation.shap_samples = options.samples;
  return all;
}

}  // namespace

Attributions attribute(const std::string& name,
                       const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const MethodOptions& options,
                       Score score) {
  OptionSet checked;
  MethodOptions bound = options;
  bound.bind(checked);
  for (const OptionSet::Entry& entry : checked.entries())  // the same limits as the program's
    checked.set(entry.spec.name, entry.text(), Origin::default_value, entry.spec.name);
  return explain(
      method(name), {.network = frozen_copy(network), .images = images, .targets = targets, .score = score}, options);
}

Attributions saliency(const network::Network& network,
                      const at::Tensor& images,
                      const at::Tensor& targets,
                      const PlainOptions& options) {
  return attribute("saliency", network, images, targets, all_options(options), options.score);
}

Attributions gradient_x_input(const network::Network& network,
                              const at::Tensor& images,
                              const at::Tensor& targets,
                              const PlainOptions& options) {
  return attribute("gradient-x-input", network, images, targets, all_options(options), options.score);
}

Attributions guided_backprop(const network::Network& network,
                             const at::Tensor& images,
                             const at::Tensor& targets,
                             const PlainOptions& options) {
  return attribute("guided-backprop", network, images, targets, all_options(options), options.score);
}

Attributions deconvnet(const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const PlainOptions& options) {
  return attribute("deconvnet", network, images, targets, all_options(options), options.score);
}

Attributions fullgrad(const network::Network& network,
                      const at::Tensor& images,
                      const at::Tensor& targets,
                      const PlainOptions& options) {
  return attribute("fullgrad", network, images, targets, all_options(options), options.score);
}

Attributions cam(const network::Network& network,
                 const at::Tensor& images,
                 const at::Tensor& targets,
                 const PlainOptions& options) {
  return attribute("cam", network, images, targets, all_options(options), options.score);
}

Attributions smoothgrad(const network::Network& network,
                        const at::Tensor& images,
                        const at::Tensor& targets,
                        const SmoothOptions& options) {
  return attribute("smoothgrad", network, images, targets, all_options(options), options.score);
}

Attributions squaregrad(const network::Network& network,
                        const at::Tensor& images,
                        const at::Tensor& targets,
                        const SmoothOptions& options) {
  return attribute("squaregrad", network, images, targets, all_options(options), options.score);
}

Attributions vargrad(const network::Network& network,
                     const at::Tensor& images,
                     const at::Tensor& targets,
                     const SmoothOptions& options) {
  return attribute("vargrad", network, images, targets, all_options(options), options.score);
}

Attributions integrated_gradients(const network::Network& network,
                                  const at::Tensor& images,
                                  const at::Tensor& targets,
                                  const IntegratedGradientsOptions& options) {
  return attribute("integrated-gradients", network, images, targets, all_options(options), options.score);
}

Attributions expected_gradients(const network::Network& network,
                                const at::Tensor& images,
                                const at::Tensor& targets,
                                const ExpectedGradientsOptions& options) {
  return attribute("expected-gradients", network, images, targets, all_options(options), options.score);
}

Attributions deep_lift(const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const DeepLiftOptions& options) {
  return attribute("deeplift", network, images, targets, all_options(options), options.score);
}

Attributions lrp_epsilon(const network::Network& network,
                         const at::Tensor& images,
                         const at::Tensor& targets,
                         const LrpOptions& options) {
  return attribute("lrp-epsilon", network, images, targets, all_options(options), options.score);
}

Attributions lrp_gamma(const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LrpOptions& options) {
  return attribute("lrp-gamma", network, images, targets, all_options(options), options.score);
}

Attributions lrp_alpha_beta(const network::Network& network,
                            const at::Tensor& images,
                            const at::Tensor& targets,
                            const LrpOptions& options) {
  return attribute("lrp-alpha-beta", network, images, targets, all_options(options), options.score);
}

Attributions grad_cam(const network::Network& network,
                      const at::Tensor& images,
                      const at::Tensor& targets,
                      const LayerOptions& options) {
  return attribute("grad-cam", network, images, targets, all_options(options), options.score);
}

Attributions grad_cam_plus_plus(const network::Network& network,
                                const at::Tensor& images,
                                const at::Tensor& targets,
                                const LayerOptions& options) {
  return attribute("grad-cam++", network, images, targets, all_options(options), options.score);
}

Attributions hires_cam(const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LayerOptions& options) {
  return attribute("hires-cam", network, images, targets, all_options(options), options.score);
}

Attributions layer_cam(const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LayerOptions& options) {
  return attribute("layer-cam", network, images, targets, all_options(options), options.score);
}

Attributions eigen_cam(const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LayerOptions& options) {
  return attribute("eigen-cam", network, images, targets, all_options(options), options.score);
}

Attributions score_cam(const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const LayerOptions& options) {
  return attribute("score-cam", network, images, targets, all_options(options), options.score);
}

Attributions ablation_cam(const network::Network& network,
                          const at::Tensor& images,
                          const at::Tensor& targets,
                          const AblationCamOptions& options) {
  return attribute("ablation-cam", network, images, targets, all_options(options), options.score);
}

Attributions guided_grad_cam(const network::Network& network,
                             const at::Tensor& images,
                             const at::Tensor& targets,
                             const GuidedGradCamOptions& options) {
  return attribute("guided-grad-cam", network, images, targets, all_options(options), options.score);
}

Attributions occlusion(const network::Network& network,
                       const at::Tensor& images,
                       const at::Tensor& targets,
                       const OcclusionOptions& options) {
  return attribute("occlusion", network, images, targets, all_options(options), options.score);
}

Attributions rise(const network::Network& network,
                  const at::Tensor& images,
                  const at::Tensor& targets,
                  const RiseOptions& options) {
  return attribute("rise", network, images, targets, all_options(options), options.score);
}

Attributions lime(const network::Network& network,
                  const at::Tensor& images,
                  const at::Tensor& targets,
                  const LimeOptions& options) {
  return attribute("lime", network, images, targets, all_options(options), options.score);
}

Attributions kernel_shap(const network::Network& network,
                         const at::Tensor& images,
                         const at::Tensor& targets,
                         const KernelShapOptions& options) {
  return attribute("kernel-shap", network, images, targets, all_options(options), options.score);
}

Attributions feature_ablation(const network::Network& network,
                              const at::Tensor& images,
                              const at::Tensor& targets,
                              const FeatureAblationOptions& options) {
  return attribute("feature-ablation", network, images, targets, all_options(options), options.score);
}

}  // namespace mien::explain
