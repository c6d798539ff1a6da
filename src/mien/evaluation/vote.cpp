#include "mien/evaluation/vote.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/parallel.h"
#include "mien/core/random.h"
#include "mien/core/text.h"

namespace mien::evaluation {
namespace {

/// What the mean probability counts as beside the members' whole votes (see `combine`).
constexpr double kTieBreakingVote = 0x1.0p-20;

constexpr std::array<std::pair<Vote, std::string_view>, 4> kVoteNames{{{Vote::majority, "majority"},
                                                                       {Vote::mean_probability, "mean-probability"},
                                                                       {Vote::mean_logit, "mean-logit"},
                                                                       {Vote::weighted, "weighted"}}};

void check_members(const std::vector<Predictions>& members) {
  if (members.empty()) throw_usage("cannot combine predictions: an ensemble needs at least one member");
  const auto name = [](size_t m) { return fmt::format("member {}", m + 1); };
  for (size_t m = 0; m < members.size(); ++m) {
    check_predictions(members[m], name(m));
    require_same_rows(members[0], members[m], name(0), name(m));
  }
}

void check_weights(Vote vote, std::span<const double> weights, size_t members) {
  if (vote != Vote::weighted) return;
  if (weights.size() != members) {
    throw_usage(fmt::format("cannot combine predictions: {} weights for {} members", weights.size(), members));
  }
  double sum = 0;
  for (const double weight : weights) {
    if (!(weight >= 0)) throw_usage(fmt::format("cannot combine predictions: weight {} is below 0", weight));
    sum += weight;
  }
  if (!(std::abs(sum - 1) <= 1e-6)) {
    throw_usage(fmt::format("cannot combine predictions: the weights sum to {}, expected 1", sum));
  }
}

/// Positions of the labeled rows; throws if there are none.
std::vector<int64_t> labeled_rows(const Predictions& predictions, std::string_view purpose) {
  std::vector<int64_t> labeled;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    if (predictions.is_labeled(i)) labeled.push_back(i);
  }
  if (labeled.empty()) throw_bad_data(fmt::format("cannot {}: none of the predictions has a label", purpose));
  return labeled;
}

/// Combines one row of the members named by `subset` at a time.
class RowCombiner {
 public:
  RowCombiner(const std::vector<Predictions>& members, Vote vote, std::span<const double> weights)
      : members_(members), vote_(vote), weights_(weights), votes_(static_cast<size_t>(members[0].classes())) {}

  /// Writes row i into `scores` [K]: probabilities, or logits for mean_logit.
  void combine(std::span<const size_t> subset, int64_t i, std::span<double> scores) {
    double weight_sum = 0;
    if (vote_ == Vote::weighted) {
      for (const size_t m : subset) weight_sum += weights_[m];
    }
    const auto count = static_cast<double>(subset.size());
    std::fill(scores.begin(), scores.end(), 0.0);
    for (const size_t m : subset) {
      const double share = weight_sum > 0 ? weights_[m] / weight_sum : 1 / count;
      const std::span<const double> row =
          vote_ == Vote::mean_logit ? members_[m].logit_row(i) : members_[m].probability_row(i);
      for (size_t k = 0; k < scores.size(); ++k) scores[k] += share * row[k];
    }
    if (vote_ == Vote::mean_logit) return;
    for (double& score : scores) score = std::min(score, 1.0);  // nine shares of 1 / 9 sum to a little more
    if (vote_ != Vote::majority) return;
    // Votes are counted as whole numbers, so that members of equal standing tie exactly.
    std::fill(votes_.begin(), votes_.end(), 0);
    for (const size_t m : subset) votes_[static_cast<size_t>(members_[m].predicted(i))] += 1;
    for (size_t k = 0; k < scores.size(); ++k) {
      scores[k] = (votes_[k] + kTieBreakingVote * scores[k]) / (count + kTieBreakingVote);
    }
  }

