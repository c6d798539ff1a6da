#pragma once

#include <map>
#include <string>
#include <vector>

#include "mien/explain/attribution.h"

// The methods behind the table of gradients.cpp; MethodSpec::explain and MethodSpec::unsupported_reason say what they
// promise.
namespace mien::explain {

/// Images that stand for "nothing to see", of the same size as the request's: "zero", "black"
/// (AttributionRequest::black), "mean" (of each image and channel) or "blur" (Gaussian, sigma 20/299 of the height).
/// @source Sturmfels, Lundberg, Lee 2020, "Visualizing the impact of feature attribution baselines" (blur, sigma 20 on
/// 299 pixels)
at::Tensor baseline_images(const AttributionRequest& request, const std::string& kind);

/// For each image "convergence_error": the sum of its map [N,C,H,W] less the difference of scores, [N], that it shares
/// out.
std::vector<std::map<std::string, double>> convergence_errors(const at::Tensor& channels, const at::Tensor& difference);

// sampled_gradients.cpp: gradients at many points around or before an image
Attributions smoothgrad(const AttributionRequest& request, const MethodOptions& options);
Attributions squaregrad(const AttributionRequest& request, const MethodOptions& options);
Attributions vargrad(const AttributionRequest& request, const MethodOptions& options);
Attributions integrated_gradients(const AttributionRequest& request, const MethodOptions& options);
Attributions expected_gradients(const AttributionRequest& request, const MethodOptions& options);

// backward_rules.cpp: one backward walk with other rules at some layers
Attributions guided_backprop(const AttributionRequest& request, const MethodOptions& options);
Attributions deconvnet(const AttributionRequest& request, const MethodOptions& options);
Attributions guided_grad_cam(const AttributionRequest& request, const MethodOptions& options);
Attributions fullgrad(const AttributionRequest& request, const MethodOptions& options);
std::string obstacle_of_guided(const network::Graph& graph);
std::string obstacle_of_guided_grad_cam(const network::Graph& graph);
std::string obstacle_of_fullgrad(const network::Graph& graph);

// deep_lift.cpp
Attributions deep_lift(const AttributionRequest& request, const MethodOptions& options);
std::string obstacle_of_deep_lift(const network::Graph& graph);

// lrp.cpp
Attributions lrp_epsilon(const AttributionRequest& request, const MethodOptions& options);
Attributions lrp_gamma(const AttributionRequest& request, const MethodOptions& options);
Attributions lrp_alpha_beta(const AttributionRequest& request, const MethodOptions& options);
std::string obstacle_of_lrp(const network::Graph& graph);

}  // namespace mien::explain
