#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mien/evaluation/intervals.h"
#include "mien/evaluation/predictions.h"

namespace mien::evaluation {

/// How the members of an ensemble are combined.
enum class Vote {
  majority,          ///< every member votes for its predicted class; mean probability breaks ties
  mean_probability,  ///< mean of the members' probabilities
  mean_logit,        ///< softmax of the mean of the members' logits
  weighted,          ///< mean of the members' probabilities under the given weights
};

/// "majority", "mean-probability", "mean-logit", "weighted".
std::string_view to_text(Vote vote);
std::vector<std::string> vote_names();
/// Throws Error(usage) with a suggestion for a name that is none of vote_names().
Vote vote_from_text(std::string_view text);

/// One Predictions from those of M >= 1 members for the same rows.
///
/// `probabilities`: mean_probability, mean_logit and weighted as their names say. majority: vote shares in which the
/// members' mean probability counts as a further 2^-20 vote, (votes_k + 2^-20 mean_k) / (M + 2^-20): shares are right
/// to 1e-6, and `predicted` is the class with most votes, of those with equally many the one of largest mean
/// probability (to within 1e-9), of those the one of lowest index. `logits`: the mean for mean_logit, else the
/// logarithm of the probabilities, so that softmax gives them back.
///
/// `weights`: M non-negative numbers summing to 1 within 1e-6, for Vote::weighted only. Throws Error(bad_data) if the
/// members' rows, labels or classes differ, Error(usage) if there are no members or the weights do not fit.
Predictions combine(const std::vector<Predictions>& members, Vote vote, std::span<const double> weights = {});

/// Weights [M] (non-negative, sum 1) that minimize the log loss of the weighted mean of probabilities on the labeled
/// rows, to within 1e-7 nats of the least possible. The problem is convex and the start uniform: the same input gives
/// the same weights. Fit them on rows other than those the ensemble is judged on. Throws as `combine`, and
/// Error(bad_data) if no row is labeled.
/// @source Cover 1984, "An algorithm for maximizing expected log investment return" (equal to expectation maximization
/// for mixture weights); its bound on the distance from the optimum ends the iteration
std::vector<double> fit_vote_weights(const std::vector<Predictions>& members);

/// Accuracy of ensembles of m of the M members.
struct AccuracyAgainstMembers {
  int64_t members = 0;  ///< m
  int64_t subsets = 0;  ///< how many different subsets of m members were averaged
  double accuracy = 0;  ///< mean over the subsets
  Interval interval;    ///< Wilson, 95 %, of that mean over the labeled rows
  double lowest = 0;    ///< accuracy of the worst subset
  double highest = 0;   ///< accuracy of the best subset
};

/// For m = 1..M the mean accuracy over all subsets of m members, or over `most_subsets` different ones drawn with
/// `seed` where there are more. Vote::weighted uses the members' weights divided by their sum in the subset (equal
/// weights where that is 0). Throws as `combine`, and Error(bad_data) if no row is labeled.
std::vector<AccuracyAgainstMembers> accuracy_against_members(const std::vector<Predictions>& members,
                                                             Vote vote,
                                                             std::span<const double> weights = {},
                                                             int64_t most_subsets = 100,
                                                             uint64_t seed = 0);

}  // namespace mien::evaluation
