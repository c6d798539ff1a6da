#include "mien/explain/lime.h"

#include <cstdlib>
#include <filesystem>

#include "explain_testing.h"

#include "mien/explain/methods.h"
#include "mien/explain/ridge.h"
#include "mien/explain/variants.h"

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

TEST(Lime, GivesThePackagesCoefficientsFromItsMasksAndProbabilities) {
  for (const Case& one : cases()) {
    const Reference reference(one.network);
    const LimeExplanation found = fit_lime(reference[one.key("masks")], reference[one.key("probabilities")], {});
    EXPECT_LE((as_tensor(found.weights) - reference[one.key("weights")]).abs().max().item<double>(), 1e-6)
        << one.key(one.network);
    EXPECT_NEAR(found.intercept, reference[one.key("intercept")].item<double>(), 1e-6) << one.key(one.network);
    EXPECT_NEAR(found.score, reference[one.key("score")].item<double>(), 1e-6) << one.key(one.network);
  }
}

TEST(Lime, HidesSegmentsAsThePackage) {
  for (const Case& one : cases()) {
    const Reference reference(one.network);
    const Question question{.network = reference.network,
                            .images = reference["input"].slice(0, one.face, one.face + 1),
                            .targets = reference[one.key("label")].reshape({1})};
    const SegmentedImages images(
        question, {segments_of(reference, one)}, one.hidden == "mean" ? Hidden::segment_mean : Hidden::black);
    const at::Tensor masks = reference[one.key("masks")];
    const at::Tensor found =
        score_variants(question, Score::probability, masks.size(0), 128, [&](const Variant& variant, float* pixels) {
          images.write(0,
                       {masks.data_ptr<uint8_t>() + variant.index * masks.size(1), static_cast<size_t>(masks.size(1))},
                       pixels);
        });
    EXPECT_LE((found[0] - reference[one.key("probabilities")]).abs().max().item<double>(), 1e-4)
        << one.key(one.network);
  }
}

TEST(Lime, OfTheMethodTableFindsThePackagesRegions) {
  // Other samples of the same model: weights agree within sampling noise.
  const Reference reference("leaky4");
  const at::Tensor image = reference["input"].slice(0, 0, 1);
  const Question question{
      .network = reference.network, .images = image, .targets = reference["lime.grid8.mean.0.label"].reshape({1})};
  MethodOptions options;
  options.perturbation.segment.segments = "grid";
  options.perturbation.lime_samples = 4000;
  const LimeExplanation found = lime(question, options).front();
  const at::Tensor expected = reference["lime.grid8.mean.0.weights"];
  EXPECT_GE(
      rank_correlation(found.weights, {expected.data_ptr<double>(), expected.data_ptr<double>() + expected.numel()}),
      0.9);
  EXPECT_NEAR(found.score, reference["lime.grid8.mean.0.score"].item<double>(), 0.05);
  const Maps maps = explain_lime(question, options);
  EXPECT_EQ(maps.values.sizes(), (std::vector<int64_t>{1, 48, 48}));
  EXPECT_FLOAT_EQ(maps.values[0][0][47].item<float>(), static_cast<float>(found.weights[5]));
  EXPECT_DOUBLE_EQ(maps.facts[0].at("r2"), found.score);
  EXPECT_EQ(maps.facts[0].at("segments"), 36);
}

}  // namespace
}  // namespace mien::explain
