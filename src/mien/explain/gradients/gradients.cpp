#include "mien/explain/gradients/gradients.h"

#include <functional>

#include <ATen/ATen.h>

#include "mien/explain/batches.h"
#include "mien/explain/gradients/gradient_family.h"
#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

Attributions saliency(const AttributionRequest& request, const MethodOptions& options) {
  return in_batches(request, options.batch_size, [](const AttributionRequest& part) {
    const at::Tensor gradient = input_gradient(part).gradient;
    return Attributions{.values = strongest_channel(gradient), .channels = gradient};
  });
}

Attributions gradient_x_input(const AttributionRequest& request, const MethodOptions& options) {
  return in_batches(request, options.batch_size, [](const AttributionRequest& part) {
    const at::Tensor product = input_gradient(part).gradient * part.images;
    return Attributions{.values = sum_channels(product), .channels = product};
  });
}

/// `network` without gradients for its parameters, and row-major as PyTorch's default. Where two pixels of a max pool's
/// window are equal but for rounding, rounding chooses the one that a gradient reaches; the field's libraries compute
/// row-major, and with channels-last kernels integrated gradients differ from theirs by up to 0.3 % of a map's largest
/// value.
network::Network row_major(const network::Network& network) {
  network::Network copy = frozen_copy(network);
  for (at::Tensor tensor : copy.tensors()) {
    const at::Tensor values = at::empty(tensor.sizes(), tensor.options());  // .contiguous() may keep strides
    tensor.set_data(values.copy_(tensor));
  }
  copy.set_fused(false);  // blocks are channels-last
  return copy;
}

