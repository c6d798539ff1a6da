#include "mien/explain/faithfulness/faithfulness.h"

#include <algorithm>
#include <cmath>

#include "explain/explain_testing.h"

#include "mien/core/progress.h"
#include "mien/explain/faithfulness/baselines.h"
#include "mien/explain/faithfulness/map_statistics.h"
#include "mien/explain/faithfulness/method_evaluation.h"
#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

using network::graph_of;
using network::random_images;

const MethodOptions kDefaults;

/// One dense layer: every measure has a closed form.
network::Network linear_network(double bias = 0) {
  network::Network network = frozen_copy({graph_of(R"("flatten", { dense = 2 })"), 4});
  network.tensor("dense1.weight")[1].fill_(0);
  network.tensor("dense1.bias").fill_(0);
  network.tensor("dense1.bias")[0] = bias;
  return network;
}

at::Tensor weights_of(const network::Network& network) { return network.tensor("dense1.weight")[0].reshape({8, 8}); }

AttributionRequest question_of(const network::Network& network, int64_t count) {
  return {
      .network = network, .images = random_images(network.graph(), count), .targets = at::zeros({count}, at::kLong)};
}

Attributions gradient_of(const AttributionRequest& request, const MethodOptions&) {
  return {.values = sum_channels(input_gradient(request).gradient),
          .channels = {},
          .at_layer = {},
          .layer = -1,
          .diagnostics = {}};
}

Attributions gradient_times_input_of(const AttributionRequest& request, const MethodOptions&) {
  return {.values = sum_channels(input_gradient(request).gradient * request.images),
          .channels = {},
          .at_layer = {},
          .layer = -1,
          .diagnostics = {}};
}

MethodSpec spec_of(const std::string& name, Attributions (*explain)(const AttributionRequest&, const MethodOptions&)) {
  MethodSpec spec;
  spec.name = name;
  spec.explain = explain;
  return spec;
}

