#include "mien/explain/perturbation/perturbation.h"

namespace mien::explain {

void PerturbationOptions::bind(OptionSet& options) {
  options.group("explain");
  options.add(
      &hide,
      {.name = "hide",
       .help =
           "what replaces what perturbation methods hide: the region's mean, black, zero (the network's input 0: black "
           "where pixels are x/255, the average gray where a mean was subtracted), the image's mean, the image "
           "blurred; "
           "auto is mean for lime and kernel-shap and black for occlusion, rise and feature-ablation",
       .choices = {"auto", "mean", "black", "zero", "image-mean", "blur"},
       .source = "lime 0.2 and Captum 0.8 for auto; blur: Fong and Vedaldi 2017"});
  segment.bind(options);
  options.add(&occlusion_window,
              {.name = "occlusion-window",
               .help = "side of the square that occlusion hides",
               .unit = "pixels",
               .minimum = 1,
               .maximum = 4096,
               .source = "an eighth of 48, as Zeiler and Fergus's squares of 224"});
  options.add(&occlusion_stride,
              {.name = "occlusion-stride",
               .help = "distance of occlusion's squares, at most their side",
               .unit = "pixels",
               .minimum = 1,
               .maximum = 4096});
  options.add(&rise_samples,
              {.name = "rise-samples",
               .help = "masks of rise",
               .minimum = 1,
               .maximum = 1e7,
               .source = "Petsiuk et al. 2018, section 4: 4000 for VGG16"});
  options.add(&rise_cells,
              {.name = "rise-cells",
               .help = "cells along each side of rise's coarse masks",
               .minimum = 1,
               .maximum = 4096,
               .source = "Petsiuk et al. 2018, section 4"});
  options.add(&rise_keep,
              {.name = "rise-keep",
               .help = "probability that a cell of rise's masks is seen",
               .minimum = 0.01,
               .maximum = 0.99,
               .source = "Petsiuk et al. 2018, section 4"});
  options.add(&lime_samples,
              {.name = "lime-samples",
               .help = "images with hidden regions that lime learns from",
               .minimum = 2,
               .maximum = 1e7,
               .source = "lime 0.2"});
  options.add(&lime_features,
              {.name = "lime-features",
               .help = "regions that lime's model may use; 0 uses all, up to 6 are chosen by forward selection, more "
                       "by highest weight",
               .minimum = 0,
               .source = "lime 0.2"});
  options.add(&lime_kernel_width,
              {.name = "lime-kernel-width",
               .help = "how fast samples count less with cosine distance from the whole image",
               .minimum = 1e-3,
               .maximum = 1000,
               .source = "lime 0.2"});
  options.add(&lime_ridge,
              {.name = "lime-ridge",
               .help = "penalty on lime's squared weights",
               .minimum = 0,
               .maximum = 1e9,
               .source = "lime 0.2"});
  options.add(&lime_score_on,
              {.name = "lime-score-on",
               .help = "number that lime's model predicts",
               .choices = {"probability", "logit", "sum"},
               .source = "lime 0.2 explains probabilities"});
  options.add(&lime_seeds,
              {.name = "lime-seeds",
               .help = "repeat lime with this many seeds, from explain-seed on, to tell how stable R^2 and the ranking "
                       "of regions are",
               .minimum = 1,
               .maximum = 1000});
  options.add(&shap_samples,
              {.name = "shap-samples",
               .help = "sets of regions that kernel-shap evaluates; when it covers all 2^regions, values are exact",
               .minimum = 2,
               .maximum = 1e7});
}

std::vector<MethodSpec> perturbation_methods() {
  return {
      {.name = "occlusion",
       .family = Family::perturbation,
       .summary = "How much the score drops when a square at this place is hidden",
       .cost = "1 + windows forward",
       .source = "Zeiler and Fergus 2014, section 4.2; as Captum averages overlapping windows",
       .is_signed = true,
       .explain = explain_occlusion},
      {.name = "rise",
       .family = Family::perturbation,
       .summary = "Mean score over random masks that show this pixel",
       .cost = "rise-samples forward",
       .source = "Petsiuk, Das, Saenko 2018, equation 6",
       .is_random = true,
       .explain = explain_rise},
      {.name = "lime",
       .family = Family::perturbation,
       .summary = "Weights of a linear model that predicts the class from which regions are seen",
       .cost = "lime-samples * lime-seeds forward",
       .source = "Ribeiro, Singh, Guestrin 2016, algorithm 1; constants of lime 0.2",
       .is_signed = true,
       .is_random = true,
       .explain = explain_lime},
      {.name = "kernel-shap",
       .family = Family::perturbation,
       .summary = "Shapley values of the regions: each one's fair share of the score",
       .cost = "2 + shap-samples forward",
       .source = "Lundberg and Lee 2017, theorem 2",
       .is_signed = true,
       .is_random = true,
       .explain = explain_kernel_shap},
      {.name = "feature-ablation",
       .family = Family::perturbation,
       .summary = "How much the score drops when this region alone is hidden",
       .cost = "1 + regions forward",
       .source = "Captum's FeatureAblation; leave-one-covariate-out, Lei et al. 2018, section 6",
       .is_signed = true,
       .explain = explain_feature_ablation},
  };
}

}  // namespace mien::explain
