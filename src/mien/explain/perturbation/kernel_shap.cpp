#include "mien/explain/perturbation/kernel_shap.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>
#include <string>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/explain/batches.h"
#include "mien/explain/methods.h"
#include "mien/explain/perturbation/lime.h"
#include "mien/explain/perturbation/perturbed_inputs.h"
#include "mien/explain/perturbation/ridge.h"

namespace mien::explain {
namespace {

double binomial(int64_t n, int64_t k) {
  double value = 1;
  for (int64_t i = 1; i <= k; ++i) value = value * static_cast<double>(n - k + i) / static_cast<double>(i);
  return std::round(value);
}

using Members = std::vector<uint8_t>;  // one a segment

/// Calls visit(members) for every set of `size` of `count` segments.
template <class Visit>
void visit_sets(int64_t count, int64_t size, Visit visit) {
  Members members(static_cast<size_t>(count), 0);
  std::fill(members.begin(), members.begin() + size, uint8_t{1});
  do visit(members);
  while (std::prev_permutation(members.begin(), members.end()));
}

Members complement(const Members& members) {
  Members other = members;
  for (uint8_t& member : other) member = member == 0 ? 1 : 0;
  return other;
}

Coalitions packed(int64_t segments, const std::vector<Members>& rows, std::vector<double> weights, bool is_exact) {
  Coalitions result{.masks = at::empty({static_cast<int64_t>(rows.size()), segments}, at::kByte),
                    .weights = std::move(weights),
                    .is_exact = is_exact};
  for (size_t row = 0; row < rows.size(); ++row)
    std::copy(
        rows[row].begin(), rows[row].end(), result.masks.data_ptr<uint8_t>() + static_cast<int64_t>(row) * segments);
  return result;
}

}  // namespace

Coalitions coalitions(int64_t segments, int64_t samples, int64_t seed) {
  std::vector<Members> rows;
  std::vector<double> weights;
  const int64_t sizes = segments / 2;         // size k stands for K - k, too
  const int64_t paired = (segments - 1) / 2;  // sizes that are not their own complement's
  std::vector<double> share;                  // the kernel's weight of all sets of a size
  for (int64_t size = 1; size <= sizes; ++size) {
    share.push_back(static_cast<double>(segments - 1) / static_cast<double>(size * (segments - size)) *
                    (size <= paired ? 2 : 1));
  }
  const double total = std::accumulate(share.begin(), share.end(), 0.0);
  for (double& value : share) value /= total;

  auto left = static_cast<double>(samples);
  double share_left = 1;
  int64_t full = 0;
  for (int64_t size = 1; size <= sizes; ++size) {
    const bool is_paired = size <= paired;
    const double sets = binomial(segments, size) * (is_paired ? 2 : 1);
    const double weight = share[static_cast<size_t>(size - 1)];
    // A size is taken whole when sampling would draw each of its sets at least once.
    if (sets > left || left * weight / share_left / sets < 1 - 1e-8) break;
    visit_sets(segments, size, [&](const Members& members) {
      rows.push_back(members);
      weights.push_back(weight / sets);
      if (!is_paired) return;
      rows.push_back(complement(members));
      weights.push_back(weight / sets);
    });
    left -= sets;
    share_left -= weight;
    full = size;
  }
  if (full == sizes) return packed(segments, rows, std::move(weights), true);

  std::vector<double> reach;  // running sums of the remaining sizes' shares
  double sum = 0;
  for (int64_t size = full + 1; size <= sizes; ++size) {
    sum += share[static_cast<size_t>(size - 1)] / (size <= paired ? 2 : 1);
    reach.push_back(sum);
  }
  std::map<std::string, size_t> known;
  const size_t first_random = rows.size();
  RandomStream random(static_cast<uint64_t>(seed), "kernel-shap");
  std::vector<int64_t> order(static_cast<size_t>(segments));
  std::iota(order.begin(), order.end(), 0);
  const auto add = [&](const Members& members) {
    const auto [place, is_new] = known.try_emplace(std::string(members.begin(), members.end()), rows.size());
    if (!is_new) {
      weights[place->second] += 1;
      return;
    }
    rows.push_back(members);
    weights.push_back(1);
    left -= 1;
  };
  for (int64_t tries = 4 * static_cast<int64_t>(left); left >= 1 && tries > 0; --tries) {
    const auto place = std::upper_bound(reach.begin(), reach.end(), random.uniform() * sum) - reach.begin();
    const int64_t size = full + 1 + std::min<int64_t>(place, static_cast<int64_t>(reach.size()) - 1);
    random.shuffle(order);
    Members members(static_cast<size_t>(segments), 0);
    for (int64_t i = 0; i < size; ++i) members[static_cast<size_t>(order[static_cast<size_t>(i)])] = 1;
    add(members);
    if (left >= 1 && size <= paired) add(complement(members));
  }
  const double drawn = std::accumulate(weights.begin() + static_cast<std::ptrdiff_t>(first_random), weights.end(), 0.0);
  for (size_t row = first_random; row < weights.size(); ++row) weights[row] *= share_left / drawn;
  return packed(segments, rows, std::move(weights), false);
}

std::vector<double> shapley_values(const Coalitions& coalitions,
                                   const std::vector<double>& values,
                                   double empty,
                                   double full) {
  const auto count = static_cast<size_t>(coalitions.masks.size(1));
  if (count == 1) return {full - empty};
  std::vector<double> gram(count * count, 0);
  std::vector<double> cross(count, 0);
  const uint8_t* masks = coalitions.masks.data_ptr<uint8_t>();
  for (size_t row = 0; row < values.size(); ++row) {
    const uint8_t* mask = masks + row * count;
    for (size_t i = 0; i < count; ++i) {
      if (mask[i] == 0) continue;
      cross[i] += coalitions.weights[row] * (values[row] - empty);
      for (size_t j = 0; j < count; ++j) gram[i * count + j] += coalitions.weights[row] * mask[j];
    }
  }
  // Least squares under the condition that the values add up: x - lambda * A^-1 1, with lambda set by the sum.
  std::vector<double> solution = solve_semidefinite(gram, cross);
  const std::vector<double> direction = solve_semidefinite(gram, std::vector<double>(count, 1.0));
  const double excess = std::accumulate(solution.begin(), solution.end(), 0.0) - (full - empty);
  const double lambda = excess / std::accumulate(direction.begin(), direction.end(), 0.0);
  for (size_t i = 0; i < count; ++i) solution[i] -= lambda * direction[i];
  return solution;
}

namespace {

/// Some of the coalitions and their values.
struct Part {
  Coalitions sets;
  std::vector<double> values;
};

/// The coalitions whose pair (a set stands beside its complement) leaves a remainder by `parts` that is wanted.
template <class Wanted>
Part part_of(const Coalitions& all, const std::vector<double>& values, size_t parts, Wanted is_wanted) {
  std::vector<int64_t> rows;
  Part part;
  for (size_t row = 0; row < values.size(); ++row) {
    if (!is_wanted(row / 2 % parts)) continue;
    rows.push_back(static_cast<int64_t>(row));
    part.values.push_back(values[row]);
    part.sets.weights.push_back(all.weights[row]);
  }
  part.sets.masks = all.masks.index_select(0, at::tensor(rows, at::kLong));
  return part;
}

/// "r2_held_out" and "split_stability" of drawn coalitions, as LIME states them.
void state_trust(const Coalitions& sets,
                 const std::vector<double>& values,
                 double empty,
                 double full,
                 std::map<std::string, double>& facts) {
  constexpr size_t kParts = 5;
  const double total = std::accumulate(sets.weights.begin(), sets.weights.end(), 0.0);
  const double mean = std::inner_product(values.begin(), values.end(), sets.weights.begin(), 0.0) / total;
  double left_over = 0;
  double variation = 0;
  for (size_t held = 0; held < kParts; ++held) {
    const Part others = part_of(sets, values, kParts, [&](size_t rest) { return rest != held; });
    const Part own = part_of(sets, values, kParts, [&](size_t rest) { return rest == held; });
    const at::Tensor fitted = at::tensor(shapley_values(others.sets, others.values, empty, full), at::kDouble);
    const at::Tensor predicted = own.sets.masks.to(at::kDouble).matmul(fitted) + empty;
    for (size_t row = 0; row < own.values.size(); ++row) {
      const double error = own.values[row] - predicted[static_cast<int64_t>(row)].item<double>();
      left_over += own.sets.weights[row] * error * error;
      variation += own.sets.weights[row] * (own.values[row] - mean) * (own.values[row] - mean);
    }
  }
  facts["r2_held_out"] = variation > 0 ? 1 - left_over / variation : left_over > 0 ? 0 : 1;
  const auto half = [&](size_t wanted) {
    const Part part = part_of(sets, values, 2, [&](size_t rest) { return rest == wanted; });
    return shapley_values(part.sets, part.values, empty, full);
  };
  facts["split_stability"] = rank_correlation(half(0), half(1));
}

}  // namespace

Attributions explain_kernel_shap(const AttributionRequest& request, const MethodOptions& options) {
  const PerturbationOptions& how = options.perturbation;
  const SegmentedImages images(request, how.segment, hidden_kind(how.hide, MaskFill::segment_mean));
  Attributions maps;
  std::vector<at::Tensor> maps_of_images;
  for (int64_t image = 0; image < images.count(); ++image) {
    const int64_t segments = images.total(image);
    if (how.shap_samples < 2 * segments) {
      throw_usage(fmt::format("shap-samples {} is too few for {} segments, expected at least {}",
                              how.shap_samples,
                              segments,
                              2 * segments),
                  "fewer segments or more samples");
    }
    const Coalitions sets = coalitions(segments, how.shap_samples, options.seed);
    const auto count = sets.masks.size(0);
    const Members none(static_cast<size_t>(segments), 0);
    const Members all(static_cast<size_t>(segments), 1);
    const uint8_t* masks = sets.masks.data_ptr<uint8_t>();
    const at::Tensor scores = score_perturbed(
        slice(request, image, image + 1),
        request.score,
        count + 2,
        options.batch_size,
        [&](const PerturbedInput& variant, float* pixels) {
          const std::span<const uint8_t> keep =
              variant.index == 0 ? std::span<const uint8_t>(none)
              : variant.index == 1
                  ? std::span<const uint8_t>(all)
                  : std::span<const uint8_t>(masks + (variant.index - 2) * segments, static_cast<size_t>(segments));
          images.write(image, keep, pixels);
        });
    const double* row = scores.data_ptr<double>();
    const std::vector<double> set_values(row + 2, row + 2 + count);
    const std::vector<double> values = shapley_values(sets, set_values, row[0], row[1]);
    maps_of_images.push_back(images.paint(image, values));
    maps.diagnostics.push_back({{"segments", static_cast<double>(segments)},
                                {"coalitions", static_cast<double>(count)},
                                {"exact", sets.is_exact ? 1.0 : 0.0},
                                {"score", row[1]},
                                {"score_all_hidden", row[0]},
                                {"rounding", kRounding * scores.abs().max().item<double>()}});
    if (!sets.is_exact) state_trust(sets, set_values, row[0], row[1], maps.diagnostics.back());
  }
  maps.values = at::stack(maps_of_images);
  maps.regions = images.all_segments();
  return maps;
}

}  // namespace mien::explain
