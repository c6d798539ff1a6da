#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mien::explain {

/// Why a map [H,W] says nothing: "holds numbers that are not finite", "is zero everywhere", "has one value everywhere";
/// empty if it says something.
std::string map_problem(const at::Tensor& map);

/// [N,H*W] int64: each map's pixels from the most to the least relevant. Equal values come in an order drawn for each
/// image from `seed`, so that a map of few values is not read from the top left. `maps`: [N,H,W], finite.
at::Tensor pixel_order(const at::Tensor& maps, int64_t seed);

/// Gini index of the absolute values, [N] float64 in [0, 1): 0 where all are equal, 1 - 1/(H*W) where one pixel has it
/// all; 0 for a zero map. @source Chalasani et al. 2020, "Concise explanations of neural networks using adversarial
/// training", section 4; Hurley, Rickard 2009, "Comparing measures of sparsity"
at::Tensor gini_index(const at::Tensor& maps);

/// Spearman's rank correlation of two sets of maps [N,H,W], image by image, [N] float64; ties have their mean rank; NaN
/// where one of the two has one value everywhere.
at::Tensor rank_correlation(const at::Tensor& first, const at::Tensor& second);

/// Mean structural similarity of two sets of maps [N,H,W], each scaled to [0, 1] by its least and largest value; 7x7
/// uniform window, population variances, K1 0.01, K2 0.03; the mean is over windows inside the image. [N] float64.
/// @source Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", equation 13
at::Tensor structural_similarity(const at::Tensor& first, const at::Tensor& second);

/// How maps agree with masks of where the evidence is. All [N] float64 in [0, 1], NaN for an image without evidence.
struct EvidenceAgreement {
  /// Share of the positive relevance that lies on evidence; the mask's share of the image where nothing is positive.
  /// @source Arras, Osman, Samek 2022, "CLEVR-XAI", section 3.2, relevance mass accuracy
  at::Tensor mass_accuracy;
  /// Of as many most relevant pixels as there are evidence pixels, the share on evidence.
  /// @source the same, relevance rank accuracy
  at::Tensor rank_accuracy;
  /// 1 if the most relevant pixel is evidence, else 0. @source Zhang et al. 2018, "Top-down neural attention by
  /// excitation backprop", section 4.1, without tolerance
  at::Tensor pointing_game;
  at::Tensor chance;  ///< share of the image that is evidence: what each of the three is for a random map
};
/// `maps`: [N,H,W], finite; `evidence`: [N,H,W], evidence where not 0; `order`: pixel_order of `maps`.
EvidenceAgreement evidence_agreement(const at::Tensor& maps, const at::Tensor& evidence, const at::Tensor& order);

}  // namespace mien::explain
