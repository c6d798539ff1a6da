#include "mien/explain/gradients.h"

#include <ATen/ATen.h>

#include "mien/explain/batches.h"
#include "mien/explain/gradient_family.h"
#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

Maps saliency(const Question& question, const MethodOptions& options) {
  return in_batches(question, options.batch_size, [](const Question& part) {
    const at::Tensor gradient = input_gradient(part).gradient;
    return Maps{.values = strongest_channel(gradient), .channels = gradient};
  });
}

Maps gradient_x_input(const Question& question, const MethodOptions& options) {
  return in_batches(question, options.batch_size, [](const Question& part) {
    const at::Tensor product = input_gradient(part).gradient * part.images;
    return Maps{.values = sum_channels(product), .channels = product};
  });
}

}  // namespace

void GradientOptions::bind(OptionSet& options) {
  options.group("explain");
  options.add(&smooth_samples,
              {.name = "smooth-samples",
               .help = "noisy copies of each face for smoothgrad, squaregrad and vargrad",
               .unit = "copies",
               .minimum = 1,
               .maximum = 100000,
               .source = "PAIR's saliency library, by SmoothGrad's authors"});
  options.add(&smooth_noise,
              {.name = "smooth-noise",
               .help = "deviation of their noise, as a share of the face's range from darkest to brightest",
               .minimum = 0,
               .maximum = 10,
               .source = "PAIR's saliency library; Smilkov et al. 2017, section 3.1: 0.1 to 0.2"});
  options.add(&ig_steps,
              {.name = "ig-steps",
               .help = "points of integrated-gradients' path, placed by the Gauss-Legendre rule",
               .unit = "points",
               .minimum = 1,
               .maximum = 10000,
               .source = "Captum"});
  options.add(&baseline,
              {.name = "attribution-baseline",
               .help = "image that integrated-gradients and deeplift compare with: zero (black where pixels are x/255, "
                       "the average grey where a mean was subtracted), the face's mean, or the face blurred",
               .choices = {"zero", "mean", "blur"},
               .source = "Captum (zero); Sturmfels, Lundberg, Lee 2020 (blur)"});
  options.add(&expected_samples,
              {.name = "expected-samples",
               .help = "pairs of a background face and a point on the way from it, for expected-gradients",
               .unit = "pairs",
               .minimum = 1,
               .maximum = 100000,
               .source = "Erion et al. 2021 average 200 samples"});
  options.add(&lrp_epsilon,
              {.name = "lrp-epsilon-value",
               .help = "added to the size of every denominator of layer-wise relevance propagation",
               .minimum = 0,
               .maximum = 1000,
               .source = "zennit"});
  options.add(&lrp_gamma,
              {.name = "lrp-gamma-value",
               .help = "how much lrp-gamma prefers contributions of the output's own sign",
               .minimum = 0,
               .maximum = 1000,
               .source = "zennit, Captum"});
  options.add(&lrp_alpha,
              {.name = "lrp-alpha",
               .help = "weight of positive contributions in lrp-alpha-beta; negative ones get beta, which is alpha - 1",
               .minimum = 1,
               .maximum = 1000,
               .source = "zennit; Bach et al. 2015, equation 60"});
  options.add(&lrp_batch_norm,
              {.name = "lrp-batch-norm",
               .help = "batch norm in layer-wise relevance propagation: folded into the weights beside it, or a layer "
                       "of its own under the epsilon rule",
               .choices = {"fold", "layer"},
               .source = "fold: zennit's canonizers; layer: Captum"});
  options.add(&lrp_dense,
              {.name = "lrp-dense",
               .help = "rule of lrp-gamma and lrp-alpha-beta at dense layers behind convolutions: epsilon, or the same "
                       "as at convolutions",
               .choices = {"epsilon", "same"},
               .source = "zennit's composites; Kohlbrenner et al. 2020"});
  options.add(&guided_resize,
              {.name = "guided-resize",
               .help = "how guided-grad-cam enlarges its class activation map",
               .choices = {"nearest", "bilinear"},
               .source = "nearest: Captum; bilinear: Selvaraju et al. 2017, section 3.2"});
}

std::vector<MethodSpec> gradient_methods() {
  return {
      {.name = "saliency",
       .summary = "size of the gradient of the score at each pixel; the largest channel's",
       .cost = "1 forward, 1 backward",
       .source = "Simonyan, Vedaldi, Zisserman 2014, section 3.1",
       .explain = saliency},
      {.name = "gradient-x-input",
       .summary = "gradient of the score times the pixel's value",
       .cost = "1 forward, 1 backward",
       .source = "Shrikumar et al. 2016, arXiv 1605.01713",
       .is_signed = true,
       .explain = gradient_x_input},
      {.name = "smoothgrad",
       .summary = "size of the mean gradient over noisy copies of the face",
       .cost = "smooth-samples forward, smooth-samples backward",
       .source = "Smilkov et al. 2017, arXiv 1706.03825, section 3",
       .is_random = true,
       .explain = smoothgrad},
      {.name = "squaregrad",
       .summary = "mean squared gradient over noisy copies of the face",
       .cost = "smooth-samples forward, smooth-samples backward",
       .source = "Hooker et al. 2019, arXiv 1806.10758, section 4.3",
       .is_random = true,
       .explain = squaregrad},
      {.name = "vargrad",
       .summary = "variance of the gradient over noisy copies of the face",
       .cost = "smooth-samples forward, smooth-samples backward",
       .source = "Adebayo et al. 2018, arXiv 1810.03307",
       .is_random = true,
       .explain = vargrad},
      {.name = "integrated-gradients",
       .summary = "gradient integrated on the straight way from a baseline to the face, times that way",
       .cost = "ig-steps forward, ig-steps backward",
       .source = "Sundararajan, Taly, Yan 2017, equation 1",
       .is_signed = true,
       .explain = integrated_gradients},
      {.name = "expected-gradients",
       .summary = "integrated gradients from other faces, averaged (also called GradientSHAP)",
       .cost = "expected-samples forward, expected-samples backward",
       .source = "Erion et al. 2021, arXiv 1906.10670, equation 3",
       .is_signed = true,
       .is_random = true,
       .explain = expected_gradients},
  };
}

}  // namespace mien::explain
