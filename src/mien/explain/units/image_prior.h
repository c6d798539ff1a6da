#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace mien::explain {

/// A number an image and its gradient.
struct Penalty {
  at::Tensor values;    ///< [N]
  at::Tensor gradient;  ///< [N,C,H,W]
};

/// Mean of squares, (1/n) sum x^2 over an image's n values. @source Simonyan et al. 2014, equation 1 (there a sum)
Penalty l2_penalty(const at::Tensor& images);

/// (sum |x|^p)^(1/p) / n for p >= 1; 0 with gradient 0 for an image of zeros. @source keras-vis, LPNorm (p = 6)
Penalty lp_penalty(const at::Tensor& images, double power);

/// (1/n) sum ((x[i+1,j] - x[i,j])^2 + (x[i,j+1] - x[i,j])^2)^(beta/2) over all pixels that have both neighbors; equal
/// neighbors have gradient 0. @source Mahendran and Vedaldi 2015, section 3.1; division by n as keras-vis
Penalty total_variation(const at::Tensor& images, double beta);

/// Each channel smoothed with a Gaussian of `sigma` pixels, cut off after 3 sigma, the image mirrored at its borders.
at::Tensor blur(const at::Tensor& images, double sigma);

/// What `warp` does to what an image shows: it is scaled and turned about the middle, and then shifted.
struct Warp {
  double scale = 1;                 ///< > 1 enlarges
  double degrees = 0;               ///< clockwise as seen
  double shift_y = 0, shift_x = 0;  ///< pixels down and right
  bool is_identity() const { return scale == 1 && degrees == 0 && shift_y == 0 && shift_x == 0; }
};
/// Images [N,C,H,W] warped alike, bilinear, 0 where the image does not reach. Differentiable.
at::Tensor warp(const at::Tensor& images, const Warp& how);

/// Images as their spectra, with the amplitude of each coefficient scaled so that a natural image's are alike:
/// t = irfft2(c / max(f, 1/max(H,W))^decay * sqrt(H W)) / 4, image = black + span * sigmoid(t). Coefficients 0 give the
/// gray halfway between black and white; decay 0 leaves white noise white.
/// @source Olah, Mordvintsev, Schubert 2017, "Feature visualization"; lucid's fft_image
class FourierForm {
 public:
  FourierForm(int64_t height, int64_t width, double black, double white, double decay);

  /// [N,C,H,W] of coefficients [N,C,H,W/2+1,2] (real and imaginary part). Differentiable.
  at::Tensor images(const at::Tensor& coefficients) const;
  /// Coefficients whose image is `images`, its values first moved into the middle 99 % between black and white.
  at::Tensor coefficients(const at::Tensor& images) const;

 private:
  int64_t height_, width_;
  double black_, span_;
  at::Tensor scale_;  // [H, W/2+1]
};

}  // namespace mien::explain