 private:
  const std::vector<Predictions>& members_;
  Vote vote_;
  std::span<const double> weights_;
  std::vector<int> votes_;
};

/// Number of subsets of `chosen` out of `members`, or `limit` + 1 where there are more than `limit`.
int64_t subset_count(int64_t members, int64_t chosen, int64_t limit) {
  double count = 1;
  for (int64_t i = 1; i <= std::min(chosen, members - chosen); ++i) {
    count = std::round(count * static_cast<double>(members - i + 1) / static_cast<double>(i));
    if (count > static_cast<double>(limit)) return limit + 1;
  }
  return static_cast<int64_t>(count);
}

/// All subsets of `chosen` out of 0..members-1 in lexicographic order, or `limit` different random ones.
std::vector<std::vector<size_t>> subsets_of(size_t members, size_t chosen, int64_t limit, uint64_t seed) {
  std::vector<std::vector<size_t>> subsets;
  std::vector<size_t> subset(chosen);
  std::iota(subset.begin(), subset.end(), size_t{0});
  if (subset_count(static_cast<int64_t>(members), static_cast<int64_t>(chosen), limit) <= limit) {
    while (true) {
      subsets.push_back(subset);
      size_t last = chosen;  // the last position that can still move right
      while (last > 0 && subset[last - 1] == members - chosen + last - 1) --last;
      if (last == 0) return subsets;
      subset[last - 1] += 1;
      std::iota(subset.begin() + static_cast<std::ptrdiff_t>(last), subset.end(), subset[last - 1] + 1);
    }
  }
  RandomStream random(seed, "ensemble subsets", chosen);
  std::vector<size_t> all(members);
  std::iota(all.begin(), all.end(), size_t{0});
  std::set<std::vector<size_t>> drawn;
  while (static_cast<int64_t>(drawn.size()) < limit) {
    random.shuffle(all);
    std::copy_n(all.begin(), chosen, subset.begin());
    std::sort(subset.begin(), subset.end());
    drawn.insert(subset);
  }
  return {drawn.begin(), drawn.end()};
}

}  // namespace

std::string_view to_text(Vote vote) {
  for (const auto& [value, name] : kVoteNames) {
    if (value == vote) return name;
  }
  throw std::invalid_argument("to_text: no such vote");
}

std::vector<std::string> vote_names() {
  std::vector<std::string> names;
  for (const auto& [value, name] : kVoteNames) names.emplace_back(name);
  return names;
}

Vote vote_from_text(std::string_view text) {
  for (const auto& [value, name] : kVoteNames) {
    if (name == text) return value;
  }
  throw_usage(fmt::format("no vote is named {}; {}", quote_sample(text), suggestion(text, vote_names())));
}

Predictions combine(const std::vector<Predictions>& members, Vote vote, std::span<const double> weights) {
  check_members(members);
  check_weights(vote, weights, members.size());
  Predictions result = members[0];
  std::vector<size_t> everyone(members.size());
  std::iota(everyone.begin(), everyone.end(), size_t{0});
  RowCombiner combiner(members, vote, weights);
  const auto classes = static_cast<size_t>(result.classes());
  std::vector<double>& scores = vote == Vote::mean_logit ? result.logits : result.probabilities;
  for (int64_t i = 0; i < result.size(); ++i) {
    combiner.combine(everyone, i, std::span(scores).subspan(static_cast<size_t>(i) * classes, classes));
  }
  if (vote == Vote::mean_logit) {
    softmax_rows(result.logits, result.classes(), result.probabilities);
  } else {
    // A probability of 0 has no logarithm; that of the least normal number is finite and gives 0 back within 1e-300.
    std::transform(result.probabilities.begin(), result.probabilities.end(), result.logits.begin(), [](double p) {
      return std::log(std::max(p, std::numeric_limits<double>::min()));
    });
  }
  return result;
}

