#include "mien/explain/perturbation/lime.h"

#include <cstdlib>
#include <filesystem>
#include <set>

#include "explain_testing.h"
#include <ATen/Parallel.h>

#include "mien/core/parallel.h"
#include "mien/core/random.h"
#include "mien/explain/methods.h"
#include "mien/explain/perturbation/perturbed_inputs.h"
#include "mien/explain/perturbation/ridge.h"

namespace mien::explain {
namespace {

using network::error_of;
using network::graph_of;

/// One explanation by the package: which network, how segments and hidden pixels were made, and of which face.
struct Case {
  std::string network;
  std::string segments;
  std::string hidden;
  int face = 0;
  std::string key(const std::string& what) const {
    return fmt::format("lime.{}.{}.{}.{}", segments, hidden, face, what);
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string network : {"leaky4", "relu6"}) {
    for (const std::string segments : {"grid8", "slic"}) {
      for (const std::string hidden : {"mean", "black"}) {
        for (int face = 0; face < 2; ++face) all.push_back({network, segments, hidden, face});
      }
    }
  }
  return all;
}

at::Tensor segments_of(const Reference& reference, const Case& one) {
  return one.segments == "slic" ? reference[fmt::format("skimage.slic_n50_c10.{}", one.face)]
                                : reference["grid_segments"];
}

at::Tensor as_tensor(const std::vector<double>& values) {
  return at::tensor(at::ArrayRef<double>(values), at::kDouble);
}

/// A small network that is not linear, with 8x16 images of one or three channels: 8 cells of 4x4.
struct SmallNetwork {
  explicit SmallNetwork(int channels = 1, int64_t images = 1)
      : network(graph_of(R"("flatten", { dense = 12 }, "relu", { dense = 3 })", fmt::format("[{}, 8, 16]", channels)),
                7) {
    request.images = network::random_images(network.graph(), images) * 4 - 1;
    request.targets = at::arange(images, at::kLong).remainder(3);
    options.perturbation.segment.segments = "grid";
    options.perturbation.segment.segment_size = 4;
    options.perturbation.lime_samples = 200;
    options.batch_size = 32;
  }
  network::Network network;
  AttributionRequest request{.network = network, .images = {}, .targets = {}};
  MethodOptions options;
};

TEST(Lime, GivesThePackagesCoefficientsFromItsMasksAndProbabilities) {
  const PerturbationOptions options;
  for (const Case& one : cases()) {
    const Reference reference(one.network);
    const LimeExplanation found = fit_lime(reference[one.key("masks")], reference[one.key("probabilities")], options);
    // The package computed in single precision.
    EXPECT_LE((as_tensor(found.weights) - reference[one.key("weights")]).abs().max().item<double>(), 1e-6)
        << one.key(one.network);
    EXPECT_NEAR(found.intercept, reference[one.key("intercept")].item<double>(), 1e-6) << one.key(one.network);
    EXPECT_NEAR(found.score, reference[one.key("score")].item<double>(), 1e-6) << one.key(one.network);
  }
}

void expect_the_packages_probabilities(const Case& one, int64_t samples) {
  const Reference reference(one.network);
  const AttributionRequest request{.network = reference.network,
                                   .images = reference["input"].slice(0, one.face, one.face + 1),
                                   .targets = reference[one.key("label")].reshape({1})};
  const SegmentedImages images(
      request, {segments_of(reference, one)}, one.hidden == "mean" ? MaskFill::segment_mean : MaskFill::black);
  const at::Tensor masks = reference[one.key("masks")].slice(0, 0, samples).contiguous();
  const auto columns = static_cast<size_t>(masks.size(1));
  const at::Tensor found = score_perturbed(
      request, Score::probability, masks.size(0), 128, [&](const PerturbedInput& variant, float* pixels) {
        images.write(0, {masks.data_ptr<uint8_t>() + variant.index * masks.size(1), columns}, pixels);
      });
  const at::Tensor expected = reference[one.key("probabilities")].slice(0, 0, samples);
  EXPECT_LE((found[0] - expected).abs().max().item<double>(), 1e-4) << one.key(one.network);
}

TEST(Lime, HidesSegmentsAsThePackage) {
  at::set_num_threads(threads());
  for (const Case& one : cases()) expect_the_packages_probabilities(one, 24);
}

TEST(Lime, HidesSegmentsAsThePackageInAllItsSamples) {
  if (std::getenv("MIEN_REFERENCE") == nullptr) GTEST_SKIP() << "slow: set MIEN_REFERENCE, to anything";
  for (const Case& one : cases()) expect_the_packages_probabilities(one, 1000);
}

/// Features, weights, intercept and R^2 that scikit-learn 1.2's Ridge gives, used step by step as lime 0.2 does.
struct Selection {
  std::string key;
  int64_t features = 0;
  std::vector<int64_t> chosen;
  std::vector<double> weights;
  double intercept = 0;
  double score = 0;
};

TEST(Lime, ChoosesFewFeaturesByForwardSelectionAndMoreByHighestWeight) {
  const std::vector<Selection> selections = {
      {.key = "lime.grid8.mean.0",
       .features = 5,
       .chosen = {27, 26, 25, 13, 20},
       .weights =
           {0.2192741592622214, 0.13317761811344933, 0.11382412481176041, 0.07754084565334568, 0.0653022227704155},
       .intercept = 0.5134635673062409,
       .score = 0.6441516484871863},
      {.key = "lime.slic.black.1",
       .features = 5,
       .chosen = {30, 28, 29, 18, 11},
       .weights =
           {0.2716277598804637, 0.18278412211392234, 0.18358340827768255, 0.10079308700521881, -0.09593997019336033},
       .intercept = 0.03742980548113284,
       .score = 0.43522333296988336},
      {.key = "lime.slic.black.1",
       .features = 8,
       .chosen = {30, 29, 28, 11, 18, 24, 25, 14},
       .weights = {0.2668538498218089,
                   0.18278196168354144,
                   0.17987705597502227,
                   -0.09753665381667367,
                   0.09593441355581386,
                   0.0556374949107235,
                   -0.05756703015236271,
                   -0.05386181008310886},
       .intercept = 0.0757661427676109,
       .score = 0.45918013616206144}};
  const Reference reference("leaky4");
  for (const Selection& expected : selections) {
    PerturbationOptions options;
    options.lime_features = expected.features;
    const LimeExplanation found =
        fit_lime(reference[expected.key + ".masks"], reference[expected.key + ".probabilities"], options);
    std::vector<double> weights(found.weights.size(), 0.0);
    for (size_t i = 0; i < expected.chosen.size(); ++i) {
      weights[static_cast<size_t>(expected.chosen[i])] = expected.weights[i];
    }
    EXPECT_LE((as_tensor(found.weights) - as_tensor(weights)).abs().max().item<double>(), 1e-10) << expected.key;
    EXPECT_EQ(std::set<int64_t>(found.ranking.begin(), found.ranking.end()),
              std::set<int64_t>(expected.chosen.begin(), expected.chosen.end()));
    EXPECT_NEAR(found.intercept, expected.intercept, 1e-10) << expected.key;
    EXPECT_NEAR(found.score, expected.score, 1e-10) << expected.key;
  }
}

TEST(Lime, OfALinearNetworkIsItsContributions) {
  for (const int channels : {1, 3}) {
    const network::Network network(graph_of(R"("flatten", { dense = 3 })", fmt::format("[{}, 8, 16]", channels)), 3);
    const at::Tensor image = network::random_images(network.graph(), 1);
    const AttributionRequest request{.network = network, .images = image, .targets = at::tensor({1}, at::kLong)};
    MethodOptions options;
    options.perturbation.segment.segments = "grid";
    options.perturbation.segment.segment_size = 4;
    options.perturbation.hide = "black";
    options.perturbation.lime_score_on = "logit";
    options.perturbation.lime_ridge = 0;
    const LimeExplanation exact = lime(request, options).front();
    const at::Tensor contribution =
        (network.tensor("dense1.weight")[1].reshape({channels, 8, 16}) * image[0]).sum(0).to(at::kDouble);
    const at::Tensor expected = contribution.reshape({2, 4, 4, 4}).sum(3).sum(1).reshape({-1});
    EXPECT_LE((as_tensor(exact.weights) - expected).abs().max().item<double>(), 1e-5) << channels;
    EXPECT_NEAR(exact.intercept, network.tensor("dense1.bias")[1].item<double>(), 1e-5);
    EXPECT_NEAR(exact.score, 1, 1e-9);
    EXPECT_NEAR(exact.local_prediction, exact.prediction, 1e-5);

    options.perturbation.lime_ridge = 1;
    const LimeExplanation shrunk = lime(request, options).front();
    EXPECT_GE(rank_correlation(shrunk.weights, exact.weights), 0.9);
    EXPECT_LT(as_tensor(shrunk.weights).norm().item<double>(), as_tensor(exact.weights).norm().item<double>());
  }
}

TEST(Lime, HidesAndLearnsEverySegment) {
  // With labels from 1, as scikit-image's SLIC gives them, lime never hides the last segment and learns an empty first
  // one.
  const at::Tensor masks = lime_masks(1000, 39, 0).to(at::kDouble);
  EXPECT_EQ(masks[0].sum().item<double>(), 39);
  const at::Tensor shares = masks.slice(0, 1).mean(0);
  EXPECT_GT(shares.min().item<double>(), 0.42);  // 5 deviations of 0.016
  EXPECT_LT(shares.max().item<double>(), 0.58);
  SmallNetwork small;
  const LimeExplanation found = lime(small.request, small.options).front();
  for (const double weight : found.weights) EXPECT_NE(weight, 0);
}

TEST(Lime, IsTheSameForTheSameSeedWhateverTheBatchAndItsCompany) {
  SmallNetwork small(1, 3);
  const at::Tensor first = explain_lime(small.request, small.options).values;
  EXPECT_TRUE(explain_lime(small.request, small.options).values.equal(first));
  EXPECT_LE((explain_lime(slice(small.request, 2, 3), small.options).values[0] - first[2]).abs().max().item<double>(),
            1e-6);
  small.options.batch_size = 7;
  EXPECT_LE((explain_lime(small.request, small.options).values - first).abs().max().item<double>(), 1e-6);
  small.options.seed = 1;
  EXPECT_GT((explain_lime(small.request, small.options).values - first).abs().max().item<double>(), 1e-6);
}

TEST(Lime, TellsHowItVariesOverSeeds) {
  SmallNetwork small;
  small.options.perturbation.lime_seeds = 3;
  small.options.seed = 5;
  const LimeExplanation repeated = lime(small.request, small.options).front();
  std::vector<LimeExplanation> single;
  small.options.perturbation.lime_seeds = 1;
  for (; small.options.seed < 8; ++small.options.seed) single.push_back(lime(small.request, small.options).front());
  EXPECT_EQ(repeated.weights, single[0].weights);
  const at::Tensor scores = as_tensor({single[0].score, single[1].score, single[2].score});
  EXPECT_NEAR(repeated.score_mean, scores.mean().item<double>(), 1e-12);
  EXPECT_NEAR(repeated.score_deviation, scores.std().item<double>(), 1e-12);
  double stability = 0;
  for (const auto& [i, j] : {std::pair{0, 1}, std::pair{0, 2}, std::pair{1, 2}}) {
    stability += rank_correlation(single[static_cast<size_t>(i)].weights, single[static_cast<size_t>(j)].weights) / 3;
  }
  EXPECT_NEAR(repeated.rank_stability, stability, 1e-12);

  // More samples, less chance.
  small.options.seed = 5;
  small.options.perturbation.lime_seeds = 3;
  small.options.perturbation.lime_samples = 4000;
  const Attributions maps = explain_lime(small.request, small.options);
  EXPECT_LT(maps.diagnostics[0].at("r2_spread_over_seeds"), repeated.score_deviation);
  EXPECT_GE(maps.diagnostics[0].at("rank_stability"), repeated.rank_stability);
}

TEST(Lime, OfTheMethodTableFindsThePackagesRegions) {
  // Other samples of the same model: weights agree within sampling noise.
  at::set_num_threads(threads());
  const Reference reference("leaky4");
  const AttributionRequest request{.network = reference.network,
                                   .images = reference["input"].slice(0, 0, 1),
                                   .targets = reference["lime.grid8.mean.0.label"].reshape({1})};
  MethodOptions options;
  options.perturbation.segment.segments = "grid";
  options.perturbation.lime_samples = 300;
  const LimeExplanation found = lime(request, options).front();
  const at::Tensor expected = reference["lime.grid8.mean.0.weights"];
  EXPECT_GE(rank_correlation(found.weights, {expected.data_ptr<double>(), expected.data_ptr<double>() + 36}), 0.7);
  EXPECT_EQ(found.ranking.front(), 27);
  EXPECT_NEAR(found.score, reference["lime.grid8.mean.0.score"].item<double>(), 0.1);
}

TEST(Lime, PaintsWeightsOnTheirSegmentsAndStatesItsFit) {
  SmallNetwork small;
  const LimeExplanation found = lime(small.request, small.options).front();
  const Attributions maps = explain_lime(small.request, small.options);
  ASSERT_EQ(maps.values.sizes(), (std::vector<int64_t>{1, 8, 16}));
  EXPECT_FLOAT_EQ(maps.values[0][7][3].item<float>(), static_cast<float>(found.weights[4]));
  EXPECT_DOUBLE_EQ(maps.diagnostics[0].at("r2"), found.score);
  EXPECT_DOUBLE_EQ(maps.diagnostics[0].at("prediction"), found.prediction);
  EXPECT_EQ(maps.diagnostics[0].at("segments"), 8);
  EXPECT_EQ(maps.diagnostics[0].count("rank_stability"), 0U) << "one seed says nothing of it";
}

TEST(Lime, SaysWhichOptionIsWrong) {
  SmallNetwork small;
  small.options.perturbation.lime_score_on = "loss";
  EXPECT_EQ(error_of([&] { explain_lime(small.request, small.options); }),
            "usage: unknown score loss of lime-score-on. hint: one of: probability, logit, sum");
  small.options.perturbation.lime_score_on = "logit";
  small.options.perturbation.hide = "blak";
  EXPECT_EQ(error_of([&] { explain_lime(small.request, small.options); }),
            "usage: unknown value 'blak' of hide. hint: did you mean 'black'?");
}

TEST(Lime, RefusesFewerThanTwoSamplesARegion) {
  SmallNetwork small;  // 8 regions
  small.options.perturbation.lime_samples = 15;
  EXPECT_EQ(
      error_of([&] { lime(small.request, small.options); }),
      "usage: lime-samples 15 is too few for 8 segments, expected at least 16. hint: fewer segments or more samples");
  small.options.perturbation.lime_samples = 16;
  EXPECT_NO_THROW(lime(small.request, small.options));
}

TEST(Lime, IsNotTrustedWhereFewSamplesFitNoise) {
  const int64_t segments = 20;
  const at::Tensor masks = lime_masks(40, segments, 3);
  RandomStream random(5, "noise");
  at::Tensor values = at::empty({40}, at::kDouble);
  for (int64_t i = 0; i < 40; ++i) values[i] = random.normal();
  PerturbationOptions options;
  options.lime_ridge = 1e-3;
  const LimeExplanation fit = fit_lime(masks, values, options);
  EXPECT_GT(fit.score, 0.2) << "the model fits its own samples";
  EXPECT_LT(fit.held_out_score, 0.1) << "but no others";
  const at::Tensor line = masks.to(at::kDouble).matmul(at::arange(segments, at::kDouble));
  EXPECT_GT(fit_lime(masks, line, options).held_out_score, 0.9);
  EXPECT_GT(fit_lime(lime_masks(400, segments, 3),
                     lime_masks(400, segments, 3).to(at::kDouble).matmul(at::arange(segments, at::kDouble)),
                     options)
                .split_stability,
            0.95);
}

TEST(RankCorrelation, IsSpearmans) {
  EXPECT_NEAR(rank_correlation({1, 2, 2, 3, 5}, {2, 1, 4, 4, 9}), 0.7631578947368421, 1e-12);  // scipy.stats.spearmanr
  EXPECT_NEAR(rank_correlation({1, 2, 3}, {30, 20, 10}), -1, 1e-12);
}

TEST(SolveSemidefinite, SolvesAndGivesADependentVariableZero) {
  const std::vector<double> unique = solve_semidefinite({4, 2, 2, 3}, {8, 7});
  EXPECT_NEAR(unique[0], 1.25, 1e-12);
  EXPECT_NEAR(unique[1], 1.5, 1e-12);
  const std::vector<double> dependent = solve_semidefinite({2, 2, 0, 2, 2, 0, 0, 0, 5}, {6, 6, 10});
  EXPECT_NEAR(dependent[0], 3, 1e-12);
  EXPECT_EQ(dependent[1], 0);
  EXPECT_NEAR(dependent[2], 2, 1e-12);
}

TEST(MaskRegression, SelectsWhatAddsToTheChosenNotWhatResemblesThem) {
  // Values are 2 * first + third; the second feature is the first but for one sample, and adds nothing.
  const std::vector<uint8_t> masks = {1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0};
  std::vector<double> values;
  for (size_t sample = 0; sample < 8; ++sample) values.push_back(2.0 * masks[sample * 3] + masks[sample * 3 + 2]);
  const std::vector<double> weights(8, 1.0);
  const MaskRegression regression(masks, 3, values, weights);
  EXPECT_EQ(regression.forward_selection(2), (std::vector<int64_t>{0, 2}));
  EXPECT_NEAR(regression.ridge({0, 2}, 0).r2, 1, 1e-12);
}

TEST(MaskRegression, OfAConstantHasNoWeightsAndMissesNothing) {
  const std::vector<uint8_t> masks = {1, 1, 0, 1, 1, 0, 0, 0};
  const std::vector<double> values(4, 0.3);
  const std::vector<double> weights(4, 1.0);
  const LinearFit fit = MaskRegression(masks, 2, values, weights).ridge({0, 1}, 1);
  EXPECT_NEAR(fit.weights[0], 0, 1e-12);
  EXPECT_NEAR(fit.intercept, 0.3, 1e-12);
}

}  // namespace
}  // namespace mien::explain
