#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/explain/attribution.h"

namespace mien::explain {

/// How maps are put to the test.
struct FaithfulnessOptions {
  int64_t curve_steps = 24;  ///< points of a deletion or insertion curve, besides the first
  std::string fill =
      "mean";  ///< what hides a pixel: the image's "mean", "black", "zero" (input 0), or the "blur"red image
  double blur_deviation = 5;               ///< of the Gaussian that blurs what insertion starts from, pixels
  int64_t infidelity_samples = 50;         ///< perturbations of each image
  std::string infidelity_kind = "square";  ///< "square": a region is filled; "noise": Gaussian noise is subtracted
  int64_t infidelity_square = 12;          ///< side of the region, pixels
  double infidelity_noise = 0.1;           ///< deviation of the noise, in units of the network's input
  int64_t rerun_faces = 8;  ///< images on which methods run again, for sensitivity and randomization; 0: none
  int64_t sensitivity_samples = 10;
  double sensitivity_radius = 0.02;  ///< largest change of a pixel, in units of the network's input

  void bind(OptionSet& options);
};

/// A column of the table.
struct MeasureSpec {
  std::string name;     ///< "deletion-auc"
  std::string title;    ///< at most 11 characters, for tables
  std::string summary;  ///< one sentence, no full stop
  std::string source;
  int better = 0;  ///< 1: larger is better, -1: smaller is better, 0: neither
};
/// deletion-auc, insertion-auc, average-drop, average-increase, infidelity, relative_infidelity, sensitivity-max,
/// sparseness, randomization, mass-accuracy, rank-accuracy, pointing-game.
std::span<const MeasureSpec> measures();

/// Probability of the target while pixels are hidden or shown, most relevant ones first.
struct Curves {
  std::vector<double> shares;                  ///< of pixels hidden (shown): 0, 1/steps, ..., 1
  std::vector<std::vector<double>> deletion;   ///< [N][steps + 1]
  std::vector<std::vector<double>> insertion;  ///< [N][steps + 1]
};

/// Similarity of maps before and after weights were made random, from the last layer on, one layer more each time.
struct Randomization {
  std::vector<std::string> layers;       ///< the layer that was made random last: "dense2", "dense1", "conv4", ...
  std::vector<double> rank_correlation;  ///< Spearman's, of absolute values; mean over faces
  std::vector<double> similarity;        ///< structural similarity, mean over faces
  std::vector<double> of_faces;          ///< each face's rank correlation, mean over layers
};

/// What was measured of one method's maps, face by face.
struct Faithfulness {
  std::map<std::string, std::vector<double>>
      values;                         ///< measure -> [N]; NaN where it is not defined or was not asked for
  std::vector<std::string> problems;  ///< [N] see map_problem
  Curves curves;                      ///< of the faces whose map is finite; others are NaN
  Randomization randomization;        ///< empty if it was not asked for
};

/// @source deletion, insertion: Petsiuk, Das, Saenko 2018, "RISE", section 4.1 (area by the trapezoidal rule over the
/// share of pixels; insertion starts from the blurred image)
Curves curves_of(const AttributionRequest& request,
                 const at::Tensor& maps,
                 const MethodOptions& options,
                 const FaithfulnessOptions& how);

/// Mean of each face's curve, [steps + 1]; faces with NaN are left out.
std::vector<double> mean_curve(const std::vector<std::vector<double>>& curves);

/// Cascading randomization of weights (a layer's batch norm goes with it as a layer of its own) and of the maps of the
/// first `how.rerun_faces` faces. `maps`: what `spec` says with the weights as they are.
/// @source Adebayo et al. 2018, "Sanity checks for saliency maps", section 3.1
Randomization randomization_check(const MethodSpec& spec,
                                  const AttributionRequest& request,
                                  const at::Tensor& maps,
                                  const MethodOptions& options,
                                  const FaithfulnessOptions& how);

/// Everything above of `maps`, which `spec` gave for `request`. `evidence` [N,H,W] (not 0 where a face carries its
/// expression) may be undefined. Passes hold at most MethodOptions::batch_size images. Curves, drop and increase are of
/// the target's probability; infidelity is of the request's score.
Faithfulness measure(const MethodSpec& spec,
                     const AttributionRequest& request,
                     const at::Tensor& maps,
                     const at::Tensor& evidence,
                     const MethodOptions& options,
                     const FaithfulnessOptions& how);

}  // namespace mien::explain
