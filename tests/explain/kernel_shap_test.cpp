#include "mien/explain/perturbation/kernel_shap.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "explain_testing.h"

#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

using network::graph_of;

constexpr int64_t kSegments = 8;  // cells of 4x4 in 8x16 pixels

double factorial(int64_t n) { return n < 2 ? 1 : static_cast<double>(n) * factorial(n - 1); }

MethodOptions cells() {
  MethodOptions options;
  options.perturbation.segment.segments = "grid";
  options.perturbation.segment.segment_size = 4;
  return options;
}

/// Scores of all 2^8 coalitions: bit k says that cell k is seen; the others hold their mean. [256] float64
at::Tensor all_scores(const AttributionRequest& request) {
  const at::Tensor image = request.images[0];
  const at::Tensor cells = image.reshape({image.size(0), 2, 4, 4, 4});
  const at::Tensor means = cells.mean(at::IntArrayRef{2, 4}, true).expand_as(cells).reshape(image.sizes());
  std::vector<at::Tensor> images;
  for (int64_t set = 0; set < 256; ++set) {
    at::Tensor seen = at::zeros({8, 16});
    for (int64_t cell = 0; cell < kSegments; ++cell) {
      if ((set >> cell & 1) == 1)
        seen.slice(0, cell / 4 * 4, cell / 4 * 4 + 4).slice(1, cell % 4 * 4, cell % 4 * 4 + 4).fill_(1);
    }
    images.push_back(at::where(seen.gt(0), image, means));
  }
  const at::NoGradGuard no_grad;
  const at::Tensor logits = request.network.forward(at::stack(images), network::Mode::evaluation);
  return logits.select(1, request.targets[0].item<int64_t>()).to(at::kDouble);
}

/// @source Shapley 1953: the mean over all orders of what a player adds
std::vector<double> exact_values(const at::Tensor& scores) {
  std::vector<double> values;
  for (int64_t cell = 0; cell < kSegments; ++cell) {
    double value = 0;
    for (int64_t set = 0; set < 256; ++set) {
      if ((set >> cell & 1) == 1) continue;
      const int64_t size = __builtin_popcountll(static_cast<unsigned long long>(set));
      const double weight = factorial(size) * factorial(kSegments - size - 1) / factorial(kSegments);
      value += weight * (scores[set | int64_t{1} << cell].item<double>() - scores[set].item<double>());
    }
    values.push_back(value);
  }
  return values;
}

std::vector<double> values_of(const at::Tensor& map) {
  std::vector<double> values;
  for (int64_t cell = 0; cell < kSegments; ++cell) values.push_back(map[cell / 4 * 4][cell % 4 * 4].item<double>());
  return values;
}

struct SmallNetwork {
  explicit SmallNetwork(int channels = 1,
                        const std::string& layers = R"("flatten", { dense = 12 }, "relu", { dense = 3 })")
      : network(graph_of(layers, fmt::format("[{}, 8, 16]", channels)), 7) {
    request.images = network::random_images(network.graph(), 1) * 6 - 2;
    request.targets = at::tensor({2}, at::kLong);
  }
  network::Network network;
  AttributionRequest request{.network = network, .images = {}, .targets = {}};
};

TEST(KernelShap, WithAllCoalitionsGivesExactShapleyValues) {
  for (const int channels : {1, 3}) {
    SmallNetwork small(channels);
    const std::vector<double> expected = exact_values(all_scores(small.request));
    const Attributions maps = explain_kernel_shap(small.request, cells());
    EXPECT_EQ(maps.diagnostics[0].at("coalitions"), 254);
    EXPECT_EQ(maps.diagnostics[0].at("exact"), 1);
    const std::vector<double> found = values_of(maps.values[0]);
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-5) << "cell " << i;
  }
}