/// The method on row-major weights and images.
std::function<Attributions(const AttributionRequest&, const MethodOptions&)> on_row_major(
    Attributions (*explain)(const AttributionRequest&, const MethodOptions&)) {
  return [explain](const AttributionRequest& request, const MethodOptions& options) {
    const network::Network network = row_major(request.network);
    const at::Tensor images = at::empty(request.images.sizes(), request.images.options()).copy_(request.images);
    AttributionRequest same{.network = network,
                            .images = images,
                            .targets = request.targets,
                            .score = request.score,
                            .black = request.black};
    return explain(same, options);
  };
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
                       "the average gray where a mean was subtracted), black, the face's mean, or the face blurred",
               .choices = {"zero", "black", "mean", "blur"},
               .source = "Captum (zero); Sturmfels, Lundberg, Lee 2020 (blur)"});
  options.add(&expected_samples,
              {.name = "expected-samples",
               .help = "pairs of a background face and a point on the way from it, for expected-gradients",
               .unit = "pairs",
               .minimum = 1,
               .maximum = 100000,
               .source = "Erion et al. 2021 average 200 samples"});
  options.add(&deeplift_max_pool,
              {.name = "deeplift-max-pool",
               .help = "what deeplift does at max pools: rescale shares out the whole difference; captum gives Captum "
                       "0.8's maps, which lose a part where a max pool reads an activation",
               .choices = {"rescale", "captum"},
               .source = "Captum's and SHAP's rule for max pools"});
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
              {.name = "lrp-alpha-value",
               .help = "weight of positive contributions in lrp-alpha-beta; negative ones get beta, which is alpha - 1",
               .minimum = 1,
               .maximum = 1000,
               .source = "zennit; Bach et al. 2015, equation 60",
               .aliases = {"lrp-alpha"}});
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
       .unit = MapUnit::slope,
       .explain = on_row_major(saliency)},
      {.name = "gradient-x-input",
       .summary = "gradient of the score times the pixel's value",
       .cost = "1 forward, 1 backward",
       .source = "Shrikumar et al. 2016, arXiv 1605.01713",
       .is_signed = true,
       .unit = MapUnit::score,
       .explain = on_row_major(gradient_x_input)},
      {.name = "smoothgrad",
       .summary = "size of the mean gradient over noisy copies of the face",
       .cost = "smooth-samples forward, smooth-samples backward",
       .source = "Smilkov et al. 2017, arXiv 1706.03825, section 3",
       .is_random = true,
       .unit = MapUnit::slope,
       .explain = on_row_major(smoothgrad)},
      {.name = "squaregrad",
       .summary = "mean squared gradient over noisy copies of the face",
       .cost = "smooth-samples forward, smooth-samples backward",
       .source = "Hooker et al. 2019, arXiv 1806.10758, section 4.3",
       .is_random = true,
       .unit = MapUnit::slope_square,
       .explain = on_row_major(squaregrad)},
      {.name = "vargrad",
       .summary = "variance of the gradient over noisy copies of the face",
       .cost = "smooth-samples forward, smooth-samples backward",
       .source = "Adebayo et al. 2018, arXiv 1810.03307",
       .is_random = true,
       .explain = on_row_major(vargrad)},
      {.name = "integrated-gradients",
       .summary = "gradient integrated on the straight way from a baseline to the face, times that way",
       .cost = "ig-steps forward, ig-steps backward",
       .source = "Sundararajan, Taly, Yan 2017, equation 1",
       .is_signed = true,
       .unit = MapUnit::score,
       .explain = on_row_major(integrated_gradients)},
      {.name = "expected-gradients",
       .summary = "integrated gradients from other faces, averaged (also called GradientSHAP)",
       .cost = "expected-samples forward, expected-samples backward",
       .source = "Erion et al. 2021, arXiv 1906.10670, equation 3",
       .is_signed = true,
       .is_random = true,
       .unit = MapUnit::score,
       .explain = on_row_major(expected_gradients)},
      {.name = "guided-backprop",
       .summary = "gradient that passes each ReLU where both it and the ReLU's input are positive",
       .cost = "1 forward, 1 backward",
       .source = "Springenberg et al. 2015, arXiv 1412.6806, section 3.4",
       .is_signed = true,
       .unit = MapUnit::slope,
       .unsupported_reason = obstacle_of_guided,
       .explain = on_row_major(guided_backprop)},
      {.name = "deconvnet",
       .summary = "gradient that passes each ReLU where it is positive, whatever the ReLU's input was",
       .cost = "1 forward, 1 backward",
       .source = "Zeiler and Fergus 2014, arXiv 1311.2901, section 2.1",
       .is_signed = true,
       .unit = MapUnit::slope,
       .unsupported_reason = obstacle_of_guided,
       .explain = on_row_major(deconvnet)},
      {.name = "deeplift",
       .summary = "share of each pixel in the score's difference to a baseline's, by the rescale rule",
       .cost = "2 forward, 1 backward",
       .source = "Shrikumar, Greenside, Kundaje 2017, arXiv 1704.02685, section 3.5.1",
       .is_signed = true,
       .unit = MapUnit::score,
       .unsupported_reason = obstacle_of_deep_lift,
       .explain = on_row_major(deep_lift)},
      {.name = "lrp-epsilon",
       .summary = "relevance handed down in proportion to each input's contribution",
       .cost = "1 forward, 1 backward",
       .source = "Bach et al. 2015, equation 58",
       .is_signed = true,
       .unit = MapUnit::score,
       .unsupported_reason = obstacle_of_lrp,
       .explain = on_row_major(lrp_epsilon)},
      {.name = "lrp-gamma",
       .summary = "relevance handed down with a preference for contributions of the output's own sign",
       .cost = "1 forward, 1 to 3 backward",
       .source = "Montavon et al. 2019, section 10.2.1",
       .is_signed = true,
       .unit = MapUnit::score,
       .unsupported_reason = obstacle_of_lrp,
       .explain = on_row_major(lrp_gamma)},
      {.name = "lrp-alpha-beta",
       .summary = "relevance handed down by positive and by negative contributions apart, weighed alpha and beta",
       .cost = "1 forward, 2 to 4 backward",
       .source = "Bach et al. 2015, equation 60",
       .is_signed = true,
       .unit = MapUnit::score,
       .unsupported_reason = obstacle_of_lrp,
       .explain = on_row_major(lrp_alpha_beta)},
      {.name = "guided-grad-cam",
       .summary = "guided backprop where Grad-CAM at a layer is positive",
       .cost = "2 forward, 2 backward",
       .source = "Selvaraju et al. 2017, arXiv 1610.02391, section 3.2",
       .is_signed = true,
       .reads_layer = true,
       .unit = MapUnit::score,
       .unsupported_reason = obstacle_of_guided_grad_cam,
       .explain = on_row_major(guided_grad_cam)},
      {.name = "fullgrad",
       .summary = "sizes of gradient x input and of every bias x gradient, each scaled to 0..1, added up",
       .cost = "1 forward, 1 backward",
       .source = "Srinivas and Fleuret 2019, arXiv 1905.00780, equation 6",
       .unsupported_reason = obstacle_of_fullgrad,
       .explain = on_row_major(fullgrad)},
  };
}

}  // namespace mien::explain
