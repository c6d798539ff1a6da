#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/explain/attribution.h"
#include "mien/explain/perturbation/perturbation.h"

namespace mien::explain {

/// LIME of one image: a linear model of which regions are seen.
struct LimeExplanation {
  at::Tensor segments;           ///< [H,W] int64 labels 0 to K-1
  std::vector<double> weights;   ///< one a segment; 0 where the model does not use it
  std::vector<int64_t> ranking;  ///< the segments that the model uses, by falling absolute weight
  double intercept = 0;
  double score = 0;             ///< weighted R^2 of the linear model
  double local_prediction = 0;  ///< the linear model's value for the whole image
  double prediction = 0;        ///< the network's value for the whole image
  double held_out_score = 0;    ///< R^2 on samples that the model was not fitted on, in five parts
  double split_stability = 1;  ///< Spearman's correlation of the weights from the one and the other half of the samples
  double rounding = 0;         ///< what rounding may make of a weight: kRounding of the largest score
  /// From LIME repeated with further seeds (lime-seeds); 0 deviation and 1 stability for one seed.
  double score_mean = 0;       ///< mean R^2
  double score_deviation = 0;  ///< standard deviation of R^2 over the seeds (n - 1)
  double rank_stability = 1;   ///< mean of Spearman's correlation of the weights, over all pairs of seeds
  double top5_overlap = 1;     ///< mean share of the five strongest segments that two seeds have in common
};

/// Weighted ridge regression of `values` [S] float64 on `masks` [S,K] uint8, 1 = segment seen; the first row sees all.
/// Samples count sqrt(exp(-d^2 / width^2)), d the cosine distance to the first. Of `lime_features` segments (0: all)
/// the model keeps those of forward selection if at most 6 are wanted, else the highest weights. Fills weights to
/// prediction, held_out_score, split_stability and rounding.
/// @source Ribeiro, Singh, Guestrin 2016, algorithm 1; constants of lime 0.2
LimeExplanation fit_lime(const at::Tensor& masks, const at::Tensor& values, const PerturbationOptions& options);

/// [samples,K] uint8 Bernoulli(1/2) rows, the first all ones. Row i depends on `seed` and i alone.
at::Tensor lime_masks(int64_t samples, int64_t segments, int64_t seed);

/// LIME of every image. The same masks are drawn for all of them.
std::vector<LimeExplanation> lime(const AttributionRequest& request, const MethodOptions& options);

/// Spearman's rank correlation of two lists of the same length; ties share their mean rank; 1 where both are constant.
double rank_correlation(const std::vector<double>& one, const std::vector<double>& other);

}  // namespace mien::explain
