#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/explain/attribution.h"
#include "mien/explain/segmentation/segments.h"

namespace mien::explain {

/// Options of the perturbation methods.
struct PerturbationOptions {
  std::string hide = "auto";  ///< what replaces what is hidden; see bind
  int64_t occlusion_window = 6;
  int64_t occlusion_stride = 3;
  int64_t rise_samples = 4000;
  int64_t rise_cells = 7;
  double rise_keep = 0.5;
  SegmentOptions segment;
  int64_t lime_samples = 1000;
  int64_t lime_features = 0;
  double lime_kernel_width = 0.25;
  double lime_ridge = 1;
  std::string lime_score_on = "probability";
  int64_t lime_seeds = 1;
  int64_t shap_samples = 1000;

  void bind(OptionSet& options);
};

/// occlusion, rise, lime, kernel-shap, feature-ablation.
std::vector<MethodSpec> perturbation_methods();

/// The maps of single methods, as their rows of the table compute them. `explain` of methods.h checks what they take
/// for granted. Throw Error(usage) where an option does not fit the image.
Attributions explain_occlusion(const AttributionRequest& request, const MethodOptions& options);
Attributions explain_rise(const AttributionRequest& request, const MethodOptions& options);
Attributions explain_lime(const AttributionRequest& request, const MethodOptions& options);
Attributions explain_kernel_shap(const AttributionRequest& request, const MethodOptions& options);
Attributions explain_feature_ablation(const AttributionRequest& request, const MethodOptions& options);

}  // namespace mien::explain