TEST(KernelShap, WithSomeCoalitionsComesNearAndStillAddsUp) {
  SmallNetwork small;
  const at::Tensor scores = all_scores(small.request);
  const std::vector<double> expected = exact_values(scores);
  MethodOptions options = cells();
  options.perturbation.shap_samples = 120;
  const Attributions maps = explain_kernel_shap(small.request, options);
  EXPECT_EQ(maps.diagnostics[0].at("exact"), 0);
  EXPECT_LE(maps.diagnostics[0].at("coalitions"), 120);
  const std::vector<double> found = values_of(maps.values[0]);
  double sum = 0;
  double largest = 0;
  double worst = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    sum += found[i];
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::max(worst, std::abs(found[i] - expected[i]));
  }
  EXPECT_NEAR(sum, (scores[255] - scores[0]).item<double>(), 1e-5);
  EXPECT_LE(worst, 0.1 * largest);
  EXPECT_TRUE(explain_kernel_shap(small.request, options).values.equal(maps.values)) << "the same seed";
}

TEST(KernelShap, OfALinearNetworkIsItsContributionsFromAnySample) {
  SmallNetwork small(3, R"("flatten", { dense = 3 })");
  MethodOptions options = cells();
  options.perturbation.hide = "black";
  options.perturbation.shap_samples = 40;
  const at::Tensor contribution =
      small.network.tensor("dense1.weight")[2].reshape({3, 8, 16}) * small.request.images[0];
  const at::Tensor expected = contribution.sum(0).reshape({2, 4, 4, 4}).sum(3).sum(1).reshape({-1});
  const std::vector<double> found = values_of(explain_kernel_shap(small.request, options).values[0]);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], expected[static_cast<int64_t>(i)].item<double>(), 1e-4);
  }
}

TEST(KernelShap, OfOneAndOfTwoSegmentsIsWhatTheyAdd) {
  SmallNetwork small;
  MethodOptions options = cells();
  options.perturbation.segment.segment_size = 16;
  const Attributions one = explain_kernel_shap(small.request, options);
  EXPECT_NEAR(one.values[0][0][0].item<double>(),
              one.diagnostics[0].at("score") - one.diagnostics[0].at("score_all_hidden"),
              1e-5);
  options.perturbation.segment.segment_size = 8;
  const Attributions two = explain_kernel_shap(small.request, options);
  EXPECT_NEAR((two.values[0][0][0] + two.values[0][0][15]).item<double>(),
              two.diagnostics[0].at("score") - two.diagnostics[0].at("score_all_hidden"),
              1e-5);
}

TEST(Coalitions, AreDistinctNeverEmptyOrFullAndWeighTheKernel) {
  constexpr int64_t kCount = 12;
  const Coalitions sets = coalitions(kCount, 500, 3);
  EXPECT_LE(sets.masks.size(0), 500);
  EXPECT_GE(sets.masks.size(0), 400);
  std::set<std::string> seen;
  std::map<int64_t, double> weight_of_size;
  for (int64_t row = 0; row < sets.masks.size(0); ++row) {
    const auto* mask = reinterpret_cast<const char*>(sets.masks[row].data_ptr<uint8_t>());
    EXPECT_TRUE(seen.insert(std::string(mask, kCount)).second) << "row " << row;
    const int64_t size = sets.masks[row].sum().item<int64_t>();
    EXPECT_GT(size, 0);
    EXPECT_LT(size, kCount);
    weight_of_size[size] += sets.weights[static_cast<size_t>(row)];
  }
  // Sizes that are complete weigh as the kernel: (K-1) / (size (K-size)), normalized over all sizes.
  double total = 0;
  for (int64_t size = 1; size < kCount; ++size) total += 1.0 / static_cast<double>(size * (kCount - size));
  for (const int64_t size : {1, 11, 2, 10}) {
    EXPECT_NEAR(weight_of_size[size], 1.0 / static_cast<double>(size * (kCount - size)) / total, 1e-12) << size;
  }
  // Sampled ones do so by chance.
  for (const int64_t size : {4, 6, 8}) {
    EXPECT_NEAR(weight_of_size[size], 1.0 / static_cast<double>(size * (kCount - size)) / total, 0.03) << size;
  }
}

TEST(KernelShap, SaysWhenSamplesAreTooFew) {
  SmallNetwork small;
  MethodOptions options = cells();
  options.perturbation.shap_samples = 15;
  EXPECT_EQ(
      network::error_of([&] { explain_kernel_shap(small.request, options); }),
      "usage: shap-samples 15 is too few for 8 segments, expected at least 16. hint: fewer segments or more samples");
}

}  // namespace
}  // namespace mien::explain