MethodSpec baseline(const std::string& name) {
  for (MethodSpec& spec : baseline_methods()) {
    if (spec.name == name) return spec;
  }
  throw std::logic_error("no baseline " + name);
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double probability(double logit) { return 1 / (1 + std::exp(-logit)); }

TEST(Curves, OfALinearNetworkAreTheClosedForm) {
  const network::Network network = linear_network(0.25);
  const AttributionRequest request = question_of(network, 3);
  FaithfulnessOptions how;
  how.fill = "zero";
  how.curve_steps = 64;
  const at::Tensor contributions = request.images.squeeze(1) * weights_of(network);
  const Curves curves = curves_of(request, contributions, kDefaults, how);
  ASSERT_EQ(curves.deletion.size(), 3u);
  for (int64_t face = 0; face < 3; ++face) {
    const at::Tensor sorted = std::get<0>(contributions[face].flatten().to(at::kDouble).sort(0, true));
    double left = sorted.sum().item<double>();
    for (int64_t point = 0; point <= 64; ++point) {
      EXPECT_NEAR(
          curves.deletion[static_cast<size_t>(face)][static_cast<size_t>(point)], probability(0.25 + left), 1e-5);
      if (point < 64) left -= sorted[point].item<double>();
    }
  }
}

TEST(Curves, EndWhereTheOtherBeginsOrAtTheWholeFace) {
  const network::Network network = linear_network();
  const AttributionRequest request = question_of(network, 2);
  FaithfulnessOptions how;
  const Curves curves = curves_of(request, baseline("random").explain(request, kDefaults).values, kDefaults, how);
  const at::Tensor whole = at::softmax(network.forward(request.images, network::Mode::evaluation), 1).select(1, 0);
  for (size_t face = 0; face < 2; ++face) {
    EXPECT_EQ(curves.deletion[face].size(), 25u);
    EXPECT_NEAR(curves.deletion[face].front(), whole[static_cast<int64_t>(face)].item<double>(), 1e-6);
    EXPECT_NEAR(curves.insertion[face].back(), whole[static_cast<int64_t>(face)].item<double>(), 1e-6);
  }
}

TEST(Curves, HideWithWhatABlackPixelBecomes) {
  const network::Network network = linear_network();
  AttributionRequest request = question_of(network, 2);
  request.black = at::tensor({-2.0F, 0.5F});
  FaithfulnessOptions how;
  how.fill = "black";
  const Curves curves = curves_of(request, baseline("random").explain(request, kDefaults).values, kDefaults, how);
  const at::Tensor covered = request.black.view({2, 1, 1, 1}).expand_as(request.images).contiguous();
  const at::Tensor end = at::softmax(network.forward(covered, network::Mode::evaluation), 1).select(1, 0);
  for (int64_t face = 0; face < 2; ++face)
    EXPECT_NEAR(curves.deletion[static_cast<size_t>(face)].back(), end[face].item<double>(), 1e-6);
  EXPECT_NE(curves.deletion[0].back(), curves.deletion[1].back());
}

TEST(Curves, AreBestForTheIdealMapAndWorstForItsOpposite) {
  const network::Network network = linear_network();
  const AttributionRequest request = question_of(network, 6);
  FaithfulnessOptions how;
  how.fill = "zero";
  how.rerun_faces = 0;
  const at::Tensor ideal = request.images.squeeze(1) * weights_of(network);
  const auto deletion = [&](const at::Tensor& maps) {
    return mean(measure(spec_of("x", gradient_of), request, maps, {}, kDefaults, how).values.at("deletion-auc"));
  };
  const double best = deletion(ideal);
  EXPECT_LT(best, deletion(baseline("random").explain(request, kDefaults).values) - 0.02);
  EXPECT_LT(best, deletion(baseline("sobel").explain(request, kDefaults).values) - 0.02);
  EXPECT_GT(deletion(-ideal), deletion(baseline("random").explain(request, kDefaults).values) + 0.02);
}

TEST(Infidelity, OfTheGradientOfALinearNetworkUnderNoiseIsZero) {
  const network::Network network = linear_network(1);
  const AttributionRequest request = question_of(network, 3);
  FaithfulnessOptions how;
  how.rerun_faces = 0;
  how.infidelity_kind = "noise";
  const Faithfulness right =
      measure(spec_of("x", gradient_of), request, gradient_of(request, kDefaults).values, {}, kDefaults, how);
  const Faithfulness wrong = measure(
      spec_of("x", gradient_of), request, baseline("random").explain(request, kDefaults).values, {}, kDefaults, how);
  for (size_t face = 0; face < 3; ++face) {
    EXPECT_LT(right.values.at("infidelity")[face], 1e-10);
    EXPECT_LT(right.values.at("relative_infidelity")[face], 1e-6);
    EXPECT_GT(wrong.values.at("relative_infidelity")[face], 0.5);
    EXPECT_LE(wrong.values.at("relative_infidelity")[face], 1 + 1e-9);
  }
}

TEST(Infidelity, OfGradientTimesInputOfALinearNetworkUnderBlackSquaresIsZero) {
  const network::Network network = linear_network(1);
  const AttributionRequest request = question_of(network, 3);
  FaithfulnessOptions how;
  how.rerun_faces = 0;
  how.fill = "zero";
  how.infidelity_square = 3;
  const at::Tensor maps = gradient_times_input_of(request, kDefaults).values;
  // The factor takes the map's scale out.
  for (const double factor : {1.0, -7.0}) {
    const Faithfulness found = measure(spec_of("x", gradient_of), request, maps * factor, {}, kDefaults, how);
    for (const double value : found.values.at("relative_infidelity")) EXPECT_LT(value, 1e-6);
  }
  const Faithfulness zero = measure(spec_of("x", gradient_of), request, at::zeros_like(maps), {}, kDefaults, how);
  for (const double value : zero.values.at("relative_infidelity")) EXPECT_NEAR(value, 1, 1e-9);
}

TEST(Sensitivity, IsZeroWhereTheGradientIsConstantAndPositiveElsewhere) {
  FaithfulnessOptions how;
  const network::Network linear = linear_network();
  const AttributionRequest easy = question_of(linear, 3);
  const auto flat = spec_of("gradient", gradient_of);
  for (const double value :
       measure(flat, easy, gradient_of(easy, kDefaults).values, {}, kDefaults, how).values.at("sensitivity-max")) {
    EXPECT_LT(value, 1e-6);
  }
  // Gradient times input moves with the image: by no more than the radius for each unit of weight.
  const auto times_input = spec_of("gradient-x-input", gradient_times_input_of);
  const at::Tensor maps = gradient_times_input_of(easy, kDefaults).values;
  const auto moved = measure(times_input, easy, maps, {}, kDefaults, how).values.at("sensitivity-max");
  const double weight_norm = weights_of(linear).norm().item<double>();
  for (int64_t face = 0; face < 3; ++face) {
    const double bound = how.sensitivity_radius * weight_norm / maps[face].norm().item<double>();
    EXPECT_GT(moved[static_cast<size_t>(face)], bound / 3);
    EXPECT_LT(moved[static_cast<size_t>(face)], bound);
  }
}

TEST(Sparseness, IsZeroForUniformMapsAndNearOneForOnePixel) {
  at::Tensor maps = at::ones({3, 4, 5}, at::kFloat);
  maps[1].zero_();
  maps[1][2][3] = -7;
  maps[2].zero_();
  const at::Tensor index = gini_index(maps);
  EXPECT_NEAR(index[0].item<double>(), 0, 1e-12);
  EXPECT_NEAR(index[1].item<double>(), 1 - 1.0 / 20, 1e-12);
  EXPECT_EQ(index[2].item<double>(), 0);
  // The mean absolute difference over twice the mean: of 1, 2, 3, 4 it is 0.25.
  EXPECT_NEAR(gini_index(at::tensor({3., 1., 4., 2.}).reshape({1, 2, 2}))[0].item<double>(), 0.25, 1e-12);
}

TEST(RankCorrelation, IsScipysWithTies) {
  const at::Tensor first = at::tensor({1., 2., 2., 5., 0., 3.}).reshape({1, 2, 3});
  const at::Tensor second = at::tensor({2., 1., 4., 4., 0., 9.}).reshape({1, 2, 3});
  // scipy.stats.spearmanr([1, 2, 2, 5, 0, 3], [2, 1, 4, 4, 0, 9]), SciPy 1.10.1
  EXPECT_NEAR(rank_correlation(first, second)[0].item<double>(), 0.779411764706, 1e-9);
  EXPECT_NEAR(rank_correlation(first, first)[0].item<double>(), 1, 1e-12);
  EXPECT_TRUE(std::isnan(rank_correlation(first, at::zeros_like(second))[0].item<double>()));
}

TEST(StructuralSimilarity, IsScikitImages) {
  const at::Tensor first = at::arange(100, at::kDouble).reshape({1, 10, 10});
  const at::Tensor second = (first * first).remainder(37.0);
  // skimage.metrics.structural_similarity of both scaled to [0, 1], data_range 1, use_sample_covariance False, 0.19.3
  EXPECT_NEAR(structural_similarity(first, second)[0].item<double>(), 0.00105638056403, 1e-9);
  EXPECT_NEAR(structural_similarity(first, 3 * first - 5)[0].item<double>(), 1, 1e-9);
}

TEST(Evidence, OfTheMaskItselfIsFoundWholly) {
  at::Tensor evidence = at::zeros({2, 6, 6}, at::kByte);
  evidence[0].slice(0, 1, 3).slice(1, 2, 5).fill_(255);
  const at::Tensor maps = evidence.to(at::kFloat);
  const EvidenceAgreement found = evidence_agreement(maps, evidence, pixel_order(maps, 0));
  EXPECT_EQ(found.mass_accuracy[0].item<double>(), 1);
  EXPECT_EQ(found.rank_accuracy[0].item<double>(), 1);
  EXPECT_EQ(found.pointing_game[0].item<double>(), 1);
  EXPECT_NEAR(found.chance[0].item<double>(), 6.0 / 36, 1e-12);
  EXPECT_TRUE(std::isnan(found.mass_accuracy[1].item<double>())) << "a face without evidence";
  const at::Tensor opposite = 1 - maps;
  const EvidenceAgreement missed = evidence_agreement(opposite, evidence, pixel_order(opposite, 0));
  EXPECT_EQ(missed.mass_accuracy[0].item<double>(), 0);
  EXPECT_EQ(missed.rank_accuracy[0].item<double>(), 0);
  EXPECT_EQ(missed.pointing_game[0].item<double>(), 0);
}

TEST(Evidence, IsFoundByChanceByRandomAndByConstantMaps) {
  const int64_t faces = 400;
  at::Tensor evidence = at::zeros({faces, 8, 8}, at::kByte);
  evidence.slice(1, 0, 2).fill_(255);  // at the top, where a reader of ties from the top left would look first
  const network::Network network = linear_network();
  const at::Tensor random = baseline("random").explain(question_of(network, faces), kDefaults).values;
  for (const at::Tensor& maps : {random, at::zeros({faces, 8, 8}), at::ones({faces, 8, 8})}) {
    const EvidenceAgreement found = evidence_agreement(maps, evidence, pixel_order(maps, 3));
    EXPECT_NEAR(found.mass_accuracy.mean().item<double>(), 0.25, 0.02);
    EXPECT_NEAR(found.rank_accuracy.mean().item<double>(), 0.25, 0.02);
    EXPECT_NEAR(found.pointing_game.mean().item<double>(), 0.25, 0.09);
  }
}

TEST(Randomization, ChangesGradientMapsAndLeavesSobelAlone) {
  const Reference reference("leaky4");
  FaithfulnessOptions how;
  how.rerun_faces = 2;
  const auto check = [&](const MethodSpec& spec) {
    const at::Tensor maps = spec.explain(reference.request, kDefaults).values;
    return randomization_check(spec, reference.request, maps, kDefaults, how);
  };
  const Randomization edges = check(baseline("sobel"));
  for (size_t stage = 0; stage < edges.layers.size(); ++stage) {
    EXPECT_NEAR(edges.rank_correlation[stage], 1, 1e-9);
    EXPECT_NEAR(edges.similarity[stage], 1, 1e-9);
  }
  const Randomization gradient = check(spec_of("gradient", gradient_of));
  EXPECT_EQ(gradient.layers.front(), "dense2");
  EXPECT_EQ(gradient.layers.back(), "conv1");
  EXPECT_EQ(gradient.layers.size(), 11u) << "four convolutions, two dense layers, five batch norms";
  EXPECT_EQ(gradient.of_faces.size(), 2u);
  EXPECT_LT(gradient.rank_correlation.back(), 0.3);
}

TEST(Randomization, ReplacesTheLayersFromTheLastToTheNamedOneOnly) {
  const network::Network network = frozen_copy({graph_of(R"({ conv = 2, kernel = 3 }, "flatten", { dense = 3 })"), 9});
  const AttributionRequest request = question_of(network, 1);
  static std::vector<network::Network> seen;
  seen.clear();
  const auto note = [](const AttributionRequest& asked, const MethodOptions&) {
    seen.push_back(asked.network);
    return Attributions{
        .values = asked.images.squeeze(1), .channels = {}, .at_layer = {}, .layer = -1, .diagnostics = {}};
  };
  const Randomization found =
      randomization_check(spec_of("note", note), request, request.images.squeeze(1), kDefaults, {});
  ASSERT_EQ(found.layers, (std::vector<std::string>{"dense1", "conv1"}));
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_TRUE(at::equal(seen[0].tensor("conv1.weight"), network.tensor("conv1.weight")));
  EXPECT_FALSE(at::allclose(seen[0].tensor("dense1.weight"), network.tensor("dense1.weight")));
  EXPECT_FALSE(at::allclose(seen[1].tensor("conv1.weight"), network.tensor("conv1.weight")));
  EXPECT_FALSE(at::allclose(seen[1].tensor("dense1.weight"), network.tensor("dense1.weight")));
}

TEST(MapProblem, IsNamedForZeroConstantAndBrokenMaps) {
  EXPECT_EQ(map_problem(at::tensor({0., 1.}).reshape({1, 2})), "");
  EXPECT_EQ(map_problem(at::zeros({2, 2})), "is zero everywhere");
  EXPECT_EQ(map_problem(at::ones({2, 2})), "has one value everywhere");
  EXPECT_EQ(map_problem(at::tensor({0., std::nan("")}).reshape({1, 2})), "holds numbers that are not finite");
}

TEST(Evaluation, RanksTheMapsThatKnowTheEvidenceFirstAndReportsBrokenOnes) {
  const network::Network network = linear_network();
  const AttributionRequest request = question_of(network, 12);
  at::Tensor evidence = at::zeros({12, 8, 8}, at::kByte);
  evidence.slice(2, 0, 4).fill_(255);
  const auto left = [](const AttributionRequest& asked, const MethodOptions&) {
    at::Tensor values = random_images(asked.network.graph(), asked.images.size(0), 5).squeeze(1);
    values.slice(2, 4, 8).zero_();
    return Attributions{.values = values, .channels = {}, .at_layer = {}, .layer = -1, .diagnostics = {}};
  };
  const auto broken = [](const AttributionRequest& asked, const MethodOptions&) {
    at::Tensor values = asked.images.squeeze(1).clone();
    values[3][0][0] = std::nan("");
    return Attributions{.values = values, .channels = {}, .at_layer = {}, .layer = -1, .diagnostics = {}};
  };
  MethodSpec refused = spec_of("refused", gradient_of);
  refused.unsupported_reason = [](const network::Graph&) { return std::string("needs what is not there"); };
  const std::vector<MethodSpec> specs{baseline("random"), spec_of("left", left), spec_of("broken", broken), refused};
  FaithfulnessOptions how;
  how.rerun_faces = 0;
  const MethodEvaluation found = evaluate_methods(specs, request, evidence, kDefaults, how, silent_listener());
  ASSERT_EQ(found.rows.size(), 3u);
  EXPECT_EQ(found.rows.front().method, "left");
  EXPECT_EQ(found.rows.front().means.at("mass-accuracy").mean, 1);
  EXPECT_EQ(found.rows.front().means.at("mass-accuracy").count, 12);
  EXPECT_NEAR(found.chance, 0.5, 1e-12);
  for (const MethodRow& row : found.rows) {
    for (const auto& [name, mean] : row.means) {
      EXPECT_LE(mean.interval.low, mean.mean + 1e-12) << row.method << ' ' << name;
      EXPECT_GE(mean.interval.high, mean.mean - 1e-12) << row.method << ' ' << name;
    }
    if (row.method != "broken") continue;
    EXPECT_EQ(row.problems.at("holds numbers that are not finite"), 1);
    for (const auto& [name, mean] : row.means) EXPECT_EQ(mean.count, 11) << name;
  }
  const std::string text = evaluation_text(found);
  EXPECT_NE(text.find("broken: of 12 maps, 1 holds numbers that are not finite"), std::string::npos) << text;
  EXPECT_NE(text.find("refused: needs what is not there"), std::string::npos) << text;
  EXPECT_NE(evaluation_json(found).find("\"skipped\": {\n    \"refused\": \"needs what is not there\""),
            std::string::npos);
  const std::string csv = evaluation_csv(found);
  const auto commas = [](const std::string& line) { return std::count(line.begin(), line.end(), ','); };
  size_t begin = 0;
  const auto columns = commas(csv.substr(0, csv.find('\n')));
  for (size_t end = csv.find('\n'); end != std::string::npos; begin = end + 1, end = csv.find('\n', begin)) {
    EXPECT_EQ(commas(csv.substr(begin, end - begin)), columns);
  }
}

TEST(Measures, DoNotDependOnTheBatchSize) {
  const Reference reference("leaky4");
  const at::Tensor maps = baseline("sobel").explain(reference.request, kDefaults).values;
  FaithfulnessOptions how;
  how.rerun_faces = 0;
  MethodOptions small;
  small.batch_size = 7;
  const Faithfulness one = measure(baseline("sobel"), reference.request, maps, maps > 0.1, kDefaults, how);
  const Faithfulness other = measure(baseline("sobel"), reference.request, maps, maps > 0.1, small, how);
  for (const auto& [name, values] : one.values) {
    for (size_t face = 0; face < values.size(); ++face)
      EXPECT_NEAR(values[face], other.values.at(name)[face], 1e-4) << name;
  }
}

TEST(Baselines, AreNoiseABellAndTheSlopeOfARamp) {
  const network::Network network = linear_network();
  AttributionRequest request = question_of(network, 2);
  const at::Tensor noise = baseline("random").explain(request, kDefaults).values;
  EXPECT_FALSE(at::allclose(noise[0], noise[1]));
  MethodOptions other;
  other.seed = 1;
  EXPECT_FALSE(at::allclose(noise, baseline("random").explain(request, other).values));
  EXPECT_TRUE(at::equal(noise, baseline("random").explain(request, kDefaults).values));
  const at::Tensor bell = baseline("gaussian").explain(request, kDefaults).values;
  EXPECT_TRUE(at::equal(bell, bell.flip({1}).flip({2}))) << "it has its middle in the middle";
  EXPECT_EQ(bell[0].argmax().item<int64_t>(), 3 * 8 + 3);
  request.images = (3 * at::arange(8, at::kFloat)).expand({2, 1, 8, 8});
  const at::Tensor slope = baseline("sobel").explain(request, kDefaults).values;
  EXPECT_TRUE(at::allclose(slope.slice(2, 1, 7), at::full({2, 8, 6}, 3.0)));
}

}  // namespace
}  // namespace mien::explain