std::vector<double> fit_vote_weights(const std::vector<Predictions>& members) {
  check_members(members);
  const std::vector<int64_t> labeled = labeled_rows(members[0], "fit vote weights");
  const size_t count = members.size();
  // What each member gives the label of each face. The least positive value keeps the loss finite where all are wrong.
  std::vector<double> likelihoods(labeled.size() * count);
  for (size_t j = 0; j < labeled.size(); ++j) {
    const int64_t i = labeled[j];
    const auto label = static_cast<size_t>(members[0].labels[static_cast<size_t>(i)]);
    for (size_t m = 0; m < count; ++m) {
      likelihoods[j * count + m] =
          std::max(members[m].probability_row(i)[label], std::numeric_limits<double>::epsilon());
    }
  }
  constexpr int kMostSteps = 20'000;
  constexpr double kTolerance = 1e-7;  // nats
  std::vector<double> weights(count, 1.0 / static_cast<double>(count));
  std::vector<double> gains(count);
  for (int step = 0; step < kMostSteps; ++step) {
    std::fill(gains.begin(), gains.end(), 0.0);
    for (size_t j = 0; j < labeled.size(); ++j) {
      const std::span<const double> row = std::span(likelihoods).subspan(j * count, count);
      const double mixture = std::inner_product(row.begin(), row.end(), weights.begin(), 0.0);
      for (size_t m = 0; m < count; ++m) gains[m] += row[m] / mixture;
    }
    for (double& gain : gains) gain /= static_cast<double>(labeled.size());
    // The loss is at most ln(largest gain) above the least possible (Cover 1984, theorem 2).
    if (std::log(*std::max_element(gains.begin(), gains.end())) <= kTolerance) break;
    for (size_t m = 0; m < count; ++m) weights[m] *= gains[m];
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= sum;
  return weights;
}

std::vector<AccuracyAgainstMembers> accuracy_against_members(const std::vector<Predictions>& members,
                                                             Vote vote,
                                                             std::span<const double> weights,
                                                             int64_t most_subsets,
                                                             uint64_t seed) {
  check_members(members);
  check_weights(vote, weights, members.size());
  if (most_subsets <= 0) throw_usage(fmt::format("cannot average over {} subsets, expected at least 1", most_subsets));
  const std::vector<int64_t> labeled = labeled_rows(members[0], "judge ensembles");
  std::vector<AccuracyAgainstMembers> result;
  for (size_t chosen = 1; chosen <= members.size(); ++chosen) {
    const std::vector<std::vector<size_t>> subsets = subsets_of(members.size(), chosen, most_subsets, seed);
    std::vector<double> accuracies(subsets.size());
    parallel_for(static_cast<int64_t>(subsets.size()), [&](int64_t begin, int64_t end) {
      RowCombiner combiner(members, vote, weights);
      std::vector<double> scores(static_cast<size_t>(members[0].classes()));
      for (int64_t s = begin; s < end; ++s) {
        int64_t correct = 0;
        for (const int64_t i : labeled) {
          combiner.combine(subsets[static_cast<size_t>(s)], i, scores);
          const auto predicted = std::max_element(scores.begin(), scores.end()) - scores.begin();
          correct += predicted == members[0].labels[static_cast<size_t>(i)];
        }
        accuracies[static_cast<size_t>(s)] = static_cast<double>(correct) / static_cast<double>(labeled.size());
      }
    });
    AccuracyAgainstMembers one;
    one.members = static_cast<int64_t>(chosen);
    one.subsets = static_cast<int64_t>(subsets.size());
    one.accuracy = std::accumulate(accuracies.begin(), accuracies.end(), 0.0) / static_cast<double>(accuracies.size());
    one.interval = wilson_interval_of_rate(one.accuracy, static_cast<int64_t>(labeled.size()));
    one.lowest = *std::min_element(accuracies.begin(), accuracies.end());
    one.highest = *std::max_element(accuracies.begin(), accuracies.end());
    result.push_back(one);
  }
  return result;
}

}  // namespace mien::evaluation
