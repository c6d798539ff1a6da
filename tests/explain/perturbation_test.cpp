#include "explain_testing.h"

#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

using network::relative_difference;

TEST(Occlusion, GivesCaptumsMaps) {
  for (const std::string name : {"leaky4", "relu6"}) {
    Reference reference(name);
    const Maps maps = explain_occlusion(reference.question, {});
    EXPECT_LE(relative_difference(maps.values, reference["captum.occlusion_w6_s3"].squeeze(1)), 1e-4) << name;
  }
}

TEST(FeatureAblation, GivesCaptumsMaps) {
  for (const std::string name : {"leaky4", "relu6"}) {
    Reference reference(name);
    MethodOptions options;
    options.perturbation.segment.segments = "grid";
    const Maps maps = explain_feature_ablation(reference.question, options);
    EXPECT_LE(relative_difference(maps.values, reference["captum.feature_ablation_grid8"].squeeze(1)), 1e-4) << name;
  }
}

}  // namespace
}  // namespace mien::explain
