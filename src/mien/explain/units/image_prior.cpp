#include "mien/explain/units/image_prior.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <ATen/ATen.h>

namespace mien::explain {

Penalty l2_penalty(const at::Tensor& images) {
  const double n = static_cast<double>(images[0].numel());
  return {.values = images.square().flatten(1).sum(1) / n, .gradient = images * (2 / n)};
}

Penalty lp_penalty(const at::Tensor& images, double power) {
  const double n = static_cast<double>(images[0].numel());
  // Shares of the largest value: |x|^p leaves float32's range for large p otherwise.
  const at::Tensor largest = images.abs().flatten(1).amax(1).clamp_min(1e-30).view({-1, 1, 1, 1});
  const at::Tensor shares = images.abs() / largest;
  const at::Tensor norm = shares.pow(power).flatten(1).sum(1).pow(1 / power).view({-1, 1, 1, 1});
  const at::Tensor is_zero = norm == 0;
  const at::Tensor slope = images.sign() * (shares / norm.masked_fill(is_zero, 1)).pow(power - 1);
  return {.values = (norm * largest).flatten() / n, .gradient = slope.masked_fill(is_zero, 0) / n};
}

Penalty total_variation(const at::Tensor& images, double beta) {
  const double n = static_cast<double>(images[0].numel());
  const int64_t height = images.size(2);
  const int64_t width = images.size(3);
  const at::Tensor here = images.slice(2, 0, height - 1).slice(3, 0, width - 1);
  const at::Tensor down = images.slice(2, 1, height).slice(3, 0, width - 1) - here;
  const at::Tensor right = images.slice(2, 0, height - 1).slice(3, 1, width) - here;
  const at::Tensor squares = down.square() + right.square();
  // d/dx s^(beta/2) = beta/2 s^(beta/2 - 1) ds/dx, taken as 0 where s is 0.
  const at::Tensor factor =
      at::where(squares > 0, squares.clamp_min(1e-30).pow(beta / 2 - 1), at::zeros_like(squares)) * (beta / n);
  at::Tensor gradient = at::zeros_like(images);
  gradient.slice(2, 1, height).slice(3, 0, width - 1).add_(factor * down);
  gradient.slice(2, 0, height - 1).slice(3, 1, width).add_(factor * right);
  gradient.slice(2, 0, height - 1).slice(3, 0, width - 1).sub_(factor * (down + right));
  return {.values = squares.pow(beta / 2).flatten(1).sum(1) / n, .gradient = gradient};
}

at::Tensor blur(const at::Tensor& images, double sigma) {
  const int64_t channels = images.size(1);
  // Mirroring needs a border narrower than the image.
  const int64_t least_side = std::min(images.size(2), images.size(3));
  const int64_t reach = std::min<int64_t>(static_cast<int64_t>(std::ceil(3 * sigma)), least_side - 1);
  const at::Tensor offsets = at::arange(-reach, reach + 1, images.options());
  at::Tensor kernel = at::exp(offsets.square() / (-2 * sigma * sigma));
  kernel = (kernel / kernel.sum()).expand({channels, 1, 1, 2 * reach + 1});
  const at::Tensor padded = at::reflection_pad2d(images, {reach, reach, reach, reach});
  const std::vector<int64_t> one{1, 1};
  const std::vector<int64_t> none{0, 0};
  const at::Tensor along_rows = at::conv2d(padded, kernel, at::Tensor(), one, none, one, channels);
  return at::conv2d(along_rows, kernel.transpose(2, 3), at::Tensor(), one, none, one, channels);
}

at::Tensor warp(const at::Tensor& images, const Warp& how) {
  if (how.is_identity()) return images;
  const double height = static_cast<double>(images.size(2));
  const double width = static_cast<double>(images.size(3));
  const double angle = how.degrees * std::numbers::pi / 180;
  const double cosine = std::cos(angle) / how.scale;
  const double sine = std::sin(angle) / how.scale;
  // Where output pixel (x, y) looks, both in [-1, 1]; the shift is undone before turning back.
  const double shift_x = -2 * how.shift_x / width;
  const double shift_y = -2 * how.shift_y / height;
  const double across = sine * height / width;
  const double down = -sine * width / height;
  const std::vector<double> rows{
      cosine, across, cosine * shift_x + across * shift_y, down, cosine, down * shift_x + cosine * shift_y};
  const at::Tensor theta = at::tensor(rows, images.options().requires_grad(false)).view({1, 2, 3});
  const at::Tensor grid =
      at::affine_grid_generator(theta.expand({images.size(0), 2, 3}), images.sizes(), /*align_corners=*/false);
  return at::grid_sampler(images, grid, /*bilinear*/ 0, /*zeros*/ 0, /*align_corners=*/false);
}

FourierForm::FourierForm(int64_t height, int64_t width, double black, double white, double decay)
    : height_(height), width_(width), black_(black), span_(white - black) {
  const at::Tensor rows = at::fft_fftfreq(height, 1.0, at::kFloat).unsqueeze(1);
  const at::Tensor columns = at::fft_rfftfreq(width, 1.0, at::kFloat).unsqueeze(0);
  const double lowest = 1.0 / static_cast<double>(std::max(height, width));
  const at::Tensor frequency = (rows.square() + columns.square()).sqrt().clamp_min(lowest);
  scale_ = frequency.pow(-decay) * std::sqrt(static_cast<double>(height * width));
}

at::Tensor FourierForm::images(const at::Tensor& coefficients) const {
  const at::Tensor spectrum = at::view_as_complex(coefficients) * scale_;
  const at::Tensor values = at::fft_irfft2(spectrum, at::IntArrayRef{height_, width_}) / 4;
  return black_ + span_ * at::sigmoid(values);
}

at::Tensor FourierForm::coefficients(const at::Tensor& images) const {
  const at::Tensor share = ((images - black_) / span_).clamp(0.005, 0.995);
  const at::Tensor spectrum = at::fft_rfft2(at::logit(share) * 4) / scale_;
  return at::view_as_real(spectrum).contiguous();
}

}  // namespace mien::explain
