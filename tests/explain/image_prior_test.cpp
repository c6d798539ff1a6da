#include "mien/explain/units/image_prior.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "explain/inside_testing.h"
#include <torch/csrc/autograd/autograd.h>

namespace mien::explain {
namespace {

at::Tensor some_images(int64_t count, int64_t channels, int64_t height, int64_t width, uint64_t seed = 5) {
  at::Tensor images = at::empty({count, channels, height, width}, at::kFloat);
  RandomStream random(seed, "prior images");
  for (int64_t i = 0; i < images.numel(); ++i) images.data_ptr<float>()[i] = static_cast<float>(random.uniform(-1, 1));
  return images;
}

/// Largest difference between a penalty's gradient and central differences in double precision, as a share of the
/// largest slope.
double gradient_error(const std::function<Penalty(const at::Tensor&)>& penalty, const at::Tensor& float_images) {
  const at::Tensor images = float_images.to(at::kDouble);
  const at::Tensor gradient = penalty(images).gradient;
  double worst = 0;
  double largest = 0;
  at::Tensor moved = images.clone();
  double* const value = moved.data_ptr<double>();
  for (int64_t i = 0; i < images.numel(); ++i) {
    const double before = value[i];
    const auto at_step = [&](double step) {
      value[i] = before + step;
      return penalty(moved).values.sum().item<double>();
    };
    const double slope = (at_step(1e-5) - at_step(-1e-5)) / 2e-5;
    value[i] = before;
    worst = std::max(worst, std::abs(slope - gradient.flatten()[i].item<double>()));
    largest = std::max(largest, std::abs(slope));
  }
  return worst / largest;
}

TEST(Penalties, HaveTheGradientsOfFiniteDifferences) {
  const at::Tensor images = some_images(2, 2, 5, 4);
  EXPECT_LT(gradient_error(l2_penalty, images), 1e-7);
  for (const double power : {1.0, 2.0, 6.0, 40.0}) {
    EXPECT_LT(gradient_error([&](const at::Tensor& x) { return lp_penalty(x, power); }, images), 1e-6) << power;
  }
  for (const double beta : {1.0, 1.25, 2.0, 3.0}) {
    EXPECT_LT(gradient_error([&](const at::Tensor& x) { return total_variation(x, beta); }, images), 1e-6) << beta;
  }
}

TEST(Penalties, HaveTheValuesOfTheirDefinitions) {
  const at::Tensor image = at::tensor(std::vector<float>{1, 2, 4, 1}).view({1, 1, 2, 2});
  EXPECT_NEAR(l2_penalty(image).values[0].item<double>(), (1 + 4 + 16 + 1) / 4.0, 1e-6);
  EXPECT_NEAR(lp_penalty(image, 6).values[0].item<double>(), std::pow(1 + 64 + 4096 + 1, 1 / 6.0) / 4, 1e-6);
  // One pixel has both neighbors: below it 4 (difference 3), beside it 2 (difference 1).
  EXPECT_NEAR(total_variation(image, 2).values[0].item<double>(), 10 / 4.0, 1e-6);
  EXPECT_NEAR(total_variation(image, 1).values[0].item<double>(), std::sqrt(10) / 4, 1e-6);
}

TEST(Penalties, DoNotMoveAnImageOfZeros) {
  const at::Tensor zeros = at::zeros({1, 1, 4, 4});
  EXPECT_EQ(lp_penalty(zeros, 6).gradient.abs().max().item<double>(), 0);
  EXPECT_EQ(lp_penalty(zeros, 1).gradient.abs().max().item<double>(), 0);
  EXPECT_EQ(total_variation(zeros, 1).gradient.abs().max().item<double>(), 0);
}

TEST(Blur, KeepsAConstantImageAndSpreadsAPointAsAGaussian) {
  EXPECT_LT((blur(at::full({1, 2, 9, 7}, 0.3), 1.5) - 0.3).abs().max().item<double>(), 1e-6);
  at::Tensor point = at::zeros({1, 1, 21, 21});
  point[0][0][10][10] = 1;
  const at::Tensor spread = blur(point, 2)[0][0];
  EXPECT_NEAR(spread.sum().item<double>(), 1, 1e-5);
  EXPECT_NEAR((spread[10][13] / spread[10][10]).item<double>(), std::exp(-9 / 8.0), 1e-5);
  EXPECT_NEAR((spread[12][13] / spread[10][10]).item<double>(), std::exp(-(4 + 9) / 8.0), 1e-5);
}

TEST(Warp, ShiftsByWholePixelsExactly) {
  const at::Tensor images = some_images(2, 1, 8, 6);
  const at::Tensor moved = warp(images, {.shift_y = 2, .shift_x = -1});
  EXPECT_LT((moved.slice(2, 2, 8).slice(3, 0, 5) - images.slice(2, 0, 6).slice(3, 1, 6)).abs().max().item<double>(),
            1e-5);
  EXPECT_LT(moved.slice(2, 0, 2).abs().max().item<double>(), 1e-5);
  EXPECT_LT(moved.slice(3, 5, 6).abs().max().item<double>(), 1e-5);
}

TEST(Warp, TurnsAQuarterClockwiseLikeRot90) {
  const at::Tensor images = some_images(1, 2, 7, 7);
  const at::Tensor turned = warp(images, {.degrees = 90});
  EXPECT_LT((turned - at::rot90(images, -1, {2, 3})).abs().max().item<double>(), 1e-5);
}

TEST(Warp, KeepsTheShapeOfWhatItTurnsInAnOblongImage) {
  // A dot 3 pixels right of the middle of a 9x21 image comes to stand 3 pixels below it.
  at::Tensor image = at::zeros({1, 1, 9, 21});
  image[0][0][4][13] = 1;
  const at::Tensor turned = warp(image, {.degrees = 90})[0][0];
  EXPECT_NEAR(turned[7][10].item<double>(), 1, 1e-4);
}

TEST(Warp, EnlargesAboutTheMiddle) {
  at::Tensor image = at::zeros({1, 1, 21, 21});
  image[0][0][10][13] = 1;
  const at::Tensor larger = warp(image, {.scale = 2})[0][0];
  EXPECT_NEAR(larger[10][16].item<double>(), 1, 1e-4);
}

TEST(FourierForm, GivesMidGrayForCoefficientsOfZero) {
  const FourierForm form(48, 48, -1, 3, 1);
  const at::Tensor images = form.images(at::zeros({2, 1, 48, 25, 2}));
  EXPECT_LT((images - 1).abs().max().item<double>(), 1e-6);
}

TEST(FourierForm, FindsTheCoefficientsOfAnImage) {
  for (const auto& [height, width] : {std::pair{48, 48}, {7, 9}, {8, 5}}) {
    const FourierForm form(height, width, -1, 1, 1);
    const at::Tensor images = some_images(3, 1, height, width) * 0.9;
    EXPECT_LT((form.images(form.coefficients(images)) - images).abs().max().item<double>(), 1e-4)
        << height << "x" << width;
  }
}

TEST(FourierForm, LeavesWhiteNoiseWhiteWithoutDecayAndReddensItWithDecay) {
  RandomStream random(1, "coefficients");
  at::Tensor coefficients = at::empty({64, 1, 32, 17, 2}, at::kFloat);
  for (int64_t i = 0; i < coefficients.numel(); ++i)
    coefficients.data_ptr<float>()[i] = static_cast<float>(random.normal() * 0.01);
  const auto low_over_high = [&](double decay) {
    const at::Tensor images = FourierForm(32, 32, 0, 1, decay).images(coefficients) - 0.5;
    const at::Tensor power = at::fft_rfft2(images).abs().square().mean(0)[0];
    return (power.slice(0, 1, 5).slice(1, 1, 5).mean() / power.slice(0, 11, 16).slice(1, 11, 16).mean()).item<double>();
  };
  EXPECT_NEAR(low_over_high(0), 1, 0.15);
  EXPECT_GT(low_over_high(1), 10);
}

TEST(FourierForm, PassesGradientsOn) {
  const FourierForm form(8, 8, 0, 1, 1);
  const at::AutoGradMode with_gradient(true);
  const at::Tensor coefficients = (form.coefficients(some_images(1, 1, 8, 8) * 0.4 + 0.5)).set_requires_grad(true);
  const at::Tensor weights = some_images(1, 1, 8, 8, 9);
  const at::Tensor gradient =
      torch::autograd::grad({(form.images(coefficients) * weights).sum()}, {coefficients}).front();
  const at::NoGradGuard no_grad;
  for (const auto& [row, column, part] : {std::tuple{0, 0, 0}, {2, 3, 1}, {7, 1, 0}}) {
    const auto at_step = [&](double step) {
      at::Tensor moved = coefficients.detach().clone();
      moved[0][0][row][column][part] += step;
      return (form.images(moved) * weights).sum().item<double>();
    };
    const double slope = (at_step(1e-2) - at_step(-1e-2)) / 2e-2;
    EXPECT_NEAR(gradient[0][0][row][column][part].item<double>(), slope, 2e-3 * gradient.abs().max().item<double>());
  }
}

}  // namespace
}  // namespace mien::explain
