#include <cmath>
#include <set>
#include <string>

#include "explain/gradients_testing.h"
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace mien::explain {
namespace {

using network::error_of;
using network::relative_difference;

class OnBothNetworks : public testing::TestWithParam<std::string> {
 protected:
  Reference reference{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Reference, OnBothNetworks, testing::Values("leaky4", "relu6"));

TEST_P(OnBothNetworks, SaliencyIsCaptums) {
  EXPECT_LT(
      relative_difference(explain_with("saliency", reference.question).values, reference["captum.saliency"].squeeze(1)),
      1e-4);
}

TEST_P(OnBothNetworks, SaliencyOfTheSumOfScoresIsCaptums) {
  reference.question.score = Score::sum_of_logits;
  EXPECT_LT(
      relative_difference(explain_with("saliency", reference.question).channels, reference["captum.all_ones_gradient"]),
      1e-4);
}

TEST_P(OnBothNetworks, GradientXInputIsCaptums) {
  EXPECT_LT(relative_difference(explain_with("gradient-x-input", reference.question).values,
                                reference["captum.input_x_gradient"].squeeze(1)),
            1e-4);
}

TEST_P(OnBothNetworks, IntegratedGradientsAndTheirErrorAreCaptums) {
  const Maps maps = explain_with("integrated-gradients", reference.question);
  const at::Tensor expected = reference["captum.integrated_gradients"];
  EXPECT_LT(relative_difference(maps.values, expected.squeeze(1)), 5e-3);
  const at::Tensor deltas = reference["captum.integrated_gradients.delta"];
  ASSERT_EQ(maps.facts.size(), static_cast<size_t>(deltas.numel()));
  // deltas are differences of sums: compared with the size of what is summed
  const double scale = expected.abs().sum().item<double>() / static_cast<double>(deltas.numel());
  for (size_t i = 0; i < maps.facts.size(); ++i) {
    EXPECT_NEAR(maps.facts[i].at("convergence_error"), deltas[static_cast<int64_t>(i)].item<double>(), 1e-5 * scale);
  }
}

TEST(Gradients, AreFiniteDifferencesOnEveryKindOfLayer) {
  const network::Network network = random_network(kEveryKind);
  for (const Score score : {Score::logit, Score::probability, Score::sum_of_logits}) {
    Question question = question_of(network);
    question.score = score;
    const at::Tensor gradient = explain_with("saliency", question).channels;
    for (const int64_t pixel : {0, 9, 27, 36, 63}) {
      at::Tensor step = at::zeros_like(question.images);
      step.flatten(1).select(1, pixel).fill_(1e-2);
      const at::Tensor slope =
          (score_at(question, question.images + step) - score_at(question, question.images - step)) / 2e-2;
      const at::Tensor found = gradient.flatten(1).select(1, pixel);
      EXPECT_LT((found - slope).abs().max().item<double>(), 0.03 * gradient.abs().max().item<double>())
          << to_text(score) << pixel;
    }
  }
}

}  // namespace
}  // namespace mien::explain
