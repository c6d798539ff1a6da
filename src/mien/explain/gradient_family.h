#pragma once

#include <map>
#include <string>
#include <vector>

#include "mien/explain/attribution.h"

// The methods behind the table of gradients.cpp; MethodSpec::explain and MethodSpec::obstacle say what they promise.
namespace mien::explain {

/// Images that stand for "nothing to see", of the same size as the question's: "zero", "black" (Question::black),
/// "mean" (of each image and channel) or "blur" (Gaussian, sigma 20/299 of the height).
/// @source Sturmfels, Lundberg, Lee 2020, "Visualizing the impact of feature attribution baselines" (blur, sigma 20 on
/// 299 pixels)
at::Tensor baseline_images(const Question& question, const std::string& kind);

/// For each image "convergence_error": the sum of its map [N,C,H,W] less the difference of scores, [N], that it shares
/// out.
std::vector<std::map<std::string, double>> convergence_errors(const at::Tensor& channels, const at::Tensor& difference);

// sampled_gradients.cpp: gradients at many points around or before an image
Maps smoothgrad(const Question& question, const MethodOptions& options);
Maps squaregrad(const Question& question, const MethodOptions& options);
Maps vargrad(const Question& question, const MethodOptions& options);
Maps integrated_gradients(const Question& question, const MethodOptions& options);
Maps expected_gradients(const Question& question, const MethodOptions& options);

// backward_rules.cpp: one backward walk with other rules at some layers
Maps guided_backprop(const Question& question, const MethodOptions& options);
Maps deconvnet(const Question& question, const MethodOptions& options);
Maps guided_grad_cam(const Question& question, const MethodOptions& options);
Maps fullgrad(const Question& question, const MethodOptions& options);
std::string obstacle_of_guided(const network::Graph& graph);
std::string obstacle_of_guided_grad_cam(const network::Graph& graph);
std::string obstacle_of_fullgrad(const network::Graph& graph);

// deep_lift.cpp
Maps deep_lift(const Question& question, const MethodOptions& options);

// lrp.cpp
Maps lrp_epsilon(const Question& question, const MethodOptions& options);
Maps lrp_gamma(const Question& question, const MethodOptions& options);
Maps lrp_alpha_beta(const Question& question, const MethodOptions& options);
std::string obstacle_of_lrp(const network::Graph& graph);

}  // namespace mien::explain
